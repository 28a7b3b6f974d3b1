//! The gRPC server: its services, its limits, its health and its drain.
//!
//! - `gate`: what every call passes

mod gate;

use std::future::Future;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use tokio::net::TcpListener;
use tokio::time::{MissedTickBehavior, interval, sleep, timeout};
use tonic::codegen::http::Request;
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
use crate::error::Error;
use crate::ids::parse_uuid;
use crate::{App, recovery, sessions, trust, users};
use gate::Gate;
use trust::Trust;
use trust::grpc::Callers;

/// How long calls that are under way may still take once a stop is asked for.
const DRAIN: Duration = Duration::from_secs(10);
/// The largest request; the largest legal one has a password of 1 KiB.
const MAX_REQUEST_BYTES: usize = 64 * 1024;
/// The largest request about users. Their own fields come as a `Struct`, where a number takes 11 bytes that takes two in a
/// list of JSON: the 16 KiB that the gateway reads become 90.
const MAX_USERS_REQUEST_BYTES: usize = 128 * 1024;
/// How often the database is asked whether it is there, and how long it may take to answer.
const HEALTH_CHECK: Duration = Duration::from_secs(1);
const NO_ANSWER: &str = "the database does not answer";

/// Serves until `shutdown`, and until `delay` after it, though no longer as one who is ready; then lets the calls under way
/// finish.
///
/// # Errors
/// When the listener fails.
pub async fn run(
    app: App,
    listener: TcpListener,
    shutdown: impl Future<Output = ()> + Send + 'static,
    delay: impl Future<Output = ()> + Send + 'static,
) -> Result<(), tonic::transport::Error> {
    let reporter = HealthReporter::new();
    let health = HealthServer::new(HealthService::from_health_reporter(reporter.clone()))
        .max_decoding_message_size(MAX_REQUEST_BYTES);
    reporter.set_service_status("", ServingStatus::NotServing).await;
    let watch = tokio::spawn(watch_database(app.database.clone(), app.trust.clone(), reporter.clone()));
    let callers = Callers::new(app.trust.clone(), app.feed.clone(), app.last_seen);
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
            users::grpc::service(app.users.clone(), callers.clone())
                .max_decoding_message_size(MAX_USERS_REQUEST_BYTES),
        )
        .add_service(
            sessions::grpc::service(app.sessions, app.users.clone(), callers)
                .max_decoding_message_size(MAX_REQUEST_BYTES),
        )
        .add_service(
            trust::grpc::service(app.trust, app.feed.clone()).max_decoding_message_size(MAX_REQUEST_BYTES),
        )
        .add_optional_service(app.recovery.map(|recovery| {
            recovery::grpc::service(recovery, app.users).max_decoding_message_size(MAX_REQUEST_BYTES)
        }))
        .serve_with_incoming_shutdown(TcpIncoming::from(listener).with_nodelay(Some(true)), async move {
            shutdown.await;
            watch.abort();
            // It may be just about to say that we serve.
            let _ = watch.await;
            reporter.set_service_status("", ServingStatus::NotServing).await;
            delay.await;
            app.feed.close();
            info!("stopping: calls under way may finish");
            let _ = stopping.send(());
        });
    tokio::select! {
        served = serve => {
            info!("stopped: no call was cut off");
            served
        }
        () = async { if drained.await.is_ok() { sleep(DRAIN).await } else { std::future::pending().await } } => {
            warn!(seconds = DRAIN.as_secs(), "stopped: calls that took too long were cut off");
            Ok(())
        }
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

/// Serving means: the database answers, and the keys in it are ours. One missed answer may be chance, two in a row are not.
/// Each change is logged once.
async fn watch_database(database: Database, trust: Arc<Trust>, reporter: HealthReporter) {
    let mut ticks = interval(HEALTH_CHECK);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let (mut serving, mut missed) = (false, 0);
    loop {
        ticks.tick().await;
        let answer = timeout(HEALTH_CHECK, try_out(&database, &trust)).await;
        let answer = answer.unwrap_or(Err(NO_ANSWER));
        missed = if answer.is_ok() { 0 } else { missed + 1 };
        match answer {
            Ok(()) if !serving => {
                info!("serving: the database answers");
                reporter.set_service_status("", ServingStatus::Serving).await;
                serving = true;
            }
            Err(why) if missed == 2 && serving => {
                warn!("not serving: {why}");
                reporter.set_service_status("", ServingStatus::NotServing).await;
                serving = false;
            }
            Ok(()) | Err(_) => {}
        }
    }
}

/// Why the process cannot serve, if it cannot.
async fn try_out(database: &Database, trust: &Trust) -> Result<(), &'static str> {
    database.ping().await.map_err(|_| NO_ANSWER)?;
    match trust.keyring.fresh().await {
        Err(Error::Internal(_)) => Err("the signing keys in the database cannot be opened"),
        // That they cannot be read for a moment is told to whoever asks for something that needs them.
        Ok(_) | Err(_) => Ok(()),
    }
}

/// What is asked of a process.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Question {
    /// Whether it answers at all: else it is to be restarted.
    Live,
    /// Whether it serves: else nobody is to call it.
    Ready,
}

/// Asks the process at this address.
///
/// # Errors
/// Why not, in one line.
pub async fn check_health(address: SocketAddr, question: Question) -> Result<(), String> {
    let endpoint = Endpoint::from_shared(format!("http://{}", reachable(address)))
        .map_err(|error| error.to_string())?
        .connect_timeout(HEALTH_CHECK)
        .timeout(HEALTH_CHECK);
    let channel = endpoint.connect().await.map_err(|_| format!("nothing answers at {address}"))?;
    let answer = HealthClient::new(channel).check(HealthCheckRequest::default()).await;
    match answer {
        Ok(_) if question == Question::Live => Ok(()),
        Ok(answer) if answer.get_ref().status == ServingStatus::Serving as i32 => Ok(()),
        Ok(_) => Err("it does not serve: the database does not answer, or it was told to stop".to_owned()),
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
