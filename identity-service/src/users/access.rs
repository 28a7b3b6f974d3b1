//! Who may act on whom. Every call for a caller passes here.

use super::model::{Account, Target};
use crate::error::{Error, Result};
use crate::sessions::model::Caller;

/// What the database says, in one moment, of a caller and of the user he wants to act on.
pub(super) struct Found {
    /// The user whom the caller's token names.
    pub(super) caller: Option<Account>,
    /// Whether the session that the token belongs to goes on.
    pub(super) session_is_live: bool,
    /// The user with the wanted id.
    pub(super) target: Option<Account>,
}

/// The user that the caller may act on: first who he is, then what he may, then whether there is such a user, so
/// that a normal user learns nothing about ids.
///
/// # Errors
/// [`Error::Unauthenticated`], [`Error::SuperuserRequired`], [`Error::UserNotFound`], in this order.
pub(super) fn authorise(caller: &Caller, target: Target, found: Found) -> Result<Account> {
    let Some(me) = found.caller else {
        return Err(Error::unauthenticated("the user is gone"));
    };
    if !found.session_is_live {
        return Err(Error::unauthenticated("the session has ended"));
    }
    if !me.user.is_active {
        return Err(Error::unauthenticated("the user is inactive"));
    }
    if me.epoch > caller.epoch {
        return Err(Error::unauthenticated("the token has been revoked"));
    }
    match target {
        Target::Me => Ok(me),
        Target::Id(_) if !me.user.is_superuser => Err(Error::SuperuserRequired),
        Target::Id(_) => found.target.ok_or(Error::UserNotFound),
    }
}
