//! What tells verifiers that tokens have ended: one task a replica reads the table `revocations` again and again, and
//! every follower is told what each read has found.
//!
//! A read begins when the database says that something has happened, and when a follower asks for one. The first only
//! hastens; that an answer proves something rests on the second alone. All followers share the reads, however many ask.

use std::convert::Infallible;
use std::error::Error as _;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, SystemTime};

use futures_util::FutureExt as _;
use portcullis_proto::clock::{Change, Comparison};
use tokio::sync::{Notify, Semaphore, broadcast, watch};
use tokio::time::{interval, sleep, timeout};
use tracing::{debug, info, warn};

use super::follower::Follower;
use super::model::{Position, Revocation};
use super::store::{self, Found};
use crate::database::{Database, Listener, Transaction};
use crate::error::{Error, Result};

/// How long after a read the next one begins at the earliest: what happens in between is found by one.
const PAUSE: Duration = Duration::from_millis(10);
/// How long after a failure the database is tried again.
const RETRY: Duration = Duration::from_millis(100);
/// How many reads a follower may be behind.
const BACKLOG: usize = 256;
/// For how many followers at once the database is asked what they have missed.
const BEGINNERS: usize = 2;
/// How long a new follower waits for the task to have begun.
const START: Duration = Duration::from_secs(1);
/// How often what nobody need know any more is removed.
const REMOVAL: Duration = Duration::from_secs(60);

/// The feed of a replica. A clone is another handle of the same.
#[derive(Clone)]
pub struct Feed(Arc<Shared>);

struct Shared {
    database: Database,
    /// How many reads have begun.
    begun: AtomicU64,
    /// Somebody asks for another.
    asked: Notify,
    /// Where the next read goes on from; nothing before the first.
    position: watch::Sender<Option<Position>>,
    reads: broadcast::Sender<Arc<Read>>,
    /// Whether the replica stops.
    is_closed: watch::Sender<bool>,
    beginners: Semaphore,
    clock: Mutex<Comparison>,
}

/// What a read has found.
#[derive(Debug)]
pub struct Read {
    /// How many reads had begun when this one did, itself included; 0 for one that no other follower is told of.
    pub number: u64,
    /// What has ended.
    pub revocations: Vec<Revocation>,
    /// Until where a follower then knows everything; nothing while more of a snapshot follows.
    pub position: Option<Position>,
    /// What the clock of the database said.
    pub time: SystemTime,
}

impl Feed {
    /// A feed that nobody runs yet.
    #[must_use]
    pub fn new(database: Database) -> Self {
        Self(Arc::new(Shared {
            database,
            begun: AtomicU64::new(0),
            asked: Notify::new(),
            position: watch::Sender::new(None),
            reads: broadcast::Sender::new(BACKLOG),
            is_closed: watch::Sender::new(false),
            beginners: Semaphore::new(BEGINNERS),
            clock: Mutex::default(),
        }))
    }

    /// Reads, and removes what nobody need know any more, until the feed is closed. Whatever fails is tried again.
    pub async fn run(self) {
        let mut is_closed = self.0.is_closed.subscribe();
        tokio::select! {
            _ = is_closed.wait_for(|is_closed| *is_closed) => {}
            () = self.keep_reading() => {}
            () = self.keep_short() => {}
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

    pub(super) fn closed(&self) -> watch::Receiver<bool> {
        self.0.is_closed.subscribe()
    }

    async fn keep_reading(&self) {
        let mut is_well = true;
        loop {
            let Err(error) = self.read_on(&mut is_well).await;
            if is_well {
                warn!(
                    cause = error.source(),
                    "revocations cannot be read: verifiers are not told, and must ask"
                );
            }
            is_well = false;
            sleep(RETRY).await;
        }
    }

    async fn read_on(&self, is_well: &mut bool) -> Result<Infallible> {
        let mut listener = self.0.database.listen(store::CHANNEL).await?;
        loop {
            self.read(&mut listener).await?;
            if !*is_well {
                info!("revocations can be read again");
                *is_well = true;
            }
            sleep(PAUSE).await;
            tokio::select! {
                notified = listener.notified() => notified?,
                () = self.0.asked.notified() => {}
            }
        }
    }

    /// One read, of which all followers are told.
    async fn read(&self, listener: &mut Listener) -> Result<()> {
        let number = self.0.begun.fetch_add(1, Ordering::SeqCst) + 1;
        let before = self.0.position.borrow().clone();
        let find = async |connection: &mut Transaction| {
            let found = match &before {
                Some(before) => store::find_since(connection, &before.snapshot, i64::MAX).await?,
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
        let Found { position, time, revocations } = found
            .ok_or_else(|| Error::DatabaseUnavailable("the server begins one life after the other".into()))?;
        if before.is_some_and(|before| before.feed != position.feed) {
            info!("the database was started anew, or has changed: verifiers are told everything again");
        }
        self.compare_clocks(time);
        // Followers of another life of the server see by the position that they have to begin again.
        let read = Read { number, revocations, position: Some(position.clone()), time };
        let _nobody_follows = self.0.reads.send(Arc::new(read));
        self.0.position.send_replace(Some(position));
        Ok(())
    }

    fn compare_clocks(&self, database: SystemTime) {
        let mut clock = self.0.clock.lock().unwrap_or_else(PoisonError::into_inner);
        match clock.note(SystemTime::now(), database) {
            Some(Change::Wrong(apart)) => {
                let seconds = apart.as_secs();
                warn!(
                    seconds,
                    "this clock and that of the database are far apart: good tokens may be refused here"
                );
            }
            Some(Change::Right) => info!("this clock agrees with that of the database again"),
            None => {}
        }
    }

    async fn keep_short(&self) {
        let mut ticks = interval(REMOVAL);
        loop {
            ticks.tick().await;
            let remove = self.0.database.transaction(|connection| {
                async move { Ok(store::delete_forgotten(connection).await?) }.boxed()
            });
            match remove.await {
                Ok(count) => debug!(count, "revocations were removed that nobody need know any more"),
                Err(error) => {
                    debug!(cause = error.source(), "no revocations were removed; it is tried again");
                }
            }
        }
    }
}
