//! What is logged: one span and one line a request. Never a password, token, e-mail or address of a client.

use std::time::Instant;

use actix_web::body::MessageBody;
use actix_web::dev::{ServiceRequest, ServiceResponse};
use actix_web::http::Method;
use actix_web::{Error, HttpMessage as _};
use tracing::Span;
use tracing_actix_web::{RequestId, RootSpanBuilder};
use tracing_subscriber::EnvFilter;

use crate::config::{Config, LogFormat};

/// Sends log events to standard error.
///
/// # Errors
/// If the filter is malformed, or events already go somewhere.
pub fn install(config: &Config) -> anyhow::Result<()> {
    let filter = EnvFilter::try_new(&config.log)?;
    let builder =
        tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr).with_ansi(false);
    let installed = match config.log_format {
        LogFormat::Text => builder.try_init(),
        LogFormat::Json => builder.json().flatten_event(true).try_init(),
    };
    installed.map_err(|error| anyhow::anyhow!("cannot log: {error}"))
}

/// When the gateway began to work on a request.
#[derive(Debug, Clone, Copy)]
pub struct Start(pub Instant);

/// The span around a request. It has the pattern of the route instead of the path, which may say anything.
pub struct RequestSpan;

impl RootSpanBuilder for RequestSpan {
    fn on_request_start(request: &ServiceRequest) -> Span {
        request.extensions_mut().insert(Start(Instant::now()));
        let request_id = request.extensions().get::<RequestId>().copied();
        tracing::info_span!(
            "http.request",
            method = method_name(request.method()),
            request_id = request_id.map(tracing::field::display),
        )
    }

    fn on_request_end<B: MessageBody>(span: Span, outcome: &Result<ServiceResponse<B>, Error>) {
        let _entered = span.enter();
        match outcome {
            Ok(response) => {
                let start = response.request().extensions().get::<Start>().copied();
                tracing::info!(
                    route = response.request().match_pattern(),
                    status = response.status().as_u16(),
                    duration_ms = start.map(|start| start.0.elapsed().as_millis() as u64),
                    "request answered"
                );
            }
            Err(error) => {
                let status = error.as_response_error().status_code().as_u16();
                tracing::info!(status, "request answered by the last resort");
            }
        }
    }
}

/// The method, if it is one that a client may reasonably send: others are as long and odd as they like.
fn method_name(method: &Method) -> &str {
    const KNOWN: [Method; 7] = [
        Method::GET,
        Method::POST,
        Method::PATCH,
        Method::DELETE,
        Method::PUT,
        Method::HEAD,
        Method::OPTIONS,
    ];
    if KNOWN.contains(method) { method.as_str() } else { "other" }
}
