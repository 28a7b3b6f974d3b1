//! One call of identity-service: its deadline, its metadata, and what its failure means.

use std::error::Error as _;
use std::time::{Duration, Instant};

use actix_web::{HttpMessage as _, HttpRequest};
use portcullis_proto::reason::{DOMAIN, Reason};
use secrecy::{ExposeSecret as _, SecretString};
use tonic::metadata::MetadataValue;
use tonic::{Code, Request, Response, Status, TimeoutExpired};
use tonic_types::StatusExt as _;
use tracing_actix_web::RequestId;

use super::REQUEST_TIMEOUT;
use crate::body::invalid::FIELDS;
use crate::failure::{Details, Failure, Operation, Violation};
use crate::telemetry::Start;

/// What the calls of one HTTP request have in common.
#[derive(Clone, Default)]
pub(super) struct Context {
    request_id: Option<String>,
    deadline: Option<Instant>,
}

impl Context {
    pub(super) fn of(request: &HttpRequest) -> Self {
        let start = request.extensions().get::<Start>().map_or_else(Instant::now, |start| start.0);
        Self {
            request_id: request.extensions().get::<RequestId>().map(ToString::to_string),
            deadline: Some(start + REQUEST_TIMEOUT),
        }
    }

    /// A call that may take this long, or until the deadline of the HTTP request if that is earlier.
    pub(super) fn call(&self, operation: Operation, timeout: Duration) -> Call<'_> {
        let left = self.deadline.map(|deadline| deadline.saturating_duration_since(Instant::now()));
        Call {
            context: self,
            operation,
            timeout: left.map_or(timeout, |left| left.min(timeout)),
            token: None,
        }
    }
}

/// A call that is about to be made.
pub(super) struct Call<'a> {
    context: &'a Context,
    operation: Operation,
    timeout: Duration,
    token: Option<&'a SecretString>,
}

impl<'a> Call<'a> {
    /// Makes it in the name of the user whose access token this is.
    pub(super) fn with(self, token: &'a SecretString) -> Self {
        Self { token: Some(token), ..self }
    }

    /// Makes it. The deadline is sent along, and kept here too: an answer that comes later is of no use.
    pub(super) async fn run<M, T>(
        self,
        message: M,
        rpc: impl AsyncFnOnce(Request<M>) -> Result<Response<T>, Status>,
    ) -> Result<T, Failure> {
        if self.timeout.is_zero() {
            return Err(Failure::TooLate);
        }
        let request = self.request(message)?;
        match tokio::time::timeout(self.timeout, rpc(request)).await {
            Ok(Ok(response)) => Ok(response.into_inner()),
            Ok(Err(status)) => Err(to_failure(&status, self.operation)),
            Err(_) => {
                tracing::warn!(operation = ?self.operation, timeout = ?self.timeout, "identity-service is too slow");
                Err(Failure::TooLate)
            }
        }
    }

    fn request<M>(&self, message: M) -> Result<Request<M>, Failure> {
        let mut request = Request::new(message);
        request.set_timeout(self.timeout);
        if let Some(token) = self.token {
            let text = format!("Bearer {}", token.expose_secret());
            let mut value = MetadataValue::try_from(text).map_err(|_| Failure::Unauthenticated)?;
            value.set_sensitive(true);
            request.metadata_mut().insert("authorization", value);
        }
        if let Some(id) = &self.context.request_id {
            request.metadata_mut().insert("x-request-id", id.parse().expect("a UUID is ASCII"));
        }
        Ok(request)
    }
}

