//! A user, and what can be asked of him.

use std::time::SystemTime;

use super::profile::{Patch, Profile};
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
    /// All own fields that are stored of him; what of them is shown, the schema says.
    pub profile: Profile,
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
    /// His own fields.
    pub profile: Profile,
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
    /// The own fields.
    pub profile: Option<Patch>,
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
        let Self { email, password, is_active, is_superuser, is_verified, profile } = self;
        let flags = [is_active, is_superuser, is_verified];
        email.is_none() && password.is_none() && profile.is_none() && flags.iter().all(|flag| flag.is_none())
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

    /// The own fields after the changes, if they change.
    ///
    /// # Errors
    /// [`Error::InvalidRequest`] when they would not be valid.
    pub fn profile_after(&self, before: &UserState) -> Result<Option<Profile>> {
        let applied = |patch: &Patch| patch.applied_to(&before.user.profile).map_err(Error::InvalidRequest);
        self.profile.as_ref().map(applied).transpose()
    }

    /// Whether the address becomes another one, not only another spelling.
    #[must_use]
    pub fn moves(&self, before: &UserState) -> bool {
        self.email.as_ref().is_some_and(|email| email.canonical() != before.email_canonical)
    }
}

#[cfg(test)]
mod tests;
