//! A client that sends whatever bytes it likes.

use std::io::{ErrorKind, Read as _, Write as _};
use std::net::TcpStream;
use std::time::{Duration, Instant};

/// How long a connection may stay silent, and a client may go on sending, until the test gives up.
const PATIENCE: Duration = Duration::from_secs(20);

/// What came back until the connection was closed.
#[derive(Debug)]
pub struct Exchange {
    /// All bytes of all answers, as text.
    pub text: String,
    /// When the connection was closed.
    pub took: Duration,
}

/// A connection to whatever listens at this port.
fn connect(port: u16) -> TcpStream {
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
