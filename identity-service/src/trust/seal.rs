//! The sealing of private keys: AES-256-GCM with a fresh nonce in front and the key's id or name as additional data, so
//! that a sealed key opens under its own only.

use aws_lc_rs::aead::{AES_256_GCM, Aad, LessSafeKey, NONCE_LEN, Nonce, UnboundKey};
use aws_lc_rs::error::Unspecified;
use aws_lc_rs::rand;
use zeroize::Zeroizing;

/// The key that seals all other keys. It comes from configuration and is never stored.
pub struct KeyEncryptionKey(LessSafeKey);

impl KeyEncryptionKey {
    /// A key of 32 random bytes.
    #[must_use]
    pub fn new(key: &[u8; 32]) -> Self {
        let key = UnboundKey::new(&AES_256_GCM, key).expect("AES-256 takes every key of 32 bytes");
        Self(LessSafeKey::new(key))
    }

    pub(super) fn seal(&self, kid: &str, private: &[u8]) -> Result<Vec<u8>, Unspecified> {
        let mut nonce = [0; NONCE_LEN];
        rand::fill(&mut nonce)?;
        let mut sealed = private.to_vec();
        self.0.seal_in_place_append_tag(Nonce::assume_unique_for_key(nonce), Aad::from(kid), &mut sealed)?;
        Ok([nonce.as_slice(), &sealed].concat())
    }

    /// `None` when the key, the id or a byte is another than when it was sealed.
    pub(super) fn open(&self, kid: &str, sealed: &[u8]) -> Option<Zeroizing<Vec<u8>>> {
        let (nonce, sealed) = sealed.split_first_chunk::<NONCE_LEN>()?;
        let mut private = Zeroizing::new(sealed.to_vec());
        let length = self
            .0
            .open_in_place(Nonce::assume_unique_for_key(*nonce), Aad::from(kid), &mut private)
            .ok()?
            .len();
        private.truncate(length);
        Some(private)
    }
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
}
