//! Who computes hashes: a few threads of lower priority than the rest, behind a short queue.
//!
//! A hash takes a core for a quarter of a second, so hashing is the scarcest resource there is. Whoever wants one
//! takes a [`Place`] first, which is refused at once when the queue holds more than two seconds of work; all
//! else stays fast meanwhile. A caller who goes away while he waits leaves the queue and costs nothing.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use tokio::sync::{Semaphore, oneshot};
use tokio::time::timeout;

use super::{Password, StoredPassword, VersionedPeppers};
use crate::error::{Error, Result};

/// How much work may wait.
const QUEUE: Duration = Duration::from_secs(2);
/// How long a caller waits at the most, should the work before him take longer than it was thought to.
const WAIT: Duration = Duration::from_secs(3);
/// How much less a hash thread counts than the others, in the units of `nice`. The process may have been started with
/// some of it already.
const NICENESS: i32 = 10;

/// Computes hashes.
pub struct Hasher {
    threads: rayon::ThreadPool,
    permits: Arc<Semaphore>,
    work: Arc<Work>,
}

/// What the hash threads share.
struct Work {
    peppers: VersionedPeppers,
    cost: u32,
    thread_count: usize,
    /// Verified when there is no hash to verify, so that an unknown user costs what a wrong password does.
    decoy: StoredPassword,
    /// How many places are taken: hashes that wait or run.
    places: AtomicUsize,
    /// How long a hash took lately, in microseconds.
    recent_micros: AtomicU64,
}

/// Whether a password is the stored one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[must_use]
pub enum Verdict {
    /// It is.
    Match {
        /// Whether the hash was made with another cost, or another pepper, than new ones are.
        outdated: bool,
    },
    /// It is not, or there is nothing stored that it could be compared with.
    Mismatch,
}

impl Hasher {
    /// Starts the threads, and computes one hash to see how long it takes.
    ///
    /// # Errors
    /// When the system gives no threads or no randomness.
    pub fn start(peppers: VersionedPeppers, cost: u32, thread_count: usize) -> Result<Self> {
        let threads = rayon::ThreadPoolBuilder::new()
            .num_threads(thread_count)
            .thread_name(|index| format!("hasher-{index}"))
            .start_handler(|_| lower_priority())
            // Without it the process would end. The caller is told by the channel that went with the job.
            .panic_handler(|_| tracing::error!("a hash thread panicked"))
            .build()
            .map_err(|error| Error::Internal(error.into()))?;
        let nobody = Password::new(String::new()).expect("an empty password is short enough");
        let started = Instant::now();
        let decoy = StoredPassword::make(peppers.primary(), cost, &nobody)
            .map_err(|error| Error::Internal(error.into()))?;
        let recent_micros = AtomicU64::new(micros(started.elapsed()));
        let work = Work { peppers, cost, thread_count, decoy, places: AtomicUsize::new(0), recent_micros };
        Ok(Self { threads, permits: Arc::new(Semaphore::new(thread_count)), work: Arc::new(work) })
    }

    /// Takes a place in the queue; it is given back when the hash is done or the place is dropped.
    ///
    /// # Errors
    /// [`Error::Overloaded`] when the queue is full. Nothing has been asked of anybody then.
    pub fn place(&self) -> Result<Place<'_>> {
        let work = &self.work;
        let hash = Duration::from_micros(work.recent_micros.load(Ordering::Relaxed).max(1));
        let per_thread = usize::try_from(QUEUE.as_micros() / hash.as_micros()).unwrap_or(usize::MAX);
        let room = work.thread_count.saturating_mul(per_thread.saturating_add(1));
        let taken = work.places.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |places| {
            (places < room).then_some(places + 1)
        });
        match taken {
            Ok(_) => Ok(Place { hasher: self, held: Held(Arc::clone(work)) }),
            Err(places) => Err(Error::Overloaded {
                retry_after: hash * u32::try_from(places / work.thread_count).unwrap_or(u32::MAX),
            }),
        }
    }
}

/// A place in the queue for one hash.
pub struct Place<'a> {
    hasher: &'a Hasher,
    held: Held,
}

