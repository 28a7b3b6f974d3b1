//! `POST /auth/register`

use std::time::SystemTime;

use actix_web::http::header::{HeaderMap, HeaderName, HeaderValue};
use actix_web::web::{self, Payload};
use actix_web::{HttpRequest, HttpResponse};
use portcullis_proto::new_user_id;
use uuid::Uuid;

use super::private;
use crate::auth::verifier::Verifier;
use crate::body::invalid::{self, Item};
use crate::body::{Body, fields, json, unquote};
use crate::failure::Failure;
use crate::identity::Identity;

/// The header by which a client says which of his registrations are the same.
pub const IDEMPOTENCY_KEY: HeaderName = HeaderName::from_static("idempotency-key");

/// Registers a user. The id is chosen here, and not by identity-service, so that a call whose answer was lost can be
/// made again for the same user; or by the client, who can then do the same.
///
/// # Errors
/// [`Failure`]
pub async fn register(
    identity: Identity,
    verifier: web::Data<Verifier>,
    request: HttpRequest,
    payload: Payload,
) -> Result<HttpResponse, Failure> {
    let now = verifier.time();
    let body = Body::read(&request, payload).await?;
    let registration = json::object(&body).and_then(fields::registration);
    let (id, registration) = match (idempotency_key(now, request.headers()), registration) {
        (Ok(id), Ok(registration)) => (id.unwrap_or_else(|| new_user_id::at(now)), registration),
        (Err(item), Ok(_)) => return Err(Failure::Invalid(vec![item])),
        (Err(item), Err(Failure::Invalid(others))) => {
            return Err(Failure::Invalid([vec![item], others].concat()));
        }
        (Ok(_) | Err(_), Err(failure)) => return Err(failure),
    };
    let user = identity.create_user(id, &registration).await?;
    Ok(private(HttpResponse::Created(), &user))
}

/// The id that the client has chosen for the new user, if he has: a registration that he sends again with the same one
/// is the same. A UUIDv7, with or without quotes (draft-ietf-httpapi-idempotency-key-header-07, section 2.1).
fn idempotency_key(now: SystemTime, headers: &HeaderMap) -> Result<Option<Uuid>, Item> {
    let mut values = headers.get_all(IDEMPOTENCY_KEY).map(HeaderValue::as_bytes);
    let (Some(value), None) = (values.next(), values.next()) else {
        return if headers.contains_key(IDEMPOTENCY_KEY) {
            Err(refused("It is given twice"))
        } else {
            Ok(None)
        };
    };
    let text = std::str::from_utf8(unquote(value)).unwrap_or_default();
    new_user_id::parse(now, text).map(Some).map_err(|error| refused(&error.to_string()))
}

fn refused(reason: &str) -> Item {
    invalid::header_error("Idempotency-Key", reason)
}
