//! One follower of the feed: first what he has missed, then what every read finds.

use std::sync::Arc;
use std::time::SystemTime;

use tokio::sync::{broadcast, watch};

use super::feed::Feed;
use super::model::{Position, Read};
use super::store::{self, Found};
use crate::database::Transaction;
use crate::error::{Error, Result};

/// Who has missed as many as this is sent a snapshot.
const MISSED: i64 = 10_000;
/// How many of a snapshot are looked up at once.
const PAGE: i64 = 1_000;

/// Somebody who is told all revocations from a position on.
pub struct Follower {
    feed: Feed,
    /// The life of the server that he follows.
    life: String,
    /// What he is to be told before he is told of the reads of all.
    missed: Missed,
    reads: broadcast::Receiver<Arc<Read>>,
    is_closed: watch::Receiver<bool>,
}

enum Missed {
    /// This.
    Some(Found),
    /// All that have a higher id; then he knows everything until this position.
    After {
        id: i64,
        position: Position,
        time: SystemTime,
    },
    Nothing,
}

impl Follower {
    pub(super) async fn new(
        feed: Feed,
        life: String,
        from: Option<Position>,
        reads: broadcast::Receiver<Arc<Read>>,
    ) -> Result<Self> {
        let from = from.filter(|from| from.feed == life);
        let missed = feed.look_up(async |connection| find_missed(connection, from).await).await?;
        let found = match &missed {
            Missed::Some(Found { position, .. }) | Missed::After { position, .. } => Some(&position.feed),
            Missed::Nothing => None,
        };
        if found != Some(&life) {
            return Err(anew());
        }
        let is_closed = feed.closed();
        Ok(Self { feed, life, missed, reads, is_closed })
    }

    /// What he has missed, piece by piece, until there is nothing left.
    ///
    /// # Errors
    /// [`Error::DatabaseUnavailable`].
    pub async fn catch_up(&mut self) -> Result<Option<Read>> {
        match std::mem::replace(&mut self.missed, Missed::Nothing) {
            Missed::Nothing => Ok(None),
            Missed::Some(Found { position, time, revocations, .. }) => {
                let revocations = self.feed.kept(revocations);
                Ok(Some(Read { number: 0, keys: None, revocations, position: Some(position), time }))
            }
            Missed::After { id, position, time } => {
                let page = async |connection: &mut Transaction| {
                    let page = store::find_page(connection, id, PAGE).await?;
                    // Each may come over another connection, and so from another server.
                    let here = store::find_position(connection).await?.map(|found| found.position.feed);
                    if here.as_ref() == Some(&position.feed) { Ok(page) } else { Err(anew()) }
                };
                let (revocations, last) = self.feed.look_up(page).await?;
                let position = match last {
                    Some(id) => {
                        self.missed = Missed::After { id, position, time };
                        None
                    }
                    None => Some(position),
                };
                let revocations = self.feed.kept(revocations);
                Ok(Some(Read { number: 0, keys: None, revocations, position, time }))
            }
        }
    }

    /// What the next read has found, when nothing is left to catch up with. Nothing when he has to begin again: the replica
    /// stops, he is too slow, or the server has begun another life.
    ///
    /// Nothing is lost when this is not waited for to the end.
    pub async fn next(&mut self) -> Option<Arc<Read>> {
        let read = tokio::select! {
            read = self.reads.recv() => read.ok()?,
            _ = self.is_closed.wait_for(|is_closed| *is_closed) => return None,
        };
        let is_of_life = read.position.as_ref().is_some_and(|position| position.feed == self.life);
        is_of_life.then_some(read)
    }
}

fn anew() -> Error {
    Error::DatabaseUnavailable("the database was started anew, or has changed".into())
}

async fn find_missed(connection: &mut Transaction, from: Option<Position>) -> Result<Missed> {
    if let Some(from) = from
        && let Some(found) = store::find_since(connection, &from.snapshot, MISSED).await?
        && i64::try_from(found.revocations.len()).is_ok_and(|count| count < MISSED)
    {
        return Ok(Missed::Some(found));
    }
    // The position comes first: whatever it knows is in the table by then, and stays there.
    let found = store::find_position(connection).await?;
    let Some(Found { position, time, .. }) = found else { return Ok(Missed::Nothing) };
    Ok(Missed::After { id: 0, position, time })
}
