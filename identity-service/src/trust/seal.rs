//! The sealing of private keys, and of tokens that are to be mailed: AES-256-GCM with a fresh nonce in front and the id or
//! name of what is sealed as additional data, so that it opens under its own only.

use aws_lc_rs::aead::{AES_256_GCM, Aad, LessSafeKey, NONCE_LEN, Nonce, UnboundKey};
use aws_lc_rs::error::Unspecified;
use aws_lc_rs::rand;
use zeroize::Zeroizing;

/// The key that seals all other keys. It comes from configuration and is never stored. While it is exchanged there is
/// another one, which opens what it has sealed.
pub struct KeyEncryptionKey {
    own: LessSafeKey,
    other: Option<LessSafeKey>,
}

/// Which of the two has sealed something.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Sealer {
    Own,
    Other,
}

impl KeyEncryptionKey {
    /// A key of 32 random bytes.
    #[must_use]
    pub fn new(key: &[u8; 32]) -> Self {
        Self { own: to_key(key), other: None }
    }

    /// The same, and what this other one has sealed can be opened too.
    #[must_use]
    pub fn or(self, other: &[u8; 32]) -> Self {
        Self { other: Some(to_key(other)), ..self }
    }

    pub(crate) fn seal(&self, kid: &str, private: &[u8]) -> Result<Vec<u8>, Unspecified> {
        self.seal_by(Sealer::Own, kid, private)
    }

    /// Seals with this one of the two, as long as there are two.
    pub(crate) fn seal_by(&self, sealer: Sealer, kid: &str, private: &[u8]) -> Result<Vec<u8>, Unspecified> {
        let key = match sealer {
            Sealer::Own => &self.own,
            Sealer::Other => self.other.as_ref().unwrap_or(&self.own),
        };
        let mut nonce = [0; NONCE_LEN];
        rand::fill(&mut nonce)?;
        let mut sealed = private.to_vec();
        key.seal_in_place_append_tag(Nonce::assume_unique_for_key(nonce), Aad::from(kid), &mut sealed)?;
        Ok([nonce.as_slice(), &sealed].concat())
    }

    /// `None` when the key, the id or a byte is another than when it was sealed.
    pub(crate) fn open(&self, kid: &str, sealed: &[u8]) -> Option<Zeroizing<Vec<u8>>> {
        self.open_and_tell(kid, sealed).map(|(private, _)| private)
    }

    /// The same, and which of the two has sealed it.
    pub(crate) fn open_and_tell(&self, kid: &str, sealed: &[u8]) -> Option<(Zeroizing<Vec<u8>>, Sealer)> {
        let by_other = || Some((open(self.other.as_ref()?, kid, sealed)?, Sealer::Other));
        open(&self.own, kid, sealed).map(|private| (private, Sealer::Own)).or_else(by_other)
    }
}

fn to_key(key: &[u8; 32]) -> LessSafeKey {
    let key = UnboundKey::new(&AES_256_GCM, key).expect("AES-256 takes every key of 32 bytes");
    LessSafeKey::new(key)
}

fn open(key: &LessSafeKey, kid: &str, sealed: &[u8]) -> Option<Zeroizing<Vec<u8>>> {
    let (nonce, sealed) = sealed.split_first_chunk::<NONCE_LEN>()?;
    let mut private = Zeroizing::new(sealed.to_vec());
    let nonce = Nonce::assume_unique_for_key(*nonce);
    let length = key.open_in_place(nonce, Aad::from(kid), &mut private).ok()?.len();
    private.truncate(length);
    Some(private)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_sealed_opens_with_the_same_key_and_id_only() {
        let key = KeyEncryptionKey::new(&[1; 32]);
        let sealed = key.seal("kid", b"private").unwrap();
        assert_eq!(key.open("kid", &sealed).unwrap().as_slice(), b"private");
        assert!(key.open("other", &sealed).is_none());
        assert!(KeyEncryptionKey::new(&[2; 32]).open("kid", &sealed).is_none());
        for position in 0..sealed.len() {
            let mut changed = sealed.clone();
            changed[position] ^= 1;
            assert!(key.open("kid", &changed).is_none(), "byte {position}");
        }
        assert!(key.open("kid", &[]).is_none());
    }

    #[test]
    fn what_another_key_has_sealed_opens_as_long_as_that_is_known() {
        let (old, new) = (KeyEncryptionKey::new(&[1; 32]), KeyEncryptionKey::new(&[2; 32]));
        let both = KeyEncryptionKey::new(&[2; 32]).or(&[1; 32]);
        let sealed = old.seal("kid", b"private").unwrap();
        assert!(new.open("kid", &sealed).is_none());
        assert_eq!(both.open("kid", &sealed).unwrap().as_slice(), b"private");
        assert!(both.open("other", &sealed).is_none());
        assert_eq!(both.open_and_tell("kid", &sealed).unwrap().1, Sealer::Other);
        let as_before = both.seal_by(Sealer::Other, "kid", b"private").unwrap();
        assert!(old.open("kid", &as_before).is_some() && new.open("kid", &as_before).is_none());
        // What it seals itself, the other one cannot open.
        let anew = both.seal("kid", b"private").unwrap();
        assert!(old.open("kid", &anew).is_none());
        assert_eq!(new.open("kid", &anew).unwrap().as_slice(), b"private");
    }
}
