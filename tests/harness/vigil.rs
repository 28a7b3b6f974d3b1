//! What must hold for every abuse, whatever else a test looks for: both processes live on and do not grow, and an
//! honest client is served all the while.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

use super::{Http, Stack, rounds};

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
    over: Arc<AtomicBool>,
    honest: Client,
    control: Option<(Stack, Client)>,
}

/// A client on a thread of its own, since a test that plays with sockets blocks its runtime; how long each of its
/// answers took.
type Client = JoinHandle<Vec<Duration>>;

impl<'a> Vigil<'a> {
    /// Begins, with a user of its own.
    ///
    /// In the long tier a system that nobody abuses has such a client too, at the same time. What else runs on the
    /// machine, other tests and the abuser himself among them, makes both slow; what is left of a difference is harm to
    /// the process that is abused. A time taken before the abuse would have been taken under other conditions.
    pub async fn begin(stack: &'a Stack) -> Self {
        let over = Arc::default();
        let control = if rounds(false, true) {
            let control = Stack::start().await;
            let client = honest_client(&control, &over).await;
            Some((control, client))
        } else {
            None
        };
        let honest = honest_client(stack, &over).await;
        Self { stack, memory: memory(stack), over, honest, control }
    }

    /// Ends, and fails if anything was harmed. How slow honest answers became is judged strictly in the long tier only.
    pub fn assert_unharmed(self) {
        self.assert_unharmed_after(0);
    }

    /// The same after so many connections were open at once: they need their buffers.
    pub fn assert_unharmed_after(self, connections: u64) {
        self.over.store(true, Ordering::Relaxed);
        let p99 = |client: Client| p99(client.join().expect("every honest request is answered"));
        let slowest = p99(self.honest);
        let control = self.control.map(|(_stack, client)| p99(client));
        let bound = control.map_or(PATIENCE, |control| QUICK.max(2 * control).min(PATIENCE));
        assert!(slowest <= bound, "honest answers take {slowest:?}, and where nobody abuses {control:?}");
        for (before, after) in self.memory.into_iter().zip(memory(self.stack)) {
            let most = before + GROWTH + connections * BUFFERS;
            assert!(after <= most, "a process grew from {before} to {after} bytes");
        }
    }
}

/// Registers and logs in, then begins to ask, until it is `over`.
async fn honest_client(stack: &Stack, over: &Arc<AtomicBool>) -> Client {
    let email = format!("honest-{}@camelot.bt", uuid::Uuid::new_v4());
    let (http, over) = (stack.http(), Arc::clone(over));
    let (_, token) = stack.user(&email).await;
    std::thread::spawn(move || {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
        runtime.expect("a runtime").block_on(serve(http, token, &over))
    })
}

/// Asks who he is, again and again, until it is `over`. How long each answer took.
async fn serve(http: Http, token: String, over: &AtomicBool) -> Vec<Duration> {
    let mut took = Vec::new();
    while took.is_empty() || !over.load(Ordering::Relaxed) {
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

/// Twice, since one slow answer is not yet the slowest of a hundred. A request that is under way at that moment may also
/// end with a failure.
#[tokio::test]
#[should_panic(expected = "honest")]
async fn control_of_the_vigil_that_an_honest_client_has_to_wait_is_noticed() {
    let stack = Stack::start().await;
    let vigil = Vigil::begin(&stack).await;
    for _ in 0..2 {
        stack.gateway.signal("STOP");
        tokio::time::sleep(PATIENCE + Duration::from_millis(500)).await;
        stack.gateway.signal("CONT");
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
    vigil.assert_unharmed();
}
