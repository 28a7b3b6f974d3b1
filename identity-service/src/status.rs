//! THE table: what a gRPC caller is told of each [`Error`], and nothing else of it.
//!
//! UNAUTHENTICATED: the token names nobody. PERMISSION_DENIED: it names somebody who may not. UNAVAILABLE and
//! RESOURCE_EXHAUSTED: try again; whether a write happened is unknown for the first, and it did not for the second.
#![deny(clippy::wildcard_enum_match_arm)] // a table that must be complete has no `_`

use std::collections::HashMap;
use std::time::Duration;

use portcullis_proto::reason::{DOMAIN, Reason};
use tonic::{Code, Status};
use tonic_types::{ErrorDetails, StatusExt as _};
use tracing::{debug, error, warn};

use crate::error::{Error, Violation};

/// The code, the reason and the message for an error.
#[must_use]
pub fn classify(error: &Error) -> (Code, Reason, &'static str) {
    match error {
        Error::InvalidRequest(_) => {
            (Code::InvalidArgument, Reason::InvalidRequest, "The request has malformed fields.")
        }
        Error::PasswordRefused(_) => {
            (Code::InvalidArgument, Reason::PasswordRefused, "The password breaks a rule for new passwords.")
        }
        Error::EmailTaken => {
            (Code::AlreadyExists, Reason::EmailTaken, "Another user has this e-mail address.")
        }
        Error::UserIdTaken => (Code::AlreadyExists, Reason::UserIdTaken, "The user id is in use."),
        Error::BadCredentials => {
            (Code::Unauthenticated, Reason::BadCredentials, "The e-mail address or the password is wrong.")
        }
        Error::Unauthenticated(_) => {
            (Code::Unauthenticated, Reason::Unauthenticated, "The access token is missing or names nobody.")
        }
        Error::SuperuserRequired => {
            (Code::PermissionDenied, Reason::SuperuserRequired, "The caller is not a superuser.")
        }
        Error::UserNotFound => (Code::NotFound, Reason::UserNotFound, "There is no such user."),
        Error::SessionNotFound => {
            (Code::NotFound, Reason::SessionNotFound, "The caller has no such session.")
        }
        Error::Overloaded { .. } => {
            (Code::ResourceExhausted, Reason::Overloaded, "Too many passwords wait to be hashed.")
        }
        Error::DatabaseUnavailable(_) => {
            (Code::Unavailable, Reason::DatabaseUnavailable, "The database does not answer.")
        }
        Error::Internal(_) => {
            (Code::Internal, Reason::Internal, "A fault of identity-service; its log says more.")
        }
    }
}

impl From<Error> for Status {
    fn from(error: Error) -> Self {
        log(&error);
        let (code, reason, message) = classify(&error);
        let mut details = ErrorDetails::with_error_info(reason.as_str(), DOMAIN, HashMap::new());
        match error {
            Error::InvalidRequest(violations) => add_violations(&mut details, violations),
            Error::PasswordRefused(rule) => {
                let description = rule.to_string();
                add_violations(&mut details, vec![Violation { field: "password", description }]);
            }
            Error::Overloaded { retry_after } => {
                details.set_retry_info(Some(retry_after.max(Duration::from_secs(1))));
            }
            Error::EmailTaken
            | Error::UserIdTaken
            | Error::BadCredentials
            | Error::Unauthenticated(_)
            | Error::SuperuserRequired
            | Error::UserNotFound
            | Error::SessionNotFound
            | Error::DatabaseUnavailable(_)
            | Error::Internal(_) => {}
        }
        Status::with_error_details(code, message, details)
    }
}

fn add_violations(details: &mut ErrorDetails, violations: Vec<Violation>) {
    for Violation { field, description } in violations {
        details.add_bad_request_violation(field, description);
    }
}

/// A failed action is logged here and nowhere else: loudly when it is ours to mend.
fn log(error: &Error) {
    match error {
        Error::Internal(cause) => error!(%cause, "{error}"),
        Error::DatabaseUnavailable(cause) => warn!(%cause, "{error}"),
        Error::Overloaded { .. } => warn!("{error}"),
        Error::InvalidRequest(_)
        | Error::PasswordRefused(_)
        | Error::EmailTaken
        | Error::UserIdTaken
        | Error::BadCredentials
        | Error::Unauthenticated(_)
        | Error::SuperuserRequired
        | Error::UserNotFound
        | Error::SessionNotFound => debug!("{error}"),
    }
}