/// Why a call failed. What has no reason of ours was not said by identity-service itself: it goes to the log.
fn to_failure(status: &Status, operation: Operation) -> Failure {
    let details = status.get_error_details();
    let info = details.error_info().filter(|info| info.domain == DOMAIN);
    if let Some(reason) = info.and_then(|info| Reason::parse(&info.reason)) {
        let violations = details.bad_request().map_or(&[][..], |refused| &refused.field_violations);
        let to_violation = |violation: &tonic_types::FieldViolation| Violation {
            field: violation.field.clone(),
            description: violation.description.clone(),
        };
        let foreign: Vec<_> =
            violations.iter().map(|v| v.field.as_str()).filter(|f| !FIELDS.contains(f)).collect();
        if !foreign.is_empty() {
            tracing::error!(?operation, fields = ?foreign, "identity-service refused what no client chose");
        }
        let details = Details {
            violations: violations.iter().map(to_violation).collect(),
            retry_after: details.retry_info().and_then(|info| info.retry_delay),
        };
        return Failure::Refused { reason, operation, details };
    }
    tracing::warn!(?operation, code = ?status.code(), cause = status.message(), "identity-service could not be asked");
    match status.code() {
        _ if is_broken_connection(status) => Failure::Unreachable,
        Code::Unavailable => Failure::Unreachable,
        Code::DeadlineExceeded | Code::Cancelled => Failure::TooLate,
        _ => Failure::Internal,
    }
}

/// Whether the connection broke under the call, as when identity-service dies. Only statuses that the transport
/// made up have a source; the one for our own deadline has it too.
fn is_broken_connection(status: &Status) -> bool {
    let is_transport = matches!(status.code(), Code::Unknown | Code::Internal | Code::Cancelled);
    let mut cause = status.source();
    let has_source = cause.is_some();
    while let Some(this) = cause {
        if this.is::<TimeoutExpired>() {
            return false;
        }
        cause = this.source();
    }
    is_transport && has_source
}

#[cfg(test)]
mod tests {
    use super::*;
    use tonic_types::ErrorDetails;

    fn refused(reason: &str, domain: &str) -> Failure {
        let mut details = ErrorDetails::new();
        details.set_error_info(reason, domain, std::collections::HashMap::new());
        details.add_bad_request_violation("password", "Password is too short");
        details.set_retry_info(Some(Duration::from_secs(2)));
        let status = Status::with_error_details(Code::InvalidArgument, "words for the log", details);
        to_failure(&status, Operation::Register)
    }

    #[test]
    fn a_reason_of_ours_is_read_with_its_details() {
        let violation =
            Violation { field: "password".to_owned(), description: "Password is too short".to_owned() };
        let details = Details { violations: vec![violation], retry_after: Some(Duration::from_secs(2)) };
        let (reason, operation) = (Reason::PasswordRefused, Operation::Register);
        assert_eq!(refused("PASSWORD_REFUSED", DOMAIN), Failure::Refused { reason, operation, details });
    }

    #[test]
    fn a_reason_of_others_is_a_fault() {
        assert_eq!(refused("PASSWORD_REFUSED", "elsewhere.example"), Failure::Internal);
        assert_eq!(refused("NEWER_THAN_WE", DOMAIN), Failure::Internal);
    }

    #[test]
    fn a_failure_of_the_transport_is_told_by_its_code() {
        for (status, failure) in [
            (Status::unavailable("tcp connect error"), Failure::Unreachable),
            (Status::deadline_exceeded("x"), Failure::TooLate),
            (Status::cancelled("Timeout expired"), Failure::TooLate),
            (Status::unimplemented("x"), Failure::Internal),
            (Status::unknown("x"), Failure::Internal),
        ] {
            assert_eq!(to_failure(&status, Operation::Read), failure, "{status}");
        }
    }

    #[test]
    fn a_connection_that_breaks_under_a_call_is_an_identity_service_that_is_away() {
        let broken = Status::from_error(Box::new(std::io::Error::other("connection reset")));
        assert_eq!(broken.code(), Code::Unknown);
        assert_eq!(to_failure(&broken, Operation::LogIn), Failure::Unreachable);
        let late = Status::from_error(Box::new(TimeoutExpired(())));
        assert_eq!((late.code(), late.source().is_some()), (Code::Cancelled, true));
        assert_eq!(to_failure(&late, Operation::LogIn), Failure::TooLate);
    }
}
