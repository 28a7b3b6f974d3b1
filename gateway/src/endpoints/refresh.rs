//! `POST /auth/jwt/refresh` and `POST /auth/cookie/refresh`: a session goes on, the tokens delivered as by the login.

use actix_web::{HttpRequest, HttpResponse, web::Payload};
use secrecy::SecretString;

use super::login::{give_cookies, give_tokens};
use crate::auth::caller::{note_refusal, session_of_cookie};
use crate::auth::cookie;
use crate::auth::mark::{Mark, session_of_refresh_token};
use crate::auth::origin::FromOurPages;
use crate::body::{Body, form};
use crate::failure::Failure;
use crate::identity::{Identity, Tokens};

/// Answers with new tokens for the refresh token in the form (RFC 6749 section 6).
///
/// # Errors
/// [`Failure`]
pub async fn bearer(
    identity: Identity,
    request: HttpRequest,
    payload: Payload,
) -> Result<HttpResponse, Failure> {
    let body = Body::read(&request, payload).await?;
    let token = form::refresh_token(&body).await.inspect_err(|_| note(&request))?;
    Ok(give_tokens(&refresh(&identity, &request, &token).await?))
}

/// Sets new cookies for the refresh token in the cookie. A refusal takes no cookie away: it may come late, and the browser
/// has that of another login by then. A sibling domain can plant the cookie: what is of another session than the cookies
/// beside it is refused, so that nobody finds himself to be another user all at once.
///
/// Only for our pages: it changes what the browser keeps.
///
/// # Errors
/// [`Failure`]
pub async fn cookie(
    _: FromOurPages,
    identity: Identity,
    request: HttpRequest,
) -> Result<HttpResponse, Failure> {
    let token = cookie::REFRESH.read(request.headers())?;
    let token = token.ok_or(Failure::BadRefreshToken).inspect_err(|_| note(&request))?;
    let others = [session_of_cookie(&request)?, Mark::read(request.headers())?.map(|mark| mark.session)];
    let is_planted = |session| others.into_iter().flatten().any(|other| Some(other) != session);
    // Before it is used: perhaps it is one of the others that is planted, and this one is still to be good.
    if is_planted(session_of_refresh_token(&token)) {
        note_refusal(&request, "the refresh token is of another session than the cookies beside it");
        return Err(Failure::BadRefreshToken);
    }
    let tokens = refresh(&identity, &request, &token).await?;
    Ok(give_cookies(&tokens))
}

async fn refresh(
    identity: &Identity,
    request: &HttpRequest,
    token: &SecretString,
) -> Result<Tokens, Failure> {
    identity.refresh_session(token).await.inspect_err(|_| note(request))
}

/// identity-service knows more of it, and its log has it under the same id of the request.
fn note(request: &HttpRequest) {
    note_refusal(request, "there is no good refresh token");
}
