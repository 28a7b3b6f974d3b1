//! `POST /auth/jwt/login` and `POST /auth/cookie/login`: the same login, the token delivered in two ways.

use actix_web::http::header::SET_COOKIE;
use actix_web::{HttpRequest, HttpResponse, web::Payload};
use secrecy::ExposeSecret as _;
use serde::Serialize;

use super::{no_content, private};
use crate::auth::cookie as jar;
use crate::auth::origin::FromOurPages;
use crate::body::{Body, form};
use crate::failure::Failure;
use crate::identity::{Identity, Session};

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

/// Logs in and sets the cookie. A foreign page could otherwise log a user in as somebody else.
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
    let cookie = jar::set(&session.access_token, session.expires_in);
    Ok(no_content().insert_header((SET_COOKIE, cookie)).finish())
}

async fn log_in(identity: &Identity, request: &HttpRequest, payload: Payload) -> Result<Session, Failure> {
    let body = Body::read(request, payload).await?;
    let credentials = form::credentials(&body).await?;
    identity.create_session(credentials.username, &credentials.password).await
}
