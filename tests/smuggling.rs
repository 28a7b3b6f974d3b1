//! Requests whose end two servers could see in different places. Behind a proxy that sees it elsewhere, the rest of
//! one client's request would be the beginning of another's.

use crate::harness::{RawAnswer, Stack, Vigil, exchange};

/// What stands behind every request. Is it served with one byte less, then as a method that the path does not have.
const SMUGGLED: &str = "GET /users/me HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n";
/// How it is answered.
const SERVED: u16 = 401;
/// A request before all others on a connection that is kept.
const GOOD: &str = "GET /health/live HTTP/1.1\r\nHost: x\r\n\r\n";

/// The answers of the gateway, all of ours or empty, until it closes the connection.
fn play(stack: &Stack, name: &str, request: &str) -> Vec<RawAnswer> {
    // Bytes that are no text are written as the characters with these numbers.
    let bytes: Vec<u8> = request.chars().map(|char| u8::try_from(u32::from(char)).expect("a byte")).collect();
    let answers = exchange(stack.gateway.port, bytes).answers();
    assert!(!answers.is_empty(), "{name}: no answer");
    for answer in &answers {
        if answer.status >= 400 && !answer.is_early() {
            answer.assert_is_ours();
        }
    }
    answers
}

/// Plays each request as the first and as the second of a connection. `statuses`: how it and what follows it must be
/// answered before the connection is closed.
fn assert_answered(stack: &Stack, requests: &[(&str, String)], statuses: &[u16]) {
    for (name, request) in requests {
        for (before, expected) in [("", statuses.to_vec()), (GOOD, [&[200], statuses].concat())] {
            let answers = play(stack, name, &format!("{before}{request}{SMUGGLED}"));
            let answered: Vec<_> = answers.iter().map(|answer| answer.status).collect();
            assert_eq!(answered, expected, "{name}: {answers:?}");
        }
    }
}

/// A registration with these headers, and what follows them.
fn post(headers: &str, body: &str) -> String {
    format!(
        "POST /auth/register HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n{headers}\r\n\r\n{body}"
    )
}

fn chunked(body: &str) -> String {
    post("Transfer-Encoding: chunked", body)
}

