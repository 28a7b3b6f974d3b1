//! The gRPC server: its services, its limits, its health and its drain.

use std::convert::Infallible;
use std::future::Future;
use std::net::SocketAddr;
use std::time::Duration;

use tokio::net::TcpListener;
use tokio::time::{MissedTickBehavior, interval, timeout};
use tonic::body::Body;
use tonic::codegen::http::header::{CONTENT_TYPE, HeaderMap, HeaderValue};
use tonic::codegen::http::{Request, Response};
use tonic::codegen::{BoxFuture, Context, Poll, Service};
use tonic::transport::server::TcpIncoming;
use tonic::transport::{Endpoint, Server};
use tonic_health::ServingStatus;
use tonic_health::pb::HealthCheckRequest;
use tonic_health::pb::health_client::HealthClient;
use tonic_health::pb::health_server::HealthServer;
use tonic_health::server::{HealthReporter, HealthService};
use tower::layer::layer_fn;
use tracing::{Span, info, info_span, warn};

use crate::database::Database;
use crate::ids::parse_uuid;
use crate::{App, sessions, status, trust, users};

/// The longest that any call takes; a caller's own deadline (`grpc-timeout`) may be shorter.
const CALL: Duration = Duration::from_secs(5);
/// How long calls that are under way may still take once a stop is asked for.
const DRAIN: Duration = Duration::from_secs(10);
/// The largest request; the largest legal one has a password of 1 KiB.
const MAX_REQUEST_BYTES: usize = 64 * 1024;
/// How often the database is asked whether it is there, and how long it may take to answer.
const HEALTH_CHECK: Duration = Duration::from_secs(1);

/// Serves until `shutdown`, then lets the calls under way finish.
///
/// # Errors
/// When the listener fails.
pub async fn run(
    app: App,
    listener: TcpListener,
    shutdown: impl Future<Output = ()> + Send + 'static,
) -> Result<(), tonic::transport::Error> {
    let reporter = HealthReporter::new();
    let health = HealthServer::new(HealthService::from_health_reporter(reporter.clone()))
        .max_decoding_message_size(MAX_REQUEST_BYTES);
    reporter.set_service_status("", ServingStatus::NotServing).await;
    let watch = tokio::spawn(watch_database(app.database.clone(), reporter.clone()));
    let (stopping, drained) = tokio::sync::oneshot::channel();
    let serve = Server::builder()
        .trace_fn(span)
        .layer(layer_fn(Gate))
        .max_concurrent_streams(128)
        .http2_max_header_list_size(16 * 1024)
        .http2_keepalive_interval(Some(Duration::from_secs(10)))
        .http2_keepalive_timeout(Some(Duration::from_secs(5)))
        .add_service(health)
        .add_service(
            users::grpc::service(app.users, app.trust.clone()).max_decoding_message_size(MAX_REQUEST_BYTES),
        )
        .add_service(
            sessions::grpc::service(app.sessions, app.trust.clone())
                .max_decoding_message_size(MAX_REQUEST_BYTES),
        )
        .add_service(trust::grpc::service(app.trust).max_decoding_message_size(MAX_REQUEST_BYTES))
        .serve_with_incoming_shutdown(TcpIncoming::from(listener).with_nodelay(Some(true)), async move {
            shutdown.await;
            watch.abort();
            reporter.set_service_status("", ServingStatus::NotServing).await;
            info!("stopping: calls under way may finish");
            let _ = stopping.send(());
        });
    tokio::select! {
        served = serve => {
            info!("stopped: no call was cut off");
            served
        }
        () = async { if drained.await.is_ok() { tokio::time::sleep(DRAIN).await } else { std::future::pending().await } } => {
            warn!(seconds = DRAIN.as_secs(), "stopped: calls that took too long were cut off");
            Ok(())
        }
    }
}

/// What every call passes: it must be gRPC, it ends in time, and no failure is told in another's words; what happens
/// once a stream of answers has begun is not its concern. tonic's own
/// limit of time is not used, since that answers CANCELLED.
#[derive(Clone)]
struct Gate<S>(S);

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

/// One span a call, with the id by which the gateway's log knows it. A caller may send anything: what looks like no
/// method or no id is not logged.
fn span<B>(request: &Request<B>) -> Span {
    let path = request.uri().path();
    let of_names = |byte: u8| byte.is_ascii_alphanumeric() || b"/._".contains(&byte);
    let method = if path.len() <= 100 && path.bytes().all(of_names) { path } else { "other" };
    let id = request.headers().get("x-request-id").and_then(|id| parse_uuid(id.to_str().ok()?));
    info_span!("grpc.call", method, request_id = id.map(tracing::field::display))
}

/// Serving means: the database answers. One missed answer may be chance, two in a row are not. Each change is logged
/// once.
async fn watch_database(database: Database, reporter: HealthReporter) {
    let mut ticks = interval(HEALTH_CHECK);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let (mut serving, mut missed) = (false, 0);
    loop {
        ticks.tick().await;
        let answers = matches!(timeout(HEALTH_CHECK, database.ping()).await, Ok(Ok(())));
        missed = if answers { 0 } else { missed + 1 };
        if answers && !serving {
            info!("serving: the database answers");
            reporter.set_service_status("", ServingStatus::Serving).await;
            serving = true;
        } else if missed == 2 && serving {
            warn!("not serving: the database does not answer");
            reporter.set_service_status("", ServingStatus::NotServing).await;
            serving = false;
        }
    }
}

/// Asks the process at this address whether it serves.
///
/// # Errors
/// Why not, in one line.
pub async fn check_health(address: SocketAddr) -> Result<(), String> {
    let endpoint = Endpoint::from_shared(format!("http://{}", reachable(address)))
        .map_err(|error| error.to_string())?
        .connect_timeout(HEALTH_CHECK)
        .timeout(HEALTH_CHECK);
    let channel = endpoint.connect().await.map_err(|_| format!("nothing answers at {address}"))?;
    let answer = HealthClient::new(channel).check(HealthCheckRequest::default()).await;
    match answer {
        Ok(answer) if answer.get_ref().status == ServingStatus::Serving as i32 => Ok(()),
        Ok(_) => Err("the database does not answer".to_owned()),
        Err(status) => Err(format!("the health check fails: {}", status.code())),
    }
}

/// An address that listens everywhere is asked at home.
fn reachable(address: SocketAddr) -> SocketAddr {
    match address.ip() {
        ip if ip.is_unspecified() && ip.is_ipv4() => ([127, 0, 0, 1], address.port()).into(),
        ip if ip.is_unspecified() => ([0, 0, 0, 0, 0, 0, 0, 1], address.port()).into(),
        _ => address,
    }
}
