//! What is mailed.

use std::time::{Duration, SystemTime};

use secrecy::SecretString;

use crate::ids::{MailId, UserId};

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

    /// Whether it brings a token.
    #[must_use]
    pub fn brings_token(self) -> bool {
        match self {
            Self::Reset | Self::Verify => true,
            Self::PasswordChanged => false,
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

/// A mail that is this replica's to send, for a while. No `Debug`: it has the address.
pub(super) struct Claimed {
    /// Its id.
    pub id: MailId,
    /// What it is about.
    pub kind: Kind,
    /// The name of a set of templates.
    pub language: String,
    /// The address.
    pub recipient: Option<String>,
    /// The token that it brings, sealed.
    pub sealed_token: Option<Vec<u8>>,
    /// From when on it is of no use.
    pub expires_at: SystemTime,
    /// How often it was tried to send it, with this time.
    pub attempts: i32,
    /// When it was claimed, by the clock of the database.
    pub now: SystemTime,
}

/// A mail that was not sent and will not be.
#[derive(Debug)]
pub(super) struct GivenUp {
    /// Its id.
    pub id: MailId,
    /// What it was about.
    pub kind: Kind,
    /// How often it was tried to send it.
    pub attempts: i32,
    /// Why the last try failed.
    pub last_error: Option<String>,
    /// Whether the user it was for was deleted: then nobody misses it.
    pub is_orphan: bool,
}

/// What an operator is told of a mail that was not sent: neither the address nor the token.
#[derive(Debug)]
pub struct Unsent {
    /// Its id.
    pub id: MailId,
    /// What it is about, also when this version does not know it.
    pub kind: String,
    /// When it was written.
    pub created_at: SystemTime,
    /// How often it was tried to send it.
    pub attempts: i32,
    /// When it is tried next.
    pub next_attempt_at: SystemTime,
    /// Why the last try failed.
    pub last_error: Option<String>,
    /// When it was given up.
    pub gave_up_at: Option<SystemTime>,
}

/// The shortest and the longest pause between two tries, before chance has its say.
const SHORTEST: Duration = Duration::from_secs(1);
const LONGEST: Duration = Duration::from_secs(5 * 60);

/// How long to wait after so many tries that failed: twice as long each time, of which chance, from 0 to 1, takes up to a
/// half away, so that many mails do not all come back at once.
#[must_use]
pub(super) fn pause(attempts: i32, chance: f64) -> Duration {
    let doublings = u32::try_from(attempts.saturating_sub(1)).unwrap_or(0).min(16);
    let full = (SHORTEST * 2_u32.pow(doublings)).min(LONGEST);
    full.mul_f64(1.0 - chance.clamp(0.0, 1.0) / 2.0)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn a_pause_doubles_until_it_is_five_minutes() {
        let seconds = |attempts| pause(attempts, 0.0).as_secs();
        assert_eq!([1, 2, 3, 9, 10, 11, i32::MAX].map(seconds), [1, 2, 4, 256, 300, 300, 300]);
        assert_eq!(pause(3, 1.0), Duration::from_secs(2));
    }

    #[test]
    fn a_kind_is_known_by_its_name() {
        for kind in Kind::ALL {
            assert_eq!(Kind::of(kind.as_str()), Some(kind));
        }
        assert_eq!(Kind::of("Reset"), None);
    }

    proptest! {
        #[test]
        fn a_pause_is_never_less_than_half_and_never_more_than_the_longest(attempts: i32, chance in 0.0..=1.0) {
            let (full, some) = (pause(attempts, 0.0), pause(attempts, chance));
            prop_assert!(full / 2 <= some && some <= full && full <= LONGEST && full >= SHORTEST);
        }
    }
}
