//! Who sends what is in the outbox. Every replica does; each mail is claimed by one of them for a while, and no transaction
//! is open while it is sent.

use std::error::Error as _;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use aws_lc_rs::rand;
use futures_util::FutureExt as _;
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::{Instant, interval_at, sleep};
use tracing::{debug, error, info, warn};

use super::failure::Failure;
use super::model::{Claimed, GivenUp, pause};
use super::office::{DEADLINE, Office};
use super::store;
use crate::database::{Database, PointConnection};
use crate::error::Result;
use crate::trust::KeyEncryptionKey;

/// How often it is looked whether a mail is due, before chance takes up to a half away.
const LOOK: Duration = Duration::from_millis(500);
/// How many mails are sent at once.
const AT_ONCE: usize = 16;
/// For how long a claimed mail is this replica's: until sending it must have ended, and that has been noted.
const LEASE: Duration = DEADLINE.saturating_mul(2);
/// How long to wait until it is tried again to note what became of a mail, and how often that is tried if it was not sent.
const NOTE: Duration = Duration::from_secs(1);
const NOTES: usize = 20;
/// How often old mails are deleted.
const REMOVAL: Duration = Duration::from_secs(60);

/// A worker. A clone is another handle of the same.
#[derive(Clone)]
pub(super) struct Worker(Arc<Inner>);

struct Inner {
    database: Database,
    kek: Arc<KeyEncryptionKey>,
    office: Arc<Office>,
    /// Whether mails can be sent, as far as is known.
    sends: AtomicBool,
    /// Whether it was told that a token does not open.
    told_of_token: AtomicBool,
}

impl Worker {
    pub(super) fn new(database: Database, kek: Arc<KeyEncryptionKey>, office: Arc<Office>) -> Self {
        let (sends, told_of_token) = (AtomicBool::new(true), AtomicBool::new(false));
        Self(Arc::new(Inner { database, kek, office, sends, told_of_token }))
    }

    /// Sends until it is to stop, and then ends what it has begun. Whatever fails is tried again.
    pub(super) async fn run(self, is_stopping: watch::Receiver<bool>) {
        tokio::select! {
            () = self.send_all(is_stopping) => {}
            () = self.keep_short() => {}
        }
    }

    async fn send_all(&self, mut is_stopping: watch::Receiver<bool>) {
        let mut under_way = JoinSet::new();
        let mut is_well = true;
        loop {
            tokio::select! {
                () = sleep(LOOK.mul_f64(1.0 - chance() / 2.0)) => {}
                // Also when nobody is left who could say so.
                () = async { drop(is_stopping.wait_for(|is_stopping| *is_stopping).await) } => {
                    under_way.join_all().await;
                    return;
                }
                // There may be another one to the same address, or one that had no room.
                Some(_) = under_way.join_next() => {}
            }
            while under_way.try_join_next().is_some() {}
            let room = AT_ONCE - under_way.len();
            match self.claim(room).await {
                Ok(claimed) => {
                    is_well = true;
                    for mail in claimed {
                        let worker = self.clone();
                        under_way.spawn(async move { worker.send(mail).await });
                    }
                }
                Err(error) => {
                    if is_well {
                        warn!(cause = error.source(), "the outbox is not looked at; it is tried again");
                    }
                    is_well = false;
                }
            }
        }
    }

    /// Gives up what is hopeless, and claims at most so many of the others.
    async fn claim(&self, room: usize) -> Result<Vec<Claimed>> {
        let look = |connection: PointConnection| async move { store::is_anything_due(&connection).await };
        if room == 0 || !self.0.database.point_read(look).await? {
            return Ok(Vec::new());
        }
        let give_up = self
            .0
            .database
            .transaction(|connection| async move { Ok(store::give_up_hopeless(connection).await?) }.boxed());
        give_up.await?.iter().for_each(tell_given_up);
        let claim = self.0.database.transaction(move |connection| {
            async move { Ok(store::claim(connection, room, LEASE).await?) }.boxed()
        });
        claim.await
    }

