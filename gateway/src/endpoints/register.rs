//! `POST /auth/register`

use actix_web::{HttpRequest, HttpResponse, web::Payload};
use uuid::Uuid;

use super::private;
use crate::body::{Body, fields, json};
use crate::failure::Failure;
use crate::identity::Identity;

/// Registers a user. The id is chosen here, and not by identity-service, so that a repeated
/// call would ask for the same user; nothing is repeated so far.
///
/// # Errors
/// [`Failure`]
pub async fn register(
    identity: Identity,
    request: HttpRequest,
    payload: Payload,
) -> Result<HttpResponse, Failure> {
    let body = Body::read(&request, payload).await?;
    let registration = fields::registration(json::object(&body)?)?;
    let user = identity.create_user(Uuid::now_v7(), &registration).await?;
    Ok(private(HttpResponse::Created(), &user))
}
