//! What holds for every request, from the outside in: [`end_of_body`], [`common_headers`], [`last_resort`],
//! [`limits`].

mod unread;

pub use unread::end_of_body;

use std::panic::AssertUnwindSafe;
use std::time::Duration;

use actix_web::body::{BoxBody, MessageBody};
use actix_web::dev::{ServiceRequest, ServiceResponse};
use actix_web::error::InternalError;
use actix_web::http::header::{CONTENT_ENCODING, CONTENT_TYPE, HeaderMap, HeaderName, HeaderValue};
use actix_web::middleware::Next;
use actix_web::{Error, HttpMessage as _, ResponseError as _};
use futures_util::FutureExt as _;
use tracing_actix_web::RequestId;

use crate::failure::Failure;
use crate::identity::REQUEST_TIMEOUT;

/// The longest URL, in bytes.
const MAX_URL_LENGTH: usize = 8 * 1024;
/// When a handler is given up: a little after its last call of identity-service was.
const HANDLER_TIMEOUT: Duration = REQUEST_TIMEOUT.saturating_add(Duration::from_millis(500));

/// Says the id of the request, by which its log lines are found, and forbids guessing the content type. Puts into
/// words of ours what the library for CORS refuses.
///
/// # Errors
/// Those of the request.
pub async fn common_headers<B: MessageBody + 'static>(
    request: ServiceRequest,
    next: Next<B>,
) -> Result<ServiceResponse<BoxBody>, Error> {
    let id = request.extensions().get::<RequestId>().map(ToString::to_string);
    let id = id.map(|id| HeaderValue::from_str(&id).expect("a UUID is ASCII"));
    let add = |headers: &mut HeaderMap| {
        headers
            .insert(HeaderName::from_static("x-content-type-options"), HeaderValue::from_static("nosniff"));
        if let Some(id) = id {
            headers.insert(HeaderName::from_static("x-request-id"), id);
        }
    };
    match next.call(request).await {
        Ok(response) => {
            let mut response = in_words_of_ours(response);
            add(response.headers_mut());
            Ok(response)
        }
        Err(error) => {
            let mut response = error.error_response();
            add(response.headers_mut());
            Err(InternalError::from_response(error, response).into())
        }
    }
}

/// Turns a panic, a handler without end, and the words of a library into answers of ours.
///
/// # Errors
/// For a panic and a handler without end.
pub async fn last_resort<B: MessageBody + 'static>(
    request: ServiceRequest,
    next: Next<B>,
) -> Result<ServiceResponse<BoxBody>, Error> {
    let handled = AssertUnwindSafe(next.call(request)).catch_unwind();
    let response = match tokio::time::timeout(HANDLER_TIMEOUT, handled).await {
        Ok(Ok(result)) => result?,
        Ok(Err(_)) => return Err(Failure::Internal.into()), // the hook of telemetry has logged where
        Err(_) => return Err(Failure::TooLate.into()),
    };
    Ok(in_words_of_ours(response))
}

fn in_words_of_ours<B: MessageBody + 'static>(response: ServiceResponse<B>) -> ServiceResponse<BoxBody> {
    if !is_foreign(&response) {
        return response.map_into_boxed_body();
    }
    let status = response.status();
    response.into_response(Failure::Foreign(status).error_response())
}

/// Whether a failure was put into words by a library: all of ours are JSON.
fn is_foreign<B>(response: &ServiceResponse<B>) -> bool {
    let status = response.status();
    let failed = status.is_client_error() || status.is_server_error();
    let content_type = response.headers().get(CONTENT_TYPE);
    failed && content_type.is_none_or(|value| value != "application/json")
}

/// Refuses what no endpoint would take.
///
/// # Errors
/// Those of the request.
pub async fn limits<B: MessageBody + 'static>(
    request: ServiceRequest,
    next: Next<B>,
) -> Result<ServiceResponse<BoxBody>, Error> {
    match refuse(&request) {
        Some(failure) => Ok(request.error_response(failure)),
        None => next.call(request).await.map(ServiceResponse::map_into_boxed_body),
    }
}

