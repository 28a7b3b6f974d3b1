//! The gateway: HTTP on one side, gRPC on the other, nothing worth stealing in between.
//!
//! A request is read from the outside in:
//!
//! - [`config`]: every variable; [`telemetry`]: what is logged; [`signal`]: how the process is asked to stop
//! - [`drain`]: how it stops without failing a request
//! - [`routes`]: one line an endpoint, and who may use it
//! - [`gate`]: what holds for every request: sizes, deadline, panics, request id
//! - [`client`]: the client at the other end, of whom a login tells identity-service
//! - [`auth`]: who is calling: access tokens, the cookie, where a browser's request comes from
//! - [`body`]: JSON and form bodies, and FastAPI's 422 when they are wrong
//! - [`endpoints`]: one file an endpoint or resource: request, handler, response
//! - [`identity`]: the typed client of identity-service
//! - [`failure`]: THE table: why a request failed → the HTTP answer
//! - [`healthcheck`]: the subcommand that asks a running gateway whether it is ready

pub mod config;
pub mod drain;
pub mod signal;
pub mod telemetry;

pub mod routes;

pub mod gate;

pub mod auth;
pub mod body;
pub mod client;
pub mod endpoints;
pub mod identity;

pub mod failure;

pub mod healthcheck;

use std::io;
use std::net::TcpListener;
use std::sync::Arc;
use std::time::{Duration, Instant};

use actix_web::middleware::{Condition, from_fn};
use actix_web::{App, HttpServer, web};
use tracing_actix_web::TracingLogger;

use auth::follower::follow;
use auth::last_seen::LastSeen;
use auth::origin::{self, Origins};
use auth::verifier::Verifier;
use config::Config;
use drain::Drain;
use identity::replicas::Replicas;
use identity::{Identity, discovery};

/// How long a client may take to send the head of the first request of a connection; then 408. Once the first byte of
/// a later head is there, actix-web has no timer at all, not even [`KEEP_ALIVE`]: a client that stops in one holds one
/// connection for ever. Nor does it limit how many requests wait in its buffer of 128 KiB, each of which is some 7 KiB
/// there. To limit both is the ingress's job.
const HEAD_TIMEOUT: Duration = Duration::from_secs(5);
/// How long an idle connection is kept: longer than the 60 s for which common load balancers keep theirs.
const KEEP_ALIVE: Duration = Duration::from_secs(75);
/// How long a client may take in nothing at all of the answers it is sent; then the kernel ends the connection. Who reads
/// slowly is the ingress's to cut off: actix-web has no timer for either.
#[cfg(target_os = "linux")]
const UNREAD_TIMEOUT_MILLIS: u32 = 8000;
/// How many connections may wait to be accepted. The library of Rust says 128, and who comes after these is let in
/// seconds later.
const BACKLOG: i32 = 1024;
/// How long requests in flight may take to finish once the process was asked to stop.
const DRAIN_SECONDS: u64 = 20;

/// Serves HTTP on `listener` until `shutdown` resolves, the delay after it is over, which `hurry` ends, and what has begun is
/// finished.
///
/// # Errors
/// If the listener cannot be used, or the server fails.
pub async fn serve(
    config: Config,
    listener: TcpListener,
    shutdown: impl Future<Output = ()> + Send + 'static,
    hurry: impl Future<Output = ()> + Send + 'static,
) -> io::Result<()> {
    let replicas = Arc::new(Replicas::new(&config.identity_service_urls));
    let watch = tokio::spawn(discovery::watch(Arc::clone(&replicas)));
    let verifier = Arc::new(Verifier::new(Instant::now(), config.token_cache_size));
    let last_seen = Arc::new(LastSeen::default());
    let follower = tokio::spawn(follow(Arc::clone(&verifier), Identity::connect(Arc::clone(&replicas))));
    let drain = Arc::new(Drain::default());
    let stop = {
        let (drain, delay) = (Arc::clone(&drain), config.shutdown_delay);
        async move { drain.after(shutdown, delay, hurry).await }
    };
    let origins = Arc::new(Origins::new(config.public_origin, config.cors_allowed_origins));

    rustix::net::listen(&listener, BACKLOG)?;
    // Every connection inherits it. What is not acknowledged because the network lost it counts as unread.
    #[cfg(target_os = "linux")]
    rustix::net::sockopt::set_tcp_user_timeout(&listener, UNREAD_TIMEOUT_MILLIS)?;

    tracing::info!(address = %listener.local_addr()?, workers = config.workers, "serving");
    let served = HttpServer::new(move || {
        // This closure runs once a worker: each has connections of its own to identity-service.
        App::new()
            .app_data(Identity::connect(Arc::clone(&replicas)))
            .app_data(config.trusted_proxies)
            .app_data(web::Data::from(Arc::clone(&verifier)))
            .app_data(web::Data::from(Arc::clone(&last_seen)))
            .app_data(web::Data::from(Arc::clone(&origins)))
            .app_data(web::Data::from(Arc::clone(&drain)))
            .configure(routes::register)
            .default_service(web::to(endpoints::fallback::answer))
            // The last of these meets a request first.
            .wrap(from_fn(origin::guard))
            .wrap(from_fn(gate::limits))
            .wrap(from_fn(gate::last_resort))
            .wrap(Condition::new(origins.any_cors(), origins.cors()))
            .wrap(from_fn(gate::common_headers))
            .wrap(from_fn(gate::end_of_body))
            .wrap(from_fn(drain::last_answer))
            .wrap(TracingLogger::<telemetry::RequestSpan>::new())
    })
    .workers(config.workers)
    .keep_alive(KEEP_ALIVE)
    .tcp_nodelay(true)
    .client_request_timeout(HEAD_TIMEOUT)
    // A client who hangs up is not worked for: his call is cancelled, and a hash that waits is not computed.
    .h1_allow_half_closed(false)
    .shutdown_timeout(DRAIN_SECONDS)
    .shutdown_signal(stop)
    .listen(listener)?
    .run()
    .await;
    follower.abort();
    watch.abort();
    tracing::info!("stopped");
    served
}
