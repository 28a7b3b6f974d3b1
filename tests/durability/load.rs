//! Clients who register one user after the other, and remember every answer.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use futures_util::future::join_all;

use crate::harness::{Acked, Fleet, Http, PASSWORD};

/// How many clients the catalogue asks for.
pub const CLIENTS: usize = 8;

/// One registration of a new address.
#[derive(Debug)]
pub struct Record {
    /// At which gateway.
    pub gateway: usize,
    /// What the client has read: a status and, of a 201, the user.
    pub status: Option<u16>,
    pub acked: Option<Acked>,
    pub started: Instant,
    pub ended: Instant,
}

/// Clients at work, in a thread of their own: who breaks things meanwhile may block.
pub struct Load {
    state: Arc<State>,
    thread: JoinHandle<Vec<Record>>,
}

/// What the clients look at, and count.
#[derive(Default)]
struct State {
    is_over: AtomicBool,
    acked: AtomicUsize,
}

impl Load {
    /// [`CLIENTS`] clients begin, each at one of the gateways.
    pub fn begin(fleet: &Fleet) -> Self {
        let state = Arc::new(State::default());
        let (gateways, shared) = (fleet.clients(), Arc::clone(&state));
        let thread = std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
            let one = |number: usize| {
                let gateway = number % gateways.len();
                work(gateway, &gateways[gateway], &shared)
            };
            let all = runtime.expect("a runtime").block_on(join_all((0..CLIENTS).map(one)));
            all.into_iter().flatten().collect()
        });
        Self { state, thread }
    }

    /// How many registrations have been acknowledged so far.
    pub fn acked(&self) -> usize {
        self.state.acked.load(Ordering::Relaxed)
    }

    /// Lets everyone finish what he has begun.
    pub fn end(self) -> Vec<Record> {
        self.state.is_over.store(true, Ordering::Relaxed);
        self.thread.join().expect("no client fails")
    }
}

async fn work(gateway: usize, http: &Http, state: &State) -> Vec<Record> {
    let mut records = Vec::new();
    while !state.is_over.load(Ordering::Relaxed) {
        let email = format!("{}@camelot.bt", uuid::Uuid::new_v4());
        let started = Instant::now();
        let body = serde_json::json!({"email": email, "password": PASSWORD});
        let answer = http.try_send(http.request("POST", "/auth/register").json(&body)).await;
        let status = answer.as_ref().map(|answer| answer.status);
        let acked = answer.filter(|answer| answer.status == 201);
        let acked = acked.map(|answer| Acked { id: answer.text("id"), email });
        match acked {
            Some(_) => drop(state.acked.fetch_add(1, Ordering::Relaxed)),
            None => tokio::time::sleep(Duration::from_millis(50)).await,
        }
        records.push(Record { gateway, status, acked, started, ended: Instant::now() });
    }
    records
}

/// The users of all 201.
pub fn acked(records: &[Record]) -> Vec<Acked> {
    records.iter().filter_map(|record| record.acked.clone()).collect()
}

/// Fails when anybody was told anything but that he is registered or that nobody knows: each address is tried once,
/// so that "exists already" would say so to the owner himself.
pub fn assert_told_no_lie(records: &[Record]) {
    for record in records {
        assert!([None, Some(201), Some(503), Some(504)].contains(&record.status), "{record:?}");
    }
}
