//! Signing keys.

use std::time::SystemTime;

use aws_lc_rs::digest;
use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};

/// The life of a signing key, in its order.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum KeyState {
    /// Published, and not yet used to sign.
    Next,
    /// Used to sign; there is one.
    Current,
    /// No longer used to sign; its tokens are good until they expire.
    Retired,
}

impl KeyState {
    /// The name of the state in the database and on the command line.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Next => "next",
            Self::Current => "current",
            Self::Retired => "retired",
        }
    }

    /// The state with this name.
    #[must_use]
    pub fn parse(name: &str) -> Option<Self> {
        [Self::Next, Self::Current, Self::Retired].into_iter().find(|state| state.as_str() == name)
    }
}

/// The half of a signing key that everybody may know.
#[derive(Debug, Clone)]
pub struct PublicKey {
    /// The key's id in the header of a token: its [`thumbprint`].
    pub kid: String,
    /// The Ed25519 public key (RFC 8032).
    pub public_key: [u8; 32],
    /// What the key is used for now.
    pub state: KeyState,
    /// When it was made.
    pub created_at: SystemTime,
}

/// A signing key as it is stored.
pub struct SealedKey {
    /// The public half.
    pub public: PublicKey,
    /// The private half, readable with the key-encryption key only.
    pub sealed_private: Vec<u8>,
}

/// The id of an Ed25519 key: the SHA-256 of its required JWK members in the order of their names, in base64url
/// (RFC 7638 section 3, RFC 8037 section 2).
#[must_use]
pub fn thumbprint(public_key: &[u8; 32]) -> String {
    let x = URL_SAFE_NO_PAD.encode(public_key);
    let members = format!(r#"{{"crv":"Ed25519","kty":"OKP","x":"{x}"}}"#);
    URL_SAFE_NO_PAD.encode(digest::digest(&digest::SHA256, members.as_bytes()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_thumbprint_is_that_of_rfc_8037_appendix_a_3() {
        let x = URL_SAFE_NO_PAD.decode("11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo").unwrap();
        let thumbprint = thumbprint(&x.try_into().unwrap());
        assert_eq!(thumbprint, "kPrK_qmxVWaYVA9wwBF6Iuo3vVzz7TxHCTwXBygrS4k");
    }

    #[test]
    fn every_state_is_read_back_from_its_name() {
        for state in [KeyState::Next, KeyState::Current, KeyState::Retired] {
            assert_eq!(KeyState::parse(state.as_str()), Some(state));
        }
        assert_eq!(KeyState::parse("gone"), None);
    }
}
