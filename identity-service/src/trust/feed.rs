//! What tells verifiers that tokens have ended, and that the keys have changed: one task a replica reads the table
//! `revocations` again and again, and every follower is told what each read has found.
//!
//! A read begins when a replica says that it has ended something, and when a follower asks for one. The first only
//! hastens; that an answer proves something rests on the second alone. All followers share the reads, however many ask.

use std::convert::Infallible;
use std::error::Error as _;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant, SystemTime};

use futures_util::future::BoxFuture;
use tokio::sync::broadcast::error::RecvError;
use tokio::sync::{Notify, OwnedSemaphorePermit, Semaphore, broadcast, watch};
use tokio::time::{sleep, timeout};
use tracing::{Instrument as _, info, warn};

use super::follower::Follower;
use super::keys::Stored;
use super::keys::model::PublicKey;
use super::model::{Position, Read, Revocation};
use super::store::{self, Found};
use super::time::Time;
use super::{Trust, upkeep};
use crate::database::{Database, Listener, Transaction};
use crate::error::{Error, Result};

/// How long after a read the next one begins at the earliest: what happens in between is found by one.
const PAUSE: Duration = Duration::from_millis(10);
/// How long after a failure the database is tried again.
const RETRY: Duration = Duration::from_millis(100);
/// How many reads a follower may be behind.
const BACKLOG: usize = 256;
/// How many followers there may be: the gateways of a large cluster, and some other services.
const FOLLOWERS: usize = 256;
/// How many revocations one read tells all followers. When there are more, they begin again, each at his own pace.
const MOST: i64 = 20_000;
/// How long after a read the next one begins though nobody asks: so that the keys are known, and the time.
const IDLE: Duration = Duration::from_millis(500);
/// When a follower who finds no place is to try again.
const CROWDED: Duration = Duration::from_secs(5);
/// For how many followers at once the database is asked what they have missed.
const BEGINNERS: usize = 2;
/// How long a new follower waits for the task to have begun, and for a read.
const START: Duration = Duration::from_secs(1);

/// The feed of a replica. A clone is another handle of the same.
#[derive(Clone)]
pub struct Feed(Arc<Shared>);

struct Shared {
    database: Database,
    /// How many reads have begun.
    begun: AtomicU64,
    /// Somebody asks for another.
    asked: Notify,
    /// Something has ended here, which the other replicas are to be told.
    announced: Notify,
    /// Where the next read goes on from; nothing before the first.
    position: watch::Sender<Option<Position>>,
    reads: broadcast::Sender<Arc<Read>>,
    /// Whether the replica stops.
    is_closed: watch::Sender<bool>,
    places: Arc<Semaphore>,
    beginners: Semaphore,
    time: Time,
}

impl Feed {
    /// A feed that nobody runs yet.
    #[must_use]
    pub fn new(database: Database) -> Self {
        Self(Arc::new(Shared {
            database,
            begun: AtomicU64::new(0),
            asked: Notify::new(),
            announced: Notify::new(),
            position: watch::Sender::new(None),
            reads: broadcast::Sender::new(BACKLOG),
            is_closed: watch::Sender::new(false),
            places: Arc::new(Semaphore::new(FOLLOWERS)),
            beginners: Semaphore::new(BEGINNERS),
            time: Time::default(),
        }))
    }

    /// Reads, notes how the keys change, and does what is due, until the feed is closed. Whatever fails is tried again.
    pub async fn run(self, trust: Arc<Trust>) {
        let mut is_closed = self.0.is_closed.subscribe();
        tokio::select! {
            _ = is_closed.wait_for(|is_closed| *is_closed) => {}
            () = self.keep_reading(&trust) => {}
            () = upkeep::keep_up(&self, &self.0.database, &trust) => {}
        }
    }

    /// Ends the streams of all followers, who go on with another replica.
    pub fn close(&self) {
        self.0.is_closed.send_replace(true);
    }

    /// Makes a read begin. Its number is higher than the answer, and so is that of every read which begins after it.
    #[must_use]
    pub fn ask(&self) -> u64 {
        let begun = self.0.begun.load(Ordering::SeqCst);
        self.0.asked.notify_one();
        begun
    }

