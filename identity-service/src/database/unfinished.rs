//! A connection on which something has begun that may be cut off: then it must not go back into the pool.

use std::ops::{Deref, DerefMut};
use std::time::Duration;

use deadpool::managed::Object;
use diesel_async::AsyncPgConnection;
use diesel_async::pooled_connection::PoolableConnection as _;
use tokio::runtime::Handle;
use tokio::time::timeout;
use tokio_postgres_rustls::MakeRustlsConnect;

use super::{Connection, Moment};

/// How long the server may take to be told that nobody waits for an answer any more.
const CANCEL: Duration = Duration::from_millis(250);

/// A server that has answered nobody for so long is told nothing: it would be one more connection to who hangs.
const SILENT: Duration = Duration::from_secs(1);

/// A connection of the pool that is closed unless [`Unfinished::finish`] says that all has ended. A pool looks at a
/// connection only when somebody takes it: until then the server would keep an open transaction with its locks, and
/// whoever took the connection would wait for what the one before him has asked.
pub struct Unfinished {
    connection: Option<Connection>,
    tls: MakeRustlsConnect,
    answered_at: Moment,
}

impl Unfinished {
    pub(super) fn new(connection: Connection, tls: MakeRustlsConnect, answered_at: Moment) -> Self {
        Self { connection: Some(connection), tls, answered_at }
    }

    /// All that was begun has ended: others may use the connection.
    pub fn finish(mut self) {
        if self.connection.as_mut().is_some_and(|connection| !connection.is_broken()) {
            self.answered_at.set();
        }
        drop(self.connection.take());
    }

    /// Closes the connection and leaves what was begun to the server: a commit must not be cancelled, because then it
    /// does not wait for a synchronous standby any more.
    pub(super) fn leave(mut self) {
        drop(self.connection.take().map(Object::take));
    }
}

const THERE: &str = "is there until it is finished or dropped";

impl Deref for Unfinished {
    type Target = AsyncPgConnection;

    fn deref(&self) -> &AsyncPgConnection {
        self.connection.as_ref().expect(THERE)
    }
}

impl DerefMut for Unfinished {
    fn deref_mut(&mut self) -> &mut AsyncPgConnection {
        self.connection.as_mut().expect(THERE)
    }
}

impl Drop for Unfinished {
    /// A server that waits for a lock does not see that its client has gone. So it is told to end the statement before
    /// the connection leaves the pool, which may then open another: at most so many are busy as the pool may have.
    fn drop(&mut self) {
        let Some(connection) = self.connection.take() else { return };
        let is_silent = self.answered_at.get().is_none_or(|moment| moment.elapsed() > SILENT);
        let Some(runtime) = Handle::try_current().ok().filter(|_| !is_silent) else {
            return drop(Object::take(connection));
        };
        let (cancel, tls) = (connection.cancel_token(), self.tls.clone());
        runtime.spawn(async move {
            // If it cannot be told, it will find out.
            let _ = timeout(CANCEL, cancel.cancel_query(tls)).await;
            drop(Object::take(connection));
        });
    }
}
