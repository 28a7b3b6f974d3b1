//! Which tokens were checked already: an Ed25519 verification takes longer than all else that a call costs.

use std::sync::Arc;
use std::time::SystemTime;

use aws_lc_rs::digest::{SHA256, digest};
use jsonwebtoken::DecodingKey;
use quick_cache::sync::Cache;

use super::{Claims, MAX_LENGTH, Payload, Refusal, check, read_signed, verify};

/// The tokens of one issuer whose signature was found good. Of each it knows the SHA-256, not the token.
///
/// Only what never changes is remembered: that the issuer signed these claims with this key. Whether the key is still
/// one of the issuer's, and whether the token has expired, is looked at each time.
pub struct Memory {
    issuer: String,
    /// Nothing when none are to be remembered.
    signed: Option<Cache<[u8; 32], Arc<Signed>>>,
}

/// What a token says, and the key that it was signed with.
struct Signed {
    kid: String,
    key: [u8; 32],
    payload: Payload,
}

impl Memory {
    /// Remembers nothing yet, and later at the most so many tokens, at half a kilobyte each; those that are seen most stay.
    #[must_use]
    pub fn of(issuer: &str, capacity: usize) -> Self {
        let signed = (capacity > 0).then(|| Cache::new(capacity));
        Self { issuer: issuer.to_owned(), signed }
    }

    /// Whose tokens these are.
    #[must_use]
    pub fn issuer(&self) -> &str {
        &self.issuer
    }

    /// Checks an access token, as [`verify`](super::verify) does, and remembers a good signature. `key_of` gives the
    /// Ed25519 public key (RFC 8032) with a `kid`.
    ///
    /// # Errors
    /// [`Refusal`] says which check failed first.
    pub fn verify(
        &self,
        now: SystemTime,
        token: &str,
        key_of: impl Fn(&str) -> Option<[u8; 32]>,
    ) -> Result<Claims, Refusal> {
        if token.len() > MAX_LENGTH {
            return Err(Refusal::TooLong);
        }
        let Some(memory) = &self.signed else {
            let decoding_key_of = |kid: &str| key_of(kid).map(|key| DecodingKey::from_ed_der(&key));
            return verify(now, token, &self.issuer, decoding_key_of);
        };
        let digest = digest_of(token);
        if let Some(signed) = memory.get(&digest)
            && key_of(&signed.kid) == Some(signed.key)
        {
            let checked = check(now, &signed.payload);
            if checked == Err(Refusal::Expired) {
                memory.remove(&digest);
            }
            return checked.map(|()| signed.payload.claims.clone());
        }
        let mut key = None;
        let decoding_key_of = |kid: &str| {
            key = key_of(kid);
            key.map(|key| DecodingKey::from_ed_der(&key))
        };
        let (kid, payload) = read_signed(token, &self.issuer, decoding_key_of)?;
        check(now, &payload)?;
        let claims = payload.claims.clone();
        let key = key.expect("it was read with a key");
        memory.insert(digest, Arc::new(Signed { kid, key, payload }));
        Ok(claims)
    }

    /// Makes room: the token has ended, so that nobody need be quick to refuse it.
    pub fn forget(&self, token: &str) {
        if let Some(memory) = &self.signed {
            memory.remove(&digest_of(token));
        }
    }
}

fn digest_of(token: &str) -> [u8; 32] {
    digest(&SHA256, token.as_bytes()).as_ref().try_into().expect("SHA-256 has 32 bytes")
}

#[cfg(test)]
mod tests {
    use super::super::{ALGORITHM, AUDIENCE, LEEWAY, TYPE};
    use super::*;
    use aws_lc_rs::signature::{Ed25519KeyPair, KeyPair as _};
    use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
    use proptest::prelude::*;
    use std::time::{Duration, UNIX_EPOCH};
    use uuid::Uuid;

    const ISSUER: &str = "https://id.example";
    const NOW: u64 = 1_800_000_000;

    /// What may be sent: a token that lasts for so many seconds, signed with the key of this number, and perhaps with one
    /// character in the place of another.
    #[derive(Debug, Clone)]
    struct Sent {
        key: u8,
        lifetime: u64,
        spoilt: Option<usize>,
    }

    fn pair(key: u8) -> Ed25519KeyPair {
        Ed25519KeyPair::from_seed_unchecked(&[key; 32]).unwrap()
    }

