//! Requests that nobody should send: too large, compressed, in another protocol. They are refused before they cost
//! anything, and nobody else notices.

use std::time::Duration;

use gateway::routes::{Access, ROUTES};

use crate::harness::{PASSWORD, Stack, Vigil, exchange, exchange_all};

/// Within which time a client that sends for ever is cut off.
const LIMIT: Duration = Duration::from_secs(10);
/// The longest body that is read.
const MAX_BODY: usize = 16 * 1024;
/// The longest URL that is read.
const MAX_URL: usize = 8 * 1024;

/// A chunk of a chunked body.
fn chunk(length: usize) -> Vec<u8> {
    format!("{length:x}\r\n{}\r\n", "x".repeat(length)).into_bytes()
}

fn post(path: &str, headers: &str) -> String {
    format!("POST {path} HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n{headers}\r\n")
}

/// Plays all at once, each on a connection of its own: the gateway leaves a client that it cuts off a second to read.
fn play<T: Sync>(cases: &[T], each: impl Fn(&T) + Sync) {
    std::thread::scope(|scope| {
        for case in cases {
            scope.spawn(|| each(case));
        }
    });
}

#[tokio::test]
async fn h07_a_long_body_is_refused_before_more_than_the_cap_and_64_kib_of_it_is_read() {
    let stack = Stack::start().await;
    let (_, token) = stack.user("arthur@camelot.bt").await;
    let more = MAX_BODY + 64 * 1024;
    let bytes = |length: usize| "x".repeat(length);
    let chunks = |length: usize| String::from_utf8(chunk(1024).repeat(length / 1024)).unwrap();
    // Nothing follows any of these, so what waits for more is answered 408, and late.
    let bodies = [
        (format!("Content-Length: {}", MAX_BODY + 1), String::new()),
        (format!("Content-Length: {}", 2 * 1024 * 1024), String::new()),
        (format!("Content-Length: {}", 10_u64 << 30), String::new()),
        (format!("Content-Length: {}", 10_u64 << 30), bytes(more)),
        ("Transfer-Encoding: chunked".to_owned(), chunks(MAX_BODY) + "1\r\nx"),
        ("Transfer-Encoding: chunked".to_owned(), chunks(more)),
        ("Transfer-Encoding: chunked".to_owned(), "ffffffffffffffff\r\n".to_owned() + &bytes(more)),
    ];
    let cases: Vec<_> =
        ROUTES.iter().flat_map(|route| bodies.iter().map(move |body| (route, body))).collect();
    play(&cases, |(route, (headers, body))| {
        let (credential, status) = match (route.method.as_str(), route.path) {
            ("PATCH", _) => (&*format!("Authorization: Bearer {token}\r\n"), 413),
            // These read no body.
            ("POST", "/auth/cookie/logout") => ("", 204),
            ("POST", "/auth/jwt/logout" | "/auth/cookie/refresh") => ("", 401),
            ("GET" | "DELETE", _) if route.access == Access::Public => ("", 200),
            ("GET" | "DELETE", _) => ("", 401),
            _ => ("", 413),
        };
        let head =
            format!("{} {} HTTP/1.1\r\nHost: x\r\n{credential}{headers}\r\n\r\n", route.method, route.path);
        let answer = exchange(stack.gateway.port, head.replace("{id}", "7") + body).only();
        assert_eq!((answer.status, answer.header("connection")), (status, "close"), "{route:?} {headers}");
        if status >= 400 {
            answer.assert_is_ours();
        }
    });
}

#[tokio::test]
async fn h07_the_longest_body_and_the_longest_url_are_read_and_one_byte_more_is_refused() {
    let stack = Stack::start().await;
    let get = |target: &str| format!("GET {target} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n");
    let body = |length: usize| {
        let headers = format!("Content-Length: {length}\r\nConnection: close\r\n");
        post("/auth/register", &headers) + &"x".repeat(length)
    };
    let path = |length: usize| format!("/{}", "x".repeat(length - 1));
    let requests = [
        (body(MAX_BODY), 422),
        (body(MAX_BODY + 1), 413),
        (get(&path(MAX_URL)), 404),
        (get(&path(MAX_URL + 1)), 414),
        (get(&format!("/health/live?{}", path(MAX_URL))), 414),
        (get(&format!("http://{}/health/live", "x".repeat(MAX_URL))), 414),
        (get(&path(60 * 1024)), 414),
    ];
    play(&requests, |(request, status)| {
        let answer = exchange(stack.gateway.port, request).only();
        assert_eq!(answer.status, *status, "{}", &request[..60]);
        answer.assert_is_ours();
    });
    // Above 64 KiB it is no URL to actix-web.
    let answer = exchange(stack.gateway.port, get(&path(70 * 1024))).only();
    assert!(answer.status == 400 && answer.is_early(), "{answer:?}");
}

