//! What an access token says, and when it is to be believed.
//!
//! An access token is a JWS (RFC 7515) of the type `at+jwt` (RFC 9068), signed with Ed25519 (RFC 8037). The
//! gateway and identity-service check it in the same way, by a [`Memory`] of [`verify`]. Checking proves what the token says;
//! whether its session has ended meanwhile, and which rights its user has, only the database knows.

mod memory;

use std::collections::BTreeSet;
use std::fmt;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
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
    #[error("the key {kid:?} is not known")]
    UnknownKey {
        /// The `kid` of the header, cut to 64 characters.
        kid: String,
    },
    /// The signature, the issuer or the form of a claim is wrong.
    #[error("the token is invalid: {0}")]
    Invalid(String),
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
    let key = key_of(&kid).ok_or_else(|| Refusal::UnknownKey { kid: kid.chars().take(64).collect() })?;
    let token = jsonwebtoken::decode::<Payload>(token, &key, &validation(issuer))
        .map_err(|error| Refusal::Invalid(error.to_string()))?;
    Ok((kid, token.claims))
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
mod tests {
    use super::*;
    use proptest::prelude::*;

    const NOW: u64 = 1_800_000_000;

    fn claims(iat: u64, exp: u64) -> Claims {
        Claims {
            iss: "https://id.example".into(),
            aud: vec![AUDIENCE.into()],
            sub: Uuid::nil(),
            sid: Uuid::nil(),
            epoch: 1,
            iat,
            exp,
            jti: Uuid::nil(),
        }
    }

    fn check(claims: Claims, nbf: Option<u64>) -> Result<(), Refusal> {
        super::check(UNIX_EPOCH + Duration::from_secs(NOW), &Payload { claims, nbf, _others: () })
    }

    #[test]
    fn j08_a_token_is_good_until_five_seconds_after_its_expiry() {
        assert_eq!(check(claims(NOW - 60, NOW + 1), None), Ok(()));
        assert_eq!(check(claims(NOW - 60, NOW - 4), None), Ok(()));
        assert_eq!(check(claims(NOW - 60, NOW - 5), None), Err(Refusal::Expired));
    }

    #[test]
    fn j09_a_token_from_the_future_is_refused_beyond_the_leeway() {
        assert_eq!(check(claims(NOW + 5, NOW + 60), Some(NOW + 5)), Ok(()));
        assert_eq!(check(claims(NOW + 6, NOW + 60), None), Err(Refusal::IssuedInFuture));
        assert_eq!(check(claims(NOW, NOW + 60), Some(NOW + 6)), Err(Refusal::NotYet));
    }

    #[test]
    fn j09_a_token_that_lives_longer_than_a_day_is_refused() {
        assert_eq!(check(claims(NOW, NOW + 86_400), None), Ok(()));
        assert_eq!(check(claims(NOW, NOW + 86_401), None), Err(Refusal::Lifetime));
    }

    #[test]
    fn j11_the_audience_must_be_exactly_one_and_ours() {
        for audience in [vec![], vec!["other".into()], vec![AUDIENCE.into(), "other".into()]] {
            let token = Claims { aud: audience, ..claims(NOW, NOW + 60) };
            assert_eq!(check(token, None), Err(Refusal::Audience));
        }
    }

    #[test]
    fn j12_claims_are_read_if_none_stands_there_twice_and_foreign_ones_are_ignored() {
        let ours = serde_json::to_string(&claims(NOW, NOW + 60)).unwrap();
        let read =
            |more: &str| serde_json::from_str::<Payload>(&ours.replacen('{', &format!("{{{more},"), 1));
        let foreign = read(r#""a":1,"b":{"a":2}"#).unwrap();
        assert_eq!((foreign.claims, foreign.nbf), (claims(NOW, NOW + 60), None));
        assert_eq!(read(r#""nbf":7"#).unwrap().nbf, Some(7));
        for twice in [r#""exp":1"#, r#""a":1,"a":1"#, r#""nbf":1,"nbf":1"#, r#""nbf":null"#, r#""nbf":"1""#] {
            assert!(read(twice).is_err(), "{twice}");
        }
    }

    fn refusal(token: &str) -> Refusal {
        verify(SystemTime::now(), token, "https://id.example", |_| None).unwrap_err()
    }

    #[test]
    fn j06_a_header_with_any_other_name_in_it_is_refused_before_a_key_is_looked_for() {
        for header in [
            r#"{"alg":"EdDSA","typ":"at+jwt","kid":"k","crit":["exp"]}"#,
            r#"{"alg":"EdDSA","typ":"at+jwt","kid":"k","jku":"https://evil.example"}"#,
            r#"{"alg":"EdDSA","typ":"at+jwt","kid":"k","b64":false}"#,
            r#"{"alg":"EdDSA","typ":"at+jwt","kid":"k","kid":"k"}"#,
            r#"{"alg":"none","typ":"at+jwt","kid":"k"}"#,
            r#"{"alg":"HS256","typ":"at+jwt","kid":"k"}"#,
            r#"{"alg":"EdDSA","typ":"JWT","kid":"k"}"#,
            r#"{"alg":"EdDSA","typ":"at+jwt"}"#,
        ] {
            let token = format!("{}.e30.AAAA", URL_SAFE_NO_PAD.encode(header));
            assert_eq!(refusal(&token), Refusal::Header, "{header}");
        }
        let good = r#"{"alg":"EdDSA","typ":"at+jwt","kid":"k"}"#;
        let token = format!("{}.e30.AAAA", URL_SAFE_NO_PAD.encode(good));
        assert_eq!(refusal(&token), Refusal::UnknownKey { kid: "k".into() });
    }

    proptest! {
        #[test]
        fn no_text_is_a_token_without_a_key(text in "[ -~]{0,200}") {
            let _: Refusal = refusal(&text);
        }
    }
}
