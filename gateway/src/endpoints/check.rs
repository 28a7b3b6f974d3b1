//! `GET /auth/check`: whether a request may pass, for the proxy in front of another service.

use actix_web::HttpResponse;
use actix_web::http::header::{HeaderName, HeaderValue};
use uuid::Uuid;

use super::no_content;
use crate::auth::caller::Credentials;
use crate::failure::Failure;
use crate::identity::Identity;

const USER_ID: HeaderName = HeaderName::from_static("x-user-id");
const SESSION_ID: HeaderName = HeaderName::from_static("x-session-id");

/// Says whose request it is, from the keys and the trust feed alone. Only a token about which they say nothing certain is
/// shown to identity-service.
///
/// # Errors
/// If no token names a user, or nobody can say whether one does.
pub async fn read(identity: Identity, credentials: Credentials) -> Result<HttpResponse, Failure> {
    for token in credentials.tokens() {
        let (user, session) = match &token.claims {
            Some(claims) => (claims.sub, claims.sid),
            None => match identity.get_session(&token.text).await {
                Ok(session) => session,
                Err(failure) if failure.is_unauthenticated() => continue,
                Err(_) => return Err(Failure::Unreachable),
            },
        };
        return Ok(no_content()
            .insert_header(id(USER_ID, user))
            .insert_header(id(SESSION_ID, session))
            .finish());
    }
    Err(Failure::Unauthenticated)
}

fn id(name: HeaderName, id: Uuid) -> (HeaderName, HeaderValue) {
    let text = id.to_string();
    (name, HeaderValue::from_str(&text).expect("a UUID is ASCII"))
}
