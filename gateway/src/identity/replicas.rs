//! The replicas of identity-service, and which of them is asked.
//!
//! Each address that a configured name has is a replica. A call goes to the one with the fewest calls under way among those
//! that are well: whoever stalls has the most. Each is asked every half second whether it serves; one that does not say so
//! is ejected until it does. When none is well, all are asked: then it is no replica's fault, and they can say what is
//! wrong.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError, RwLock};
use std::time::Duration;

use tokio::time::{interval, timeout};
use tonic::transport::{Channel, Endpoint};
use tonic_health::pb::HealthCheckRequest;
use tonic_health::pb::health_check_response::ServingStatus;
use tonic_health::pb::health_client::HealthClient;
use url::{Host, Url};

/// How often each replica is asked whether it serves.
const PROBE_EVERY: Duration = Duration::from_millis(500);
/// How long it may take to say so: with the above, one that hangs is ejected after a second and a half.
const PROBE_TIMEOUT: Duration = Duration::from_secs(1);
/// How long a connection may take to open.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(2);

/// What all workers know of the replicas.
pub struct Replicas {
    names: Vec<Url>,
    known: RwLock<Arc<[Arc<Replica>]>>,
}

/// A replica, at one address.
pub struct Replica {
    /// The URL of the configuration that led to it.
    name: Url,
    /// The same with the address in the place of its host.
    url: Url,
    is_well: AtomicBool,
    /// Calls that were made and are not answered yet.
    calls: AtomicUsize,
}

impl Replicas {
    /// Those whose addresses are given, of which nothing is known yet. Names are looked up by
    /// [`discovery`](super::discovery).
    #[must_use]
    pub fn new(names: &[Url]) -> Self {
        let given = names.iter().filter(|name| !matches!(name.host(), Some(Host::Domain(_))));
        let known = given.map(|url| Arc::new(Replica::new(url.clone(), url.clone()))).collect();
        Self { names: names.to_vec(), known: RwLock::new(known) }
    }

    /// The URLs of the configuration.
    pub(super) fn names(&self) -> &[Url] {
        &self.names
    }

    /// All that are known now.
    pub(super) fn known(&self) -> Arc<[Arc<Replica>]> {
        Arc::clone(&self.known.read().unwrap_or_else(PoisonError::into_inner))
    }

    /// From now on there are these.
    pub(super) fn set(&self, known: Arc<[Arc<Replica>]>) {
        *self.known.write().unwrap_or_else(PoisonError::into_inner) = known;
    }

    /// Whether there is one that serves.
    #[must_use]
    pub fn any_is_well(&self) -> bool {
        self.known().iter().any(|replica| replica.is_well())
    }

    /// The replica to ask, if one is known; not `but`, if there is another that is well.
    pub(super) fn pick(&self, but: Option<&Replica>) -> Option<Arc<Replica>> {
        let known = self.known();
        let is_other = |replica: &&Arc<Replica>| but.is_none_or(|but| !std::ptr::eq(&***replica, but));
        let well = || known.iter().filter(|replica| replica.is_well());
        let picked = (well().filter(is_other).min_by_key(|replica| replica.load()))
            .or_else(|| well().next())
            .or_else(|| known.iter().filter(is_other).min_by_key(|replica| replica.load()))
            .or_else(|| known.first());
        picked.cloned()
    }
}

impl Replica {
    /// One of which nothing is known yet.
    pub(super) fn new(name: Url, url: Url) -> Self {
        Self { name, url, is_well: AtomicBool::new(false), calls: AtomicUsize::new(0) }
    }

    /// The URL of the configuration that led to it.
    pub(super) fn name(&self) -> &Url {
        &self.name
    }

    /// Where it is.
    pub(super) fn url(&self) -> &Url {
        &self.url
    }

    fn is_well(&self) -> bool {
        self.is_well.load(Ordering::Relaxed)
    }

    fn load(&self) -> usize {
        self.calls.load(Ordering::Relaxed)
    }

    /// Asks it again and again whether it serves, for ever.
    pub(super) async fn watch(self: Arc<Self>) {
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
    open: Arc<Mutex<Vec<Connection>>>,
}

type Connection = (Arc<Replica>, Channel);

/// A replica that was picked for a call, which counts as under way for as long as this lives.
pub struct Picked<'a> {
    channels: &'a Channels,
    replica: Arc<Replica>,
}

impl Channels {
    /// Connections of a worker's own. Each is opened when it is first used, and again whenever it was lost.
    #[must_use]
    pub fn new(replicas: Arc<Replicas>) -> Self {
        Self { replicas, open: Arc::default() }
    }

    /// What all workers know.
    #[must_use]
    pub fn replicas(&self) -> &Replicas {
        &self.replicas
    }