impl Place<'_> {
    /// Hashes a new password.
    ///
    /// # Errors
    /// [`Error::Internal`] when the system gives no randomness.
    pub async fn hash(self, password: Password) -> Result<StoredPassword> {
        self.run(move |work| StoredPassword::make(work.peppers.primary(), work.cost, &password))
            .await?
            .map_err(|error| Error::Internal(error.into()))
    }

    /// Compares a password with the stored one. It takes the same time when there is none, or none that can be
    /// computed: hence the `Option`.
    ///
    /// # Errors
    /// [`Error::Internal`] when a hash thread panics.
    pub async fn verify(self, password: Password, stored: Option<StoredPassword>) -> Result<Verdict> {
        self.run(move |work| work.verify(&password, stored.as_ref())).await
    }

    /// Waits for a thread and runs the job there. The place is held until the job is done, also when nobody waits
    /// for it any more.
    async fn run<T: Send + 'static>(self, job: impl FnOnce(&Work) -> T + Send + 'static) -> Result<T> {
        let Place { hasher, held } = self;
        let Ok(permit) = timeout(WAIT, Arc::clone(&hasher.permits).acquire_owned()).await else {
            return Err(Error::Overloaded { retry_after: QUEUE });
        };
        let permit = permit.expect("the semaphore is never closed");
        let (done, outcome) = oneshot::channel();
        hasher.threads.spawn(move || {
            let started = Instant::now();
            let result = job(&held.0);
            held.0.remember(started.elapsed());
            drop((permit, held));
            // The caller may have gone; then nobody is to be told.
            let _ = done.send(result);
        });
        outcome.await.map_err(|error| Error::Internal(error.into()))
    }
}

/// Counts as one taken place as long as it lives.
struct Held(Arc<Work>);

impl Drop for Held {
    fn drop(&mut self) {
        self.0.places.fetch_sub(1, Ordering::Relaxed);
    }
}

impl Work {
    fn verify(&self, password: &Password, stored: Option<&StoredPassword>) -> Verdict {
        let primary = self.peppers.primary();
        let known = stored
            .and_then(|stored| Some((stored, stored.cost()?, self.peppers.find(stored.pepper_version)?)));
        let Some((stored, cost, pepper)) = known else {
            let _ = self.decoy.matches(primary.1, password);
            return Verdict::Mismatch;
        };
        if stored.matches(pepper, password) {
            // A later pepper is that of other replicas already: they and we would hash it back and forth.
            let outdated = cost != self.cost || stored.pepper_version < primary.0;
            return Verdict::Match { outdated };
        }
        // A hash of cost c takes 2^c steps; those of cost c, c+1 … up to the present one make up the difference,
        // so that a wrong password takes the same time whatever the age of the hash.
        for missing in cost..self.cost {
            let _ = StoredPassword::make(primary, missing, password);
        }
        Verdict::Mismatch
    }

    /// Follows the speed of the machine: an average in which the last few hashes count most.
    fn remember(&self, took: Duration) {
        let before = self.recent_micros.load(Ordering::Relaxed);
        self.recent_micros.store((before * 7 + micros(took)) / 8, Ordering::Relaxed);
    }
}

fn micros(duration: Duration) -> u64 {
    u64::try_from(duration.as_micros()).unwrap_or(u64::MAX / 16)
}

