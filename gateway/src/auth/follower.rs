//! Follows the trust feed: one replica at a time, and the next as soon as that one says nothing more.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use portcullis_proto::clock::Change;
use tokio::time::{MissedTickBehavior, interval, sleep, sleep_until, timeout};

use super::verifier::Verifier;
use crate::identity::Identity;
use crate::identity::replicas::Replica;
use crate::identity::watch::{Lost, News, Watch};

/// How often a probe is sent.
const PROBE_EVERY: Duration = Duration::from_millis(500);
/// How long a replica may take to say the first thing, and to answer a probe: then there is still time for another to do
/// so before everything is unknown.
const PATIENCE: Duration = Duration::from_millis(700);
/// How long it may say nothing while it looks up what has happened before.
const PATIENCE_AT_FIRST: Duration = Duration::from_secs(5);
/// How long after a replica was lost the next one is tried.
const RETRY: Duration = Duration::from_millis(100);
/// How often it is looked whether the feed is still fresh.
const GLANCE: Duration = Duration::from_millis(100);
/// How often what concerns no token any more is forgotten.
const FORGET_EVERY: Duration = Duration::from_secs(60);

/// Follows, for ever, and says in the log when tokens can no longer, or can again, be judged here.
pub async fn follow(verifier: Arc<Verifier>, identity: Identity) {
    let watch = keep_watch(Arc::clone(&verifier));
    tokio::join!(Follower::new(verifier).follow(identity), watch);
}

/// Who listens, and to what.
struct Follower {
    verifier: Arc<Verifier>,
    /// The probes that the replica has not answered yet, and when each was sent.
    probes: VecDeque<(u64, Instant)>,
    heard_at: Instant,
    patience: Duration,
}

impl Follower {
    fn new(verifier: Arc<Verifier>) -> Self {
        let (probes, heard_at) = (VecDeque::new(), Instant::now());
        Self { verifier, probes, heard_at, patience: PATIENCE }
    }

    /// Follows one replica after the other, for ever.
    async fn follow(mut self, identity: Identity) {
        let mut last: Option<Arc<Replica>> = None;
        loop {
            let Some(replica) = identity.pick_to_follow(last.as_deref()) else {
                sleep(RETRY).await;
                continue;
            };
            let begun = timeout(PATIENCE, identity.watch(&replica, self.verifier.trust.position())).await;
            let why = match begun.unwrap_or(Err(Lost::Late)) {
                Ok(watch) => self.listen(watch).await,
                Err(lost) => lost,
            };
            tracing::debug!(%why, "a replica is no longer followed");
            last = Some(replica);
            if matches!(why, Lost::Position) {
                self.verifier.trust.begin_again();
            }
            sleep(RETRY).await;
        }
    }

    /// Notes all that a replica says; why it says no more.
    async fn listen(&mut self, mut watch: Watch) -> Lost {
        self.probes.clear();
        (self.heard_at, self.patience) = (Instant::now(), PATIENCE);
        let mut number = 0;
        let mut ticks = interval(PROBE_EVERY);
        // After a stall one probe is as good as all that were missed.
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            let oldest = self.probes.front().map(|(_, sent)| *sent);
            let late = oldest.map(|sent| sent.max(self.heard_at) + self.patience);
            tokio::select! {
                news = watch.next() => match news {
                    Ok(news) => self.note(news),
                    Err(lost) => return lost,
                },
                _ = ticks.tick() => {
                    number += 1;
                    let now = Instant::now();
                    if !watch.probe(number) {
                        return Lost::Late;
                    }
                    self.probes.push_back((number, now));
                }
                () = sleep_until(late.unwrap_or(self.heard_at).into()), if late.is_some() => return Lost::Late,
            }
        }
    }

    fn note(&mut self, news: News) {
        self.heard_at = Instant::now();
        self.patience = if news.position.is_some() { PATIENCE } else { PATIENCE_AT_FIRST };
        if let Some(keys) = news.keys {
            if self.verifier.keys().as_ref() != Some(&keys) {
                tracing::info!(keys = keys.keys.len(), "the public keys have changed");
            }
            self.verifier.set_keys(keys);
        }
        self.verifier.trust.note(self.heard_at, &news.revocations, news.position);
        while let Some((number, sent)) = self.probes.pop_front_if(|(number, _)| Some(*number) <= news.probe) {
            if Some(number) == news.probe {
                self.note_time(sent, news.time);
                self.verifier.trust.prove(sent);
            }
        }
    }

    fn note_time(&self, sent: Instant, database: Option<SystemTime>) {
        let Some(database) = database else { return };
        match self.verifier.trust.note_time(sent, database, SystemTime::now()) {
            Some(Change::Wrong(apart)) => {
                let seconds = apart.as_secs();
                tracing::warn!(
                    seconds,
                    "this clock and that of the database are far apart: that of the database is used"
                );
            }
            Some(Change::Right) => tracing::info!("this clock agrees with that of the database again"),
            None => {}
        }
    }
}

/// Says in the log when it changes whether tokens can be judged here, and forgets what is over.
async fn keep_watch(verifier: Arc<Verifier>) {
    let mut was_fresh = false;
    let mut forgot_at = Instant::now();
    let mut ticks = interval(GLANCE);
    loop {
        ticks.tick().await;
        let now = Instant::now();
        let (is_fresh, revocations) = (verifier.trust.knows(now), verifier.trust.len());
        if is_fresh && !was_fresh {
            tracing::info!(revocations, "the trust feed is fresh: ended tokens are known here");
        } else if was_fresh && !is_fresh {
            tracing::warn!(
                revocations,
                "the trust feed is unknown: identity-service is asked about each token"
            );
        }
        was_fresh = is_fresh;
        if now.duration_since(forgot_at) >= FORGET_EVERY {
            verifier.trust.forget(now);
            forgot_at = now;
        }
    }
}
