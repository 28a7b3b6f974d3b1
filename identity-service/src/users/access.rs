//! Who may act on whom. Every call for a caller passes here.

use portcullis_proto::access_token::Refusal;

use super::model::{Found, Target, UserState, Verification};
use crate::error::{Error, Result};
use crate::sessions::model::Caller;

/// The user that the caller may act on: first who he is, then what he may, then whether there is such a user, so
/// that a normal user learns nothing about ids.
///
/// # Errors
/// [`Error::Unauthenticated`], [`Error::EmailNotVerified`], [`Error::SuperuserRequired`], [`Error::UserNotFound`], in
/// this order.
pub(super) fn authorise(
    verification: Verification,
    caller: &Caller,
    target: Target,
    found: Found,
) -> Result<UserState> {
    let Found { caller: me, session_is_live, target: wanted } = found;
    let me = identify(caller, me, session_is_live).map_err(Error::unauthenticated)?;
    verification.check(me.user.is_verified)?;
    match target {
        Target::Me => Ok(me),
        Target::Id(_) if !me.user.is_superuser => Err(Error::SuperuserRequired),
        Target::Id(_) => wanted.ok_or(Error::UserNotFound),
    }
}

/// The user whom a genuine token names, as the database says.
///
/// # Errors
/// Why it names nobody.
pub(super) fn identify(
    caller: &Caller,
    me: Option<UserState>,
    session_is_live: bool,
) -> Result<UserState, Refusal> {
    let me = me.ok_or(Refusal::UserGone)?;
    if !me.user.is_active {
        return Err(Refusal::UserInactive);
    }
    if me.epoch > caller.epoch {
        return Err(Refusal::Revoked);
    }
    if session_is_live { Ok(me) } else { Err(Refusal::SessionEnded) }
}
