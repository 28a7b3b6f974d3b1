//! One file an endpoint or resource: request, handler, response.

pub mod check;
pub mod discovery;
pub mod fallback;
pub mod health;
pub mod jwks;
pub mod login;
pub mod logout;
pub mod me;
pub mod recovery;
pub mod refresh;
pub mod register;
pub mod sessions;
pub mod user;

use actix_web::http::header::{CACHE_CONTROL, HeaderValue};
use actix_web::{HttpRequest, HttpResponse, HttpResponseBuilder};
use portcullis_proto::access_token::KEYS_MAX_AGE;
use serde::Serialize;

/// Forbids to keep an answer with a token or personal data (RFC 6749 section 5.1).
const NO_STORE: HeaderValue = HeaderValue::from_static("no-store");

/// An answer with a token or personal data.
fn private(mut answer: HttpResponseBuilder, body: &impl Serialize) -> HttpResponse {
    answer.insert_header((CACHE_CONTROL, NO_STORE)).json(body)
}

/// An answer with what everybody may know of the issuer, and keep for a while, if it was fresh before it was looked at. Who meets a token
/// with a key that he does not know reads it again.
fn published(is_fresh: bool, body: &impl Serialize) -> HttpResponse {
    let for_a_while = format!("public, max-age={}", KEYS_MAX_AGE.as_secs());
    let kept = if is_fresh { for_a_while } else { "no-store".to_owned() };
    HttpResponse::Ok().insert_header((CACHE_CONTROL, kept)).json(body)
}

/// An answer without a body, to what concerns one user.
fn no_content() -> HttpResponseBuilder {
    let mut builder = HttpResponse::NoContent();
    builder.insert_header((CACHE_CONTROL, NO_STORE));
    builder
}

/// The id as it stands in the path, decoded once by the router.
fn path_id(request: &HttpRequest) -> &str {
    request.match_info().get("id").unwrap_or_default()
}
