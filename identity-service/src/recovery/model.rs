//! What a user proves by a token that was mailed to him.

use std::time::Duration;

use crate::mail::Kind;
use crate::users::model::UserState;

/// What a token is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Purpose {
    /// To set a new password.
    Reset,
    /// To show that the e-mail address is the user's.
    Verify,
}

impl Purpose {
    /// What the database calls it.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Reset => "reset",
            Self::Verify => "verify",
        }
    }

    /// The purpose with this name.
    #[must_use]
    pub fn parse(name: &str) -> Option<Self> {
        [Self::Reset, Self::Verify].into_iter().find(|purpose| purpose.as_str() == name)
    }

    /// The mail that brings the token.
    #[must_use]
    pub fn mail(self) -> Kind {
        match self {
            Self::Reset => Kind::Reset,
            Self::Verify => Kind::Verify,
        }
    }

    /// Whether a user is mailed a token. An inactive one could do nothing with it, and who is verified need not be again.
    #[must_use]
    pub fn is_for(self, user: &UserState) -> bool {
        let wants = match self {
            Self::Reset => true,
            Self::Verify => !user.user.is_verified,
        };
        user.user.is_active && wants
    }
}

/// For how long the tokens are good.
#[derive(Debug, Clone, Copy)]
pub struct Lifetimes {
    /// Those for a new password.
    pub reset: Duration,
    /// Those for an e-mail address.
    pub verify: Duration,
}

impl Lifetimes {
    /// For how long those for this purpose are.
    #[must_use]
    pub fn of(&self, purpose: Purpose) -> Duration {
        match purpose {
            Purpose::Reset => self.reset,
            Purpose::Verify => self.verify,
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::SystemTime;

    use super::*;
    use crate::ids::UserId;
    use crate::users::model::User;
    use crate::users::profile::Profile;

    fn user(is_active: bool, is_verified: bool) -> UserState {
        let created_at = SystemTime::UNIX_EPOCH;
        let user = User {
            id: UserId::new(),
            email: "King.Arthur@camelot.bt".to_owned(),
            is_active,
            is_superuser: false,
            is_verified,
            profile: Profile::default(),
            created_at,
            updated_at: created_at,
        };
        UserState { user, email_canonical: "king.arthur@camelot.bt".to_owned(), epoch: 1 }
    }

    #[test]
    fn who_is_active_is_mailed_a_reset_token_and_who_is_not_verified_besides_a_verify_token() {
        for (is_active, is_verified, reset, verify) in
            [(true, false, true, true), (true, true, true, false), (false, false, false, false)]
        {
            let user = user(is_active, is_verified);
            assert_eq!((Purpose::Reset.is_for(&user), Purpose::Verify.is_for(&user)), (reset, verify));
        }
    }

    #[test]
    fn a_purpose_is_read_back_from_its_name() {
        for purpose in [Purpose::Reset, Purpose::Verify] {
            assert_eq!(Purpose::parse(purpose.as_str()), Some(purpose));
        }
        assert_eq!(Purpose::parse("refresh"), None);
    }
}
