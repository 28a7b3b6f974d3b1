//! How a password is stored: the scheme `v1`, bcrypt(base64(HMAC-SHA-384(pepper, password))).
//!
//! The HMAC makes 64 characters of any password, so that bcrypt neither cuts it at 72 bytes nor confuses one
//! that contains NUL, and its key, the pepper, makes a stolen database useless for guessing. This is the keyed
//! form that the OWASP password storage cheat sheet names.

use std::ops::RangeInclusive;

use aws_lc_rs::hmac;
use base64::{Engine as _, engine::general_purpose::STANDARD};
use bcrypt::HashParts;
use zeroize::Zeroizing;

use super::Password;

/// The name of the scheme in the database.
const NAME: &str = "v1";
/// A hash with a higher cost is not computed: a planted row could keep a core busy for days. One with a lower cost is
/// none: bcrypt begins at 4.
const COSTS: RangeInclusive<u32> = 4..=14;
/// How long a hash is as bcrypt writes it, in bytes.
const HASH_LENGTH: usize = 60;

/// What is signed for a fingerprint. Passwords are UTF-8, and so none of them is this.
const FINGERPRINTED: &[u8] = b"\xffportcullis pepper";

/// The key of the HMAC. It is known to identity-service and not to the database.
#[derive(Clone)]
pub struct Pepper(hmac::Key);

impl Pepper {
    /// A pepper; at least 32 random bytes.
    #[must_use]
    pub fn new(key: &[u8]) -> Self {
        Self(hmac::Key::new(hmac::HMAC_SHA384, key))
    }

    /// By what the database knows the pepper again. It tells nothing of 256 random bits.
    pub(super) fn fingerprint(&self) -> Vec<u8> {
        hmac::sign(&self.0, FINGERPRINTED).as_ref().to_vec()
    }

    /// What bcrypt is given in place of the password: 64 characters.
    fn apply(&self, password: &Password) -> Zeroizing<String> {
        Zeroizing::new(STANDARD.encode(hmac::sign(&self.0, password.expose())))
    }
}

/// A password as the database keeps it.
#[derive(Clone, PartialEq, Eq)]
pub struct StoredPassword {
    /// The name of the scheme.
    pub scheme: String,
    /// Which pepper the hash was made with.
    pub pepper_version: i32,
    /// The hash, in the form that the scheme writes.
    pub hash: String,
}

impl StoredPassword {
    /// Hashes a new password with the pepper of this version. `cost` is bcrypt's, from 4 to 31.
    pub(super) fn make(
        (pepper_version, pepper): (i32, &Pepper),
        cost: u32,
        password: &Password,
    ) -> Result<Self, bcrypt::BcryptError> {
        let hash = bcrypt::non_truncating_hash(pepper.apply(password).as_bytes(), cost)?;
        Ok(Self { scheme: NAME.to_owned(), pepper_version, hash })
    }

    /// The cost of the hash, when it is one that may be computed.
    pub(super) fn cost(&self) -> Option<u32> {
        if self.scheme != NAME || self.hash.len() != HASH_LENGTH || !self.hash.is_ascii() {
            return None;
        }
        let cost = self.hash.parse::<HashParts>().ok()?.get_cost();
        COSTS.contains(&cost).then_some(cost)
    }

    /// Whether this is the password. A malformed hash is nobody's.
    pub(super) fn matches(&self, pepper: &Pepper, password: &Password) -> bool {
        bcrypt::non_truncating_verify(pepper.apply(password).as_bytes(), &self.hash).unwrap_or(false)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn password(text: &str) -> Password {
        Password::new(text.to_owned()).unwrap()
    }

    fn stored(text: &str) -> StoredPassword {
        StoredPassword::make((1, &Pepper::new(&[7; 32])), 4, &password(text)).unwrap()
    }

    #[test]
    fn a_password_matches_its_own_hash_and_no_other() {
        let pepper = Pepper::new(&[7; 32]);
        assert!(stored("guinevere").matches(&pepper, &password("guinevere")));
        assert!(!stored("guinevere").matches(&pepper, &password("Guinevere")));
    }

    #[test]
    fn passwords_that_bcrypt_alone_would_confuse_are_different() {
        let pepper = Pepper::new(&[7; 32]);
        let long = "x".repeat(72);
        for (one, other) in
            [("P", "P\0P"), ("", "\0"), (long.as_str(), &format!("{long}y")), ("\u{e9}", "e\u{301}")]
        {
            assert!(!stored(one).matches(&pepper, &password(other)), "{one:?} {other:?}");
        }
    }

    #[test]
    fn without_the_pepper_a_hash_verifies_nothing() {
        assert!(!stored("guinevere").matches(&Pepper::new(&[8; 32]), &password("guinevere")));
    }

    #[test]
    fn a_pepper_is_known_again_by_a_fingerprint_that_is_no_passwords_hmac() {
        let fingerprint = Pepper::new(&[7; 32]).fingerprint();
        assert_eq!(fingerprint, Pepper::new(&[7; 32]).fingerprint());
        assert_ne!(fingerprint, Pepper::new(&[8; 32]).fingerprint());
        assert!(String::from_utf8(FINGERPRINTED.to_vec()).is_err());
    }

    #[test]
    fn a_hash_that_must_not_be_computed_has_no_cost() {
        let good = stored("guinevere");
        assert_eq!(good.cost(), Some(4));
        for hash in [
            "",
            "$2b$",
            &good.hash.replace("$04$", "$31$"),
            &good.hash.replace("$04$", "$03$"),
            &"é".repeat(30),
            &good.hash[..59],
        ] {
            let bad = StoredPassword { hash: hash.to_owned(), ..good.clone() };
            assert_eq!(bad.cost(), None, "{hash}");
        }
        assert_eq!(StoredPassword { scheme: "rot13".into(), ..good }.cost(), None);
    }
}
