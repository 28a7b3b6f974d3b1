//! A load of requests and what became of each.

use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::time::Duration;

use tokio::task::JoinSet;
use tokio::time::{Instant, sleep_until, timeout};

use super::Client;

/// How long a client waits for an answer until he goes.
const PATIENCE: Duration = Duration::from_secs(10);

/// One request of a load, and what became of it.
#[derive(Debug, Clone)]
pub struct Sample {
    /// When it was due, since the load began.
    pub due: Duration,
    /// From when it was due until its answer was read. Were it counted from when it was sent, a system that keeps its
    /// clients from sending would look fast.
    pub took: Duration,
    /// The status, or why there was none.
    pub outcome: Result<u16, String>,
    /// What the header Retry-After says; nothing if it is not there.
    pub retry_after: String,
}

impl Sample {
    pub fn is(&self, status: u16) -> bool {
        self.outcome == Ok(status)
    }

    /// When its answer was there, since the load began.
    pub fn ended(&self) -> Duration {
        self.due + self.took
    }
}

/// Sends requests on schedule, whether or not earlier ones have been answered, for so long: an open loop. The requests
/// are taken in turn.
pub async fn offer(
    client: &Client,
    requests: &[Arc<[u8]>],
    per_second: f64,
    lasting: Duration,
) -> Vec<Sample> {
    let began = Instant::now();
    let mut under_way = JoinSet::new();
    let count = (per_second * lasting.as_secs_f64()) as usize;
    for number in 0..count {
        let due = Duration::from_secs_f64(number as f64 / per_second);
        sleep_until(began + due).await;
        let (client, request) = (client.clone(), Arc::clone(&requests[number % requests.len()]));
        under_way.spawn(async move { send(&client, &request, began, due).await });
    }
    sleep_until(began + lasting).await;
    under_way.join_all().await
}

/// So many clients, each of whom sends the next request when the one before is answered, for so long: a closed loop.
pub async fn repeat(
    client: &Client,
    requests: &[Arc<[u8]>],
    clients: usize,
    lasting: Duration,
) -> Vec<Sample> {
    let began = Instant::now();
    let mut under_way = JoinSet::new();
    for number in 0..clients {
        let (client, request) = (client.clone(), Arc::clone(&requests[number % requests.len()]));
        under_way.spawn(async move {
            let mut samples = Vec::new();
            while began.elapsed() < lasting {
                samples.push(send(&client, &request, began, began.elapsed()).await);
            }
            samples
        });
    }
    under_way.join_all().await.concat()
}

async fn send(client: &Client, request: &[u8], began: Instant, due: Duration) -> Sample {
    let outcome = timeout(PATIENCE, client.send(request)).await;
    let took = began.elapsed().saturating_sub(due);
    let (outcome, retry_after) = match outcome {
        Ok(Ok(heard)) => (Ok(heard.status), heard.header("retry-after").to_owned()),
        Ok(Err(error)) => (Err(error.to_string()), String::new()),
        Err(_) => (Err(format!("no answer in {PATIENCE:?}")), String::new()),
    };
    Sample { due, took, outcome, retry_after }
}

/// How many answers with this status came a second, in the time that a load lasted.
pub fn rate(samples: &[Sample], status: u16, lasted: Duration) -> f64 {
    let count = samples.iter().filter(|sample| sample.is(status) && sample.ended() <= lasted).count();
    count as f64 / lasted.as_secs_f64()
}

/// The time that so many percent of the samples did not exceed.
pub fn percentile<'a>(percent: usize, samples: impl IntoIterator<Item = &'a Sample>) -> Duration {
    let mut times: Vec<_> = samples.into_iter().map(|sample| sample.took).collect();
    times.sort_unstable();
    let last = times.len().checked_sub(1).expect("there are samples");
    times[last * percent / 100]
}

/// Processes that burn the processor, at the priority of the hash threads, until this is dropped.
pub struct Spinners(Vec<Child>);

impl Spinners {
    /// So many.
    pub fn start(count: usize) -> Self {
        let spin = |_| {
            // Should nobody be left to end it, it ends by itself.
            let arguments = ["-n", "10", "sh", "-c", "ulimit -t 120; while :; do :; done"];
            Command::new("nice").args(arguments).stdin(Stdio::null()).spawn().expect("nice runs")
        };
        Self((0..count).map(spin).collect())
    }
}

impl Drop for Spinners {
    fn drop(&mut self) {
        for spinner in &mut self.0 {
            let _ = spinner.kill();
            let _ = spinner.wait();
        }
    }
}