#[tokio::test]
async fn h09_a_body_whose_length_is_in_doubt_is_refused_and_the_connection_closed() {
    let stack = Stack::start().await;
    let vigil = Vigil::begin(&stack).await;
    let last_chunk = "0\r\n\r\n";
    let length = |headers: &str| post(headers, "{}");
    let coding = |headers: &str| post(headers, last_chunk);
    let requests = [
        ("CL + TE", coding("Content-Length: 5\r\nTransfer-Encoding: chunked")),
        ("TE + CL", coding("Transfer-Encoding: chunked\r\nContent-Length: 5")),
        ("two CL, different", length("Content-Length: 2\r\nContent-Length: 0")),
        ("two CL, the same", length("Content-Length: 2\r\nContent-Length: 2")),
        ("a list of CL", length("Content-Length: 2, 2")),
        ("CL with +", length("Content-Length: +2")),
        ("CL with -", length("Content-Length: -2")),
        ("CL in hexadecimal", length("Content-Length: 0x2")),
        ("CL with a fraction", length("Content-Length: 2.0")),
        ("CL in two words", length("Content-Length: 2 0")),
        ("CL without a value", length("Content-Length:")),
        ("CL above 64 bits", length("Content-Length: 18446744073709551618")),
        ("CL behind a vertical tab", length("Content-Length:\x0b2")),
        ("CL with a space before the colon", length("Content-Length : 2")),
        ("CL in a folded line", length("Content-Length:\r\n 2")),
        ("TE twice", coding("Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked")),
        ("TE twice, one the identity", coding("Transfer-Encoding: identity\r\nTransfer-Encoding: chunked")),
        ("TE identity", coding("Transfer-Encoding: identity")),
        ("TE identity + CL", length("Transfer-Encoding: identity\r\nContent-Length: 2")),
        ("TE xchunked", coding("Transfer-Encoding: xchunked")),
        ("TE chunked, identity", coding("Transfer-Encoding: chunked, identity")),
        ("TE gzip, chunked", coding("Transfer-Encoding: gzip, chunked")),
        ("TE in quotes", coding("Transfer-Encoding: \"chunked\"")),
        ("TE with a parameter", coding("Transfer-Encoding: chunked;q=1")),
        ("TE without a value", coding("Transfer-Encoding:")),
        ("TE behind a vertical tab", coding("Transfer-Encoding:\x0bchunked")),
        ("TE before a no-break space", coding("Transfer-Encoding: chunked\u{a0}")),
        ("TE with a space before the colon", coding("Transfer-Encoding : chunked")),
        ("TE in a folded line", coding("Transfer-Encoding:\r\n chunked")),
        ("TE behind a bare CR", coding("X: y\rTransfer-Encoding: chunked")),
        ("TE with a NUL", coding("Transfer-Encoding: chunked\0")),
        ("HTTP/1.0 with TE", coding("Transfer-Encoding: chunked").replace("HTTP/1.1", "HTTP/1.0")),
        ("HTTP/1.0 without CL", length("X: y").replace("HTTP/1.1", "HTTP/1.0")),
        ("chunk size above 64 bits", chunked("10000000000000002\r\n{}\r\n0\r\n\r\n")),
        ("chunk size with 0x", chunked("0x2\r\n{}\r\n0\r\n\r\n")),
        ("chunk size with +", chunked("+2\r\n{}\r\n0\r\n\r\n")),
        ("chunk size with -", chunked("-2\r\n{}\r\n0\r\n\r\n")),
        ("no chunk size", chunked("\r\n{}\r\n0\r\n\r\n")),
        ("chunk size behind a space", chunked(" 2\r\n{}\r\n0\r\n\r\n")),
        ("chunk size before a bare LF", chunked("2\n{}\r\n0\r\n\r\n")),
        ("chunk extension before a bare LF", chunked("2;x=y\n{}\r\n0\r\n\r\n")),
        ("chunk extension with a bare CR", chunked("2;x\ry\r\n{}\r\n0\r\n\r\n")),
        ("chunk longer than its size", chunked("1\r\n{}\r\n0\r\n\r\n")),
        ("chunk without CR LF behind it", chunked("2\r\n{}XX0\r\n\r\n")),
    ];
    assert_answered(&stack, &requests, &[400]);
    assert_eq!(stack.database.number("SELECT count(*) FROM users").await, 1, "the honest client alone");
    vigil.assert_unharmed();
}

#[tokio::test]
async fn h09_a_head_that_is_no_head_is_refused_and_the_connection_closed() {
    let stack = Stack::start().await;
    let vigil = Vigil::begin(&stack).await;
    let head = |line: &str, headers: &str| format!("{line}\r\n{headers}\r\n\r\n");
    let get = |headers: &str| head("GET /health/live HTTP/1.1", headers);
    let line = |line: &str| head(line, "Host: x");
    let requests = [
        ("two hosts", get("Host: x\r\nHost: y")),
        ("one host twice", get("Host: x\r\nHost: x")),
        ("no host", get("X: y")),
        ("a NUL in a value", get("Host: x\r\nX: y\0z")),
        ("a NUL in a name", get("Host: x\r\nX\0: y")),
        ("a NUL in the path", line("GET /health/live\0 HTTP/1.1")),
        ("a folded line", get("Host: x\r\nX: y\r\n z")),
        ("a space before the first header", get(" Host: x")),
        ("a space before a colon", get("Host : x")),
        ("a bare CR", get("Host: x\r\nX: y\rz")),
        ("a header without a name", get("Host: x\r\n: y")),
        ("a header without a colon", get("Host: x\r\nXY")),
        ("a space in the path", line("GET /health/live x HTTP/1.1")),
        ("a byte above ASCII in the path", line("GET /health/live\u{ff} HTTP/1.1")),
        ("two spaces", line("GET  /health/live HTTP/1.1")),
        ("tabs", line("GET\t/health/live\tHTTP/1.1")),
        ("a space before all", line(" GET /health/live HTTP/1.1")),
        ("a target that is neither path nor URL", line("GET @evil/health/live HTTP/1.1")),
        ("no target", line("GET HTTP/1.1")),
        ("no version", line("GET /health/live")),
        ("another version", line("GET /health/live HTTP/1.2")),
        ("a version in lower case", line("GET /health/live http/1.1")),
    ];
    assert_answered(&stack, &requests, &[400]);
    vigil.assert_unharmed();
}

