//! A user, and what can be asked of him.

use std::time::SystemTime;

use crate::credentials::{Password, StoredPassword};
use crate::error::{Error, Result};
use crate::ids::UserId;
use portcullis_proto::email::Email;

/// A user, as he is shown. No `Debug`: his address must not reach a log.
#[derive(Clone)]
pub struct User {
    /// The user's id.
    pub id: UserId,
    /// The address in its normal form.
    pub email: String,
    /// Whether he may log in.
    pub is_active: bool,
    /// Whether he may act on other users.
    pub is_superuser: bool,
    /// Whether he has shown that the address is his.
    pub is_verified: bool,
    /// When he was created.
    pub created_at: SystemTime,
    /// When he was last changed.
    pub updated_at: SystemTime,
}

/// A user with what decides about his tokens.
#[derive(Clone)]
pub struct UserState {
    /// The user.
    pub user: User,
    /// The address by which two users are the same.
    pub email_canonical: String,
    /// His revocation counter: a token with a lower one has ended.
    pub epoch: i64,
}

/// What the database says, in one moment, of a caller and of the user he wants to act on.
pub struct Found {
    /// The user whom the caller's token names.
    pub caller: Option<UserState>,
    /// Whether the session that the token belongs to goes on.
    pub session_is_live: bool,
    /// The user with the wanted id.
    pub target: Option<UserState>,
}

/// A user whom a caller names.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Target {
    /// Himself.
    Me,
    /// The one with this id; `None` for text that is no id, and so names nobody.
    Id(Option<UserId>),
}

/// Whether a user must have shown that his address is his, before he may log in and before he may act on users.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verification {
    /// He need not.
    Optional,
    /// He must.
    Required,
}

impl Verification {
    /// Lets pass whoever is verified, and everybody where that is not required.
    ///
    /// # Errors
    /// [`Error::EmailNotVerified`].
    pub fn check(self, is_verified: bool) -> Result<()> {
        match self {
            Self::Required if !is_verified => Err(Error::EmailNotVerified),
            Self::Required | Self::Optional => Ok(()),
        }
    }
}

/// A page of the list.
pub struct Listed {
    /// The users.
    pub users: Vec<User>,
    /// After whom the next page begins; none if this one is the last.
    pub next: Option<UserId>,
}

/// A new user.
pub struct NewUser {
    /// His id.
    pub id: UserId,
    /// His address.
    pub email: Email,
    /// His hashed password.
    pub password: StoredPassword,
    /// Whether he may act on other users.
    pub is_superuser: bool,
    /// Whether his address counts as his.
    pub is_verified: bool,
}

/// A user in the way of a registration: with its id, or with its address.
pub struct Registered {
    /// The user.
    pub user: User,
    /// The address by which two users are the same.
    pub email_canonical: String,
    /// His hashed password.
    pub password: StoredPassword,
}

/// The user who has both the id and the address of a registration: it seems to have come twice. `None` if nobody has
/// either.
///
/// # Errors
/// [`Error::EmailTaken`] and [`Error::UserIdTaken`] when somebody has one of them.
pub fn same_registration(
    found: Vec<Registered>,
    id: UserId,
    email_canonical: &str,
) -> Result<Option<Registered>> {
    let has_email = found.iter().any(|other| other.email_canonical == email_canonical);
    let nobody = found.is_empty();
    let is_same = |other: &Registered| other.user.id == id && other.email_canonical == email_canonical;
    match found.into_iter().find(is_same) {
        Some(earlier) => Ok(Some(earlier)),
        None if nobody => Ok(None),
        None if has_email => Err(Error::EmailTaken),
        None => Err(Error::UserIdTaken),
    }
}

/// What is asked to change; `None` leaves a thing as it is.
#[derive(Debug, Clone, Default)]
pub struct Changes {
    /// The address.
    pub email: Option<Email>,
    /// The password.
    pub password: Option<Password>,
    /// Whether he may log in.
    pub is_active: Option<bool>,
    /// Whether he may act on other users.
    pub is_superuser: Option<bool>,
    /// Whether his address counts as his.
    pub is_verified: Option<bool>,
}

/// What a change does to the sessions of the changed user.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ends {
    /// They go on.
    Nothing,
    /// All but the one that asked for the change.
    OtherSessions,
    /// All, and every token ever issued.
    Everything,
}

