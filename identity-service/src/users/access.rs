//! Who may act on whom. Every call for a caller passes here.

use super::model::{Found, Target, UserState};
use crate::error::{Error, Result};
use crate::sessions::model::Caller;

/// The user that the caller may act on: first who he is, then what he may, then whether there is such a user, so
/// that a normal user learns nothing about ids.
///
/// # Errors
/// [`Error::Unauthenticated`], [`Error::SuperuserRequired`], [`Error::UserNotFound`], in this order.
pub(super) fn authorise(caller: &Caller, target: Target, found: Found) -> Result<UserState> {
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
