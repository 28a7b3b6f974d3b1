//! The closed set of reasons for which a call of identity-service fails.
//!
//! A reason travels as the `reason` of a `google.rpc.ErrorInfo` with the domain [`DOMAIN`]; which gRPC code
//! goes with it is decided in identity-service's `status.rs`, which HTTP answer in the gateway's `failure.rs`.

/// The `domain` of every `ErrorInfo`.
pub const DOMAIN: &str = "portcullis";

macro_rules! reasons {
    ($($(#[$doc:meta])* $variant:ident = $name:literal,)*) => {
        /// Why a call failed.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
        pub enum Reason {
            $($(#[$doc])* $variant,)*
        }

        impl Reason {
            /// Every reason there is.
            pub const ALL: &[Reason] = &[$(Reason::$variant,)*];

            /// The name that goes over the wire.
            #[must_use]
            pub fn as_str(self) -> &'static str {
                match self {
                    $(Reason::$variant => $name,)*
                }
            }

            /// The reason with this name; `None` for a name of another domain or a later version.
            #[must_use]
            pub fn parse(name: &str) -> Option<Reason> {
                match name {
                    $($name => Some(Reason::$variant),)*
                    _ => None,
                }
            }
        }
    };
}

reasons! {
    /// A field is malformed; the `BadRequest` says which and why. Without one, the message itself is.
    InvalidRequest = "INVALID_REQUEST",
    /// The password breaks a rule for new passwords; the `BadRequest` says which.
    PasswordRefused = "PASSWORD_REFUSED",
    /// Another user has this e-mail address.
    EmailTaken = "EMAIL_TAKEN",
    /// The id chosen for a new user is in use.
    UserIdTaken = "USER_ID_TAKEN",
    /// No user with this e-mail address and password may log in.
    BadCredentials = "BAD_CREDENTIALS",
    /// What was sent is no good refresh token: unknown, malformed, expired, used again, of an ended session, of an
    /// inactive user.
    RefreshTokenRefused = "REFRESH_TOKEN_REFUSED",
    /// What was sent is no good token of a mail: unknown, malformed, expired, used, replaced by a newer one, for another
    /// purpose, of an inactive user.
    RecoveryTokenRefused = "RECOVERY_TOKEN_REFUSED",
    /// The user has shown already that the e-mail address is his.
    AlreadyVerified = "ALREADY_VERIFIED",
    /// The user is known and has not shown that the e-mail address is his, which is required here.
    EmailNotVerified = "EMAIL_NOT_VERIFIED",
    /// There is no access token, or it names nobody: malformed, expired, of an ended session, of a deleted or
    /// inactive user.
    Unauthenticated = "UNAUTHENTICATED",
    /// The caller is known and is not a superuser.
    SuperuserRequired = "SUPERUSER_REQUIRED",
    /// There is no such user.
    UserNotFound = "USER_NOT_FOUND",
    /// The caller has no such session.
    SessionNotFound = "SESSION_NOT_FOUND",
    /// More passwords wait to be hashed than can be hashed soon; the `RetryInfo` says when to try again.
    Overloaded = "OVERLOADED",
    /// The database could not be asked, or did not answer in time. Nothing was written.
    DatabaseUnavailable = "DATABASE_UNAVAILABLE",
    /// The database was told to commit and did not say whether it has. Whether a write happened is unknown.
    OutcomeUnknown = "OUTCOME_UNKNOWN",
    /// The call took longer than its caller or identity-service allows. Whether a write happened is unknown.
    DeadlineExceeded = "DEADLINE_EXCEEDED",
    /// A fault of identity-service; its log says which.
    Internal = "INTERNAL",
}

#[cfg(test)]
mod tests {
    use super::Reason;

    #[test]
    fn every_reason_is_read_back_from_its_name() {
        for reason in Reason::ALL {
            assert_eq!(Reason::parse(reason.as_str()), Some(*reason));
        }
        assert_eq!(Reason::parse("SOMETHING_ELSE"), None);
    }
}
