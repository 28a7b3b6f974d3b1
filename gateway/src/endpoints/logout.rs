//! `POST /auth/jwt/logout` and `POST /auth/cookie/logout`: both end the session, everywhere.

use actix_web::http::header::SET_COOKIE;
use actix_web::{HttpRequest, HttpResponse};

use super::login::{end_marked, forget_offline};
use super::no_content;
use crate::auth::caller::{Caller, Credentials};
use crate::auth::cookie as jar;
use crate::auth::origin::FromOurPages;
use crate::failure::Failure;
use crate::identity::{Identity, Which};

/// Ends the caller's session and leaves the cookie alone.
///
/// # Errors
/// [`Failure`]
pub async fn bearer(identity: Identity, caller: Caller) -> Result<HttpResponse, Failure> {
    caller.call(async |token| identity.end_session(token, Which::Current).await).await?;
    Ok(no_content().finish())
}

/// Ends the caller's session, if he has one, and takes the cookie away: whoever has no session any more, since
/// it expired or his user was deleted, can still get rid of the cookie. With it goes the refresh token, if the browser has
/// one, and the session of that one ends, too: it goes on when the access token has expired.
///
/// Only for our pages: a form of a foreign one could otherwise make the browser throw the cookie away. `SameSite` is no
/// help there: it keeps the cookie back, so that the request looks like one without, and not the order to remove it.
///
/// # Errors
/// [`Failure`], if nobody can say whether the session has ended.
pub async fn cookie(
    _: FromOurPages,
    identity: Identity,
    credentials: Credentials,
    request: HttpRequest,
) -> Result<HttpResponse, Failure> {
    match credentials.call(async |token| identity.end_session(token, Which::Current).await).await {
        Err(failure) if !failure.is_unauthenticated() => Err(failure),
        Ok(()) | Err(_) => {
            end_marked(&identity, &request).await?;
            let mut answer = no_content().insert_header((SET_COOKIE, jar::ACCESS.clear())).finish();
            forget_offline(&request, &mut answer);
            Ok(answer)
        }
    }
}
