//! Whether the database is well, and what is left behind when it is not: a connection to a server that hangs is never
//! answered and never closed.

use std::time::{Duration, Instant};

use diesel::QueryResult;
use diesel_async::{AsyncPgConnection, RunQueryDsl};
use tokio::time::timeout;

use super::{Database, in_time};
use crate::error::{Error, Result};

/// How long an open connection may take for an answer that costs nothing.
pub(super) const SILENCE: Duration = Duration::from_millis(900);

/// A statement ends after a second for want of a lock, and after a second and a half at the latest.
const LATELY: Duration = Duration::from_millis(1_500);
/// How long a database may say nothing at all before what is open is given up.
const PATIENCE: Duration = Duration::from_secs(10);

/// What the server of an open connection says of itself.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Said {
    /// It takes writes.
    Primary,
    /// It does not.
    Standby,
    /// Nothing.
    Nothing,
}

/// Asks the server of an open connection.
///
/// # Errors
/// When the connection is broken.
pub(super) async fn ask(mut connection: &AsyncPgConnection) -> QueryResult<Said> {
    let question = diesel::sql_query("SELECT 1 WHERE NOT current_setting('transaction_read_only')::bool");
    match timeout(SILENCE, question.execute(&mut connection)).await {
        Ok(rows) => Ok(if rows? > 0 { Said::Primary } else { Said::Standby }),
        Err(_) => Ok(Said::Nothing),
    }
}

impl Database {
    /// Whether the database answers, and would take a write. A connection that does not answer is closed; when that of
    /// the point reads does not either, all are given up. It is well also when all connections of the pool are in use, as
    /// long as it answers to those who use them.
    ///
    /// # Errors
    /// [`Error::DatabaseUnavailable`] when it does not.
    pub async fn ping(&self) -> Result<()> {
        let (pooled, shared) = tokio::join!(in_time(self.ask_pooled()), self.shared.ping());
        match (pooled, shared) {
            (Ok(Said::Primary), _) => return Ok(()),
            (Err(_), Some(Said::Primary) | None) if self.has_answered_within(LATELY) => return Ok(()),
            (Ok(Said::Nothing), Some(Said::Primary) | None) => {}
            (Err(error), None) if self.has_answered_within(PATIENCE) => return Err(error),
            (Err(error), Some(Said::Primary)) => return Err(error),
            (Ok(Said::Standby | Said::Nothing), _) | (Err(_), _) => self.renew(),
        }
        Err(Error::DatabaseUnavailable(
            "a connection is not answered, or the server has become a standby".into(),
        ))
    }

    /// Whether a connection of the pool was answered in this time.
    fn has_answered_within(&self, time: Duration) -> bool {
        self.answered_at.get().is_some_and(|moment| moment.elapsed() < time)
    }

    async fn ask_pooled(&self) -> Result<Said> {
        let connection = self.connection().await?;
        let said = ask(&connection).await;
        match said {
            Ok(Said::Nothing) => connection.leave(),
            Ok(_) | Err(_) => connection.finish(),
        }
        Ok(said?)
    }

    /// Gives up all connections: the next ones are opened to whichever server takes writes.
    pub(super) fn renew(&self) {
        self.stale_before.set();
        self.shared.renew();
    }

    /// Whether a connection of this age is not to be used again.
    pub(super) fn is_stale(&self, opened: Instant) -> bool {
        self.stale_before.get().is_some_and(|moment| opened <= moment)
    }
}
