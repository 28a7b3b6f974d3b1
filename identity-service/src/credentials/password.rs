//! A password as it came, and the rules for a new one.

use secrecy::{ExposeSecret as _, SecretString};

/// The most bytes that are ever hashed. More is no better and lets a caller choose our work (security.md, X9).
const MAX_BYTES: usize = 1024;

/// A password exactly as its user gave it: not trimmed, not normalised, never cut (ASVS 6.2.8). At most
/// 1,024 bytes. It is wiped when it goes, and prints as `[REDACTED]`.
#[derive(Debug, Clone)]
pub struct Password(SecretString);

impl Password {
    /// Takes a password.
    ///
    /// # Errors
    /// [`PasswordRule::TooLong`]; no other rule applies to a password that is only to be compared.
    pub fn new(password: String) -> Result<Self, PasswordRule> {
        let password = SecretString::from(password);
        if password.expose_secret().len() > MAX_BYTES {
            return Err(PasswordRule::TooLong);
        }
        Ok(Self(password))
    }

    /// The bytes that are hashed.
    #[must_use]
    pub fn expose(&self) -> &[u8] {
        self.0.expose_secret().as_bytes()
    }
}

/// What a new password must be like.
#[derive(Debug, Clone, Copy)]
pub struct PasswordRules {
    /// The least number of code points.
    pub min_length: usize,
}

impl PasswordRules {
    /// Checks a new password of the user with this e-mail address.
    ///
    /// # Errors
    /// The first rule that it breaks.
    pub fn check(&self, password: &Password, email: &str) -> Result<(), PasswordRule> {
        let text = password.0.expose_secret();
        if text.chars().count() < self.min_length {
            return Err(PasswordRule::TooShort { min: self.min_length });
        }
        if text.to_lowercase().contains(&email.to_lowercase()) {
            return Err(PasswordRule::ContainsEmail);
        }
        Ok(())
    }
}

/// A rule that a new password breaks. The message is what its user is told.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum PasswordRule {
    /// It has too few code points.
    #[error("Password should be at least {min} characters")]
    TooShort {
        /// The least number.
        min: usize,
    },
    /// It has too many bytes.
    #[error("Password should be at most {MAX_BYTES} bytes")]
    TooLong,
    /// It holds the user's own e-mail address, in any case.
    #[error("Password should not contain e-mail")]
    ContainsEmail,
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(password: &str) -> Result<(), PasswordRule> {
        PasswordRules { min_length: 8 }.check(&Password::new(password.to_owned())?, "king.arthur@camelot.bt")
    }

    #[test]
    fn length_is_counted_in_code_points() {
        assert_eq!(check("гвиневра"), Ok(()));
        assert_eq!(check("🏰🏰🏰🏰🏰🏰🏰"), Err(PasswordRule::TooShort { min: 8 }));
    }

    #[test]
    fn a_password_of_1024_bytes_is_the_longest() {
        assert_eq!(check(&"x".repeat(1024)), Ok(()));
        assert_eq!(check(&"x".repeat(1025)), Err(PasswordRule::TooLong));
    }

    #[test]
    fn the_users_own_address_is_found_in_any_case() {
        assert_eq!(check("my King.Arthur@CAMELOT.bt!"), Err(PasswordRule::ContainsEmail));
        assert_eq!(check("my queen@camelot.bt!"), Ok(()));
    }

    #[test]
    fn a_password_never_prints() {
        assert!(!format!("{:?}", Password::new("guinevere".into()).unwrap()).contains("guinevere"));
    }
}
