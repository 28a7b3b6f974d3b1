//! What the trust feed has said: which tokens have ended, and until when nothing can be missing from that.
//!
//! All of it only grows: what has ended never begins again, and of two epochs the higher counts. So it does not matter
//! from which replica something comes, how often, and in which order.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{PoisonError, RwLock};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use portcullis_proto::access_token::{Claims, Refusal};
use portcullis_proto::clock::{Change, Clock, FAR};
use uuid::Uuid;

use crate::identity::watch::{Revocation, Tokens};

/// For how long after a probe was sent its answer proves that nothing is missing. With the time that a request under way
/// takes, it keeps an ended token from being believed for two seconds (design.md, law 3).
pub const FRESH: Duration = Duration::from_millis(1_500);
/// The most revocations that are remembered: some 50 MiB. Of those that come beyond, only that there are some.
const CAPACITY: usize = 1_000_000;

/// What the feed has said. Shared by all workers.
pub struct Trust {
    began: Instant,
    capacity: usize,
    known: RwLock<Known>,
    /// Until when nothing is missing: microseconds since it began; 0 for never.
    fresh_until: AtomicU64,
}

#[derive(Default)]
struct Known {
    /// The sessions that have ended, each until it may be forgotten.
    sessions: HashMap<Uuid, Second>,
    /// The first epoch of each user that is good, until it may be forgotten.
    users: HashMap<Uuid, (i64, Second)>,
    /// Until where everything is known, as a replica has put it; nothing before the first snapshot is complete.
    position: Option<String>,
    /// Until when there may be revocations for which there was no room.
    overfull_until: Option<Second>,
    clock: Clock,
}

impl Known {
    /// Whether all that has ended is known then: there was room for it, and the clock of the database can be relied on. Were
    /// that to step back far, tokens would be in time again of which it is forgotten that they have ended.
    fn suffices(&self, second: Second) -> bool {
        let is_overfull = self.overfull_until.is_some_and(|until| second <= until);
        !is_overfull && self.clock.apart().is_none_or(|apart| apart <= FAR)
    }
}

/// Whole seconds since [`Trust`] began, by a clock that does not step.
type Second = u32;

/// Whether a token that is genuine and in time has ended.
#[derive(Debug, PartialEq, Eq)]
#[must_use]
pub enum Standing {
    /// It has not; or so late that this may be unknown for [`FRESH`].
    Live,
    /// It has, for ever.
    Ended(Refusal),
    /// Nobody here knows: identity-service must be asked.
    Unknown,
}

impl Trust {
    /// Nothing has been said yet.
    #[must_use]
    pub fn new(now: Instant) -> Self {
        Self::with_capacity(now, CAPACITY)
    }

    fn with_capacity(now: Instant, capacity: usize) -> Self {
        Self { began: now, capacity, known: RwLock::default(), fresh_until: AtomicU64::new(0) }
    }

    /// Whether a token has ended. `is_fresh` says that it [was fresh](Trust::is_fresh) before this was called.
    pub fn standing(&self, now: Instant, is_fresh: bool, claims: &Claims) -> Standing {
        let known = self.known.read().unwrap_or_else(PoisonError::into_inner);
        if known.sessions.contains_key(&claims.sid) {
            return Standing::Ended(Refusal::SessionEnded);
        }
        if known.users.get(&claims.sub).is_some_and(|(epoch, _)| claims.epoch < *epoch) {
            return Standing::Ended(Refusal::Revoked);
        }
        // The last seconds of a token, in which clocks may disagree, are the database's to judge.
        let is_over = known.clock.at(now).is_none_or(|time| time >= expiry(claims));
        let knows = is_fresh && !is_over && known.suffices(self.second(now));
        if knows { Standing::Live } else { Standing::Unknown }
    }

    /// Whether tokens can be judged here.
    #[must_use]
    pub fn knows(&self, now: Instant) -> bool {
        let known = self.known.read().unwrap_or_else(PoisonError::into_inner);
        self.is_fresh(now) && known.suffices(self.second(now))
    }

