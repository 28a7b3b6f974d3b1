//! 32 bytes that nobody can guess: what a token is made of.

use aws_lc_rs::{digest, rand};
use zeroize::Zeroizing;

use crate::error::{Error, Result};

/// How many bytes a secret has.
pub const LENGTH: usize = 32;

/// A secret. No `Debug`, and wiped from memory in the end.
#[derive(PartialEq, Eq)]
pub struct Secret(Zeroizing<[u8; LENGTH]>);

impl Secret {
    /// A new one.
    ///
    /// # Errors
    /// [`Error::Internal`] when the system gives no randomness.
    pub fn random() -> Result<Self> {
        let mut secret = Zeroizing::new([0; LENGTH]);
        let filled = rand::fill(secret.as_mut_slice());
        filled.map_err(|_| Error::Internal("the system gives no randomness".into()))?;
        Ok(Self(secret))
    }

    /// Of these bytes.
    #[must_use]
    pub fn new(bytes: [u8; LENGTH]) -> Self {
        Self(Zeroizing::new(bytes))
    }

    /// Its bytes.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8] {
        self.0.as_slice()
    }

    /// What is stored of it: SHA-256. It is random, so that no slower hash is needed.
    #[must_use]
    pub fn digest(&self) -> Vec<u8> {
        digest::digest(&digest::SHA256, self.as_bytes()).as_ref().to_vec()
    }
}

#[cfg(test)]
mod tests {
    use super::Secret;

    #[test]
    fn no_two_secrets_are_the_same() {
        assert!(Secret::random().unwrap() != Secret::random().unwrap());
    }
}
