//! What an access token says, and when it is to be believed.
//!
//! An access token is a JWS (RFC 7515) of the type `at+jwt` (RFC 9068), signed with Ed25519 (RFC 8037). The
//! gateway and identity-service check it by the same function, [`Memory::verify`]. Checking proves what the token
//! says; whether its session has ended meanwhile, and which rights its user has, only the database knows.

mod memory;

use std::collections::BTreeSet;
use std::fmt;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use jsonwebtoken::errors::ErrorKind;
use jsonwebtoken::{Algorithm, DecodingKey, Validation};
use serde::de::{Error as _, IgnoredAny, MapAccess, Visitor};
use serde::{Deserialize, Deserializer, Serialize};
use uuid::Uuid;

pub use memory::Memory;

/// The only audience, exactly as FastAPI Users writes it: a list of one.
pub const AUDIENCE: &str = "fastapi-users:auth";
/// The `typ` of the header (RFC 9068 section 2.1).
pub const TYPE: &str = "at+jwt";
/// The name of the signature algorithm in the header and in a JWK (RFC 8037 section 3.1).
pub const ALGORITHM: &str = "EdDSA";
/// How far the clocks of issuer and verifier may be apart.
pub const LEEWAY: Duration = Duration::from_secs(5);
/// No token is good for longer than this, whatever it says; it bounds what a stolen signing key can mint.
pub const MAX_LIFETIME: Duration = Duration::from_secs(24 * 60 * 60);
/// For how long verifiers may keep the public keys without asking again. identity-service publishes a new key for longer
/// than that before it signs with it.
pub const KEYS_MAX_AGE: Duration = Duration::from_secs(300);
/// A longer token, in bytes, is refused before it is parsed.
pub const MAX_LENGTH: usize = 4096;

/// The header, and nothing else: another name in it (`crit`, `jku`, `jwk`, `x5u`, `x5c`, `b64` …) is refused,
/// since it would say how to treat the token and we would not obey (RFC 7515 section 4.1.11, RFC 8725).
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Header {
    alg: String,
    typ: String,
    kid: String,
}

/// What an access token says (RFC 9068 section 2.2). It holds no e-mail address and no right.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Claims {
    /// Who issued the token.
    pub iss: String,
    /// For whom it was issued: `[AUDIENCE]`.
    pub aud: Vec<String>,
    /// The id of the user.
    pub sub: Uuid,
    /// The id of the session that the token belongs to and ends with.
    pub sid: Uuid,
    /// The user's revocation counter when the token was issued; a token with a lower one than the user's has ended.
    pub epoch: i64,
    /// When it was issued, in seconds since 1970.
    pub iat: u64,
    /// When it expires, in seconds since 1970.
    pub exp: u64,
    /// The token's own id.
    pub jti: Uuid,
}

/// The claims as they are read. A claim that is not ours is ignored (RFC 7519 section 4), but for `nbf`, and none may
/// stand there twice: of two, another reader could take the other.
#[derive(Deserialize)]
struct Payload {
    #[serde(flatten)]
    claims: Claims,
    /// From when the token is good. Ours have none; `null` is refused.
    #[serde(default, deserialize_with = "deserialize_present")]
    nbf: Option<u64>,
    #[serde(flatten, deserialize_with = "deserialize_each_once")]
    _others: (),
}

/// Why a token is not believed. For the log; a caller is only told that he is not authenticated.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// It is longer than [`MAX_LENGTH`].
    #[error("the token is longer than {MAX_LENGTH} bytes")]
    TooLong,
    /// It is not a JWS with a header as we write it.
    #[error("the header is not that of an access token")]
    Header,
    /// No key of the issuer has this `kid`.
    #[error("the key is not known")]
    UnknownKey,
    /// It is not three parts in base64url, or its signature is not that of the key.
    #[error("the signature is wrong")]
    Signature,
    /// It was issued by somebody else.
    #[error("the issuer is not the one expected")]
    Issuer,
    /// A claim is missing, malformed or there twice. The value may be anything, so it is not repeated.
    #[error("a claim is missing or malformed")]
    Claims,
    /// It has expired.
    #[error("the token has expired")]
    Expired,
    /// The audience is not exactly `[AUDIENCE]`.
    #[error("the audience is not exactly the one expected")]
    Audience,
    /// It was issued in the future.
    #[error("the token was issued in the future")]
    IssuedInFuture,
    /// It is not good yet.
    #[error("the token is not good yet")]
    NotYet,
    /// It lives longer than [`MAX_LIFETIME`].
    #[error("the token's lifetime is longer than any that is issued")]
    Lifetime,
    /// It is genuine and in time, and its session has ended.
    #[error("the session has ended")]
    SessionEnded,
    /// It is genuine and in time, and its epoch is below that of its user.
    #[error("all tokens that the user had were revoked")]
    Revoked,
    /// It is genuine and in time, and its user may not log in.
    #[error("the user is inactive")]
    UserInactive,
    /// It is genuine and in time, and its user was deleted.
    #[error("the user is gone")]
    UserGone,
}