fn refuse(request: &ServiceRequest) -> Option<Failure> {
    let uri = request.uri();
    let target = uri.path_and_query().map_or(0, |target| target.as_str().len());
    // A target may be a whole URL (RFC 9112 section 3.2.2). Whom it names does not matter, only how long it is.
    if target + uri.authority().map_or(0, |host| host.as_str().len()) > MAX_URL_LENGTH {
        return Some(Failure::UrlTooLong);
    }
    // An encoded slash is no separator, and no segment of ours has one.
    if uri.path().to_ascii_lowercase().contains("%2f") {
        return Some(Failure::UnknownPath);
    }
    let mut encodings = request.headers().get_all(CONTENT_ENCODING).map(HeaderValue::as_bytes);
    let encoded = encodings.any(|encoding| !encoding.eq_ignore_ascii_case(b"identity"));
    encoded.then_some(Failure::EncodedBody)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::auth::origin::{Origin, Origins};
    use actix_web::middleware::from_fn;
    use actix_web::{App, HttpResponse, HttpServer, web};
    use std::io::{Read as _, Write as _};
    use std::net::{SocketAddr, TcpListener, TcpStream};
    use tracing_actix_web::TracingLogger;

    async fn panics() -> HttpResponse {
        panic!("as the test wants it")
    }

    const PAGE: &str = "https://app.example";

    fn origin(text: &str) -> Origin {
        Origin::parse(text).unwrap()
    }

    fn server() -> SocketAddr {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let server = HttpServer::new(|| {
            App::new()
                .route("/panics", web::get().to(panics))
                .route(
                    "/foreign",
                    web::get().to(async || HttpResponse::BadRequest().body("Json deserialize error")),
                )
                .route("/fine", web::get().to(HttpResponse::NoContent))
                .wrap(from_fn(limits))
                .wrap(from_fn(last_resort))
                .wrap(Origins::new(origin("https://id.example"), vec![origin(PAGE)]).cors())
                .wrap(from_fn(common_headers))
                .wrap(from_fn(end_of_body))
                .wrap(TracingLogger::<crate::telemetry::RequestSpan>::new())
        });
        let server = server.workers(1).disable_signals().listen(listener).unwrap().run();
        actix_web::rt::spawn(server);
        address
    }

    async fn get(address: SocketAddr, path: &str, more: &str) -> String {
        let request = format!("GET {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n{more}\r\n");
        let asked = std::thread::spawn(move || {
            let mut stream = TcpStream::connect(address).unwrap();
            stream.write_all(request.as_bytes()).unwrap();
            let mut answer = String::new();
            stream.read_to_string(&mut answer).unwrap();
            answer
        });
        while !asked.is_finished() {
            actix_web::rt::time::sleep(Duration::from_millis(5)).await;
        }
        asked.join().unwrap()
    }

    #[actix_web::test]
    async fn a_panic_is_answered_and_the_worker_lives_on() {
        let address = server();
        for _ in 0..3 {
            let more = format!("Origin: {PAGE}\r\nTransfer-Encoding: chunked\r\n");
            let answer = get(address, "/panics", &more).await;
            assert!(answer.starts_with("HTTP/1.1 500 "), "{answer}");
            assert!(answer.contains("x-request-id: "), "{answer}");
            assert!(answer.contains("access-control-allow-origin: https://app.example\r\n"), "{answer}");
            assert!(answer.ends_with(r#"{"detail":"Internal Server Error"}"#), "{answer}");
        }
        assert!(get(address, "/fine", "").await.starts_with("HTTP/1.1 204 "));
    }

    #[actix_web::test]
    async fn the_words_of_a_library_are_replaced() {
        let answer = get(server(), "/foreign", "").await;
        assert!(answer.ends_with(r#"{"detail":"Bad Request"}"#), "{answer}");
    }

    #[actix_web::test]
    async fn what_no_endpoint_takes_is_refused() {
        let address = server();
        let long = format!("/fine?{}", "x".repeat(MAX_URL_LENGTH));
        assert!(get(address, &long, "").await.starts_with("HTTP/1.1 414 "));
        assert!(get(address, "/%2Ffine", "").await.starts_with("HTTP/1.1 404 "));
        assert!(get(address, "/fine", "Content-Encoding: gzip\r\n").await.starts_with("HTTP/1.1 415 "));
        assert!(get(address, "/fine", "Content-Encoding: Identity\r\n").await.starts_with("HTTP/1.1 204 "));
    }
}
