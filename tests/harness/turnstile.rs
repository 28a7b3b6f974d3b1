//! A turnstile before a server: it lets everybody through and writes down when he came.

use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::JoinHandle;

/// A port that leads to another.
pub struct Turnstile {
    pub port: u16,
    passed: Arc<Mutex<Vec<Instant>>>,
    held: watch::Sender<bool>,
    guard: JoinHandle<()>,
}

impl Turnstile {
    /// Before what listens at this port. Who comes when nothing does is sent away.
    pub async fn before(server: u16) -> Self {
        let listener = TcpListener::bind(("127.0.0.1", 0)).await.expect("loopback has a free port");
        let port = listener.local_addr().expect("is bound").port();
        let passed = Arc::new(Mutex::new(Vec::new()));
        let (held, holding) = watch::channel(false);
        let guard = tokio::spawn(pass_on(listener, server, Arc::clone(&passed), holding));
        Self { port, passed, held, guard }
    }

    /// Whether what the server says is held back. What it is told goes on.
    pub fn hold(&self, held: bool) {
        self.held.send_replace(held);
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

async fn pass_on(
    listener: TcpListener,
    server: u16,
    passed: Arc<Mutex<Vec<Instant>>>,
    held: watch::Receiver<bool>,
) {
    loop {
        let Ok((client, _)) = listener.accept().await else { continue };
        passed.lock().unwrap().push(Instant::now());
        let held = held.clone();
        tokio::spawn(async move {
            let Ok(server) = TcpStream::connect(("127.0.0.1", server)).await else { return };
            let ((from_client, to_client), (from_server, to_server)) =
                (client.into_split(), server.into_split());
            tokio::spawn(copy(from_server, to_client, Some(held)));
            copy(from_client, to_server, None).await;
        });
    }
}

/// Passes on what comes until the end, and the end too.
async fn copy(mut from: OwnedReadHalf, mut to: OwnedWriteHalf, mut held: Option<watch::Receiver<bool>>) {
    let mut buffer = vec![0; 16 * 1024];
    while let Ok(length @ 1..) = from.read(&mut buffer).await {
        if let Some(held) = &mut held {
            // Whoever held it is gone with the turnstile.
            let _ = held.wait_for(|held| !held).await;
        }
        if to.write_all(&buffer[..length]).await.is_err() {
            return;
        }
    }
    let _ = to.shutdown().await;
}

/// The most of these moments within any second.
pub fn most_in_a_second(times: &[Instant]) -> usize {
    let mut times = times.to_vec();
    times.sort_unstable();
    let within =
        |first: Instant| move |time: &&Instant| **time >= first && **time < first + Duration::from_secs(1);
    times.iter().map(|first| times.iter().filter(within(*first)).count()).max().unwrap_or_default()
}
