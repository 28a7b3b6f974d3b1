//! One call of identity-service: its deadline, its metadata, what its failure means, and whether it is made again.

use std::error::Error as _;
use std::time::{Duration, Instant};

use actix_web::{HttpMessage as _, HttpRequest};
use portcullis_proto::reason::{DOMAIN, Reason};
use portcullis_proto::violation::Kind;
use secrecy::{ExposeSecret as _, SecretString};
use tonic::metadata::MetadataValue;
use tonic::transport::Channel;
use tonic::{Code, ConnectError, Request, Response, Status, TimeoutExpired};
use tonic_types::StatusExt as _;
use tracing_actix_web::RequestId;

use super::REQUEST_TIMEOUT;
use super::replicas::{Channels, Picked};
use crate::body::invalid::can_be_sent;
use crate::failure::{Details, Failure, Operation, Violation};
use crate::telemetry::Start;

/// How long a read waits for a replica when another is well; then that one is asked.
const READ_PATIENCE: Duration = Duration::from_millis(300);

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
    pub(super) fn call<'a>(
        &'a self,
        channels: &'a Channels,
        operation: Operation,
        timeout: Duration,
    ) -> Call<'a> {
        let timeout = self.left().map_or(timeout, |left| left.min(timeout));
        Call { context: self, channels, operation, timeout, repeat: Repeat::Never, token: None }
    }

    /// How long the HTTP request may still take.
    fn left(&self) -> Option<Duration> {
        self.deadline.map(|deadline| deadline.saturating_duration_since(Instant::now()))
    }
}

/// Whether a call may be made again, once, when its answer was lost: then nobody knows whether it was carried out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Repeat {
    /// It may: a second time does what once does.
    Harmless,
    /// Only if it certainly never reached identity-service.
    Never,
}

/// A call that is about to be made.
pub(super) struct Call<'a> {
    context: &'a Context,
    channels: &'a Channels,
    operation: Operation,
    timeout: Duration,
    repeat: Repeat,
    token: Option<&'a SecretString>,
}

impl<'a> Call<'a> {
    /// Makes it in the name of the user whose access token this is.
    pub(super) fn with(self, token: &'a SecretString) -> Self {
        Self { token: Some(token), ..self }
    }

    /// Says that it may be made twice.
    pub(super) fn repeatable(self) -> Self {
        Self { repeat: Repeat::Harmless, ..self }
    }

    /// Makes it, and once more where that is right: elsewhere, if another replica is well.
    pub(super) async fn run<M: Clone, T>(
        self,
        message: M,
        rpc: impl AsyncFn(Channel, Request<M>) -> Result<Response<T>, Status>,
    ) -> Result<T, Failure> {
        let started = Instant::now();
        let first = self.channels.pick(None).ok_or(Failure::Unreachable)?;
        let patience = if first.has_alternative() { self.patience() } else { self.timeout };
        let loss = match self.attempt(&first, patience, &message, &rpc).await {
            Attempt::Answered(answer) => return answer,
            Attempt::Lost(failure) if self.repeat == Repeat::Never => return Err(failure),
            Attempt::Lost(failure) | Attempt::Unsent(failure) => failure,
        };
        let left = self.left_for_another(started.elapsed());
        if left.is_zero() {
            return Err(loss);
        }
        tracing::info!(operation = ?self.operation, "a call is made again");
        let second = self.channels.pick(Some(&first)).ok_or(Failure::Unreachable)?;
        match self.attempt(&second, left, &message, &rpc).await {
            Attempt::Answered(answer) => answer,
            Attempt::Lost(failure) | Attempt::Unsent(failure) => Err(failure),
        }
    }

    /// How long a second try may take: what the first has left. A registration, of which its client would else not know
    /// what became, may take its time again, if the request has as much.
    fn left_for_another(&self, spent: Duration) -> Duration {
        let spent = if self.operation == Operation::Register { Duration::ZERO } else { spent };
        let left = self.timeout.saturating_sub(spent);
        self.context.left().map_or(left, |whole| whole.min(left))
    }

    /// How long the first replica is waited for when there is another.
    fn patience(&self) -> Duration {
        let is_quick = self.repeat == Repeat::Harmless && self.operation == Operation::Read;
        if is_quick { READ_PATIENCE.min(self.timeout) } else { self.timeout }
    }

    /// Makes it once. The deadline is sent along, and kept here too: an answer that comes later is of no use.
    async fn attempt<M: Clone, T>(
        &self,
        replica: &Picked<'_>,
        limit: Duration,
        message: &M,
        rpc: &impl AsyncFn(Channel, Request<M>) -> Result<Response<T>, Status>,
    ) -> Attempt<T> {
        if limit.is_zero() {
            return Attempt::Answered(Err(Failure::TooLate));
        }
        let request = match self.request(message.clone(), limit) {
            Ok(request) => request,
            Err(failure) => return Attempt::Answered(Err(failure)),
        };
        match tokio::time::timeout(limit, rpc(replica.channel(), request)).await {
            Ok(Ok(response)) => Attempt::Answered(Ok(response.into_inner())),
            Ok(Err(status)) => {
                if is_connect_error(&status) {
                    replica.is_away();
                }
                self.read_failure(&status)
            }
            Err(_) => {
                tracing::warn!(operation = ?self.operation, timeout = ?limit, "identity-service is too slow");
                Attempt::Lost(Failure::TooLate)
            }
        }
    }

