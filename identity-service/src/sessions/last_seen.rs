//! When each session was last seen. It is kept cheaply: a caller never waits for it, and it may be lost.
//!
//! A use is noted in memory, at most once a minute and session. Notes are written together, at most one statement a
//! second, by a condition that lets all replicas together write once a minute and session.

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use quick_cache::sync::Cache;
use tokio::sync::mpsc;
use tokio::time::{sleep, timeout};
use tracing::warn;
use uuid::Uuid;

use super::store;
use crate::database::Database;
use crate::error::{Error, Result};
use crate::ids::SessionId;

/// How often a session is noted, and how often it is written.
const ONCE: Duration = Duration::from_secs(60);
/// The time between two statements.
const PAUSE: Duration = Duration::from_secs(1);
/// How long one may take, with its wait for a connection.
const LIMIT: Duration = Duration::from_secs(2);
/// How many notes may wait, and so how many a statement writes.
const NOTES: usize = 2_000;
/// How many sessions are remembered as noted, at some 50 bytes each. Another is noted more often than it need be.
const SESSIONS: usize = 50_000;

/// Notes the use of sessions. A clone is another handle of the same notes.
#[derive(Clone)]
pub struct LastSeen {
    noted: Arc<Cache<Uuid, SystemTime>>,
    notes: mpsc::Sender<SessionId>,
}

impl LastSeen {
    /// Starts the task that writes the notes; it ends with the last handle.
    #[must_use]
    pub fn start(database: Database) -> Self {
        let (last_seen, notes) = Self::new();
        tokio::spawn(write_all(database, notes));
        last_seen
    }

    fn new() -> (Self, mpsc::Receiver<SessionId>) {
        let (sender, notes) = mpsc::channel(NOTES);
        (Self { noted: Arc::new(Cache::new(SESSIONS)), notes: sender }, notes)
    }

    /// Notes that a token of this session is used. When too many notes wait, this one is dropped.
    pub fn note(&self, now: SystemTime, session: SessionId) {
        let id = session.as_uuid();
        let is_recent = |time: SystemTime| now.duration_since(time).is_ok_and(|age| age < ONCE);
        if self.noted.get(&id).is_some_and(is_recent) || is_recent(begun(id)) {
            return;
        }
        self.noted.insert(id, now);
        let _ = self.notes.try_send(session);
    }
}

/// When a session began, by the time in its UUIDv7: its login has written that it was seen then.
fn begun(id: Uuid) -> SystemTime {
    let time = id.get_timestamp().map(|time| time.to_unix());
    time.map_or(SystemTime::UNIX_EPOCH, |(seconds, nanos)| {
        SystemTime::UNIX_EPOCH + Duration::new(seconds, nanos)
    })
}

async fn write_all(database: Database, mut notes: mpsc::Receiver<SessionId>) {
    let mut seen = Vec::new();
    while notes.recv_many(&mut seen, NOTES).await > 0 {
        let written = timeout(LIMIT, write(&database, &seen)).await;
        let written = written.unwrap_or_else(|late| Err(Error::DatabaseUnavailable(late.into())));
        if let Err(error) = written {
            warn!(%error, sessions = seen.len(), "when sessions were last seen is not written");
        }
        seen.clear();
        sleep(PAUSE).await;
    }
}

/// No transaction: a statement alone holds no lock while this process sleeps.
async fn write(database: &Database, seen: &[SessionId]) -> Result<()> {
    let mut connection = database.connection().await?;
    let written = store::note_seen(&mut connection, seen, ONCE).await;
    connection.finish();
    written?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use uuid::{NoContext, Timestamp};

    fn at(seconds: u64) -> SystemTime {
        SystemTime::UNIX_EPOCH + Duration::from_secs(seconds)
    }

    fn begun_at(seconds: u64) -> SessionId {
        Uuid::new_v7(Timestamp::from_unix(NoContext, seconds, 0)).into()
    }

    #[test]
    fn a_session_is_noted_once_a_minute() {
        let (last_seen, mut notes) = LastSeen::new();
        let (one, other) = (begun_at(0), begun_at(0));
        for (second, session, is_noted) in [
            (100, one, true),
            (100, one, false),
            (159, one, false),
            (159, other, true),
            (160, one, true),
            (161, one, false),
            (161, other, false),
        ] {
            last_seen.note(at(second), session);
            assert_eq!(notes.try_recv().ok(), is_noted.then_some(session), "{second}");
        }
    }

    #[test]
    fn a_session_that_has_just_begun_is_not_noted() {
        let (last_seen, mut notes) = LastSeen::new();
        let session = begun_at(100);
        last_seen.note(at(159), session);
        assert!(notes.try_recv().is_err());
        last_seen.note(at(160), session);
        assert_eq!(notes.try_recv().ok(), Some(session));
    }

    #[test]
    fn notes_that_nobody_writes_are_dropped() {
        let (last_seen, notes) = LastSeen::new();
        for _ in 0..NOTES + 10 {
            last_seen.note(at(100), begun_at(0));
        }
        assert_eq!(notes.len(), NOTES);
    }
}
