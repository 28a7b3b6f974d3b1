//! What an end token is: opaque text that ends a session, and can do nothing else.
//!
//! It is base64url(session id ‖ tag), so there is one for each session, and nobody has to keep it. A browser shows it where
//! it does not show the refresh token: so a session can be ended there, too, when its last access token has expired.

use aws_lc_rs::constant_time::verify_slices_are_equal;
use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use uuid::Uuid;

use super::token::RefreshKey;
use crate::ids::SessionId;

const ID: usize = 16;
/// How many bytes of the HMAC are the tag: half of them (RFC 2104 section 5).
const TAG: usize = 16;
/// The length of a token in characters of base64url.
const LENGTH: usize = (ID + TAG) * 4 / 3 + 1;

/// What the HMAC is for, so that none of a refresh token is ever taken for it: neither text begins the other.
const OF_TAG: &[u8] = b"portcullis end token: tag";

impl RefreshKey {
    /// The token that ends a session.
    #[must_use]
    pub fn end_token(&self, session: SessionId) -> String {
        let (id, tag) = (session.as_uuid(), self.mac(OF_TAG, session, &[]));
        URL_SAFE_NO_PAD.encode([id.as_bytes().as_slice(), &tag.as_ref()[..TAG]].concat())
    }

    /// The session that a token ends; `None` if it is not of our making.
    #[must_use]
    pub fn read_end_token(&self, token: &str) -> Option<SessionId> {
        if token.len() != LENGTH {
            return None;
        }
        let bytes = URL_SAFE_NO_PAD.decode(token).ok()?;
        let (id, tag) = bytes.split_first_chunk::<ID>()?;
        let session = SessionId::from(Uuid::from_bytes(*id));
        verify_slices_are_equal(&self.mac(OF_TAG, session, &[]).as_ref()[..TAG], tag).ok()?;
        Some(session)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::secret::Secret;
    use proptest::prelude::*;

    fn key() -> RefreshKey {
        RefreshKey::new(&[7; 32])
    }

    fn session(byte: u8) -> SessionId {
        Uuid::from_bytes([byte; 16]).into()
    }

    #[test]
    fn a_token_is_43_characters_that_any_cookie_can_hold_and_begins_with_its_session() {
        let token = key().end_token(session(1));
        assert_eq!(token.len(), 43);
        assert!(token.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_".contains(&byte)), "{token}");
        assert_eq!(URL_SAFE_NO_PAD.decode(&token).unwrap()[..16], [1; 16]);
        assert_eq!(key().read_end_token(&token), Some(session(1)));
    }

    #[test]
    fn no_token_is_read_that_was_not_given_out() {
        let token = key().end_token(session(1));
        assert_eq!(RefreshKey::new(&[8; 32]).read_end_token(&token), None);
        let bytes = URL_SAFE_NO_PAD.decode(&token).unwrap();
        for bit in 0..bytes.len() * 8 {
            let mut changed = bytes.clone();
            changed[bit / 8] ^= 1 << (bit % 8);
            assert_eq!(key().read_end_token(&URL_SAFE_NO_PAD.encode(changed)), None, "bit {bit}");
        }
        for text in ["", "1", &token[..42], &format!("{token}A"), &format!("{token}="), &format!(" {token}")]
        {
            assert_eq!(key().read_end_token(text), None, "{text:?}");
        }
    }

    #[test]
    fn neither_an_end_token_nor_a_refresh_token_is_the_other_nor_made_of_it() {
        let refresh = key().token(session(1), &Secret::random().unwrap());
        let end = key().end_token(session(1));
        assert_eq!(key().read_end_token(&refresh), None);
        assert!(key().read(&end).is_none());
        let (refresh, end) = (URL_SAFE_NO_PAD.decode(refresh).unwrap(), URL_SAFE_NO_PAD.decode(end).unwrap());
        for tag in [&refresh[16..32], &refresh[32..48], &refresh[48..]] {
            let made = URL_SAFE_NO_PAD.encode([&refresh[..16], tag].concat());
            assert_eq!(key().read_end_token(&made), None);
        }
        let made = URL_SAFE_NO_PAD.encode([&refresh[..48], &end[16..]].concat());
        assert!(key().read(&made).is_none());
    }

    proptest! {
        #[test]
        fn every_token_is_read_as_it_was_made(id in any::<[u8; 16]>()) {
            let session = SessionId::from(Uuid::from_bytes(id));
            prop_assert_eq!(key().read_end_token(&key().end_token(session)), Some(session));
        }

        #[test]
        fn no_text_is_a_token_by_chance(text in ".{0,60}|[-_A-Za-z0-9]{43}") {
            prop_assert_eq!(key().read_end_token(&text), None);
        }
    }
}
