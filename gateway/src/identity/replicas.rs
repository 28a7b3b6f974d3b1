//! The replicas of identity-service, and which of them is asked.
//!
//! A call goes to the one with the fewest calls under way among those that are well: whoever stalls has the most. Each is
//! asked every half second whether it serves; one that does not say so is ejected until it does. When none is well, all
//! are asked: then it is no replica's fault, and they can say what is wrong.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use tokio::time::{interval, timeout};
use tonic::transport::{Channel, Endpoint};
use tonic_health::pb::HealthCheckRequest;
use tonic_health::pb::health_check_response::ServingStatus;
use tonic_health::pb::health_client::HealthClient;
use url::Url;

/// How often each replica is asked whether it serves.
const PROBE_EVERY: Duration = Duration::from_millis(500);
/// How long it may take to say so: with the above, one that hangs is ejected after a second and a half.
const PROBE_TIMEOUT: Duration = Duration::from_secs(1);
/// How long a connection may take to open.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(2);

/// What all workers know of the replicas.
pub struct Replicas(Vec<Replica>);

struct Replica {
    url: Url,
    is_well: AtomicBool,
    /// Calls that were made and are not answered yet.
    calls: AtomicUsize,
}

impl Replicas {
    /// Replicas of which nothing is known yet.
    #[must_use]
    pub fn new(urls: &[Url]) -> Self {
        let unknown = |url: &Url| Replica {
            url: url.clone(),
            is_well: AtomicBool::new(false),
            calls: AtomicUsize::new(0),
        };
        Self(urls.iter().map(unknown).collect())
    }

    /// Whether there is one that serves.
    #[must_use]
    pub fn any_is_well(&self) -> bool {
        self.0.iter().any(Replica::is_well)
    }

    /// Asks each again and again whether it serves, for ever.
    pub async fn watch(&self) {
        futures_util::future::join_all(self.0.iter().map(Replica::watch)).await;
    }

    /// The number of the replica to ask; not `but`, if there is another that is well.
    pub(super) fn pick(&self, but: Option<usize>) -> usize {
        let everybody = || 0..self.0.len();
        let well = || everybody().filter(|number| self.0[*number].is_well());
        let least =
            |numbers: &mut dyn Iterator<Item = usize>| numbers.min_by_key(|number| self.0[*number].load());
        least(&mut well().filter(|number| Some(*number) != but))
            .or_else(|| well().next())
            .or_else(|| least(&mut everybody().filter(|number| Some(*number) != but)))
            .unwrap_or_default()
    }
}

impl Replica {
    fn is_well(&self) -> bool {
        self.is_well.load(Ordering::Relaxed)
    }

    fn load(&self) -> usize {
        self.calls.load(Ordering::Relaxed)
    }

    async fn watch(&self) {
        let mut health = HealthClient::new(channel(&self.url));
        let mut ticks = interval(PROBE_EVERY);
        loop {
            ticks.tick().await;
            let answer = timeout(PROBE_TIMEOUT, health.check(HealthCheckRequest::default())).await;
            let serves =
                matches!(answer, Ok(Ok(answer)) if answer.get_ref().status() == ServingStatus::Serving);
            self.note(serves, if serves { "it serves" } else { "it does not say that it serves" });
        }
    }

    fn note(&self, is_well: bool, why: &str) {
        if self.is_well.swap(is_well, Ordering::Relaxed) != is_well {
            tracing::info!(url = %self.url, is_well, why, "a replica of identity-service has changed");
        }
    }
}

/// The connections of one worker to each replica.
#[derive(Clone)]
pub struct Channels {
    replicas: Arc<Replicas>,
    each: Arc<[Channel]>,
}

/// A replica that was picked for a call, which counts as under way for as long as this lives.
pub struct Picked<'a> {
    channels: &'a Channels,
    number: usize,
}

impl Channels {
    /// Connections of a worker's own. Each is opened when it is first used, and again whenever it was lost.
    #[must_use]
    pub fn new(replicas: Arc<Replicas>) -> Self {
        let each = replicas.0.iter().map(|replica| channel(&replica.url)).collect();
        Self { replicas, each }
    }

    /// What all workers know.
    #[must_use]
    pub fn replicas(&self) -> &Replicas {
        &self.replicas
    }

