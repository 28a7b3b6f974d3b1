//! A client that sends whatever bytes it likes.

use std::io::{ErrorKind, Read as _, Write as _};
use std::net::TcpStream;
use std::time::{Duration, Instant};

use serde_json::Value;

use super::refusal::is_legal;

/// How long a connection may stay silent, and a client may go on sending, until the test gives up.
const PATIENCE: Duration = Duration::from_secs(20);

/// With these actix-web refuses by itself what is no request yet, or no body of one: a head or a chunk that is none, a
/// head that does not come, one that is too long. Such an answer is empty: no words of ours, nor of a library.
const EARLY: [u16; 3] = [400, 408, 431];

/// What came back until the connection was closed.
#[derive(Debug)]
pub struct Exchange {
    /// All bytes of all answers, as text.
    pub text: String,
    /// When the connection was closed.
    pub took: Duration,
}

/// One answer of an exchange.
#[derive(Debug)]
pub struct RawAnswer {
    pub status: u16,
    /// The status line and the headers, in lower case.
    pub head: String,
    pub body: String,
}

impl Exchange {
    /// The answers, each with as much body as it declares. An answer to HEAD may only be the last.
    pub fn answers(&self) -> Vec<RawAnswer> {
        let mut answers = Vec::new();
        let mut rest = self.text.as_str();
        while !rest.is_empty() {
            let (head, body) = rest.split_once("\r\n\r\n").unwrap_or_else(|| panic!("half a head: {rest:?}"));
            let head = head.to_ascii_lowercase();
            let status = head.split(' ').nth(1).and_then(|status| status.parse().ok());
            let declared = head.split("\r\n").find_map(|line| line.strip_prefix("content-length: "));
            let length = declared.map_or(0, |length| length.parse().expect("is a number")).min(body.len());
            answers.push(RawAnswer {
                status: status.unwrap_or_else(|| panic!("no status: {rest:?}")),
                head,
                body: body[..length].to_owned(),
            });
            rest = &body[length..];
        }
        answers
    }

    /// Their statuses.
    pub fn statuses(&self) -> Vec<u16> {
        self.answers().iter().map(|answer| answer.status).collect()
    }

    /// The only answer.
    pub fn only(&self) -> RawAnswer {
        let mut answers = self.answers();
        assert_eq!(answers.len(), 1, "{self:?}");
        answers.remove(0)
    }
}

impl RawAnswer {
    /// A header, or nothing.
    pub fn header(&self, name: &str) -> &str {
        self.head
            .split("\r\n")
            .find_map(|line| line.strip_prefix(name)?.strip_prefix(": "))
            .unwrap_or_default()
    }

    /// Whether actix-web has refused this by itself, before it was a request.
    pub fn is_early(&self) -> bool {
        EARLY.contains(&self.status) && self.body.is_empty() && self.header("x-request-id").is_empty()
    }

    /// Fails unless the answer is a refusal in words of ours.
    pub fn assert_is_ours(&self) {
        let body: Value =
            serde_json::from_str(&self.body).unwrap_or_else(|error| panic!("{error}: {self:?}"));
        assert!(body.as_object().is_some_and(|body| body.keys().eq(["detail"])), "{self:?}");
        assert!(is_legal(self.status, &body["detail"]), "{self:?}");
        assert_eq!(self.header("content-type"), "application/json", "{self:?}");
        assert!(self.header("x-request-id").len() == 36, "{self:?}");
    }
}

/// A connection to whatever listens at this port, which fails when nothing happens for a while.
pub fn connect(port: u16) -> TcpStream {
    let stream = TcpStream::connect(("127.0.0.1", port)).expect("something listens");
    stream.set_read_timeout(Some(PATIENCE)).expect("is legal");
    stream.set_write_timeout(Some(PATIENCE)).expect("is legal");
    stream
}

/// Sends bytes and reads until the other side closes the connection; that it never does fails the test.
pub fn exchange(port: u16, bytes: impl AsRef<[u8]>) -> Exchange {
    exchange_all(port, bytes, || None)
}

/// Sends `head`, then what `more` gives until the connection is closed or there is no more.
pub fn exchange_all(
    port: u16,
    head: impl AsRef<[u8]>,
    mut more: impl FnMut() -> Option<Vec<u8>> + Send + 'static,
) -> Exchange {
    let started = Instant::now();
    let mut stream = connect(port);
    stream.write_all(head.as_ref()).expect("is sent");
    let mut writing = stream.try_clone().expect("is one connection");
    let writer = std::thread::spawn(move || {
        while let Some(bytes) = more() {
            if writing.write_all(&bytes).is_err() || started.elapsed() > PATIENCE {
                break;
            }
        }
    });
    let mut answer = Vec::new();
    let mut buffer = [0; 4096];
    loop {
        match stream.read(&mut buffer) {
            Ok(0) => break,
            Ok(length) => answer.extend_from_slice(&buffer[..length]),
            Err(error) => {
                let is_open = [ErrorKind::WouldBlock, ErrorKind::TimedOut].contains(&error.kind());
                let text = String::from_utf8_lossy(&answer);
                assert!(!is_open, "the connection is still open after {PATIENCE:?}: {text}");
                break;
            }
        }
    }
    let took = started.elapsed();
    drop(stream);
    writer.join().expect("the writer ends");
    Exchange { text: String::from_utf8_lossy(&answer).into_owned(), took }
}
