//! `GET`, `PATCH` and `DELETE /users/{id}`, for superusers. Whether the caller is one, and whether the id is that
//! of a user, identity-service decides, in this order.

use actix_web::{HttpRequest, HttpResponse, web::Payload};

use super::{no_content, path_id, private};
use crate::auth::caller::Caller;
use crate::body::{Body, fields, json};
use crate::failure::{Failure, Operation};
use crate::identity::{Identity, Who};

/// Shows a user.
///
/// # Errors
/// [`Failure`]
pub async fn read(identity: Identity, caller: Caller, request: HttpRequest) -> Result<HttpResponse, Failure> {
    let who = Who::Id(path_id(&request));
    let user = caller.call(async |token| identity.get_user(token, who, Operation::Read).await).await?;
    Ok(private(HttpResponse::Ok(), &user))
}

/// Changes a user.
///
/// # Errors
/// [`Failure`]
pub async fn update(
    identity: Identity,
    caller: Caller,
    request: HttpRequest,
    payload: Payload,
) -> Result<HttpResponse, Failure> {
    change(&identity, &caller, Who::Id(path_id(&request)), &request, payload).await
}

/// Deletes a user.
///
/// # Errors
/// [`Failure`]
pub async fn delete(
    identity: Identity,
    caller: Caller,
    request: HttpRequest,
) -> Result<HttpResponse, Failure> {
    let id = path_id(&request);
    caller.call(async |token| identity.delete_user(token, id).await).await?;
    Ok(no_content().finish())
}

/// Changes a user as the body says. A bad body is refused only after the credential, the right and the existence
/// of the user: who may not know whether there is such a user does not learn it from a 422 either.
pub(super) async fn change(
    identity: &Identity,
    caller: &Caller,
    who: Who<'_>,
    request: &HttpRequest,
    payload: Payload,
) -> Result<HttpResponse, Failure> {
    let body = Body::read(request, payload).await?;
    let user = match json::object(&body).and_then(fields::changes) {
        Ok(changes) => caller.call(async |token| identity.update_user(token, who, &changes).await).await?,
        Err(bad_body) => {
            caller.call(async |token| identity.get_user(token, who, Operation::Update).await).await?;
            return Err(bad_body);
        }
    };
    Ok(private(HttpResponse::Ok(), &user))
}