#[tokio::test]
async fn h07_a_body_without_end_ends_with_its_connection_whether_it_is_read_or_not() {
    let stack = Stack::start().await;
    let vigil = Vigil::begin(&stack).await;
    for (path, status) in [
        ("/auth/register", 413),
        ("/auth/jwt/logout", 401),
        ("/auth/cookie/logout", 204),
        ("/nowhere", 404),
        ("/users/%2f", 404),
        ("/health/live", 405),
    ] {
        let head = post(path, "Transfer-Encoding: chunked\r\n");
        let cut = exchange_all(stack.gateway.port, head, || Some(chunk(1000)));
        let answer = cut.only();
        assert_eq!((answer.status, answer.header("connection")), (status, "close"), "{path}");
        assert!(cut.took < LIMIT, "{path}: {:?}", cut.took);
    }
    vigil.assert_unharmed();
}

#[tokio::test]
async fn h07_a_chunked_body_that_was_read_to_its_end_leaves_the_connection_open() {
    let stack = Stack::start().await;
    let request = post("/auth/register", "Transfer-Encoding: chunked\r\n") + "2\r\n{}\r\n0\r\n\r\n";
    let second = "GET /health/live HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n".as_bytes().to_vec();
    let mut rest = vec![second];
    let answers = exchange_all(stack.gateway.port, &request, move || {
        std::thread::sleep(Duration::from_millis(300));
        rest.pop()
    });
    assert_eq!(answers.statuses(), [422, 200], "{answers:?}");
}

#[tokio::test]
async fn h08_too_many_or_too_long_headers_are_refused_and_a_long_credential_is_none() {
    let stack = Stack::start().await;
    let vigil = Vigil::begin(&stack).await;
    let get =
        |headers: &str| format!("GET /users/me HTTP/1.1\r\nHost: x\r\nConnection: close\r\n{headers}\r\n");
    let many = |count: usize| "X: y\r\n".repeat(count);
    let credential = |length: usize| get(&format!("Authorization: Bearer {}\r\n", "x".repeat(length)));
    let mut longest = get("").trim_end().to_owned() + "\r\nX: ";
    longest.push_str(&"x".repeat(128 * 1024 - longest.len()));
    let cases = [
        (get(&many(94)), 401),
        (get(&many(95)), 431),
        (get(&many(10_000)), 431),
        (longest, 431),
        (get(&format!("{}\r\n", "x".repeat(100 * 1024))), 400),
        (credential(4 * 1024), 401),
        (credential(8 * 1024), 401),
        (credential(100 * 1024), 401),
        (get(&format!("Cookie: fastapiusersauth={}\r\n", "x".repeat(100 * 1024))), 401),
        (get(&format!("Cookie: {}\r\n", "x=y; ".repeat(20 * 1024))), 401),
    ];
    play(&cases, |(request, status)| {
        let answer = exchange(stack.gateway.port, request).only();
        let about = &request[request.len().saturating_sub(60)..];
        assert_eq!((answer.status, answer.header("connection")), (*status, "close"), "{about}");
        if *status == 401 { answer.assert_is_ours() } else { assert!(answer.is_early(), "{answer:?}") }
    });
    // A name above 64 KiB is a panic in actix-web, of this connection alone.
    assert_eq!(exchange(stack.gateway.port, get(&format!("{}: y\r\n", "x".repeat(100 * 1024)))).text, "");
    vigil.assert_unharmed();
}

