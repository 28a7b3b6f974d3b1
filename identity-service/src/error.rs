//! Why an action fails, in the words of the domain. [`crate::status`] says what a caller is told.

use std::borrow::Cow;
use std::time::Duration;

use portcullis_proto::violation::Kind;

use crate::credentials::PasswordRule;
use crate::sessions::RefreshRefusal;

/// The result of an action.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// Why an action failed. The message is for the log; it names no user.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// Fields of the request are malformed.
    #[error("a field of the request is malformed")]
    InvalidRequest(Vec<Violation>),
    /// A new password breaks a rule.
    #[error("the new password is refused: {0}")]
    PasswordRefused(PasswordRule),
    /// Another user has the e-mail address.
    #[error("another user has this e-mail address")]
    EmailTaken,
    /// The id chosen for a new user is in use.
    #[error("the id chosen for the user is in use")]
    UserIdTaken,
    /// Unknown e-mail address, wrong password or inactive user: nobody outside learns which.
    #[error("no active user has this e-mail address and password")]
    BadCredentials,
    /// What was sent is no good refresh token: nobody outside learns why.
    #[error("the refresh token is refused: {0}")]
    RefreshTokenRefused(RefreshRefusal),
    /// What was sent is no good token of a mail: nobody outside learns why.
    #[error("the token of a mail is refused: {0}")]
    RecoveryTokenRefused(&'static str),
    /// The user has shown already that the e-mail address is his.
    #[error("the e-mail address is verified already")]
    AlreadyVerified,
    /// The user has not shown that the e-mail address is his, which is required.
    #[error("the user's e-mail address is not verified")]
    EmailNotVerified,
    /// There is no access token, or it names nobody.
    #[error("the caller is not authenticated: {0}")]
    Unauthenticated(String),
    /// The caller is known and not a superuser.
    #[error("the caller is not a superuser")]
    SuperuserRequired,
    /// There is no such user.
    #[error("there is no such user")]
    UserNotFound,
    /// The caller has no such session.
    #[error("the caller has no such session")]
    SessionNotFound,
    /// Too many passwords wait to be hashed.
    #[error("too many passwords wait to be hashed")]
    Overloaded {
        /// When there will be room again, by the present speed.
        retry_after: Duration,
    },
    /// The database cannot be asked, or did not answer in time; nothing was written.
    #[error("the database is not available")]
    DatabaseUnavailable(#[source] Cause),
    /// The database was told to commit and did not say whether it has; whether a write happened is unknown.
    #[error("the database does not say whether it has committed")]
    OutcomeUnknown(#[source] Cause),
    /// The call takes longer than it may; whether a write happened is unknown.
    #[error("the call takes longer than it may")]
    TooLate,
    /// A fault of ours.
    #[error("a fault of identity-service")]
    Internal(#[source] Cause),
}

/// What a lower layer said. It goes to the log and nowhere else.
pub type Cause = Box<dyn std::error::Error + Send + Sync>;

/// One malformed field.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Violation {
    /// The name of the field, as in the request, or the way to it: a [`portcullis_proto::field_path::FieldPath`].
    pub field: Cow<'static, str>,
    /// What is wrong with it, for programs.
    pub kind: Kind,
    /// What is wrong with it, for the caller; it does not repeat the value.
    pub description: String,
}

impl Violation {
    /// Of this field, with this description; of no kind of its own.
    pub fn new(field: impl Into<Cow<'static, str>>, description: impl Into<String>) -> Self {
        Self { field: field.into(), kind: Kind::ValueError, description: description.into() }
    }
}

impl Error {
    /// A caller who is not who he says, or does not say; `why` is for the log.
    pub fn unauthenticated(why: impl ToString) -> Self {
        Self::Unauthenticated(why.to_string())
    }
}