    /// The connection to this replica. Opening one gives up those to replicas that are no longer known, which end with the
    /// calls under way.
    pub(super) fn channel(&self, replica: &Arc<Replica>) -> Channel {
        let mut open = self.open.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((_, channel)) = open.iter().find(|(other, _)| Arc::ptr_eq(other, replica)) {
            return channel.clone();
        }
        let known = self.replicas.known();
        open.retain(|(other, _)| known.iter().any(|replica| Arc::ptr_eq(other, replica)));
        let channel = channel(&replica.url);
        open.push((Arc::clone(replica), channel.clone()));
        channel
    }

    /// The replica to ask, if one is known; another than `tried`, if there is one that is well.
    pub(super) fn pick(&self, tried: Option<&Picked<'_>>) -> Option<Picked<'_>> {
        let replica = self.replicas.pick(tried.map(|tried| &*tried.replica))?;
        replica.calls.fetch_add(1, Ordering::Relaxed);
        Some(Picked { channels: self, replica })
    }
}

impl Picked<'_> {
    /// The connection to it.
    #[must_use]
    pub fn channel(&self) -> Channel {
        self.channels.channel(&self.replica)
    }

    /// Whether another replica is well, so that this one need not be waited for.
    #[must_use]
    pub fn has_alternative(&self) -> bool {
        let known = self.channels.replicas.known();
        known.iter().any(|other| other.is_well() && !Arc::ptr_eq(other, &self.replica))
    }

    /// Nobody listens there: it is ejected until it says again that it serves.
    pub fn is_away(&self) {
        self.replica.note(false, "nobody listens there");
    }
}

impl Drop for Picked<'_> {
    fn drop(&mut self) {
        self.replica.calls.fetch_sub(1, Ordering::Relaxed);
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
            (1..=well.len()).map(|n| Url::parse(&format!("http://127.0.0.{n}:1")).unwrap()).collect();
        let replicas = Replicas::new(&urls);
        let known = replicas.known();
        known.iter().zip(well).for_each(|(replica, well)| replica.note(*well, "the test says so"));
        Arc::new(replicas)
    }

    fn is(picked: &Picked<'_>, replica: &Arc<Replica>) -> bool {
        Arc::ptr_eq(&picked.replica, replica)
    }

    #[tokio::test]
    async fn a_call_goes_to_the_replica_with_the_fewest_calls_under_way() {
        let channels = Channels::new(replicas(&[true, true, true]));
        let known = channels.replicas.known();
        let picked: Vec<_> = (0..6).map(|_| channels.pick(None).unwrap()).collect();
        for replica in known.iter() {
            assert_eq!(picked.iter().filter(|picked| is(picked, replica)).count(), 2);
        }
        let free = picked.into_iter().filter(|picked| !is(picked, &known[1])).collect::<Vec<_>>();
        assert!(is(&channels.pick(None).unwrap(), &known[1]), "two calls of the others go on");
        drop(free);
        assert_eq!(known.iter().map(|replica| replica.load()).sum::<usize>(), 0);
    }

    #[tokio::test]
    async fn one_that_is_not_well_is_asked_only_when_none_is() {
        let channels = Channels::new(replicas(&[false, true]));
        let known = channels.replicas.known();
        let under_way: Vec<_> = (0..3).map(|_| channels.pick(None).unwrap()).collect();
        assert!(under_way.iter().all(|picked| is(picked, &known[1])));
        known[1].note(false, "the test says so");
        assert!(!channels.replicas.any_is_well());
        assert!(is(&channels.pick(None).unwrap(), &known[0]));
    }

    #[tokio::test]
    async fn the_second_try_goes_elsewhere_if_somebody_else_is_well() {
        let channels = Channels::new(replicas(&[true, true]));
        let first = channels.pick(None).unwrap();
        let second = channels.pick(Some(&first)).unwrap();
        assert!(first.has_alternative() && !is(&second, &first.replica));
        second.replica.note(false, "the test says so");
        assert!(!first.has_alternative());
        assert!(is(&channels.pick(Some(&first)).unwrap(), &first.replica));
        first.is_away();
        let third = channels.pick(Some(&first)).unwrap();
        assert!(!is(&third, &first.replica), "nobody is well: the other may be");
    }

    #[tokio::test]
    async fn a_name_has_no_replica_before_it_is_looked_up_and_a_lost_one_is_asked_no_more() {
        let url = Url::parse("http://identity-service:1").unwrap();
        let channels = Channels::new(Arc::new(Replicas::new(std::slice::from_ref(&url))));
        assert!(channels.pick(None).is_none());
        let [old, new] = ["127.0.0.1", "127.0.0.2"].map(|host| {
            Arc::new(Replica::new(url.clone(), Url::parse(&format!("http://{host}:1")).unwrap()))
        });
        channels.replicas.set([Arc::clone(&old)].into());
        let under_way = channels.pick(None).unwrap();
        let _ = under_way.channel();
        channels.replicas.set([Arc::clone(&new)].into());
        let next = channels.pick(None).unwrap();
        assert!(is(&next, &new));
        let _ = next.channel();
        assert_eq!(channels.open.lock().unwrap().len(), 1, "the connection to the old one is given up");
    }
}