#[tokio::test]
async fn h18_a_compressed_body_is_refused_unread_whatever_its_coding_is_called() {
    let stack = Stack::start().await;
    let vigil = Vigil::begin(&stack).await;
    let codings = [
        "gzip",
        "GZIP",
        "x-gzip",
        "br",
        "zstd",
        "deflate",
        "compress",
        "x-unknown",
        "",
        "*",
        "gzip, gzip",
        "identity, gzip",
        "gzip, identity",
        "identity, identity",
        "identity;q=1",
        "identity\r\nContent-Encoding: gzip",
    ];
    let cases: Vec<_> = codings
        .iter()
        .flat_map(|coding| [(*coding, "/auth/register"), (*coding, "/auth/jwt/login")])
        .collect();
    // The bomb of 48 KiB that would be 50 MB is only announced, or begun: if its bytes were waited for, this were 408.
    play(&cases, |(coding, path)| {
        for begun in ["", "\x1f\u{8}\0\0\0\0\0\0\u{3}"] {
            let head =
                post(path, &format!("Content-Encoding: {coding}\r\nContent-Length: {}\r\n", 48 * 1024));
            let answer = exchange(stack.gateway.port, head + begun).only();
            assert_eq!((answer.status, answer.header("connection")), (415, "close"), "{coding:?}");
            answer.assert_is_ours();
        }
    });
    for identity in ["identity", "Identity"] {
        let headers = format!("Content-Encoding: {identity}\r\nContent-Length: 2\r\nConnection: close\r\n");
        assert_eq!(exchange(stack.gateway.port, post("/auth/register", &headers) + "{}").only().status, 422);
    }
    vigil.assert_unharmed();
}

#[tokio::test]
async fn h19_no_other_protocol_is_spoken() {
    let stack = Stack::start().await;
    let vigil = Vigil::begin(&stack).await;
    let get = |headers: &str| format!("GET /users/me HTTP/1.1\r\nHost: x\r\n{headers}\r\n");
    let h2c = "Upgrade: h2c\r\nHTTP2-Settings: AAMAAABkAARAAAAAAAIAAAAA\r\n";
    let websocket = "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n";
    let frames = "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0";
    let closing = get("Connection: close\r\n");
    let cases = [
        ("HTTP/2 at once", frames.to_owned(), vec![400]),
        ("HTTP/2 after a request", get("") + frames, vec![401, 400]),
        ("TLS", "\x16\x03\x01\x02\0\x01\0\x01\u{7f}\x03\x03".to_owned() + &"x".repeat(600), vec![400]),
        // An upgrade is ignored: the request is answered, and what follows is the next one.
        ("h2c", get(&format!("Connection: Upgrade, HTTP2-Settings\r\n{h2c}")) + &closing, vec![401, 401]),
        (
            "h2c, then HTTP/2",
            get(&format!("Connection: Upgrade, HTTP2-Settings\r\n{h2c}")) + frames,
            vec![401, 400],
        ),
        ("h2c without Connection", get(h2c) + &closing, vec![401, 401]),
        ("TLS by upgrade", get("Connection: Upgrade\r\nUpgrade: TLS/1.0\r\n") + &closing, vec![401, 401]),
        // What follows an upgrade to WebSocket is nothing.
        (
            "WebSocket",
            get(&format!("Connection: Upgrade\r\nUpgrade: websocket\r\n{websocket}")) + &closing,
            vec![401],
        ),
        (
            "WebSocket without Connection",
            get(&format!("Upgrade: WebSocket\r\n{websocket}")) + &closing,
            vec![401],
        ),
        (
            "WebSocket with a body",
            post("/auth/register", "Connection: Upgrade\r\nUpgrade: websocket\r\nContent-Length: 2\r\n")
                + "{}"
                + &closing,
            vec![408],
        ),
    ];
    play(&cases, |(name, request, statuses)| {
        let exchange = exchange(stack.gateway.port, request);
        assert_eq!(exchange.statuses(), *statuses, "{name}: {exchange:?}");
        assert!(exchange.took < LIMIT, "{name}: {:?}", exchange.took);
        assert!(
            !exchange.answers().iter().any(|answer| answer.head.contains("\r\nupgrade:")),
            "{exchange:?}"
        );
    });
    vigil.assert_unharmed();
}

#[tokio::test]
async fn h18_what_the_gateway_refuses_by_itself_a_page_that_may_call_sees() {
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
    // Half a second, on a machine that has nothing else to do.
    let mut stack = Stack::with(&[("BCRYPT_COST", "13")], &[]).await;
    stack.register("king.arthur@camelot.bt").await;
    let http = stack.http();
    let login = tokio::spawn(async move { http.log_in("king.arthur@camelot.bt", PASSWORD).await });
    tokio::time::sleep(Duration::from_millis(300)).await;
    stack.identity.kill();
    let answer = login.await.unwrap();
    assert!([503, 504].contains(&answer.status), "{answer:?}");
}
