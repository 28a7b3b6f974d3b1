//! `GET` and `DELETE /users/me/sessions`, `DELETE /users/me/sessions/{id}`, and for superusers `GET` and
//! `DELETE /users/{id}/sessions`. Which session is whose, and who may end it, identity-service decides.

use actix_web::{HttpRequest, HttpResponse};

use super::{no_content, path_id, private};
use crate::auth::caller::Caller;
use crate::failure::Failure;
use crate::identity::{Identity, Which, Who};

/// Lists the caller's sessions, newest first.
///
/// # Errors
/// [`Failure`]
pub async fn list_own(identity: Identity, caller: Caller) -> Result<HttpResponse, Failure> {
    list(&identity, &caller, Who::Caller).await
}

/// Ends all sessions of the caller but the one that he calls in.
///
/// # Errors
/// [`Failure`]
pub async fn end_others(identity: Identity, caller: Caller) -> Result<HttpResponse, Failure> {
    end_all(&identity, &caller, Who::Caller).await
}

/// Ends one session of the caller, which may be the one that he calls in.
///
/// # Errors
/// [`Failure`]
pub async fn end_own(
    identity: Identity,
    caller: Caller,
    request: HttpRequest,
) -> Result<HttpResponse, Failure> {
    let which = Which::Id(path_id(&request));
    caller.call(async |token| identity.end_session(token, which).await).await?;
    Ok(no_content().finish())
}

/// Lists the sessions of a user, newest first.
///
/// # Errors
/// [`Failure`]
pub async fn list_of_user(
    identity: Identity,
    caller: Caller,
    request: HttpRequest,
) -> Result<HttpResponse, Failure> {
    list(&identity, &caller, Who::Id(path_id(&request))).await
}

/// Ends all sessions of a user, and every token ever issued to him.
///
/// # Errors
/// [`Failure`]
pub async fn end_of_user(
    identity: Identity,
    caller: Caller,
    request: HttpRequest,
) -> Result<HttpResponse, Failure> {
    end_all(&identity, &caller, Who::Id(path_id(&request))).await
}

async fn list(identity: &Identity, caller: &Caller, who: Who<'_>) -> Result<HttpResponse, Failure> {
    let sessions = caller.call(async |token| identity.list_sessions(token, who).await).await?;
    Ok(private(HttpResponse::Ok(), &sessions))
}

async fn end_all(identity: &Identity, caller: &Caller, who: Who<'_>) -> Result<HttpResponse, Failure> {
    caller.call(async |token| identity.end_sessions(token, who).await).await?;
    Ok(no_content().finish())
}
