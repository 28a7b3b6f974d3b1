//! What every call passes: it must be gRPC, it ends in time, and no failure is told in another's words. What happens
//! once a stream of answers has begun is not its concern.

use std::convert::Infallible;
use std::time::Duration;

use tokio::time::timeout;
use tonic::body::Body;
use tonic::codegen::http::header::{CONTENT_TYPE, HeaderMap, HeaderValue};
use tonic::codegen::http::{Request, Response};
use tonic::codegen::{BoxFuture, Context, Poll, Service};
use tracing::warn;

use crate::status;

/// The longest that any call takes; a caller's own deadline (`grpc-timeout`) may be shorter.
const CALL: Duration = Duration::from_secs(5);

/// A service behind the gate. tonic's own limit of time is not used, since that answers CANCELLED.
#[derive(Clone)]
pub(super) struct Gate<S>(pub(super) S);

impl<S> Service<Request<Body>> for Gate<S>
where
    S: Service<Request<Body>, Response = Response<Body>, Error = Infallible>,
    S::Future: Send + 'static,
{
    type Response = Response<Body>;
    type Error = Infallible;
    type Future = BoxFuture<Response<Body>, Infallible>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        self.0.poll_ready(context)
    }

    fn call(&mut self, request: Request<Body>) -> Self::Future {
        if !is_grpc(request.headers()) {
            return Box::pin(async { Ok(status::not_grpc()) });
        }
        let limit = requested_timeout(request.headers()).map_or(CALL, |timeout| timeout.min(CALL));
        let call = timeout(limit, self.0.call(request));
        Box::pin(async move {
            match call.await {
                Ok(response) => response.map(status::in_words_of_ours),
                Err(_) => {
                    if limit == CALL {
                        warn!(seconds = CALL.as_secs(), "a call took longer than any may");
                    }
                    Ok(status::too_late())
                }
            }
        })
    }
}

/// Whether the messages of a request are protobuf in the framing of gRPC, by its content type.
fn is_grpc(headers: &HeaderMap) -> bool {
    let value = headers.get(CONTENT_TYPE).map(HeaderValue::as_bytes).unwrap_or_default();
    let essence = value.split(|byte| *byte == b';').next().unwrap_or_default().trim_ascii();
    [b"application/grpc".as_slice(), b"application/grpc+proto"].contains(&essence)
}

/// How long the caller will wait: the header `grpc-timeout` of the protocol, at most 8 digits and a unit. It must be
/// read as tonic reads it, which ends the call at the same time in its own words.
fn requested_timeout(headers: &HeaderMap) -> Option<Duration> {
    let text = headers.get("grpc-timeout")?.to_str().ok()?;
    let (digits, unit) = text.split_at_checked(text.len().checked_sub(1)?)?;
    let number: u64 = digits.parse().ok().filter(|_| digits.len() <= 8)?;
    match unit {
        "H" => Some(Duration::from_secs(number * 3600)),
        "M" => Some(Duration::from_secs(number * 60)),
        "S" => Some(Duration::from_secs(number)),
        "m" => Some(Duration::from_millis(number)),
        "u" => Some(Duration::from_micros(number)),
        "n" => Some(Duration::from_nanos(number)),
        _ => None,
    }
}