    /// Runs a transaction that may end something, and lets all verifiers know once it is over. That it commits does not
    /// wait for that: NOTIFY inside it would let no two of them commit at once.
    ///
    /// # Errors
    /// Those of [`Database::transaction`].
    pub async fn end<T: Send + 'static>(
        &self,
        action: impl for<'r> FnOnce(&'r mut Transaction) -> BoxFuture<'r, Result<T>> + Send + 'static,
    ) -> Result<T> {
        let shared = Arc::clone(&self.0);
        // In a task of its own: who hangs up does not keep verifiers from being told.
        let told = async move {
            let outcome = shared.database.transaction(action).await;
            shared.announced.notify_one();
            outcome
        };
        tokio::spawn(told.in_current_span())
            .await
            .unwrap_or_else(|panicked| Err(Error::Internal(panicked.into())))
    }

    /// What time it is, by the clock of the database as soon as that is known.
    #[must_use]
    pub fn now(&self) -> SystemTime {
        self.0.time.now()
    }

    /// Whether what has expired may be forgotten: not while the clocks are so far apart that one must be very wrong.
    #[must_use]
    pub fn may_forget(&self) -> bool {
        self.0.time.may_forget()
    }

    /// Revocations as they are told: perhaps to be known for longer than the clock of the database says.
    pub(super) fn kept(&self, mut revocations: Vec<Revocation>) -> Vec<Revocation> {
        let slack = self.0.time.slack();
        revocations.iter_mut().for_each(|revocation| revocation.remaining += slack);
        revocations
    }

    /// A place for a follower, for as long as it lives.
    ///
    /// # Errors
    /// [`Error::Overloaded`] when there are too many.
    pub fn place(&self) -> Result<OwnedSemaphorePermit> {
        let place = Arc::clone(&self.0.places).try_acquire_owned();
        place.map_err(|_| Error::Overloaded { retry_after: CROWDED })
    }

    /// The keys, as a read has seen them that began after this was called.
    ///
    /// # Errors
    /// [`Error::DatabaseUnavailable`].
    pub(super) async fn keys(&self) -> Result<Arc<[PublicKey]>> {
        let mut reads = self.0.reads.subscribe();
        let begun = self.ask();
        let read = async {
            loop {
                match reads.recv().await {
                    Ok(read) if read.number > begun => return read.keys.clone(),
                    Ok(_) | Err(RecvError::Lagged(_)) => {}
                    Err(RecvError::Closed) => return None,
                }
            }
        };
        let keys = timeout(START, read).await.ok().flatten();
        keys.ok_or_else(|| Error::DatabaseUnavailable("the keys cannot be read".into()))
    }

    /// Begins to follow, from a position on; from nothing without one, and when nobody knows any more what came after it.
    ///
    /// # Errors
    /// [`Error::DatabaseUnavailable`].
    pub async fn follow(&self, from: Option<Position>) -> Result<Follower> {
        let mut position = self.0.position.subscribe();
        let begun = timeout(START, position.wait_for(Option::is_some)).await;
        let position = begun.ok().and_then(|position| position.ok().and_then(|position| position.clone()));
        let life = position.map(|position| position.feed);
        let life = life.ok_or_else(|| Error::DatabaseUnavailable("revocations cannot be read".into()))?;
        // First these, then the look at the table: what is committed in between comes twice, and not never.
        let reads = self.0.reads.subscribe();
        Follower::new(self.clone(), life, from, reads).await
    }

    /// Asks the database for one follower.
    pub(super) async fn look_up<T>(
        &self,
        action: impl AsyncFnOnce(&mut Transaction) -> Result<T>,
    ) -> Result<T> {
        let _turn = self.0.beginners.acquire().await.expect("is never closed");
        self.0.database.read(action).await
    }

    /// Tells when the feed is closed.
    pub fn closed(&self) -> watch::Receiver<bool> {
        self.0.is_closed.subscribe()
    }

    async fn keep_reading(&self, trust: &Trust) {
        let mut is_well = true;
        loop {
            let Err(error) = self.read_on(trust, &mut is_well).await;
            if is_well {
                warn!(
                    cause = error.source(),
                    "revocations and keys cannot be read: verifiers are not told, and must ask"
                );
            }
            is_well = false;
            sleep(RETRY).await;
        }
    }

    async fn read_on(&self, trust: &Trust, is_well: &mut bool) -> Result<Infallible> {
        let mut listener = self.0.database.listen(store::CHANNEL).await?;
        loop {
            self.read(trust, &mut listener).await?;
            if !*is_well {
                info!("revocations and keys can be read again");
                *is_well = true;
            }
            sleep(PAUSE).await;
            let is_announced = tokio::select! {
                notified = listener.notified() => notified.map(|()| false)?,
                () = self.0.asked.notified() => false,
                () = sleep(IDLE) => false,
                () = self.0.announced.notified() => true,
            };
            if is_announced {
                // Nothing waits for it here either.
                let database = self.0.database.clone();
                tokio::spawn(async move { super::announce(&database).await });
            }
        }
    }

    /// One read, of which all followers are told.
    async fn read(&self, trust: &Trust, listener: &mut Listener) -> Result<()> {
        let asked = Instant::now();
        let number = self.0.begun.fetch_add(1, Ordering::SeqCst) + 1;
        let before = self.0.position.borrow().clone();
        let find = async |connection: &mut Transaction| {
            let found = match &before {
                Some(before) => store::find_since(connection, &before.snapshot, MOST).await?,
                None => store::find_position(connection).await?,
            };
            if found.is_none() {
                store::begin_feed(connection).await?;
            }
            Ok(found)
        };
        let found = match listener.run(find).await? {
            Some(found) => Some(found),
            // Now the life of the server has a name. Whatever was there before, followers begin again.
            None => listener.run(async |connection| Ok(store::find_position(connection).await?)).await?,
        };
        let Found { position, time, keys, revocations } = found
            .ok_or_else(|| Error::DatabaseUnavailable("the server begins one life after the other".into()))?;
        let again = async || listener.run(Stored::read).await;
        let keys = trust.keyring.catch_up(asked, &keys, again).await?;
        if before.is_some_and(|before| before.feed != position.feed) {
            info!("the database was started anew, or has changed: verifiers are told everything again");
        }
        self.0.time.note(asked, time);
        // Followers of another life of the server see by the position that they have to begin again; and without one all do.
        let is_whole = i64::try_from(revocations.len()).is_ok_and(|count| count < MOST);
        let told = is_whole.then(|| position.clone());
        let (keys, revocations) = (Some(keys.public()), self.kept(revocations));
        let read = Read { number, keys, revocations, position: told, time };
        let _nobody_follows = self.0.reads.send(Arc::new(read));
        self.0.position.send_replace(Some(position));
        Ok(())
    }
}
