//! `GET /.well-known/jwks.json`: the public keys, for whoever wants to verify access tokens himself (RFC 7517).

use actix_web::{HttpResponse, web};
use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use serde::Serialize;

use super::published;
use crate::auth::verifier::Verifier;
use crate::failure::Failure;

#[derive(Serialize)]
struct KeySet {
    keys: Vec<Key>,
}

/// An Ed25519 public key (RFC 8037 section 2).
#[derive(Serialize)]
struct Key {
    kty: &'static str,
    crv: &'static str,
    x: String,
    kid: String,
    #[serde(rename = "use")]
    usage: &'static str,
    alg: &'static str,
}

/// Shows the keys.
///
/// # Errors
/// If none are known yet.
pub async fn read(verifier: web::Data<Verifier>) -> Result<HttpResponse, Failure> {
    let is_fresh = verifier.is_fresh();
    let known = verifier.keys().ok_or(Failure::Unreachable)?;
    let keys = known.keys.into_iter().map(|(kid, x)| Key {
        kty: "OKP",
        crv: "Ed25519",
        x: URL_SAFE_NO_PAD.encode(x),
        kid,
        usage: "sig",
        alg: "EdDSA",
    });
    Ok(published(is_fresh, &KeySet { keys: keys.collect() }))
}
