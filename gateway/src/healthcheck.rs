//! Asks a running gateway whether it is ready, or live, for the probes of containers: no curl is needed in the image.

use std::io::{Read as _, Write as _};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, TcpStream};
use std::time::Duration;

use anyhow::{Context as _, ensure};

/// Longer than the second within which the gateway answers.
const TIMEOUT: Duration = Duration::from_secs(3);

/// What is asked of a gateway.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Question {
    /// Whether it answers at all: else it is to be restarted.
    Live,
    /// Whether it could carry out a request now: else it is to get none.
    Ready,
}

/// Asks for `GET /health/live` or `GET /health/ready` and says the answer in one line.
///
/// # Errors
/// If there is no answer in time, or any other than 200.
pub fn run(listen_address: SocketAddr, question: Question) -> anyhow::Result<()> {
    let address = reachable(listen_address);
    let what = match question {
        Question::Live => "live",
        Question::Ready => "ready",
    };
    let line = status_line(address, what).with_context(|| format!("no answer from {address}"))?;
    ensure!(line.starts_with("HTTP/1.1 200 "), "not {what}: {line}");
    println!("{what}");
    Ok(())
}

fn status_line(address: SocketAddr, what: &str) -> std::io::Result<String> {
    let mut stream = TcpStream::connect_timeout(&address, TIMEOUT)?;
    stream.set_read_timeout(Some(TIMEOUT))?;
    stream.set_write_timeout(Some(TIMEOUT))?;
    // In one piece: whoever answers and closes after the first of several would reset the connection.
    let request = format!("GET /health/{what} HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n\r\n");
    stream.write_all(request.as_bytes())?;
    let mut answer = String::new();
    stream.take(4096).read_to_string(&mut answer)?;
    Ok(answer.lines().next().unwrap_or_default().to_owned())
}

/// A server that listens on all addresses is asked on the loopback one.
fn reachable(address: SocketAddr) -> SocketAddr {
    let ip = match address.ip() {
        IpAddr::V4(ip) if ip.is_unspecified() => Ipv4Addr::LOCALHOST.into(),
        IpAddr::V6(ip) if ip.is_unspecified() => Ipv6Addr::LOCALHOST.into(),
        ip => ip,
    };
    SocketAddr::new(ip, address.port())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::TcpListener;

    fn server(answer: &'static str) -> SocketAddr {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        std::thread::spawn(move || {
            let (mut stream, _) = listener.accept().unwrap();
            let mut request = [0; 512];
            let _ = stream.read(&mut request).unwrap();
            stream.write_all(answer.as_bytes()).unwrap();
        });
        address
    }

    #[test]
    fn only_a_200_is_ready() {
        assert!(run(server("HTTP/1.1 200 OK\r\n\r\n{}"), Question::Ready).is_ok());
        let error = run(server("HTTP/1.1 503 Service Unavailable\r\n\r\n{}"), Question::Ready).unwrap_err();
        assert_eq!(error.to_string(), "not ready: HTTP/1.1 503 Service Unavailable");
    }

    #[test]
    fn nobody_there_is_not_ready() {
        let free = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
        assert!(run(free, Question::Live).unwrap_err().to_string().starts_with("no answer from"));
    }

    #[test]
    fn all_addresses_are_asked_on_the_loopback_one() {
        assert_eq!(reachable("0.0.0.0:80".parse().unwrap()), "127.0.0.1:80".parse().unwrap());
        assert_eq!(reachable("[::]:80".parse().unwrap()), "[::1]:80".parse().unwrap());
        assert_eq!(reachable("10.0.0.1:80".parse().unwrap()), "10.0.0.1:80".parse().unwrap());
    }
}
