//! Clients that keep a connection for as long as the gateway does, and forgive nothing: a connection that is refused, reset
//! or closed under a request is a failure, also when it had been idle.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use tokio::net::TcpStream;
use tokio::task::JoinSet;
use tokio::time::{sleep, timeout};

use super::rotation::Rotation;
use crate::harness::{Heard, exchange_on};

/// How long an answer may take.
const PATIENCE: Duration = Duration::from_secs(10);

/// Clients at work.
pub struct Visitors {
    tasks: JoinSet<Vec<String>>,
    is_over: Arc<AtomicBool>,
    done: Arc<AtomicUsize>,
}

/// What one of them sends next: a request, and the status that is right.
pub type Next = Box<dyn FnMut() -> (Arc<[u8]>, u16) + Send>;

impl Visitors {
    /// One client for each of `next`, each of which waits for `pause` between two requests.
    pub fn start(rotation: &Rotation, next: Vec<Next>, pause: Duration) -> Self {
        let mut visitors = Self { tasks: JoinSet::new(), is_over: Arc::default(), done: Arc::default() };
        for (number, next) in next.into_iter().enumerate() {
            let (rotation, is_over) = (rotation.clone(), Arc::clone(&visitors.is_over));
            let done = Arc::clone(&visitors.done);
            visitors.tasks.spawn(async move {
                // Not all at once.
                sleep(pause.mul_f64((number % 50) as f64 / 50.0)).await;
                visit(&rotation, number, next, pause, &is_over, &done).await
            });
        }
        visitors
    }

    /// How many requests were answered as they should be.
    pub fn done(&self) -> usize {
        self.done.load(Ordering::Relaxed)
    }

    /// Lets each finish what it has begun: what failed.
    pub async fn end(self) -> Vec<String> {
        self.is_over.store(true, Ordering::Relaxed);
        self.tasks.join_all().await.concat()
    }
}

async fn visit(
    rotation: &Rotation,
    mut number: usize,
    mut next: Next,
    pause: Duration,
    is_over: &AtomicBool,
    done: &AtomicUsize,
) -> Vec<String> {
    let (mut failed, mut kept) = (Vec::new(), None);
    while !is_over.load(Ordering::Relaxed) {
        number += 1;
        let (request, right) = next();
        match timeout(PATIENCE, send(rotation, number, &mut kept, &request)).await {
            Ok(Ok(heard)) if heard.status == right => {
                done.fetch_add(1, Ordering::Relaxed);
            }
            Ok(Ok(heard)) => failed.push(format!("{} {}", heard.status, heard.body)),
            Ok(Err(failure)) => failed.push(failure),
            Err(_) => failed.push(format!("no answer after {PATIENCE:?}")),
        }
        sleep(pause).await;
    }
    failed
}

/// Sends a request over the connection that was kept, or over a new one.
async fn send(
    rotation: &Rotation,
    number: usize,
    kept: &mut Option<(u16, TcpStream)>,
    request: &[u8],
) -> Result<Heard, String> {
    let (port, mut stream, how) = match kept.take() {
        Some((port, stream)) => (port, stream, "a kept connection"),
        None => {
            let port = rotation.pick(number).ok_or("nobody is ready")?;
            let stream = TcpStream::connect(("127.0.0.1", port)).await;
            (port, stream.map_err(|error| format!("{port} is not reached: {error}"))?, "a new connection")
        }
    };
    let heard = exchange_on(&mut stream, request).await;
    let heard = heard.map_err(|error| format!("{how} to {port}: {error}"))?;
    if heard.header("connection") != "close" {
        *kept = Some((port, stream));
    }
    Ok(heard)
}