    /// The connection to the replica with this number.
    #[must_use]
    pub fn channel(&self, number: usize) -> Channel {
        self.each[number].clone()
    }

    /// The replica to ask; another than `tried`, if there is one that is well.
    #[must_use]
    pub fn pick(&self, tried: Option<&Picked<'_>>) -> Picked<'_> {
        let number = self.replicas.pick(tried.map(|tried| tried.number));
        self.replicas.0[number].calls.fetch_add(1, Ordering::Relaxed);
        Picked { channels: self, number }
    }
}

impl Picked<'_> {
    /// The connection to it.
    #[must_use]
    pub fn channel(&self) -> Channel {
        self.channels.each[self.number].clone()
    }

    /// Whether another replica is well, so that this one need not be waited for.
    #[must_use]
    pub fn has_alternative(&self) -> bool {
        let others = self.channels.replicas.0.iter().enumerate().filter(|(number, _)| *number != self.number);
        others.into_iter().any(|(_, replica)| replica.is_well())
    }

    /// Nobody listens there: it is ejected until it says again that it serves.
    pub fn is_away(&self) {
        self.replica().note(false, "nobody listens there");
    }

    fn replica(&self) -> &Replica {
        &self.channels.replicas.0[self.number]
    }
}

impl Drop for Picked<'_> {
    fn drop(&mut self) {
        self.replica().calls.fetch_sub(1, Ordering::Relaxed);
    }
}

fn channel(url: &Url) -> Channel {
    let endpoint = Endpoint::from_shared(url.to_string()).expect("the configuration has checked the URL");
    endpoint
        .connect_timeout(CONNECT_TIMEOUT)
        .http2_keep_alive_interval(Duration::from_secs(10))
        .keep_alive_timeout(Duration::from_secs(5))
        .keep_alive_while_idle(true)
        .tcp_nodelay(true)
        .connect_lazy()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn replicas(well: &[bool]) -> Arc<Replicas> {
        let urls: Vec<_> =
            (0..well.len()).map(|n| Url::parse(&format!("http://replica{n}:1")).unwrap()).collect();
        let replicas = Replicas::new(&urls);
        replicas.0.iter().zip(well).for_each(|(replica, well)| replica.note(*well, "the test says so"));
        Arc::new(replicas)
    }

    #[tokio::test]
    async fn a_call_goes_to_the_replica_with_the_fewest_calls_under_way() {
        let channels = Channels::new(replicas(&[true, true, true]));
        let picked: Vec<_> = (0..6).map(|_| channels.pick(None)).collect();
        let mut numbers: Vec<_> = picked.iter().map(|picked| picked.number).collect();
        numbers.sort_unstable();
        assert_eq!(numbers, [0, 0, 1, 1, 2, 2]);
        let free = picked.into_iter().filter(|picked| picked.number != 1).collect::<Vec<_>>();
        assert_eq!(channels.pick(None).number, 1, "two calls of the others go on");
        drop(free);
        assert_eq!(channels.replicas.0.iter().map(Replica::load).sum::<usize>(), 0);
    }

    #[tokio::test]
    async fn one_that_is_not_well_is_asked_only_when_none_is() {
        let channels = Channels::new(replicas(&[false, true]));
        let under_way: Vec<_> = (0..3).map(|_| channels.pick(None)).collect();
        assert!(under_way.iter().all(|picked| picked.number == 1));
        channels.replicas.0[1].note(false, "the test says so");
        assert!(!channels.replicas.any_is_well());
        assert_eq!(channels.pick(None).number, 0);
    }

    #[tokio::test]
    async fn the_second_try_goes_elsewhere_if_somebody_else_is_well() {
        let channels = Channels::new(replicas(&[true, true]));
        let first = channels.pick(None);
        assert!(first.has_alternative());
        assert_ne!(channels.pick(Some(&first)).number, first.number);
        channels.replicas.0[1 - first.number].note(false, "the test says so");
        assert!(!first.has_alternative());
        assert_eq!(channels.pick(Some(&first)).number, first.number);
        first.is_away();
        assert_ne!(channels.pick(Some(&first)).number, first.number, "nobody is well: the other may be");
    }
}
