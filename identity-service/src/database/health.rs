//! Whether the database is well, and what is left behind when it is not: a connection to a server that hangs is never
//! answered and never closed.

use std::sync::PoisonError;
use std::time::{Duration, Instant};

use diesel_async::RunQueryDsl;
use tokio::time::timeout;

use super::{Database, Unfinished};
use crate::error::{Error, Result};

/// How long an open connection may take for an answer that costs nothing.
pub(super) const SILENCE: Duration = Duration::from_millis(900);

impl Database {
    /// Whether the database answers, and would take a write. A connection that does not answer is closed; when that of
    /// the point reads does not either it is no chance, and all are given up.
    ///
    /// # Errors
    /// [`Error::DatabaseUnavailable`] when it does not.
    pub async fn ping(&self) -> Result<()> {
        let (pooled, shared) = tokio::join!(self.read(self.ask()), self.shared.ping());
        match pooled? {
            Some(true) => return Ok(()),
            None if shared.is_ok() => {}
            Some(false) | None => self.renew(),
        }
        Err(Error::DatabaseUnavailable("the server has become a standby, or does not answer".into()))
    }

    /// Whether the server of a connection takes writes; `None` when it does not answer.
    async fn ask(&self) -> Result<Option<bool>> {
        let mut connection = Unfinished::new(self.connection().await?);
        let question = diesel::sql_query("SELECT 1 WHERE NOT current_setting('transaction_read_only')::bool");
        let Ok(rows) = timeout(SILENCE, question.execute(&mut *connection)).await else { return Ok(None) };
        connection.finish();
        Ok(Some(rows? > 0))
    }

    /// Gives up all connections: the next ones are opened to whichever server takes writes.
    pub(super) fn renew(&self) {
        *self.stale_before.lock().unwrap_or_else(PoisonError::into_inner) = Some(Instant::now());
        self.shared.renew();
    }
}
