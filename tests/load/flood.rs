//! Ten times as many log in as can be hashed for. As many succeed as without the rest, the rest is told at once to
//! come back, and whoever needs no hash notices nothing.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpListener;

use super::flood_verdict::{Calm, Figures};
use super::traffic::Traffic;
use crate::harness::{PASSWORD, Spinners, Stack, offer, percentile, rate, repeat, rounds};

/// How many reads there are a second.
const READS: f64 = 50.0;
/// How many times what can be done is asked for.
const EXCESS: f64 = 10.0;
/// How many clients log in to measure what can be done: few enough to be refused nowhere.
const CLIENTS: usize = 4;
/// How many logins must be seen for what can be done to be known.
const SEEN: usize = 15;
/// How soon after the flood all must be as before.
const RECOVERY: Duration = Duration::from_secs(2);
/// A read may take this long, or twice what it takes beside as many threads that spin.
const READ: Duration = Duration::from_millis(100);

/// What is flooded.
struct Scene<M> {
    traffic: Traffic,
    /// How many bytes each process uses.
    memory: M,
}

impl<M: Fn() -> Vec<u64> + Clone + Send + 'static> Scene<M> {
    /// How many logins a second succeed when nobody comes in vain.
    async fn capacity(&self) -> f64 {
        let lasting = rounds(Duration::from_secs(3), Duration::from_secs(15));
        let logins = repeat(&self.traffic.client, &self.traffic.login, CLIENTS, lasting).await;
        let other = logins.iter().find(|login| !login.is(200));
        assert!(
            other.is_none() && logins.len() >= SEEN,
            "{} logins, {other:?}: too little to judge by",
            logins.len()
        );
        rate(&logins, 200, lasting)
    }

    async fn calm(&self) -> Calm {
        let lasting = rounds(Duration::from_millis(1500), Duration::from_secs(5));
        let reads = offer(&self.traffic.client, &self.traffic.read, READS, lasting);
        let (reads, logins) =
            tokio::join!(reads, repeat(&self.traffic.client, &self.traffic.login, 1, lasting));
        Calm { reads, logins }
    }

    /// How long reads may take on this machine as it is now.
    async fn read_bound(&self) -> Duration {
        let _spinners = Spinners::start(std::thread::available_parallelism().expect("is known").get());
        let lasting = rounds(Duration::from_secs(2), Duration::from_secs(20));
        let beside = offer(&self.traffic.client, &self.traffic.read, READS, lasting).await;
        READ.max(2 * percentile(99, &beside))
    }

    /// Floods it for so long.
    async fn flood(&self, lasting: Duration) -> Figures {
        let read_bound = self.read_bound().await;
        let capacity = self.capacity().await;
        let before = self.calm().await;
        let watch = Watch::begin(self.memory.clone());
        let after = async {
            tokio::time::sleep(lasting + RECOVERY).await;
            self.calm().await
        };
        let (logins, reads, after) = tokio::join!(
            offer(&self.traffic.client, &self.traffic.login, EXCESS * capacity, lasting),
            offer(&self.traffic.client, &self.traffic.read, READS, lasting),
            after,
        );
        let growth = watch.end();
        Figures { capacity, read_bound, lasted: lasting, logins, reads, growth, before, after }
    }
}

/// Looks at the memory of processes now and then, on a thread of its own.
struct Watch {
    over: Arc<AtomicBool>,
    growth: JoinHandle<Vec<u64>>,
}

impl Watch {
    fn begin(memory: impl Fn() -> Vec<u64> + Send + 'static) -> Self {
        let over = Arc::new(AtomicBool::new(false));
        let until = Arc::clone(&over);
        let growth = std::thread::spawn(move || {
            let before = memory();
            let mut most = before.clone();
            while !until.load(Ordering::Relaxed) {
                std::thread::sleep(Duration::from_millis(250));
                for (most, now) in most.iter_mut().zip(memory()) {
                    *most = now.max(*most);
                }
            }
            most.iter().zip(before).map(|(most, before)| most - before).collect()
        });
        Self { over, growth }
    }

    /// By how many bytes each has grown at the most.
    fn end(self) -> Vec<u64> {
        self.over.store(true, Ordering::Relaxed);
        self.growth.join().expect("the processes live")
    }
}

#[tokio::test]
async fn f27_a_flood_of_logins_costs_nobody_else_anything() {
    let stack = Arc::new(Stack::with(&[("BCRYPT_COST", rounds("10", "12"))], &[]).await);
    let processes = Arc::clone(&stack);
    let memory = move || vec![processes.gateway.memory(), processes.identity.memory()];
    let scene = Scene { traffic: Traffic::to(&[stack.gateway.port]).await, memory };
    let mut figures = scene.flood(rounds(Duration::from_secs(8), Duration::from_secs(60))).await;
    // Measured before and after: a machine has its moods.
    figures.capacity = (figures.capacity + scene.capacity().await) / 2.0;
    println!("{}", figures.summary());
    let complaints = figures.complaints();
    assert!(complaints.is_empty(), "{complaints:#?}\n{}", figures.summary());
}

/// A server as it must not be: it hashes on its only async thread, and refuses nobody. Its port.
fn naive_server() -> u16 {
    let (told, port) = std::sync::mpsc::channel();
    std::thread::spawn(move || {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
        runtime.block_on(async {
            let listener = TcpListener::bind("127.0.0.1:0").await.expect("loopback has a free port");
            told.send(listener.local_addr().expect("is bound").port()).expect("is waited for");
            while let Ok((mut stream, _)) = listener.accept().await {
                tokio::spawn(async move {
                    let mut buffer = [0; 4096];
                    // On loopback a request comes in one piece.
                    while stream.read(&mut buffer).await.is_ok_and(|length| length > 0) {
                        if buffer.starts_with(b"POST") {
                            bcrypt::hash(PASSWORD, 10).expect("hashes");
                        }
                        let answer = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}";
                        if stream.write_all(answer).await.is_err() {
                            break;
                        }
                    }
                });
            }
        });
    });
    port.recv().expect("the server listens")
}

#[tokio::test]
async fn f27_control_a_server_that_hashes_where_it_answers_is_found_out() {
    let scene = Scene { traffic: Traffic::with(&[naive_server()], ""), memory: Vec::new };
    let figures = scene.flood(Duration::from_secs(2)).await;
    let complaints = figures.complaints();
    for about in ["reads: ", "refusals: there are none", "after: "] {
        let said = complaints.iter().any(|complaint| complaint.starts_with(about));
        assert!(said, "nothing is said of {about}: {complaints:#?}\n{}", figures.summary());
    }
}
