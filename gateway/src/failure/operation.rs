//! What identity-service was asked for, and what it adds when it refuses.

use std::time::Duration;

use portcullis_proto::violation::Kind;

/// What the gateway was doing when identity-service refused: the same reason has another code then.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Operation {
    /// Registering a user.
    Register,
    /// Logging a user in.
    LogIn,
    /// Giving new tokens for a refresh token.
    Refresh,
    /// Mailing a token for a new password.
    RequestReset,
    /// Setting a new password by such a token.
    Reset,
    /// Mailing a token for the e-mail address.
    RequestVerification,
    /// Verifying the e-mail address by such a token.
    Verify,
    /// Ending the session that the token belongs to.
    LogOut,
    /// Ending a session by its id, or all that a user has.
    EndSessions,
    /// Reading a user, or his sessions.
    Read,
    /// Changing a user.
    Update,
    /// Deleting a user.
    Delete,
}

impl Operation {
    /// Every operation there is.
    pub const ALL: &[Operation] = &[
        Operation::Register,
        Operation::LogIn,
        Operation::Refresh,
        Operation::RequestReset,
        Operation::Reset,
        Operation::RequestVerification,
        Operation::Verify,
        Operation::LogOut,
        Operation::EndSessions,
        Operation::Read,
        Operation::Update,
        Operation::Delete,
    ];
}

/// What identity-service adds to the reason.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Details {
    /// Which fields it refused, and why.
    pub violations: Vec<Violation>,
    /// After which time to try again.
    pub retry_after: Option<Duration>,
}

/// A field that identity-service refused.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Violation {
    /// The name of the field, or the way to it: a [`portcullis_proto::field_path::FieldPath`].
    pub field: String,
    /// What is wrong with it.
    pub kind: Kind,
    /// Why, in words for the caller.
    pub description: String,
}
