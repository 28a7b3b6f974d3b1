//! An HTTP client that costs next to nothing: the loads of the tests are made on the machine that they load.

use std::io;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use tokio::net::TcpStream;

/// A client that keeps its connections, as many as it needs at once. It understands what the gateway answers, and
/// nothing more: a body has a Content-Length. A connection that the gateway closed while it was idle is no failure:
/// the request goes over another, as with every client that keeps connections. One that is closed while its request is
/// being worked at is a failure.
#[derive(Clone)]
pub struct Client {
    ports: Arc<Mutex<Vec<u16>>>,
    idle: Arc<Mutex<Vec<TcpStream>>>,
}

/// Within which time a connection that was closed when a request was on its way to it says so.
const CROSSING: Duration = Duration::from_millis(20);

/// An answer.
#[derive(Debug)]
pub struct Heard {
    pub status: u16,
    /// The status line and the headers, in lower case.
    pub head: String,
    pub body: String,
}

/// A request as its bytes: with a bearer token (none if empty), and a body, which is JSON or a form (none if empty).
pub fn request(method: &str, path: &str, token: &str, body: &str) -> Arc<[u8]> {
    let mut text = format!("{method} {path} HTTP/1.1\r\nHost: localhost\r\n");
    if !token.is_empty() {
        text += &format!("Authorization: Bearer {token}\r\n");
    }
    if !body.is_empty() {
        let kind = if body.starts_with('{') { "json" } else { "x-www-form-urlencoded" };
        text += &format!("Content-Type: application/{kind}\r\nContent-Length: {}\r\n", body.len());
    }
    Arc::from((text + "\r\n" + body).into_bytes())
}

impl Client {
    /// A client of the gateways at these ports, each of which is asked only when those before it do not listen.
    pub fn new(ports: &[u16]) -> Self {
        Self { ports: Arc::new(Mutex::new(ports.to_vec())), idle: Arc::default() }
    }

    /// From now on new connections go to these.
    pub fn turn_to(&self, ports: &[u16]) {
        *self.ports.lock().unwrap() = ports.to_vec();
    }

    /// Sends a request and reads its answer.
    pub async fn send(&self, request: &[u8]) -> io::Result<Heard> {
        while let Some(mut stream) = self.idle_connection() {
            let (started, mut read) = (Instant::now(), Vec::new());
            match exchange(&mut stream, request, &mut read).await {
                Err(_) if read.is_empty() && started.elapsed() < CROSSING => {}
                outcome => return self.keep(stream, outcome),
            }
        }
        let mut stream = self.connect().await?;
        let outcome = exchange(&mut stream, request, &mut Vec::new()).await;
        self.keep(stream, outcome)
    }

    /// A connection that was kept and is still open.
    fn idle_connection(&self) -> Option<TcpStream> {
        let mut idle = self.idle.lock().unwrap();
        while let Some(stream) = idle.pop() {
            let would_wait = |error: io::Error| error.kind() == io::ErrorKind::WouldBlock;
            if stream.try_read(&mut [0]).is_err_and(would_wait) {
                return Some(stream);
            }
        }
        None
    }

    async fn connect(&self) -> io::Result<TcpStream> {
        let mut outcome = Err(io::ErrorKind::NotFound.into());
        let ports = self.ports.lock().unwrap().clone();
        for port in ports {
            outcome = TcpStream::connect(("127.0.0.1", port)).await;
            if outcome.is_ok() {
                break;
            }
        }
        let stream = outcome?;
        stream.set_nodelay(true)?;
        Ok(stream)
    }

    fn keep(&self, stream: TcpStream, outcome: io::Result<Heard>) -> io::Result<Heard> {
        if outcome.as_ref().is_ok_and(|heard| heard.header("connection") != "close") {
            self.idle.lock().unwrap().push(stream);
        }
        outcome
    }
}

impl Heard {
    /// A header, or nothing.
    pub fn header(&self, name: &str) -> &str {
        let value = |line: &'_ str| line.strip_prefix(name)?.strip_prefix(": ").map(str::len);
        self.head
            .lines()
            .find_map(|line| value(line).map(|length| &line[line.len() - length..]))
            .unwrap_or_default()
    }
}

/// One request over this connection, and its answer.
pub async fn exchange_on(stream: &mut TcpStream, request: &[u8]) -> io::Result<Heard> {
    exchange(stream, request, &mut Vec::new()).await
}

/// One request and its answer, of which the bytes read so far are in `read`.
async fn exchange(stream: &mut TcpStream, request: &[u8], read: &mut Vec<u8>) -> io::Result<Heard> {
    let mut rest = request;
    while !rest.is_empty() {
        stream.writable().await?;
        match stream.try_write(rest) {
            Ok(length) => rest = &rest[length..],
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
            Err(error) => return Err(error),
        }
    }
    loop {
        if let Some(heard) = parse(read)? {
            return Ok(heard);
        }
        stream.readable().await?;
        match stream.try_read_buf(read) {
            Ok(0) => return Err(io::ErrorKind::UnexpectedEof.into()),
            Ok(_) => {}
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
            Err(error) => return Err(error),
        }
    }
}

/// The answer, once it is there as a whole.
fn parse(read: &[u8]) -> io::Result<Option<Heard>> {
    let text = std::str::from_utf8(read).map_err(io::Error::other)?;
    let Some((head, body)) = text.split_once("\r\n\r\n") else { return Ok(None) };
    let head = head.to_ascii_lowercase();
    let status = head.split(' ').nth(1).and_then(|status| status.parse().ok());
    let status = status.ok_or_else(|| io::Error::other("no status"))?;
    let mut heard = Heard { status, head, body: body.to_owned() };
    let length = heard.header("content-length").parse().unwrap_or(0);
    heard.body.truncate(length);
    Ok((body.len() >= length).then_some(heard))
}
