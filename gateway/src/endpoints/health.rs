//! `GET /health/live` and `GET /health/ready`: the first is shallow, so that a fault behind the gateway does not
//! restart it; the second says whether a request could be carried out now.

use actix_web::http::header::{CONTENT_TYPE, HeaderValue};
use actix_web::{HttpResponse, web};

use crate::auth::verifier::Verifier;
use crate::drain::Drain;
use crate::failure::Failure;
use crate::identity::Identity;

/// The process serves.
pub async fn live() -> HttpResponse {
    ok()
}

/// The first snapshot of the trust feed is there, identity-service serves, and the process is to go on.
///
/// # Errors
/// If not.
pub async fn ready(
    verifier: web::Data<Verifier>,
    identity: Identity,
    drain: web::Data<Drain>,
) -> Result<HttpResponse, Failure> {
    let knows = verifier.trust.position().is_some();
    let is_ready = knows && identity.is_serving() && !drain.has_begun();
    if is_ready { Ok(ok()) } else { Err(Failure::Unreachable) }
}

fn ok() -> HttpResponse {
    let json = HeaderValue::from_static("application/json");
    HttpResponse::Ok().insert_header((CONTENT_TYPE, json)).body(r#"{"status":"ok"}"#)
}
