//! Whom a load balancer sends requests to: like the endpoints of a Service in Kubernetes, it asks each gateway once a second
//! whether it is ready, and whoever connects hears of it later still.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::task::JoinSet;
use tokio::time::sleep;

use crate::harness::Http;

/// How often a gateway is asked, and how long it takes until a change has reached everybody.
const PERIOD: Duration = Duration::from_secs(1);
const PROPAGATION: Duration = Duration::from_secs(1);

/// The gateways that are sent requests.
#[derive(Clone)]
pub struct Rotation(Arc<Mutex<Vec<u16>>>);

impl Rotation {
    /// All of these at first; whoever is not ready any more is left out a while later, and comes back likewise. For as long
    /// as the tasks live.
    pub fn of(ports: &[u16]) -> (Self, JoinSet<()>) {
        let rotation = Self(Arc::new(Mutex::new(ports.to_vec())));
        let mut tasks = JoinSet::new();
        for port in ports {
            tasks.spawn(rotation.clone().keep_asking(*port));
        }
        (rotation, tasks)
    }

    async fn keep_asking(self, port: u16) {
        let http = Http::new(port);
        loop {
            sleep(PERIOD).await;
            let is_ready = http.try_get("/health/ready").await.is_some_and(|answer| answer.status == 200);
            if is_ready != self.has(port) {
                sleep(PROPAGATION).await;
                let mut ports = self.0.lock().unwrap();
                ports.retain(|other| *other != port);
                ports.extend(is_ready.then_some(port));
            }
        }
    }

    /// Whether this one is sent requests.
    pub fn has(&self, port: u16) -> bool {
        self.0.lock().unwrap().contains(&port)
    }

    /// Where the connection with this number goes; nowhere, if nobody is ready.
    pub fn pick(&self, number: usize) -> Option<u16> {
        let ports = self.0.lock().unwrap();
        (!ports.is_empty()).then(|| ports[number % ports.len()])
    }

    /// Waits until this one is sent requests, or no longer is.
    pub async fn until(&self, port: u16, is_in: bool) {
        for _ in 0..200 {
            if self.has(port) == is_in {
                return;
            }
            sleep(Duration::from_millis(50)).await;
        }
        panic!(
            "the gateway at {port} is {} the rotation after 10 s",
            if is_in { "not in" } else { "still in" }
        );
    }
}
