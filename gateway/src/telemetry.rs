//! What is logged: one span and one line a request. Never a password, token, e-mail or address of a client.

use std::panic::PanicHookInfo;
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
    std::panic::set_hook(Box::new(log_panic));
    installed.map_err(|error| anyhow::anyhow!("cannot log: {error}"))
}

/// Logs where a panic began. Not its words: they may quote anything.
fn log_panic(panic: &PanicHookInfo<'_>) {
    tracing::error!(location = panic.location().map(tracing::field::display), "a panic");
}

/// When the gateway began to work on a request.
#[derive(Debug, Clone, Copy)]
pub struct Start(pub Instant);

/// Why a request has no credential that may be good. It goes to the log and nowhere else.
#[derive(Debug, Clone)]
pub struct Refused(pub String);

/// The span around a request, and the event at its end. Neither has the path, which may say anything: the event has
/// the pattern of the route.
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
                let extensions = response.request().extensions();
                let start = extensions.get::<Start>().copied();
                let refused = extensions.get::<Refused>().filter(|_| response.status().as_u16() == 401);
                tracing::info!(
                    route = response.request().match_pattern(),
                    status = response.status().as_u16(),
                    refused = refused.map(|Refused(why)| why),
                    duration_ms = start.map(|start| start.0.elapsed().as_millis() as u64),
                    "request answered"
                );
            }
            Err(error) => {
                let status = error.as_response_error().status_code().as_u16();
                tracing::info!(status, "request given up: its handler panicked or had no end");
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

#[cfg(test)]
mod tests {
    use super::*;
    use std::io;
    use std::sync::{Arc, Mutex};

    #[derive(Clone, Default)]
    struct Log(Arc<Mutex<Vec<u8>>>);

    impl io::Write for Log {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.lock().unwrap().write(bytes)
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn a_panic_is_logged_by_its_place_and_not_by_its_words() {
        let log = Log::default();
        let writer = log.clone();
        let subscriber = tracing_subscriber::fmt().with_writer(move || writer.clone()).finish();
        let before = std::panic::take_hook();
        std::panic::set_hook(Box::new(log_panic));
        let panicked = tracing::subscriber::with_default(subscriber, || {
            std::panic::catch_unwind(|| panic!("{}", "guinevere"))
        });
        std::panic::set_hook(before);
        assert!(panicked.is_err());
        let logged = String::from_utf8(log.0.lock().unwrap().clone()).unwrap();
        assert_eq!(logged.lines().count(), 1, "{logged}");
        assert!(logged.contains("telemetry.rs:") && !logged.contains("guinevere"), "{logged}");
    }
}
