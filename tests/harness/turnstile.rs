//! A turnstile before a server: it lets everybody through and writes down when he came.

use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;

/// A port that leads to another.
pub struct Turnstile {
    pub port: u16,
    passed: Arc<Mutex<Vec<Instant>>>,
    guard: JoinHandle<()>,
}

impl Turnstile {
    /// Before what listens at this port. Who comes when nothing does is sent away.
    pub async fn before(server: u16) -> Self {
        let listener = TcpListener::bind(("127.0.0.1", 0)).await.expect("loopback has a free port");
        let port = listener.local_addr().expect("is bound").port();
        let passed = Arc::new(Mutex::new(Vec::new()));
        let guard = tokio::spawn(pass_on(listener, server, Arc::clone(&passed)));
        Self { port, passed, guard }
    }

    /// When somebody came, since `start`.
    pub fn passed_since(&self, start: Instant) -> Vec<Instant> {
        self.passed.lock().unwrap().iter().copied().filter(|time| *time >= start).collect()
    }
}

impl Drop for Turnstile {
    fn drop(&mut self) {
        self.guard.abort();
    }
}

async fn pass_on(listener: TcpListener, server: u16, passed: Arc<Mutex<Vec<Instant>>>) {
    loop {
        let Ok((mut client, _)) = listener.accept().await else { continue };
        passed.lock().unwrap().push(Instant::now());
        tokio::spawn(async move {
            let Ok(mut server) = TcpStream::connect(("127.0.0.1", server)).await else { return };
            let _ = tokio::io::copy_bidirectional(&mut client, &mut server).await;
        });
    }
}

/// The most of these moments within any second.
pub fn most_in_a_second(times: &[Instant]) -> usize {
    let mut times = times.to_vec();
    times.sort_unstable();
    let within =
        |first: Instant| move |time: &&Instant| **time >= first && **time < first + Duration::from_secs(1);
    times.iter().map(|first| times.iter().filter(within(*first)).count()).max().unwrap_or_default()
}
