//! Clients that do what no client should: they are refused or cut off in time, and nobody else notices.

use std::time::Duration;

use crate::harness::{Exchange, PASSWORD, Stack, Vigil, exchange, exchange_all};

/// Within which time a client that sends slowly, or for ever, is cut off.
const LIMIT: Duration = Duration::from_secs(10);
/// The longest body that is read.
const MAX_BODY: usize = 16 * 1024;

/// A chunk of a chunked body.
fn chunk(length: usize) -> Vec<u8> {
    format!("{length:x}\r\n{}\r\n", "x".repeat(length)).into_bytes()
}

fn post(path: &str, headers: &str) -> String {
    format!("POST {path} HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n{headers}\r\n")
}

fn is_closed_after(Exchange { text, took }: &Exchange, status: &str) {
    assert!(text.starts_with(&format!("HTTP/1.1 {status} ")), "{text}");
    assert!(text.to_ascii_lowercase().contains("\r\nconnection: close\r\n"), "{text}");
    assert!(*took < LIMIT, "{took:?}");
}

/// Whether the gateway goes on serving others.
async fn others_are_served(stack: &Stack) {
    assert_eq!(stack.http().bare("GET", "/health/ready", "").await.status, 200);
}

#[tokio::test]
async fn a_body_that_stalls_is_given_up() {
    let stack = Stack::start().await;
    let answer = exchange(stack.gateway.port, post("/auth/register", "Content-Length: 100\r\n") + "{");
    is_closed_after(&answer, "408");
    assert!(answer.text.ends_with(r#"{"detail":"Request Timeout"}"#), "{}", answer.text);
    others_are_served(&stack).await;
}

#[tokio::test]
async fn a_head_that_drips_is_cut_off() {
    let stack = Stack::start().await;
    let drip = || {
        std::thread::sleep(Duration::from_millis(300));
        Some(b"X".to_vec())
    };
    let Exchange { took, .. } =
        exchange_all(stack.gateway.port, "GET /users/me HTTP/1.1\r\nHost: x\r\nX", drip);
    assert!(took < LIMIT, "{took:?}");
    others_are_served(&stack).await;
}

#[tokio::test]
async fn a_body_of_one_byte_more_than_is_read_is_refused() {
    let stack = Stack::start().await;
    let body = format!("{{\"email\":\"{}\"}}", "x".repeat(MAX_BODY));
    let longest = "x".repeat(MAX_BODY);
    let declared =
        |length: usize| post("/auth/register", &format!("Content-Length: {length}\r\nConnection: close\r\n"));
    let Exchange { text: allowed, .. } = exchange(stack.gateway.port, declared(MAX_BODY) + &longest);
    assert!(allowed.starts_with("HTTP/1.1 422 "), "{allowed}");
    is_closed_after(&exchange(stack.gateway.port, &(declared(MAX_BODY + 1) + &body[..=MAX_BODY])), "413");
    let chunked = post("/auth/register", "Transfer-Encoding: chunked\r\nConnection: close\r\n");
    let mut rest = vec![b"0\r\n\r\n".to_vec(), chunk(MAX_BODY + 1)];
    is_closed_after(&exchange_all(stack.gateway.port, &chunked, move || rest.pop()), "413");
}

#[tokio::test]
async fn a_body_without_end_ends_with_its_connection_whether_it_is_read_or_not() {
    let stack = Stack::start().await;
    let vigil = Vigil::begin(&stack).await;
    for (path, status) in [
        ("/auth/register", "413"),
        ("/auth/jwt/logout", "401"),
        ("/auth/cookie/logout", "204"),
        ("/nowhere", "404"),
        ("/users/%2f", "404"),
        ("/health/live", "405"),
    ] {
        let answer = exchange_all(stack.gateway.port, post(path, "Transfer-Encoding: chunked\r\n"), || {
            Some(chunk(1000))
        });
        is_closed_after(&answer, status);
    }
    vigil.assert_unharmed();
}

#[tokio::test]
async fn a_chunked_body_that_was_read_to_its_end_leaves_the_connection_open() {
    let stack = Stack::start().await;
    let request = post("/auth/register", "Transfer-Encoding: chunked\r\n") + "2\r\n{}\r\n0\r\n\r\n";
    let second = "GET /health/live HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n".as_bytes().to_vec();
    let mut rest = vec![second];
    let Exchange { text: answers, .. } = exchange_all(stack.gateway.port, &request, move || {
        std::thread::sleep(Duration::from_millis(300));
        rest.pop()
    });
    assert!(answers.starts_with("HTTP/1.1 422 ") && answers.contains("HTTP/1.1 200 "), "{answers}");
}

#[tokio::test]
async fn http2_is_not_spoken() {
    let stack = Stack::start().await;
    let Exchange { text: answer, took } =
        exchange(stack.gateway.port, "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0");
    assert!(answer.is_empty() || answer.starts_with("HTTP/1.1 400 "), "{answer:?}");
    assert!(took < LIMIT, "{took:?}");
    others_are_served(&stack).await;
}

#[tokio::test]
async fn a_compressed_body_is_refused_unread_and_a_page_that_may_call_sees_that() {
    let page = "https://app.example";
    let stack = Stack::with(&[], &[("CORS_ALLOWED_ORIGINS", page)]).await;
    let http = stack.http();
    let compressed = http.request("POST", "/auth/register").header("content-encoding", "gzip").body("x");
    let long = format!("/health/live?{}", "x".repeat(9000));
    for (request, status) in
        [(compressed, 415), (http.request("GET", "/users/%2f"), 404), (http.request("GET", &long), 414)]
    {
        let answer = http.send(request.header("origin", page)).await;
        assert_eq!(
            (answer.status, answer.header("access-control-allow-origin")),
            (status, page),
            "{answer:?}"
        );
    }
    let preflight = http.request("OPTIONS", "/users/me").header("access-control-request-method", "GET");
    let refused = http.send(preflight.header("origin", "https://evil.example")).await;
    assert_eq!(refused.short(), r#"400 {"detail":"Bad Request"}"#);
}

#[tokio::test]
async fn a_login_under_way_when_identity_service_dies_is_not_called_a_fault() {
    let mut stack = Stack::with(&[("BCRYPT_COST", "14")], &[]).await;
    stack.register("king.arthur@camelot.bt").await;
    let http = stack.http();
    let login = tokio::spawn(async move { http.log_in("king.arthur@camelot.bt", PASSWORD).await });
    tokio::time::sleep(Duration::from_millis(300)).await;
    stack.identity.kill();
    let answer = login.await.unwrap();
    assert!([503, 504].contains(&answer.status), "{answer:?}");
}
