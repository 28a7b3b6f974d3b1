//! Clients that take their time, or do not wait for an answer: each is cut off or kept in bounds, and nobody else
//! notices.

use std::io::{ErrorKind, Read as _, Write as _};
use std::time::{Duration, Instant};

use crate::harness::{RawAnswer, Stack, Vigil, connect, exchange, exchange_all, rounds};

/// Within which time a client that is too slow is cut off.
const LIMIT: Duration = Duration::from_secs(10);

/// A client that sends this and then, if there is a `drop`, this again and again until it is cut off.
struct Slow {
    name: &'static str,
    head: String,
    drop: &'static str,
    every: Duration,
    status: u16,
}

fn slow_clients(token: &str) -> Vec<Slow> {
    let client = |name, head: String, drop, millis, status| Slow {
        name,
        head,
        drop,
        every: Duration::from_millis(millis),
        status,
    };
    let head = |line: &str, headers: &str| {
        format!("{line} HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n{headers}\r\n")
    };
    let register = |headers: &str| head("POST /auth/register", headers);
    let chunked = register("Transfer-Encoding: chunked\r\n");
    let long = "Content-Length: 1000\r\n";
    vec![
        client("half a head", "GET /users/me HTTP/1.1\r\nHost: x\r\nX".into(), "", 0, 408),
        client("a head that drips", "GET /users/me HTTP/1.1\r\nHost: x\r\nX".into(), "x", 300, 408),
        client(
            "a head that drips lines",
            "GET /users/me HTTP/1.1\r\nHost: x\r\n".into(),
            "X: y\r\n",
            1000,
            408,
        ),
        client("empty lines that drip", String::new(), "\r\n", 300, 408),
        client("half a body", register(long) + "{", "", 0, 408),
        client("a body that drips", register(long), " ", 1000, 408),
        client("a form that drips", head("POST /auth/jwt/login", long), "x", 1000, 408),
        client(
            "a body that drips, with a credential",
            head("PATCH /users/me", &format!("Authorization: Bearer {token}\r\n{long}")),
            " ",
            1000,
            408,
        ),
        client("no first chunk", chunked.clone(), "", 0, 408),
        client("chunks that drip", chunked.clone(), "1\r\n \r\n", 1000, 408),
        client("a chunk that drips", chunked.clone() + "ff\r\n", " ", 1000, 408),
        client("a chunk's size that drips", chunked.clone(), "0", 1000, 408),
        client("a chunk's extension that drips", chunked.clone() + "1;", "x", 300, 408),
        client("a chunk's extension that pours", chunked.clone() + "1;", "xxxxxxxxxxxxxxxxxxxxxxxx", 1, 408),
        client("a trailer that drips", chunked + "2\r\n{}\r\n0\r\n", "x", 300, 408),
        client("a body that drips and that nobody reads", head("POST /nowhere", long), " ", 300, 404),
    ]
}

/// Asks for more than it reads, and reads nothing for [`LIMIT`]: whether it is cut off until then.
fn read_nothing(port: u16) -> bool {
    let mut stream = connect(port);
    let body = format!("{{\"email\":\"{}\"}}", "x".repeat(15_000));
    let request = format!(
        "POST /auth/register HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: {}\r\n\r\n{body}",
        body.len()
    );
    stream.set_write_timeout(Some(Duration::from_millis(500))).unwrap();
    let blocked =
        std::iter::repeat_with(|| stream.write_all(request.as_bytes())).find_map(Result::err).unwrap();
    assert_eq!(blocked.kind(), ErrorKind::WouldBlock, "{blocked}");
    std::thread::sleep(LIMIT);
    let mut buffer = [0; 64 * 1024];
    loop {
        match stream.read(&mut buffer) {
            Ok(0) => return false,
            Ok(_) => {} // what was on its way
            Err(error) => return error.kind() == ErrorKind::ConnectionReset,
        }
    }
}

