//! `GET /.well-known/openid-configuration`: where the issuer's keys are, so that a verifier need know nothing but the
//! issuer (RFC 8414, OpenID Connect Discovery 1.0 section 4).

use actix_web::{HttpResponse, web};
use serde::Serialize;

use super::published;
use crate::auth::verifier::Verifier;
use crate::failure::Failure;

/// What is true of us of the members that RFC 8414 section 2 has. Those of a provider of OpenID Connect are missing, for
/// there are no ID tokens. All is made of the issuer that identity-service has, and nothing of what a request says: else
/// its sender could have others look for the keys at a place of his (H13).
#[derive(Serialize)]
struct Metadata {
    /// Exactly the claim `iss`, which a verifier compares with it (RFC 8414 section 3.3).
    issuer: String,
    jwks_uri: String,
    token_endpoint: String,
    /// Passwords (RFC 6749 section 4.3). Refresh tokens have a place of their own, which these metadata have no name for.
    grant_types_supported: [&'static str; 1],
    /// The scope that asks for a refresh token (OpenID Connect Core 1.0 section 11).
    scopes_supported: [&'static str; 1],
    /// There is no authorization endpoint; the member must be there all the same.
    response_types_supported: [&'static str; 0],
    /// Clients are not authenticated (RFC 7591 section 2).
    token_endpoint_auth_methods_supported: [&'static str; 1],
}

/// Shows the metadata.
///
/// # Errors
/// If the issuer is not known yet.
pub async fn read(verifier: web::Data<Verifier>) -> Result<HttpResponse, Failure> {
    let is_fresh = verifier.is_fresh();
    let known = verifier.keys().ok_or(Failure::Unreachable)?;
    Ok(published(is_fresh, &metadata(known.issuer)))
}

fn metadata(issuer: String) -> Metadata {
    // A path is appended to an issuer without the slash that it may end with (OpenID Connect Discovery 1.0 section 4.1).
    let base = issuer.strip_suffix('/').unwrap_or(&issuer);
    Metadata {
        jwks_uri: format!("{base}/.well-known/jwks.json"),
        token_endpoint: format!("{base}/auth/jwt/login"),
        grant_types_supported: ["password"],
        scopes_supported: ["offline_access"],
        response_types_supported: [],
        token_endpoint_auth_methods_supported: ["none"],
        issuer,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_issuer_is_repeated_exactly_and_places_have_one_slash_before_their_path() {
        for issuer in ["https://id.example", "https://id.example/"] {
            let Metadata { issuer: said, jwks_uri, token_endpoint, .. } = metadata(issuer.to_owned());
            assert_eq!(said, issuer);
            assert_eq!(jwks_uri, "https://id.example/.well-known/jwks.json");
            assert_eq!(token_endpoint, "https://id.example/auth/jwt/login");
        }
        let below = metadata("https://example.com/id/".to_owned());
        assert_eq!(below.jwks_uri, "https://example.com/id/.well-known/jwks.json");
    }
}