    fn read_failure<T>(&self, status: &Status) -> Attempt<T> {
        let failure = to_failure(status, self.operation);
        match &failure {
            // identity-service, too, does not know whether it was carried out.
            Failure::Refused { reason: Reason::OutcomeUnknown | Reason::DeadlineExceeded, .. } => {
                Attempt::Lost(failure)
            }
            Failure::Refused { .. } | Failure::Internal => Attempt::Answered(Err(failure)),
            _ if is_unsent(status) => Attempt::Unsent(failure),
            _ => Attempt::Lost(failure),
        }
    }

    fn request<M>(&self, message: M, limit: Duration) -> Result<Request<M>, Failure> {
        let mut request = Request::new(message);
        request.set_timeout(limit);
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

/// How one try of a call ended.
enum Attempt<T> {
    /// identity-service has said what became of it.
    Answered(Result<T, Failure>),
    /// It certainly never reached identity-service.
    Unsent(Failure),
    /// Nobody knows whether it was carried out.
    Lost(Failure),
}

/// Why a call failed. What has no reason of ours was not said by identity-service itself: it goes to the log.
fn to_failure(status: &Status, operation: Operation) -> Failure {
    let details = status.get_error_details();
    let info = details.error_info().filter(|info| info.domain == DOMAIN);
    if let Some(reason) = info.and_then(|info| Reason::parse(&info.reason)) {
        let violations = details.bad_request().map_or(&[][..], |refused| &refused.field_violations);
        let to_violation = |violation: &tonic_types::FieldViolation| Violation {
            field: violation.field.clone(),
            kind: Kind::parse(&violation.reason),
            description: violation.description.clone(),
        };
        let violations: Vec<_> = violations.iter().map(to_violation).collect();
        let foreign = violations.iter().filter(|violation| !can_be_sent(violation));
        let foreign: Vec<_> = foreign.map(|violation| violation.field.as_str()).collect();
        if !foreign.is_empty() {
            tracing::error!(?operation, fields = ?foreign, "identity-service refused what no client chose");
        }
        let details =
            Details { violations, retry_after: details.retry_info().and_then(|info| info.retry_delay) };
        return Failure::Refused { reason, operation, details };
    }
    tracing::warn!(?operation, code = ?status.code(), cause = status.message(), "identity-service could not be asked");
    match status.code() {
        _ if is_broken_connection(status) => Failure::Unreachable,
        // An older one does not know the call yet: another replica does, or this one soon.
        Code::Unavailable | Code::Unimplemented => Failure::Unreachable,
        Code::DeadlineExceeded | Code::Cancelled => Failure::TooLate,
        _ => Failure::Internal,
    }
}

/// Whether the connection broke under the call, as when identity-service dies. Only statuses that the transport
/// made up have a source; the one for our own deadline has it too.
fn is_broken_connection(status: &Status) -> bool {
    let is_transport = matches!(status.code(), Code::Unknown | Code::Internal | Code::Cancelled);
    is_transport && status.source().is_some() && !causes(status).any(|cause| cause.is::<TimeoutExpired>())
}

/// Whether no connection could be opened.
fn is_connect_error(status: &Status) -> bool {
    causes(status).any(|cause| cause.is::<ConnectError>())
}

/// Whether the call certainly never reached a handler: there was no connection, it was closed before the request was
/// written, or the server says that it did not look at the request, as it does to what comes in while it stops
/// (RFC 9113 sections 6.8 and 8.7), or to what only another version of it knows.
fn is_unsent(status: &Status) -> bool {
    let is_unprocessed = |error: &h2::Error| {
        let is_goodbye = error.is_go_away() && error.reason() == Some(h2::Reason::NO_ERROR);
        error.is_remote() && (is_goodbye || error.reason() == Some(h2::Reason::REFUSED_STREAM))
    };
    let is_other_version = status.code() == Code::Unimplemented;
    is_other_version
        || causes(status).any(|cause| {
            cause.is::<ConnectError>()
                || cause.downcast_ref::<hyper::Error>().is_some_and(hyper::Error::is_canceled)
                || cause.downcast_ref::<h2::Error>().is_some_and(is_unprocessed)
        })
}

fn causes(status: &Status) -> impl Iterator<Item = &(dyn std::error::Error + 'static)> {
    std::iter::successors(status.source(), |cause| (*cause).source())
}

#[cfg(test)]
mod tests;
