//! `POST /auth/jwt/login` and `POST /auth/cookie/login`: the same login, the token delivered in two ways.

use actix_web::http::header::SET_COOKIE;
use actix_web::{HttpRequest, HttpResponse, web::Payload};
use secrecy::ExposeSecret as _;
use serde::Serialize;

use super::{no_content, private};
use crate::auth::caller::Credentials;
use crate::auth::cookie as jar;
use crate::auth::mark::Mark;
use crate::auth::origin::FromOurPages;
use crate::body::{Body, form};
use crate::client::Client;
use crate::failure::Failure;
use crate::identity::{Identity, RefreshToken, Tokens, Which};

/// The answer of RFC 6749 section 5.1; what was not asked for is left out, as in FastAPI Users.
#[derive(Serialize)]
struct Answer<'a> {
    access_token: &'a str,
    token_type: &'static str,
    #[serde(flatten)]
    offline: Option<Offline<'a>>,
}

/// What is added for who asked for a refresh token.
#[derive(Serialize)]
struct Offline<'a> {
    expires_in: i64,
    refresh_token: &'a str,
    scope: &'static str,
}

/// Logs in and answers with the token.
///
/// # Errors
/// [`Failure`]
pub async fn bearer(
    identity: Identity,
    request: HttpRequest,
    payload: Payload,
) -> Result<HttpResponse, Failure> {
    Ok(give_tokens(&log_in(&identity, &request, payload).await?))
}

/// Logs in and sets the cookie; the sessions of the cookies that came along end, whoever's they are. So no session that
/// somebody planted in the browser, or that a user leaves behind, outlives the login (session fixation); nor does the
/// refresh token of another login stay in the browser.
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
    let tokens = log_in(&identity, &request, payload).await?;
    end_replaced(&identity, &request).await;
    let mut answer = give_cookies(&tokens);
    if tokens.refresh.is_none() {
        forget_offline(&request, &mut answer);
    }
    Ok(answer)
}

/// The answer that gives tokens in its body.
pub(super) fn give_tokens(tokens: &Tokens) -> HttpResponse {
    let offline = tokens.refresh.as_ref().map(|refresh| Offline {
        expires_in: tokens.expires_in,
        refresh_token: refresh.token.expose_secret(),
        scope: "offline_access",
    });
    let access_token = tokens.access_token.expose_secret();
    private(HttpResponse::Ok(), &Answer { access_token, token_type: "bearer", offline })
}

/// The answer that gives tokens as cookies. With a refresh token goes the mark that there is one, which can end the
/// session: the browser shows the token to nobody but the refresh.
pub(super) fn give_cookies(tokens: &Tokens) -> HttpResponse {
    let mut answer = no_content();
    answer.append_header((SET_COOKIE, jar::ACCESS.set(&tokens.access_token, tokens.expires_in)));
    if let Some(RefreshToken { token, end_token, expires_in }) = &tokens.refresh {
        answer.append_header((SET_COOKIE, jar::REFRESH.set(token, *expires_in)));
        answer.append_header((SET_COOKIE, jar::OFFLINE.set(end_token, *expires_in)));
    }
    answer.finish()
}

/// Takes the refresh token away from a browser that has one.
pub(super) fn forget_offline(request: &HttpRequest, answer: &mut HttpResponse) {
    if Mark::is_there(request.headers()) {
        for cookie in [jar::REFRESH, jar::OFFLINE] {
            answer.headers_mut().append(SET_COOKIE, cookie.clear());
        }
    }
}

async fn log_in(identity: &Identity, request: &HttpRequest, payload: Payload) -> Result<Tokens, Failure> {
    let body = Body::read(request, payload).await?;
    let form::Credentials { username, password, offline_access } = form::credentials(&body).await?;
    identity.create_session(username, &password, Client::of(request)?, offline_access).await
}

/// Ends the session whose cookie the new one replaces, and that of the mark: it is another one, or the cookie has expired
/// before it. That the cookie names nobody, or names nobody any more, is no failure; and a failure does not undo the login,
/// which has happened: the old session then goes on until it expires.
async fn end_replaced(identity: &Identity, request: &HttpRequest) {
    let ended = async {
        let replaced = Credentials::of_cookie(request)?;
        replaced.call(async |token| identity.end_session(token, Which::Current).await).await
    };
    for ended in [ended.await, end_marked(identity, request).await] {
        match ended {
            Err(failure) if !failure.is_unauthenticated() => {
                tracing::warn!(?failure, "the session that a cookie login replaces was not ended");
            }
            Ok(()) | Err(_) => {}
        }
    }
}

/// Ends the session that the mark names. What is no mark, or cannot be told to be one, ends nothing.
pub(super) async fn end_marked(identity: &Identity, request: &HttpRequest) -> Result<(), Failure> {
    match Mark::read(request.headers()) {
        Ok(Some(mark)) => identity.end_by_token(&mark.end_token).await,
        Ok(None) | Err(_) => Ok(()),
    }
}
