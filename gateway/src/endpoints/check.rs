//! `GET /auth/check`: whether a request may pass, for the proxy in front of another service.

use std::time::Instant;

use actix_web::http::header::{HeaderName, HeaderValue};
use actix_web::{HttpRequest, HttpResponse, web};
use secrecy::ExposeSecret as _;
use uuid::Uuid;

use super::no_content;
use crate::auth::caller::{note_refusal, sent};
use crate::auth::last_seen::LastSeen;
use crate::auth::verifier::{Judgement, Verifier};
use crate::failure::Failure;
use crate::identity::Identity;

const USER_ID: HeaderName = HeaderName::from_static("x-user-id");
const SESSION_ID: HeaderName = HeaderName::from_static("x-session-id");

/// Says whose request it is, from the keys and the trust feed alone. Only a token about which they say nothing certain is
/// shown to identity-service. Each is judged when its turn comes: that of the next may last.
///
/// # Errors
/// If no token names a user, or nobody can say whether one does.
pub async fn read(
    request: HttpRequest,
    identity: Identity,
    verifier: web::Data<Verifier>,
    last_seen: web::Data<LastSeen>,
) -> Result<HttpResponse, Failure> {
    for token in sent(&request)? {
        let (user, session) = match verifier.judge(token.expose_secret()) {
            Judgement::Good(claims) => {
                last_seen.show(Instant::now(), claims.sid, &identity, &token);
                (claims.sub, claims.sid)
            }
            Judgement::Unknown => match identity.get_session(&token).await {
                Ok(session) => session,
                Err(failure) if failure.is_unauthenticated() => continue,
                Err(_) => return Err(Failure::Unreachable),
            },
            Judgement::Refused(refusal) => {
                note_refusal(&request, refusal);
                continue;
            }
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