    async fn send(&self, mail: Claimed) {
        let outcome = self.0.office.send(&self.0.kek, &mail).await;
        self.tell(&outcome);
        let (id, attempts) = (mail.id.as_uuid(), mail.attempts);
        match &outcome {
            Ok(()) => debug!(%id, attempts, "a mail was sent"),
            Err(failure) => debug!(%id, attempts, %failure, "a mail was not sent"),
        }
        let (mail, outcome) = (Arc::new(mail), Arc::new(outcome));
        let mut notes = 0;
        // That it was sent is noted sooner or later: else it would be sent again.
        while notes < NOTES || outcome.is_ok() {
            notes += 1;
            match self.note(Arc::clone(&mail), Arc::clone(&outcome)).await {
                Ok(given_up) => return given_up.iter().for_each(tell_given_up),
                Err(error) => {
                    debug!(%id, cause = error.source(), "what became of a mail is not noted; it is tried again");
                }
            }
            sleep(NOTE).await;
        }
    }

    /// Notes what became of a mail; who gave it up, if that was it.
    async fn note(&self, mail: Arc<Claimed>, outcome: Arc<Result<(), Failure>>) -> Result<Option<GivenUp>> {
        let chance = chance();
        let note = self.0.database.transaction(move |connection| {
            async move {
                let failure = match &*outcome {
                    Ok(()) => {
                        store::mark_sent(connection, mail.id).await?;
                        return Ok(None);
                    }
                    Err(failure) => failure,
                };
                let why = failure.to_string();
                if failure.is_final() {
                    return Ok(store::give_up(connection, mail.id, &why).await?);
                }
                // Another replica can perhaps open it: it need not wait longer each time.
                let attempts = if *failure == Failure::Sealed { 1 } else { mail.attempts };
                store::put_off(connection, &mail, &why, pause(attempts, chance)).await?;
                Ok(None)
            }
            .boxed()
        });
        note.await
    }

    /// Says once when mails cannot be sent any more, and once when they can again.
    fn tell(&self, outcome: &Result<(), Failure>) {
        let Inner { sends, told_of_token, .. } = &*self.0;
        match outcome {
            Err(failure) if failure.is_general() => {
                if sends.swap(false, Ordering::Relaxed) {
                    warn!(%failure, "mails cannot be sent; they wait, and it is tried again");
                }
            }
            Err(failure @ Failure::Sealed) => {
                if !told_of_token.swap(true, Ordering::Relaxed) {
                    warn!(%failure, "a mail is left to another replica");
                }
            }
            Err(Failure::Unwritable) => {}
            Ok(()) | Err(_) => {
                if !sends.swap(true, Ordering::Relaxed) {
                    info!("mails are sent again");
                }
            }
        }
    }

    async fn keep_short(&self) {
        let mut ticks = interval_at(Instant::now() + REMOVAL, REMOVAL);
        loop {
            ticks.tick().await;
            if let Err(error) = self.remove_old().await {
                warn!(cause = error.source(), "old mails are not deleted; it is tried again");
            }
        }
    }

    async fn remove_old(&self) -> Result<()> {
        loop {
            let some = self
                .0
                .database
                .transaction(|connection| async move { Ok(store::delete_old(connection).await?) }.boxed());
            let deleted = some.await?;
            if i64::try_from(deleted).is_ok_and(|deleted| deleted < store::MANY) {
                return Ok(());
            }
        }
    }
}

fn tell_given_up(mail: &GivenUp) {
    let GivenUp { id, kind, attempts, last_error, is_orphan } = mail;
    let (id, kind, last_error) = (id.as_uuid(), kind.as_str(), last_error.as_deref());
    if *is_orphan {
        debug!(%id, kind, "a mail is not sent: its user was deleted");
    } else {
        error!(%id, kind, attempts, last_error, "a mail is given up");
    }
}

/// From 0 to 1. Where the system gives no randomness it is 0: then pauses are as long as they can be.
fn chance() -> f64 {
    let mut bytes = [0; 4];
    let _ = rand::fill(&mut bytes);
    f64::from(u32::from_le_bytes(bytes)) / f64::from(u32::MAX)
}