/// Checks an access token.
///
/// `key_of` gives the public key with a `kid`; `now` is the wall clock.
///
/// # Errors
/// [`Refusal`] says which check failed first.
pub fn verify(
    now: SystemTime,
    token: &str,
    issuer: &str,
    key_of: impl FnOnce(&str) -> Option<DecodingKey>,
) -> Result<Claims, Refusal> {
    let (_, payload) = read_signed(token, issuer, key_of)?;
    check(now, &payload)?;
    Ok(payload.claims)
}

/// What a token says that the issuer signed. Whether it is in time is not checked: for whoever wants to know why it is
/// refused.
///
/// # Errors
/// [`Refusal`] says which check failed first.
pub fn read(
    token: &str,
    issuer: &str,
    key_of: impl FnOnce(&str) -> Option<DecodingKey>,
) -> Result<Claims, Refusal> {
    read_signed(token, issuer, key_of).map(|(_, payload)| payload.claims)
}

/// What a token says that was signed by the issuer, and the `kid` of the key. What depends on the time is not checked.
fn read_signed(
    token: &str,
    issuer: &str,
    key_of: impl FnOnce(&str) -> Option<DecodingKey>,
) -> Result<(String, Payload), Refusal> {
    if token.len() > MAX_LENGTH {
        return Err(Refusal::TooLong);
    }
    let Header { kid, .. } = read_header(token).ok_or(Refusal::Header)?;
    let key = key_of(&kid).ok_or(Refusal::UnknownKey)?;
    let token = jsonwebtoken::decode::<Payload>(token, &key, &validation(issuer))
        .map_err(|error| to_refusal(error.kind()))?;
    Ok((kid, token.claims))
}

/// What the library says, in words of ours: its own may quote the token.
fn to_refusal(kind: &ErrorKind) -> Refusal {
    match kind {
        ErrorKind::InvalidIssuer => Refusal::Issuer,
        ErrorKind::InvalidAudience => Refusal::Audience,
        ErrorKind::Json(_)
        | ErrorKind::Utf8(_)
        | ErrorKind::MissingRequiredClaim(_)
        | ErrorKind::InvalidClaimFormat(_)
        | ErrorKind::InvalidSubject => Refusal::Claims,
        _ => Refusal::Signature,
    }
}

/// The header, if the token has one that is exactly as we write it.
fn read_header(token: &str) -> Option<Header> {
    let (encoded, _) = token.split_once('.')?;
    let json = URL_SAFE_NO_PAD.decode(encoded).ok()?;
    let header: Header = serde_json::from_slice(&json).ok()?;
    (header.alg == ALGORITHM && header.typ == TYPE).then_some(header)
}

fn deserialize_present<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<u64>, D::Error> {
    u64::deserialize(deserializer).map(Some)
}

fn deserialize_each_once<'de, D: Deserializer<'de>>(deserializer: D) -> Result<(), D::Error> {
    deserializer.deserialize_map(EachOnce)
}

/// Reads names and values, and keeps nothing.
struct EachOnce;

impl<'de> Visitor<'de> for EachOnce {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("names that differ")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut entries: A) -> Result<(), A::Error> {
        let mut names = BTreeSet::new();
        while let Some((name, IgnoredAny)) = entries.next_entry::<String, IgnoredAny>()? {
            if !names.insert(name) {
                return Err(A::Error::custom("duplicate claim"));
            }
        }
        Ok(())
    }
}

/// What the library is asked to check: signature, issuer, audience, and presence.
fn validation(issuer: &str) -> Validation {
    let mut validation = Validation::new(Algorithm::EdDSA);
    validation.set_required_spec_claims(&["exp", "iss", "aud", "sub"]);
    validation.set_issuer(&[issuer]);
    validation.set_audience(&[AUDIENCE]);
    // By `check`, against the caller's clock.
    validation.validate_exp = false;
    validation.validate_nbf = false;
    validation
}

/// What the library does not check: times against the caller's clock, one audience, and a lifetime that we would
/// issue.
fn check(now: SystemTime, Payload { claims, nbf, .. }: &Payload) -> Result<(), Refusal> {
    let now = now.duration_since(UNIX_EPOCH).unwrap_or_default().as_secs();
    if claims.aud != [AUDIENCE] {
        return Err(Refusal::Audience);
    }
    if claims.exp.saturating_add(LEEWAY.as_secs()) <= now {
        return Err(Refusal::Expired);
    }
    if claims.iat > now + LEEWAY.as_secs() {
        return Err(Refusal::IssuedInFuture);
    }
    if nbf.is_some_and(|nbf| nbf > now + LEEWAY.as_secs()) {
        return Err(Refusal::NotYet);
    }
    if claims.exp.saturating_sub(claims.iat) > MAX_LIFETIME.as_secs() {
        return Err(Refusal::Lifetime);
    }
    Ok(())
}

#[cfg(test)]
mod tests;
