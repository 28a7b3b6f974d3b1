//! What is mailed.

use std::time::SystemTime;

use secrecy::SecretString;

use crate::ids::UserId;

/// What a mail is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Kind {
    /// It brings the token for a new password.
    Reset,
    /// It brings the token that shows that the address is the user's.
    Verify,
    /// It tells that the password was changed.
    PasswordChanged,
}

impl Kind {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::Reset, Self::Verify, Self::PasswordChanged];

    /// Its name in the database, and that of its templates.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Reset => "reset",
            Self::Verify => "verify",
            Self::PasswordChanged => "password_changed",
        }
    }

    /// The one with this name.
    #[must_use]
    pub fn of(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.as_str() == name)
    }
}

/// A mail to be sent. No `Debug`: the address must not reach a log.
pub struct Letter {
    /// Whom it is for.
    pub user: UserId,
    /// What it is about.
    pub kind: Kind,
    /// The name of a set of templates, as [`super::Languages::choose`] gives it.
    pub language: String,
    /// The address, as in `users.email`.
    pub recipient: String,
    /// The address by which two users are the same.
    pub email_canonical: String,
    /// The token that it brings.
    pub token: Option<SecretString>,
    /// From when on it is of no use.
    pub expires_at: SystemTime,
}
