//! THE table: what a gRPC caller is told of each [`Error`], and nothing else of it.
//!
//! UNAUTHENTICATED: the token names nobody. PERMISSION_DENIED: it names somebody who may not. UNAVAILABLE,
//! DEADLINE_EXCEEDED and RESOURCE_EXHAUSTED: try again; whether a write happened is unknown for DEADLINE_EXCEEDED, and for
//! UNAVAILABLE if its reason says so.
#![deny(clippy::wildcard_enum_match_arm)] // a table that must be complete has no `_`

use std::collections::HashMap;
use std::time::Duration;

use portcullis_proto::reason::{DOMAIN, Reason};
use portcullis_proto::violation::Kind;
use tonic::codegen::http::{Response, StatusCode};
use tonic::{Code, Status};
use tonic_types::{ErrorDetails, FieldViolation, StatusExt as _};
use tracing::{debug, error, info, warn};

use crate::error::{Error, Violation};

/// The code, the reason and the message for an error.
#[must_use]
pub fn classify(error: &Error) -> (Code, Reason, &'static str) {
    match error {
        Error::InvalidRequest(_) => {
            (Code::InvalidArgument, Reason::InvalidRequest, "The request or a field of it is malformed.")
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
        Error::RefreshTokenRefused(_) => {
            (Code::Unauthenticated, Reason::RefreshTokenRefused, "The refresh token is not good.")
        }
        Error::RecoveryTokenRefused(_) => {
            (Code::InvalidArgument, Reason::RecoveryTokenRefused, "The token of the mail is not good.")
        }
        Error::AlreadyVerified => {
            (Code::FailedPrecondition, Reason::AlreadyVerified, "The e-mail address is verified already.")
        }
        Error::EmailNotVerified => {
            (Code::PermissionDenied, Reason::EmailNotVerified, "The user's e-mail address is not verified.")
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
        Error::OutcomeUnknown(_) => {
            (Code::Unavailable, Reason::OutcomeUnknown, "The database does not say whether it has committed.")
        }
        Error::TooLate => {
            (Code::DeadlineExceeded, Reason::DeadlineExceeded, "The call takes longer than it may.")
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
                add_violations(&mut details, vec![Violation::new("password", rule.to_string())]);
            }
            Error::Overloaded { retry_after } => {
                details.set_retry_info(Some(retry_after.max(Duration::from_secs(1))));
            }
            Error::EmailTaken
            | Error::UserIdTaken
            | Error::BadCredentials
            | Error::RefreshTokenRefused(_)
            | Error::RecoveryTokenRefused(_)
            | Error::AlreadyVerified
            | Error::EmailNotVerified
            | Error::Unauthenticated(_)
            | Error::SuperuserRequired
            | Error::UserNotFound
            | Error::SessionNotFound
            | Error::DatabaseUnavailable(_)
            | Error::OutcomeUnknown(_)
            | Error::TooLate
            | Error::Internal(_) => {}
        }
        Status::with_error_details(code, message, details)
    }
}

/// The answer to a call, with a failure that tonic found by itself put into our words: its own repeat what the caller
/// sent, or say how we are built (design.md, law 7).
pub fn in_words_of_ours<B: Default>(response: Response<B>) -> Response<B> {
    let Some(status) = Status::from_header_map(response.headers()) else { return response };
    let is_ours = status.get_details_error_info().is_some_and(|info| info.domain == DOMAIN);
    if is_ours || status.code() == Code::Ok {
        return response;
    }
    foreign(&status).into_http()
}

/// What a caller is told instead of a status that tonic made.
fn foreign(status: &Status) -> Status {
    let code = status.code();
    let message = match code {
        // A message that is no protobuf, or no frame, or longer than the largest: of the caller's own words, tonic's
        // have none.
        Code::Internal | Code::OutOfRange | Code::InvalidArgument => {
            debug!(cause = ?status.message(), "a message is malformed");
            return Error::InvalidRequest(Vec::new()).into();
        }
        Code::Cancelled | Code::DeadlineExceeded => return Error::TooLate.into(),
        Code::Unimplemented => "There is no such method, or no such compression.",
        Code::NotFound => "There is no such service.", // as the health service says
        Code::Ok
        | Code::Unknown
        | Code::AlreadyExists
        | Code::PermissionDenied
        | Code::ResourceExhausted
        | Code::FailedPrecondition
        | Code::Aborted
        | Code::Unavailable
        | Code::DataLoss
        | Code::Unauthenticated => "The call failed.",
    };
    // The metadata name the compressions that there are.
    Status::with_metadata(code, message, status.metadata().clone())
}

/// The answer to a call that takes longer than it may.
pub fn too_late<B: Default>() -> Response<B> {
    Status::from(Error::TooLate).into_http()
}

/// The answer to a request that is no gRPC: so says the protocol, since its sender would not understand a status.
pub fn not_grpc<B: Default>() -> Response<B> {
    let mut response = Response::new(B::default());
    *response.status_mut() = StatusCode::UNSUPPORTED_MEDIA_TYPE;
    response
}

fn add_violations(details: &mut ErrorDetails, violations: Vec<Violation>) {
    let to_field = |Violation { field, kind, description }| FieldViolation {
        reason: Kind::as_str(kind).to_owned(),
        ..FieldViolation::new(field, description)
    };
    if !violations.is_empty() {
        details.set_bad_request(violations.into_iter().map(to_field).collect::<Vec<_>>());
    }
}

/// A failed action is logged here and nowhere else: loudly when it is ours to mend.
fn log(error: &Error) {
    match error {
        Error::Internal(cause) => error!(%cause, "{error}"),
        Error::DatabaseUnavailable(cause) | Error::OutcomeUnknown(cause) => warn!(%cause, "{error}"),
        Error::Overloaded { .. } => warn!("{error}"),
        // The gateway answers it with the id of the same request.
        Error::Unauthenticated(_) | Error::RefreshTokenRefused(_) | Error::RecoveryTokenRefused(_) => info!("{error}"),
        Error::TooLate // the caller may have asked for the impossible; our own limit warns in server/gate.rs
        | Error::InvalidRequest(_)
        | Error::PasswordRefused(_)
        | Error::EmailTaken
        | Error::UserIdTaken
        | Error::BadCredentials
        | Error::AlreadyVerified
        | Error::EmailNotVerified
        | Error::SuperuserRequired
        | Error::UserNotFound
        | Error::SessionNotFound => debug!("{error}"),
    }
}