/// Lets everything else go first. Linux keeps a priority for each thread; elsewhere it would be the process's.
fn lower_priority() {
    #[cfg(target_os = "linux")]
    if let Err(error) = rustix::process::nice(NICENESS) {
        tracing::warn!(%error, "hash threads run at the normal priority");
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::credentials::peppers::Registered;
    use crate::credentials::{Pepper, Peppers};

    /// New hashes are made with the pepper of version 1.
    fn hasher(threads: usize) -> Hasher {
        let mut peppers = Peppers::of(Pepper::new(&[7; 32]));
        assert!(peppers.add(Pepper::new(&[8; 32])));
        Hasher::start(peppers.recognise(&[]).unwrap().peppers, 5, threads).unwrap()
    }

    fn password(text: &str) -> Password {
        Password::new(text.to_owned()).unwrap()
    }

    #[tokio::test]
    async fn a_password_is_compared_with_what_is_stored() {
        let hasher = hasher(1);
        let stored = hasher.place().unwrap().hash(password("guinevere")).await.unwrap();
        let verify = async |text: &str, stored: Option<StoredPassword>| {
            hasher.place().unwrap().verify(password(text), stored).await.unwrap()
        };
        assert_eq!(verify("guinevere", Some(stored.clone())).await, Verdict::Match { outdated: false });
        assert_eq!(verify("lancelot", Some(stored)).await, Verdict::Mismatch);
        assert_eq!(verify("guinevere", None).await, Verdict::Mismatch);
        // The decoy is a hash of the empty password; that is nobody's password all the same.
        assert_eq!(verify("", None).await, Verdict::Mismatch);
    }

    #[tokio::test]
    async fn a_hash_of_a_lower_cost_is_outdated() {
        let hasher = hasher(1);
        let old = StoredPassword::make((1, &Pepper::new(&[7; 32])), 4, &password("guinevere")).unwrap();
        let verdict = hasher.place().unwrap().verify(password("guinevere"), Some(old)).await.unwrap();
        assert_eq!(verdict, Verdict::Match { outdated: true });
    }

    #[tokio::test]
    async fn a_hash_with_an_earlier_pepper_is_outdated_and_one_with_an_unknown_pepper_is_nobodys() {
        // As after an exchange: the second pepper is for new passwords.
        let mut peppers = Peppers::of(Pepper::new(&[8; 32]));
        assert!(peppers.add(Pepper::new(&[7; 32])));
        let known =
            Registered { version: 1, fingerprint: Pepper::new(&[7; 32]).fingerprint(), is_used: true };
        let after = Hasher::start(peppers.recognise(&[known]).unwrap().peppers, 5, 1).unwrap();
        let before = hasher(1);
        let verdict = async |hasher: &Hasher, key, pepper_version| {
            let made_with = (pepper_version, &Pepper::new(&[key; 32]));
            let stored = StoredPassword::make(made_with, 5, &password("guinevere")).unwrap();
            hasher.place().unwrap().verify(password("guinevere"), Some(stored)).await.unwrap()
        };
        for (hasher, key, version, outdated) in
            [(&before, 7, 1, false), (&after, 7, 1, true), (&after, 8, 2, false), (&before, 8, 2, false)]
        {
            let found = verdict(hasher, key, version).await;
            assert_eq!(found, Verdict::Match { outdated }, "{key} {version}");
        }
        for (key, version) in [(7, 2), (8, 1), (7, 3), (7, 0), (7, -1), (9, 3)] {
            assert_eq!(verdict(&before, key, version).await, Verdict::Mismatch, "{key} {version}");
        }
        for (hasher, version) in [(&before, 1), (&after, 2)] {
            let new = hasher.place().unwrap().hash(password("guinevere")).await.unwrap();
            assert_eq!(new.pepper_version, version);
        }
    }

    #[tokio::test]
    async fn a_job_that_panics_is_a_fault_of_one_caller_and_gives_its_place_back() {
        let hasher = hasher(1);
        let outcome: Result<()> = hasher.place().unwrap().run(|_| panic!("on purpose")).await;
        assert!(matches!(outcome, Err(Error::Internal(_))));
        assert_eq!(hasher.work.places.load(Ordering::Relaxed), 0);
        assert!(hasher.place().unwrap().hash(password("guinevere")).await.is_ok());
    }

    #[tokio::test]
    async fn a_full_queue_refuses_at_once_and_says_when_to_come_back() {
        let hasher = hasher(2);
        hasher.work.recent_micros.store(1_000_000, Ordering::Relaxed);
        let places: Vec<_> = (0..6).map(|_| hasher.place().unwrap()).collect();
        let Err(Error::Overloaded { retry_after }) = hasher.place() else {
            panic!("there was a seventh place")
        };
        assert_eq!(retry_after, Duration::from_secs(3));
        drop(places);
        assert!(hasher.place().is_ok());
    }

    #[tokio::test]
    async fn a_caller_who_goes_away_while_he_waits_costs_no_hash() {
        let hasher = hasher(1);
        let busy = Arc::clone(&hasher.permits).acquire_owned().await.unwrap();
        let waiting = hasher.place().unwrap().hash(password("guinevere"));
        assert!(timeout(Duration::from_millis(20), waiting).await.is_err());
        drop(busy);
        assert_eq!(hasher.work.places.load(Ordering::Relaxed), 0);
        assert_eq!(hasher.permits.available_permits(), 1);
    }
}