#[tokio::test]
async fn h09_what_is_accepted_is_one_request_with_the_end_that_the_standard_says() {
    let stack = Stack::start().await;
    let vigil = Vigil::begin(&stack).await;
    let unprocessable = [
        ("CL", post("Content-Length: 2", "{}")),
        ("CL with a leading zero", post("Content-Length: 02", "{}")),
        ("CL behind a tab", post("Content-Length:\t2", "{}")),
        ("CL in HTTP/1.0", post("Content-Length: 2\r\nConnection: keep-alive", "{}").replace("1.1", "1.0")),
        ("chunked in any case", post("Transfer-Encoding: ChUnKeD", "2\r\n{}\r\n0\r\n\r\n")),
        ("chunk size before a space", chunked("2 \r\n{}\r\n0\r\n\r\n")),
        ("chunk extension", chunked("2;x=y\r\n{}\r\n0;x=\"y\"\r\n\r\n")),
        ("a trailer that is not a header", chunked("2\r\n{}\r\n0\r\nContent-Length: 99\r\n\r\n")),
        // Bare LFs do not end a trailer: what stands behind it is trailer still.
        ("a trailer with bare LFs", chunked(&format!("2\r\n{{}}\r\n0\r\nX: y\n\n{GOOD}"))),
        // For the ingress: a bare LF ends a line of the head (RFC 9112 section 2.2 allows it).
        ("lines that end with bare LFs", post("Content-Length: 2", "{}").replace("\r\n", "\n")),
    ];
    assert_answered(&stack, &unprocessable, &[422, SERVED]);
    let get = |target: &str| format!("GET {target} HTTP/1.1\r\nHost: x\r\n\r\n");
    let live = [
        ("a URL of anybody", get("http://evil.example/health/live")),
        ("a URL of another kind", get("ftp://evil.example/health/live")),
        ("an empty host", get("/health/live").replace("Host: x", "Host:")),
        ("CR LF before all", format!("\r\n\r\n{}", get("/health/live"))),
    ];
    assert_answered(&stack, &live, &[200, SERVED]);
    let unauthorized = [
        ("a URL with a user", get("http://a:b@evil.example/users/me")),
        ("CR LF in an id", get("/users/%0d%0aX:%20y")),
    ];
    assert_answered(&stack, &unauthorized, &[401, SERVED]);
    let nowhere = [
        ("CR LF in the path", get("/health/live%0d%0aHost:%20y%0d%0a%0d%0aGET%20/")),
        ("an encoded version in the path", get("/health/live%20HTTP/1.1")),
        ("a host as a target", get("evil.example:80")),
        ("a star", get("*")),
    ];
    assert_answered(&stack, &nowhere, &[404, SERVED]);
    vigil.assert_unharmed();
}

#[tokio::test]
async fn h09_what_nobody_reads_is_never_a_request() {
    let stack = Stack::start().await;
    let vigil = Vigil::begin(&stack).await;
    // Each declares all that follows as its body, and is answered before it is there.
    for (request, status) in [
        (
            format!("GET /health/live HTTP/1.1\r\nHost: x\r\nContent-Length: {}\r\n\r\n", SMUGGLED.len() + 9),
            200,
        ),
        (
            "POST /health/live HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\nfff\r\n".to_owned(),
            405,
        ),
        // A bare LF hides the length from who does not take it for the end of a line.
        ("GET /health/live HTTP/1.1\r\nHost: x\r\nX: y\nContent-Length: 999\r\n\r\n".to_owned(), 200),
        ("CONNECT /users/me HTTP/1.1\r\nHost: x\r\n\r\n".to_owned(), 405),
    ] {
        let answers = play(&stack, &request, &format!("{request}{SMUGGLED}"));
        assert_eq!((answers.len(), answers[0].status), (1, status), "{request}: {answers:?}");
        assert_eq!(answers[0].header("connection"), "close", "{request}");
    }
    vigil.assert_unharmed();
}
