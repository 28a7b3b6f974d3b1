//! Signing keys, and what becomes of each.

use std::time::{Duration, SystemTime};

use aws_lc_rs::digest;
use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use portcullis_proto::access_token::{KEYS_MAX_AGE, LEEWAY, MAX_LIFETIME};

/// For how long a key is published before it signs: three times as long as verifiers may keep the keys without asking again.
/// So they know it by then, also those that ask late.
pub const PUBLISHED: Duration = Duration::from_secs(3 * KEYS_MAX_AGE.as_secs());
/// For how long a key must be visible in any case before it signs, by a clock that does not step: then every gateway that
/// decides by itself knows it (`trust.proto`).
pub const KNOWN: Duration = Duration::from_secs(2);
/// A key that is so old by the clock of the database is visible for longer than [`KNOWN`], whatever that clock does.
pub const SURELY_KNOWN: Duration = Duration::from_secs(60);
/// For how long a key is kept that signs no more: until the last of its tokens has expired for everybody, however long
/// these are good. A replica that hears of it late signs with it for some seconds more.
pub const KEPT: Duration = Duration::from_secs(MAX_LIFETIME.as_secs() + LEEWAY.as_secs() + 10);

/// The life of a signing key, in its order. After it the key is gone.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum KeyState {
    /// Published, and not yet used to sign. There is one, so that a successor is known whenever one is needed.
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
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PublicKey {
    /// The key's id in the header of a token: its [`thumbprint`].
    pub kid: String,
    /// The Ed25519 public key (RFC 8032).
    pub public_key: [u8; 32],
    /// What the key is used for now.
    pub state: KeyState,
    /// When it was made.
    pub created_at: SystemTime,
    /// Since when it is used for that.
    pub since: SystemTime,
}

impl PublicKey {
    /// For how long the key has been in its state.
    #[must_use]
    pub fn age(&self, now: SystemTime) -> Duration {
        now.duration_since(self.since).unwrap_or_default()
    }
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

/// A step in the life of the keys.
#[derive(Debug, PartialEq, Eq)]
pub enum Step {
    /// A new key signs from now on: there was none that could.
    Begin,
    /// A new key is published: the next one.
    Publish,
    /// The next key signs from now on, and the one that did is retired.
    Promote,
    /// A retired key is gone.
    Remove(String),
}

/// The key in a state of which there is one.
#[must_use]
pub fn the(state: KeyState, keys: &[PublicKey]) -> Option<&PublicKey> {
    keys.iter().find(|key| key.state == state)
}

/// The step that is due, if one is. Without a time that can be relied on, none is due because of its age. `rotation` is how
/// old the current key may become; `None` stands for ever.
#[must_use]
pub fn due(now: Option<SystemTime>, keys: &[PublicKey], rotation: Option<Duration>) -> Option<Step> {
    let is_over = |key: &&PublicKey| key.state == KeyState::Retired && is_as_old(key, now, KEPT);
    if let Some(over) = keys.iter().find(is_over) {
        return Some(Step::Remove(over.kid.clone()));
    }
    match (the(KeyState::Current, keys), the(KeyState::Next, keys)) {
        (None, None) => Some(Step::Begin),
        (None, Some(_)) => Some(Step::Promote),
        (Some(_), None) => Some(Step::Publish),
        (Some(current), Some(next)) => {
            let is_old = rotation.is_some_and(|rotation| is_as_old(current, now, rotation));
            (is_old && is_as_old(next, now, PUBLISHED)).then_some(Step::Promote)
        }
    }
}

fn is_as_old(key: &PublicKey, now: Option<SystemTime>, age: Duration) -> bool {
    now.is_some_and(|now| key.age(now) >= age)
}

#[cfg(test)]
mod tests;