    /// Whether nothing older than [`FRESH`] is missing.
    #[must_use]
    pub fn is_fresh(&self, now: Instant) -> bool {
        self.micros(now) < self.fresh_until.load(Ordering::Acquire)
    }

    /// Until where everything is known; nothing before the first snapshot is complete.
    #[must_use]
    pub fn position(&self) -> Option<String> {
        self.known.read().unwrap_or_else(PoisonError::into_inner).position.clone()
    }

    /// Notes revocations, and until where everything is known with them.
    pub fn note(&self, now: Instant, revocations: &[Revocation], position: Option<String>) {
        let mut known = self.known.write().unwrap_or_else(PoisonError::into_inner);
        for revocation in revocations {
            let remaining = Second::try_from(revocation.remaining.as_secs()).unwrap_or(Second::MAX);
            let until = self.second(now).saturating_add(remaining).saturating_add(2);
            let is_full = known.sessions.len() + known.users.len() >= self.capacity;
            match revocation.tokens {
                Tokens::OfSession(id) if !is_full || known.sessions.contains_key(&id) => {
                    let noted = known.sessions.entry(id).or_insert(until);
                    *noted = until.max(*noted);
                }
                Tokens::OfUser(id, epoch) if !is_full || known.users.contains_key(&id) => {
                    let noted = known.users.entry(id).or_insert((epoch, until));
                    *noted = (epoch.max(noted.0), until.max(noted.1));
                }
                Tokens::OfSession(_) | Tokens::OfUser(..) => {
                    known.overfull_until = known.overfull_until.max(Some(until));
                }
            }
        }
        known.position = position.or(known.position.take());
    }

    /// Forgets the position, so that a snapshot is asked for. What is known stays known.
    pub fn begin_again(&self) {
        self.known.write().unwrap_or_else(PoisonError::into_inner).position = None;
    }

    /// Notes the answer to a probe that was sent then. All that came before the answer must have been noted.
    pub fn prove(&self, probe_sent: Instant) {
        if self.position().is_some() {
            self.fresh_until.fetch_max(self.micros(probe_sent + FRESH), Ordering::Release);
        }
    }

    /// Notes what the clock of the database said when a probe was sent; what is to be said of our own.
    pub fn note_time(&self, probe_sent: Instant, database: SystemTime, own: SystemTime) -> Option<Change> {
        self.known.write().unwrap_or_else(PoisonError::into_inner).clock.note(probe_sent, database, own)
    }

    /// What time it is by the clock of the database; `None` as long as nobody has said.
    #[must_use]
    pub fn time(&self, now: Instant) -> Option<SystemTime> {
        self.known.read().unwrap_or_else(PoisonError::into_inner).clock.at(now)
    }

    /// Forgets what concerns no token any more.
    pub fn forget(&self, now: Instant) {
        let second = self.second(now);
        let mut known = self.known.write().unwrap_or_else(PoisonError::into_inner);
        known.sessions.retain(|_, until| second <= *until);
        known.users.retain(|_, (_, until)| second <= *until);
        known.overfull_until = known.overfull_until.filter(|until| second <= *until);
    }

    /// How many revocations are remembered.
    #[must_use]
    pub fn len(&self) -> usize {
        let known = self.known.read().unwrap_or_else(PoisonError::into_inner);
        known.sessions.len() + known.users.len()
    }

    /// Whether none are.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    fn micros(&self, moment: Instant) -> u64 {
        u64::try_from(moment.saturating_duration_since(self.began).as_micros()).unwrap_or(u64::MAX)
    }

    fn second(&self, moment: Instant) -> Second {
        Second::try_from(moment.saturating_duration_since(self.began).as_secs()).unwrap_or(Second::MAX)
    }
}

fn expiry(claims: &Claims) -> SystemTime {
    UNIX_EPOCH + Duration::from_secs(claims.exp)
}

#[cfg(test)]
mod tests;
