//! Where the replicas of identity-service are. A name is looked up again and again, and each address that it has then is
//! a replica: so one name stands for all pods behind a headless Service of Kubernetes, those that come and those that go.
//! A name that cannot be looked up changes nothing.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use futures_util::future::join_all;
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
    let mut lost: Vec<Url> = Vec::new();
    let mut ticks = interval(LOOK_UP_EVERY);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        watched.set(&replicas.known());
        ticks.tick().await;
        let found = join_all(replicas.names().iter().map(addresses)).await;
        for (name, found) in replicas.names().iter().zip(&found) {
            note(&mut lost, name, found.as_ref().err());
        }
        replicas.set(merge(&replicas, found));
    }
}

/// Says in the log when it changes whether a name can be looked up.
fn note(lost: &mut Vec<Url>, name: &Url, failure: Option<&io::Error>) {
    let (url, was_lost) = (name.as_str(), lost.contains(name));
    match failure {
        Some(cause) if !was_lost => {
            tracing::warn!(url, %cause, "identity-service cannot be looked up; what was found before goes on to be asked");
            lost.push(name.clone());
        }
        None if was_lost => {
            tracing::info!(url, "identity-service can be looked up again");
            lost.retain(|other| other != name);
        }
        Some(_) | None => {}
    }
}

/// The replicas that there are now: each address once. Of a name that cannot be looked up, those that were known.
fn merge(replicas: &Replicas, found: Vec<io::Result<Vec<Url>>>) -> Arc<[Arc<Replica>]> {
    let before = replicas.known();
    let mut all: Vec<Arc<Replica>> = Vec::new();
    for (name, found) in replicas.names().iter().zip(found) {
        let known = before.iter().filter(|replica| replica.name() == name);
        let of_name: Vec<_> = match found {
            Err(_) => known.cloned().collect(),
            Ok(urls) => urls
                .into_iter()
                .map(|url| {
                    let known = before.iter().find(|replica| *replica.url() == url);
                    known.map_or_else(|| Arc::new(Replica::new(name.clone(), url)), Arc::clone)
                })
                .collect(),
        };
        for replica in of_name {
            if all.iter().all(|other| other.url() != replica.url()) {
                all.push(replica);
            }
        }
    }
    all.into()
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
    if urls.is_empty() { Err(io::ErrorKind::NotFound.into()) } else { Ok(urls) }
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
