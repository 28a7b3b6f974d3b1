//! What a refresh token is: opaque text, which only the holder of the refresh key can make.
//!
//! It is base64url(session id ‖ secret ‖ tag). The first secret of a session is random, every other is derived from the
//! one before it: so whoever uses a token twice gets the same successor, from whichever replica, and nobody has to keep
//! it. The tag proves that the token was given out by us. A session's id stands in its access tokens: without the tag,
//! whoever knows it could end the session with a secret that he has made up, as if an old token had come again.

use aws_lc_rs::constant_time::verify_slices_are_equal;
use aws_lc_rs::hmac;
use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use uuid::Uuid;
use zeroize::Zeroizing;

use crate::ids::SessionId;
use crate::secret::{LENGTH as SECRET, Secret};

const ID: usize = 16;
/// How many bytes of the HMAC are the tag: half of them (RFC 2104 section 5).
const TAG: usize = 16;
/// The length of a token in characters of base64url.
const LENGTH: usize = (ID + SECRET + TAG) * 4 / 3 + 1;

/// What an HMAC is for, so that none is ever taken for another: followed by as many bytes, they are of two lengths.
const OF_TAG: &[u8] = b"portcullis refresh token: tag";
const OF_SUCCESSOR: &[u8] = b"portcullis refresh token: successor";

/// The key that refresh tokens are made with, the same for all replicas.
pub struct RefreshKey(hmac::Key);

impl RefreshKey {
    /// A key of 32 random bytes.
    #[must_use]
    pub fn new(key: &[u8; 32]) -> Self {
        Self(hmac::Key::new(hmac::HMAC_SHA256, key))
    }

    /// The token of a session with this secret.
    #[must_use]
    pub fn token(&self, session: SessionId, secret: &Secret) -> String {
        let (id, tag) = (session.as_uuid(), self.mac(OF_TAG, session, secret.as_bytes()));
        let bytes = [id.as_bytes().as_slice(), secret.as_bytes(), &tag.as_ref()[..TAG]].concat();
        URL_SAFE_NO_PAD.encode(Zeroizing::new(bytes))
    }

    /// The session and the secret of a token; `None` if it is not of our making.
    #[must_use]
    pub fn read(&self, token: &str) -> Option<(SessionId, Secret)> {
        if token.len() != LENGTH {
            return None;
        }
        let bytes = Zeroizing::new(URL_SAFE_NO_PAD.decode(token).ok()?);
        let (id, rest) = bytes.split_first_chunk::<ID>()?;
        let (secret, tag) = rest.split_first_chunk::<SECRET>()?;
        let (session, secret) = (SessionId::from(Uuid::from_bytes(*id)), Secret::new(*secret));
        let genuine = self.mac(OF_TAG, session, secret.as_bytes());
        verify_slices_are_equal(&genuine.as_ref()[..TAG], tag).ok()?;
        Some((session, secret))
    }

    /// The secret of the token that follows the one with this secret.
    #[must_use]
    pub fn successor(&self, session: SessionId, secret: &Secret) -> Secret {
        let mac = self.mac(OF_SUCCESSOR, session, secret.as_bytes());
        let bytes: &[u8; SECRET] = mac.as_ref().try_into().expect("an HMAC-SHA-256 has 32 bytes");
        Secret::new(*bytes)
    }

    /// Of a session, and of what else there is.
    pub(super) fn mac(&self, purpose: &[u8], session: SessionId, rest: &[u8]) -> hmac::Tag {
        let mut context = hmac::Context::with_key(&self.0);
        context.update(purpose);
        context.update(session.as_uuid().as_bytes());
        context.update(rest);
        context.sign()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn key() -> RefreshKey {
        RefreshKey::new(&[7; 32])
    }

    fn session(byte: u8) -> SessionId {
        Uuid::from_bytes([byte; 16]).into()
    }

    fn secret(byte: u8) -> Secret {
        Secret::new([byte; 32])
    }

    /// What a token says, for whoever believes it.
    fn read(key: &RefreshKey, token: &str) -> Option<(SessionId, Vec<u8>)> {
        key.read(token).map(|(session, secret)| (session, secret.as_bytes().to_vec()))
    }

    #[test]
    fn a_token_is_86_characters_that_any_cookie_and_form_can_hold() {
        let token = key().token(session(1), &secret(2));
        assert_eq!(token.len(), 86);
        assert!(token.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_".contains(&byte)), "{token}");
        assert_eq!(read(&key(), &token), Some((session(1), vec![2; 32])));
    }

    #[test]
    fn no_token_is_read_that_was_not_given_out() {
        let token = key().token(session(1), &secret(2));
        assert_eq!(read(&RefreshKey::new(&[8; 32]), &token), None);
        let bytes = URL_SAFE_NO_PAD.decode(&token).unwrap();
        for bit in 0..bytes.len() * 8 {
            let mut changed = bytes.clone();
            changed[bit / 8] ^= 1 << (bit % 8);
            assert_eq!(read(&key(), &URL_SAFE_NO_PAD.encode(changed)), None, "bit {bit}");
        }
        // Another spelling of the same bytes is another text.
        let last = token.len() - 1;
        for end in ["B", "g", "w", "=", " ", "\0", "é"] {
            let other = format!("{}{end}", &token[..last]);
            assert_eq!(read(&key(), &other).filter(|_| other != token), None, "{end:?}");
        }
        for text in ["", &token[..last], &format!("{token}A"), &format!("{token}=="), &format!(" {token}")] {
            assert_eq!(read(&key(), text), None, "{text:?}");
        }
    }

    #[test]
    fn a_successor_depends_on_the_key_the_session_and_the_secret_and_on_nothing_else() {
        let successor = key().successor(session(1), &secret(2));
        assert!(successor == key().successor(session(1), &secret(2)));
        for other in [
            key().successor(session(1), &secret(3)),
            key().successor(session(3), &secret(2)),
            RefreshKey::new(&[8; 32]).successor(session(1), &secret(2)),
            secret(2),
        ] {
            assert!(successor != other);
        }
        // Who sees the tag of a token does not know the half of its successor.
        let tag = key().mac(OF_TAG, session(1), secret(2).as_bytes());
        assert_ne!(tag.as_ref()[..TAG], successor.as_bytes()[..TAG]);
    }

    proptest! {
        #[test]
        fn every_token_is_read_as_it_was_made(id in any::<[u8; 16]>(), bytes in any::<[u8; 32]>()) {
            let session = SessionId::from(Uuid::from_bytes(id));
            let token = key().token(session, &Secret::new(bytes));
            prop_assert_eq!(read(&key(), &token), Some((session, bytes.to_vec())));
        }

        #[test]
        fn no_text_is_a_token_by_chance(text in ".{0,100}|[-_A-Za-z0-9]{86}") {
            prop_assert_eq!(read(&key(), &text), None);
        }
    }
}