#[tokio::test]
async fn h10_whoever_is_slow_is_cut_off_within_ten_seconds() {
    let stack = Stack::start().await;
    let (_, token) = stack.user("arthur@camelot.bt").await;
    let vigil = Vigil::begin(&stack).await;
    let port = stack.gateway.port;
    let many = rounds(200, 2000);
    let silent: Vec<_> = (0..many).map(|_| (Instant::now(), connect(port))).collect();
    std::thread::scope(|scope| {
        for Slow { name, head, drop, every, status } in slow_clients(&token) {
            let more = move || {
                std::thread::sleep(every);
                (!drop.is_empty()).then(|| drop.as_bytes().to_vec())
            };
            scope.spawn(move || {
                let cut = exchange_all(port, head, more);
                let answer = cut.only();
                assert_eq!(
                    (answer.status, answer.header("connection")),
                    (status, "close"),
                    "{name}: {cut:?}"
                );
                if !answer.is_early() {
                    answer.assert_is_ours();
                }
                assert!(cut.took < LIMIT, "{name}: {:?}", cut.took);
            });
        }
        let reader = scope.spawn(|| read_nothing(port));
        for (opened, mut stream) in silent {
            let mut text = String::new();
            stream.read_to_string(&mut text).expect("is closed in time");
            assert!(text.starts_with("HTTP/1.1 408 "), "{text}");
            assert!(opened.elapsed() < LIMIT, "{:?}", opened.elapsed());
        }
        assert!(reader.join().unwrap(), "who reads nothing is not cut off");
    });
    vigil.assert_unharmed_after(many);
}

/// A request that can be told from all others by its answer, and whether this is its answer.
struct Pipelined {
    request: String,
    is_answered_by: Box<dyn Fn(&RawAnswer) -> bool>,
}

/// The request with this number, of a kind drawn at random. Half of the kinds are errors.
fn draw(number: usize, id: &str, token: &str) -> Pipelined {
    let head = |line: &str, headers: &str| format!("{line} HTTP/1.1\r\nHost: x\r\n{headers}\r\n");
    let credential = format!("Authorization: Bearer {token}\r\n");
    let status = |status: u16, request: String| {
        let is_answered_by = Box::new(move |answer: &RawAnswer| answer.status == status);
        Pipelined { request, is_answered_by }
    };
    match uuid::Uuid::new_v4().as_u128() % 10 {
        0 => status(404, head(&format!("GET /nowhere/{number}"), "")),
        1 => status(401, head("GET /users/me", "Authorization: Bearer x.y.z\r\n")),
        2 => status(405, head("PUT /users/me", &credential)),
        3 => status(403, head(&format!("GET /users/{id}"), &credential)),
        4 => {
            let body = format!("{}x", " ".repeat(number)); // the answer says where it stops being JSON
            let headers = format!("Content-Type: application/json\r\nContent-Length: {}\r\n", body.len());
            Pipelined {
                request: head("POST /auth/register", &headers) + &body,
                is_answered_by: Box::new(move |answer| {
                    answer.status == 422 && answer.body.contains(&format!("[\"body\",{number}]"))
                }),
            }
        }
        5 | 6 => status(200, head("GET /health/live", "")),
        7 => status(200, head("GET /.well-known/jwks.json", "")),
        _ => {
            let id = id.to_owned();
            Pipelined {
                request: head("GET /users/me", &credential),
                is_answered_by: Box::new(move |answer| answer.status == 200 && answer.body.contains(&id)),
            }
        }
    }
}

#[tokio::test]
async fn h11_a_thousand_pipelined_requests_are_answered_in_their_order_and_nobody_gets_anothers() {
    let stack = Stack::start().await;
    let users = [stack.user("arthur@camelot.bt").await, stack.user("mordred@camelot.bt").await];
    let vigil = Vigil::begin(&stack).await;
    let port = stack.gateway.port;
    // Two users at once, and none of them reads before all is sent.
    std::thread::scope(|scope| {
        for (id, token) in &users {
            scope.spawn(move || {
                let sent: Vec<_> = (0..1000).map(|number| draw(number, id, token)).collect();
                let all: String = sent.iter().map(|pipelined| pipelined.request.as_str()).collect();
                let last = "GET /health/live HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n";
                let answers = exchange(port, all + last).answers();
                assert_eq!(answers.len(), 1001);
                for (pipelined, answer) in sent.iter().zip(&answers) {
                    assert!((pipelined.is_answered_by)(answer), "{}: {answer:?}", pipelined.request);
                }
                let ids: std::collections::HashSet<_> =
                    answers.iter().map(|answer| answer.header("x-request-id")).collect();
                assert_eq!(ids.len(), 1001, "two answers have the id of one request");
            });
        }
    });
    vigil.assert_unharmed();
}
