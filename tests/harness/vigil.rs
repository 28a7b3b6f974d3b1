//! What must hold for every abuse, whatever else a test looks for: both processes live on and do not grow, and an
//! honest client is served all the while.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

use super::{Http, PASSWORD, Stack, rounds};

/// How much a process may grow, in bytes.
const GROWTH: u64 = 20 * 1024 * 1024;
/// What actix-web takes for the buffers of a connection, in bytes.
const BUFFERS: u64 = 16 * 1024;
/// An honest answer may take this long on the busiest machine.
const PATIENCE: Duration = Duration::from_secs(2);
/// What is called slow starts here: below it a second of two times is chance.
const QUICK: Duration = Duration::from_millis(50);

/// An honest client beside an abuse, and what the processes used before it.
pub struct Vigil<'a> {
    stack: &'a Stack,
    memory: [u64; 2],
    usual: Duration,
    over: Arc<AtomicBool>,
    honest: JoinHandle<Vec<Duration>>,
}

impl<'a> Vigil<'a> {
    /// Begins, with a user of its own.
    pub async fn begin(stack: &'a Stack) -> Self {
        let email = format!("honest-{}@camelot.bt", uuid::Uuid::new_v4());
        stack.register(&email).await;
        let token = stack.http().token(&email, PASSWORD).await;
        let usual = p99(serve(stack.http(), token.clone(), |served| served == 100).await);
        let over = Arc::new(AtomicBool::new(false));
        let until = Arc::clone(&over);
        let http = stack.http();
        // A thread of its own: a test that plays with sockets blocks its runtime.
        let honest = std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
            runtime.expect("a runtime").block_on(serve(http, token, |_| until.load(Ordering::Relaxed)))
        });
        Self { stack, memory: memory(stack), usual, over, honest }
    }

    /// Ends, and fails if anything was harmed. How slow honest answers became is judged in the long tier only.
    pub fn assert_unharmed(self) {
        self.assert_unharmed_after(0);
    }

    /// The same after so many connections were open at once: they need their buffers.
    pub fn assert_unharmed_after(self, connections: u64) {
        self.over.store(true, Ordering::Relaxed);
        let slowest = p99(self.honest.join().expect("every honest request is answered"));
        let bound = rounds(PATIENCE, QUICK.max(2 * self.usual));
        assert!(slowest <= bound, "honest answers take {slowest:?}, and {:?} without abuse", self.usual);
        for (before, after) in self.memory.into_iter().zip(memory(self.stack)) {
            let most = before + GROWTH + connections * BUFFERS;
            assert!(after <= most, "a process grew from {before} to {after} bytes");
        }
    }
}

/// Asks who he is, again and again, until `enough`. How long each answer took.
async fn serve(http: Http, token: String, enough: impl Fn(usize) -> bool) -> Vec<Duration> {
    let mut took = Vec::new();
    while took.is_empty() || !enough(took.len()) {
        let answer = http.bare("GET", "/users/me", &token).await;
        assert_eq!(answer.status, 200, "{answer:?}");
        took.push(answer.took);
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    took
}

fn p99(mut took: Vec<Duration>) -> Duration {
    took.sort_unstable();
    took[(took.len() - 1) * 99 / 100]
}

/// What the gateway and identity-service use.
fn memory(stack: &Stack) -> [u64; 2] {
    [stack.gateway.memory(), stack.identity.memory()]
}
