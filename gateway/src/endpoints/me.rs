//! `GET` and `PATCH /users/me`

use actix_web::{HttpRequest, HttpResponse, web::Payload};

use super::{private, user};
use crate::auth::caller::Caller;
use crate::failure::{Failure, Operation};
use crate::identity::{Identity, Who};

/// Shows the caller.
///
/// # Errors
/// [`Failure`]
pub async fn read(identity: Identity, caller: Caller) -> Result<HttpResponse, Failure> {
    let user =
        caller.call(async |token| identity.get_user(token, Who::Caller, Operation::Read).await).await?;
    Ok(private(HttpResponse::Ok(), &user))
}

/// Changes the caller: e-mail address, password and own fields. Flags must be flags, and are ignored.
///
/// # Errors
/// [`Failure`]
pub async fn update(
    identity: Identity,
    caller: Caller,
    request: HttpRequest,
    payload: Payload,
) -> Result<HttpResponse, Failure> {
    user::change(&identity, &caller, Who::Caller, &request, payload).await
}
