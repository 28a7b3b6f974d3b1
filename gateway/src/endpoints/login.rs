//! `POST /auth/jwt/login` and `POST /auth/cookie/login`: the same login, the token delivered in two ways.

use actix_web::http::header::SET_COOKIE;
use actix_web::{HttpRequest, HttpResponse, web::Payload};
use secrecy::ExposeSecret as _;
use serde::Serialize;

use super::{no_content, private};
use crate::auth::caller::Credentials;
use crate::auth::cookie as jar;
use crate::auth::origin::FromOurPages;
use crate::body::{Body, form};
use crate::client::Client;
use crate::failure::Failure;
use crate::identity::{Identity, NewSession, Which};

#[derive(Serialize)]
struct Token<'a> {
    access_token: &'a str,
    token_type: &'static str,
}

/// Logs in and answers with the token (RFC 6749 section 5.1).
///
/// # Errors
/// [`Failure`]
pub async fn bearer(
    identity: Identity,
    request: HttpRequest,
    payload: Payload,
) -> Result<HttpResponse, Failure> {
    let session = log_in(&identity, &request, payload).await?;
    let token = Token { access_token: session.access_token.expose_secret(), token_type: "bearer" };
    Ok(private(HttpResponse::Ok(), &token))
}

/// Logs in and sets the cookie; the session of a cookie that came along ends, whoever's it is. So no session that
/// somebody planted in the browser, or that a user leaves behind, outlives the login (session fixation).
///
/// Only for our pages: a foreign one could otherwise log a user in as somebody else.
///
/// # Errors
/// [`Failure`]
pub async fn cookie(
    _: FromOurPages,
    identity: Identity,
    request: HttpRequest,
    payload: Payload,
) -> Result<HttpResponse, Failure> {
    let session = log_in(&identity, &request, payload).await?;
    end_replaced(&identity, &request).await;
    let cookie = jar::set(&session.access_token, session.expires_in);
    Ok(no_content().insert_header((SET_COOKIE, cookie)).finish())
}

async fn log_in(identity: &Identity, request: &HttpRequest, payload: Payload) -> Result<NewSession, Failure> {
    let body = Body::read(request, payload).await?;
    let credentials = form::credentials(&body).await?;
    identity.create_session(credentials.username, &credentials.password, Client::of(request)?).await
}

/// Ends the session whose cookie the new one replaces. That the cookie names nobody, or names nobody any more, is no
/// failure; and a failure does not undo the login, which has happened: the old session then goes on until it expires.
async fn end_replaced(identity: &Identity, request: &HttpRequest) {
    let ended = async {
        let replaced = Credentials::of_cookie(request)?;
        replaced.call(async |token| identity.end_session(token, Which::Current).await).await
    };
    match ended.await {
        Err(failure) if !failure.is_unauthenticated() => {
            tracing::warn!(?failure, "the session that a cookie login replaces was not ended");
        }
        Ok(()) | Err(_) => {}
    }
}
