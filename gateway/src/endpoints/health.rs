//! `GET /health/live` and `GET /health/ready`: the first is shallow, so that a fault behind the gateway does not
//! restart it; the second says whether a request could be carried out now.

use actix_web::http::header::{CONTENT_TYPE, HeaderValue};
use actix_web::{HttpResponse, web};

use crate::auth::verifier::Verifier;
use crate::failure::Failure;
use crate::identity::Identity;

/// The process serves.
pub async fn live() -> HttpResponse {
    ok()
}

/// There are keys to verify tokens with, and identity-service serves.
///
/// # Errors
/// If not.
pub async fn ready(verifier: web::Data<Verifier>, identity: Identity) -> Result<HttpResponse, Failure> {
    if verifier.keys().is_some() && identity.is_serving() { Ok(ok()) } else { Err(Failure::Unreachable) }
}

fn ok() -> HttpResponse {
    let json = HeaderValue::from_static("application/json");
    HttpResponse::Ok().insert_header((CONTENT_TYPE, json)).body(r#"{"status":"ok"}"#)
}
