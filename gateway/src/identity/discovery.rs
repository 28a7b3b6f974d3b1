//! Where the replicas of identity-service are. A name is looked up again and again, and each address that it has then is
//! a replica: so one name stands for all pods behind a headless Service of Kubernetes, those that come and those that go.
//! A name that cannot be looked up changes nothing.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use tokio::net::lookup_host;
use tokio::task::{AbortHandle, JoinSet};
use tokio::time::{MissedTickBehavior, interval, timeout};
use url::{Host, Url};

use super::replicas::{Replica, Replicas};

/// How often names are looked up.
const LOOK_UP_EVERY: Duration = Duration::from_secs(2);
/// How long that may take.
const LIMIT: Duration = Duration::from_secs(5);

/// Finds the replicas and asks each whether it serves, for ever.
pub async fn watch(replicas: Arc<Replicas>) {
    let mut watched = Watched::default();
    let mut can_look_up = true;
    let mut ticks = interval(LOOK_UP_EVERY);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        ticks.tick().await;
        let (known, failure) = look_up(&replicas).await;
        if let Some(cause) = failure.as_ref().filter(|_| can_look_up) {
            tracing::warn!(%cause, "identity-service cannot be looked up: what is known goes on to be asked");
        }
        can_look_up = failure.is_none();
        watched.set(&known);
        replicas.set(known);
    }
}

/// The replicas that there are now. Of a name that cannot be looked up, those that were known; and why it cannot.
async fn look_up(replicas: &Replicas) -> (Arc<[Arc<Replica>]>, Option<io::Error>) {
    let (mut all, mut failure) = (Vec::new(), None);
    let before = replicas.known();
    for name in replicas.names() {
        let known = before.iter().filter(|replica| replica.name() == name);
        match addresses(name).await {
            Ok(urls) => all.extend(urls.into_iter().map(|url| {
                let known = known.clone().find(|replica| *replica.url() == url);
                known.map_or_else(|| Arc::new(Replica::new(name.clone(), url)), Arc::clone)
            })),
            Err(error) => {
                all.extend(known.cloned());
                failure = Some(error);
            }
        }
    }
    (all.into(), failure)
}

/// The URL with each address of its host.
async fn addresses(url: &Url) -> io::Result<Vec<Url>> {
    let Some(Host::Domain(host)) = url.host() else { return Ok(vec![url.clone()]) };
    let port = url.port_or_known_default().expect("the configuration has checked the scheme");
    let found = timeout(LIMIT, lookup_host((host, port))).await.map_err(|_| io::ErrorKind::TimedOut)??;
    let mut urls: Vec<_> = found
        .map(|address| {
            let mut url = url.clone();
            url.set_ip_host(address.ip()).expect("a URL with a host can have another");
            url
        })
        .collect();
    urls.sort();
    urls.dedup();
    Ok(urls)
}

/// Who is asked whether it serves.
#[derive(Default)]
struct Watched {
    tasks: JoinSet<()>,
    each: Vec<(Arc<Replica>, AbortHandle)>,
}

impl Watched {
    /// Watches these, and nobody else.
    fn set(&mut self, known: &[Arc<Replica>]) {
        let is_in = |replica: &Arc<Replica>, all: &[Arc<Replica>]| {
            all.iter().any(|other| Arc::ptr_eq(other, replica))
        };
        let watched: Vec<_> = self.each.iter().map(|(replica, _)| Arc::clone(replica)).collect();
        self.each.retain(|(replica, task)| {
            let is_known = is_in(replica, known);
            if !is_known {
                tracing::info!(url = %replica.url(), "a replica of identity-service is no longer found");
                task.abort();
            }
            is_known
        });
        for replica in known.iter().filter(|replica| !is_in(replica, &watched)) {
            let task = self.tasks.spawn(Arc::clone(replica).watch());
            self.each.push((Arc::clone(replica), task));
        }
        while self.tasks.try_join_next().is_some() {}
    }
}
