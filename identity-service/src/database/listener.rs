//! A connection of its own, on which the server says that something has happened.

use std::time::Duration;

use diesel_async::AsyncPgConnection;
use futures_util::{FutureExt as _, StreamExt as _};
use tokio::time::timeout;

use super::{Database, out_of_time};
use crate::error::{Error, Result};

/// How long a read over it may take.
const READ: Duration = Duration::from_secs(1);

/// A connection that listens to one channel of NOTIFY, and reads. Whoever meets an error drops it and opens another.
pub struct Listener(AsyncPgConnection);

impl Database {
    /// Opens a connection that listens to this channel, whatever the pool has to do.
    ///
    /// # Errors
    /// [`Error::DatabaseUnavailable`], and [`Error::Internal`] when the server refuses us for good.
    pub async fn listen(&self, channel: &'static str) -> Result<Listener> {
        let setup = format!(
            "SET statement_timeout = '1s'; SET lock_timeout = '1s'; SET timezone = 'UTC'; LISTEN {channel}"
        );
        Ok(Listener(self.opener.open(&setup).await?))
    }
}

impl Listener {
    /// Waits until the server has said something since the last time. It may be lost: nothing may depend on it.
    ///
    /// # Errors
    /// [`Error::DatabaseUnavailable`] when the connection has ended.
    pub async fn notified(&mut self) -> Result<()> {
        let mut notifications = std::pin::pin!(self.0.notifications_stream());
        let mut said = notifications.next().await;
        // However often it was said meanwhile, it is said now.
        loop {
            said.ok_or_else(|| Error::DatabaseUnavailable("the connection that listens has ended".into()))??;
            said = match notifications.next().now_or_never() {
                Some(said) => said,
                None => return Ok(()),
            };
        }
    }

    /// Runs an action within the time that a read over this connection may take.
    ///
    /// # Errors
    /// Those of the action, and [`Error::DatabaseUnavailable`] when the time is up.
    pub async fn run<T>(
        &mut self,
        action: impl AsyncFnOnce(&mut AsyncPgConnection) -> Result<T>,
    ) -> Result<T> {
        timeout(READ, action(&mut self.0)).await.unwrap_or_else(out_of_time)
    }
}