    fn public(key: u8) -> [u8; 32] {
        pair(key).public_key().as_ref().try_into().unwrap()
    }

    impl Sent {
        fn claims(lifetime: u64) -> Claims {
            Claims {
                iss: ISSUER.into(),
                aud: vec![AUDIENCE.into()],
                sub: Uuid::nil(),
                sid: Uuid::nil(),
                epoch: 1,
                iat: NOW,
                exp: NOW + lifetime,
                jti: Uuid::nil(),
            }
        }

        fn token(&self) -> String {
            let header = format!(r#"{{"alg":"{ALGORITHM}","typ":"{TYPE}","kid":"{}"}}"#, self.key);
            let claims = serde_json::to_string(&Self::claims(self.lifetime)).unwrap();
            let signed = [header, claims].map(|part| URL_SAFE_NO_PAD.encode(part)).join(".");
            let signature = URL_SAFE_NO_PAD.encode(pair(self.key).sign(signed.as_bytes()));
            let mut token = format!("{signed}.{signature}").into_bytes();
            if let Some(place) = self.spoilt {
                let place = place % token.len();
                token[place] = if token[place] == b'A' { b'B' } else { b'A' };
            }
            String::from_utf8(token).unwrap()
        }
    }

    fn sent() -> impl Strategy<Value = Sent> {
        let spoilt = prop_oneof![2 => Just(None), 1 => (0..500_usize).prop_map(Some)];
        (0..3_u8, 1..4_u64, spoilt).prop_map(|(key, tens, spoilt)| Sent { key, lifetime: 10 * tens, spoilt })
    }

    proptest! {
        #[test]
        fn what_is_remembered_changes_no_decision(
            capacity in prop_oneof![Just(0), Just(3), Just(100)],
            sendings in prop::collection::vec((sent(), 0..60_u64, 0..3_u8), 1..40)
        ) {
            let memory = Memory::of(ISSUER, capacity);
            for (sent, seconds, known_keys) in sendings {
                let key_of = |kid: &str| kid.parse().ok().filter(|key| *key <= known_keys).map(public);
                let decoding_key_of = |kid: &str| key_of(kid).map(|key| DecodingKey::from_ed_der(&key));
                let (now, token) = (UNIX_EPOCH + Duration::from_secs(NOW + seconds), sent.token());
                let decided = verify(now, &token, ISSUER, decoding_key_of);
                prop_assert_eq!(memory.verify(now, &token, key_of), decided);
            }
        }
    }

    #[test]
    fn a_token_that_is_remembered_expires_and_falls_with_its_key() {
        let memory = Memory::of(ISSUER, 10);
        let token = Sent { key: 1, lifetime: 60, spoilt: None }.token();
        let at = |seconds| UNIX_EPOCH + Duration::from_secs(NOW + seconds);
        let key = |_: &str| Some(public(1));
        assert!(memory.verify(at(0), &token, key).is_ok());
        let count = || memory.signed.as_ref().unwrap().len();
        assert_eq!(count(), 1);
        let other = memory.verify(at(1), &token, |_| Some(public(2)));
        assert_eq!(other, Err(Refusal::Signature));
        assert_eq!(memory.verify(at(1), &token, |_| None), Err(Refusal::UnknownKey));
        assert!(memory.verify(at(1), &token, key).is_ok());
        memory.forget(&token);
        assert_eq!(count(), 0);
        assert!(memory.verify(at(1), &token, key).is_ok());
        assert_eq!(memory.verify(at(60 + LEEWAY.as_secs()), &token, key), Err(Refusal::Expired));
        assert_eq!(count(), 0);
    }

    #[test]
    fn no_more_tokens_are_remembered_than_there_is_room_for() {
        const CAPACITY: usize = 1_000;
        let memory = Memory::of(ISSUER, CAPACITY);
        let signed = memory.signed.as_ref().unwrap();
        for number in 0..2 * CAPACITY as u128 {
            let claims = Claims { jti: Uuid::from_u128(number), ..Sent::claims(60) };
            let payload = Payload { claims, nbf: None, _others: () };
            let token = Arc::new(Signed { kid: String::new(), key: [0; 32], payload });
            signed.insert(digest_of(&number.to_string()), token);
        }
        assert!(signed.len() <= CAPACITY, "{}", signed.len());
    }
}