impl Changes {
    /// Whether nothing is asked to change.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        let Self { email, password, is_active, is_superuser, is_verified } = self;
        let flags = [is_active, is_superuser, is_verified];
        email.is_none() && password.is_none() && flags.iter().all(|flag| flag.is_none())
    }

    /// What these changes to `before` end. `by_himself` tells the user's own change from a superuser's.
    #[must_use]
    pub fn ends(&self, before: &UserState, by_himself: bool) -> Ends {
        let deactivated = self.is_active == Some(false) && before.user.is_active;
        if deactivated || (self.password.is_some() && !by_himself) {
            Ends::Everything
        } else if self.password.is_some() || (self.moves(before) && by_himself) {
            Ends::OtherSessions
        } else {
            Ends::Nothing
        }
    }

    /// The flag `is_verified` after the changes: a new address is nobody's until it is verified, unless a
    /// superuser says so in the same breath. The same address in another spelling stays verified.
    #[must_use]
    pub fn verified_after(&self, before: &UserState) -> bool {
        let kept = before.user.is_verified && !self.moves(before);
        self.is_verified.unwrap_or(kept)
    }

    /// Whether the address becomes another one, not only another spelling.
    #[must_use]
    pub fn moves(&self, before: &UserState) -> bool {
        self.email.as_ref().is_some_and(|email| email.canonical() != before.email_canonical)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn arthur() -> UserState {
        let user = User {
            id: UserId::new(),
            email: "King.Arthur@camelot.bt".into(),
            is_active: true,
            is_superuser: false,
            is_verified: true,
            created_at: SystemTime::UNIX_EPOCH,
            updated_at: SystemTime::UNIX_EPOCH,
        };
        UserState { user, email_canonical: "king.arthur@camelot.bt".into(), epoch: 1 }
    }

    fn email(text: &str) -> Option<Email> {
        Some(Email::parse(text).unwrap())
    }

    fn password() -> Option<Password> {
        Some(Password::new("guinevere".into()).unwrap())
    }

    #[test]
    fn only_where_it_is_required_an_unverified_user_is_stopped() {
        assert!(matches!(Verification::Required.check(false), Err(Error::EmailNotVerified)));
        assert!(Verification::Required.check(true).is_ok());
        assert!(Verification::Optional.check(false).is_ok());
    }

    #[test]
    fn a_registration_is_the_same_only_with_both_id_and_address() {
        let password = || StoredPassword { scheme: "v1".into(), pepper_version: 1, hash: String::new() };
        let registered = |UserState { user, email_canonical, .. }| Registered {
            user,
            email_canonical,
            password: password(),
        };
        let (arthur, other) = (arthur(), arthur());
        let (id, email) = (arthur.user.id, "king.arthur@camelot.bt");
        let outcome = |found: &[&UserState], id, email| {
            let found = found.iter().map(|state| registered((*state).clone())).collect();
            same_registration(found, id, email).map(|earlier| earlier.map(|earlier| earlier.user.id))
        };
        assert!(matches!(outcome(&[], id, email), Ok(None)));
        assert!(matches!(outcome(&[&arthur], id, email), Ok(Some(found)) if found == id));
        assert!(matches!(outcome(&[&arthur], other.user.id, email), Err(Error::EmailTaken)));
        assert!(matches!(outcome(&[&arthur], id, "lancelot@camelot.bt"), Err(Error::UserIdTaken)));
        assert!(matches!(
            outcome(&[&other, &arthur], other.user.id, "x@camelot.bt"),
            Err(Error::UserIdTaken)
        ));
    }

    #[test]
    fn a_user_who_changes_his_password_or_address_keeps_his_session_and_loses_the_others() {
        let by_password = Changes { password: password(), ..Changes::default() };
        let by_email = Changes { email: email("arthur@camelot.bt"), ..Changes::default() };
        assert_eq!(by_password.ends(&arthur(), true), Ends::OtherSessions);
        assert_eq!(by_email.ends(&arthur(), true), Ends::OtherSessions);
    }

    #[test]
    fn a_password_set_by_a_superuser_and_a_deactivation_end_everything() {
        let password = Changes { password: password(), ..Changes::default() };
        let deactivation = Changes { is_active: Some(false), ..Changes::default() };
        assert_eq!(password.ends(&arthur(), false), Ends::Everything);
        assert_eq!(deactivation.ends(&arthur(), false), Ends::Everything);
    }

    #[test]
    fn nothing_else_ends_a_session() {
        let spelling = Changes { email: email("king.arthur@CAMELOT.bt"), ..Changes::default() };
        let flags = Changes {
            is_active: Some(true),
            is_superuser: Some(true),
            is_verified: Some(false),
            ..Changes::default()
        };
        let moved_by_superuser = Changes { email: email("arthur@camelot.bt"), ..Changes::default() };
        assert_eq!(spelling.ends(&arthur(), true), Ends::Nothing);
        assert_eq!(flags.ends(&arthur(), false), Ends::Nothing);
        assert_eq!(moved_by_superuser.ends(&arthur(), false), Ends::Nothing);
        assert_eq!(Changes::default().ends(&arthur(), true), Ends::Nothing);
    }

    #[test]
    fn a_new_address_is_unverified_unless_a_superuser_says_otherwise_and_a_new_spelling_stays_verified() {
        let moved = Changes { email: email("arthur@camelot.bt"), ..Changes::default() };
        let vouched = Changes { is_verified: Some(true), ..moved.clone() };
        let spelling = Changes { email: email("KING.arthur@camelot.bt"), ..Changes::default() };
        assert!(!moved.verified_after(&arthur()));
        assert!(vouched.verified_after(&arthur()));
        assert!(spelling.verified_after(&arthur()));
        assert!(Changes::default().verified_after(&arthur()));
    }
}
