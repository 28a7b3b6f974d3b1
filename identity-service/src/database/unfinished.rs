//! A connection on which something has begun that may be cut off: then it must not go back into the pool.

use std::ops::{Deref, DerefMut};

use deadpool::managed::Object;
use diesel_async::AsyncPgConnection;

use super::Connection;

/// A connection of the pool that is closed when this is dropped. A pool looks at a connection only when somebody takes
/// it; until then the server would keep an open transaction, and its locks.
pub(super) struct Unfinished(Option<Connection>);

impl Unfinished {
    pub(super) fn new(connection: Connection) -> Self {
        Self(Some(connection))
    }

    /// All that was begun has ended: others may use the connection.
    pub(super) fn finish(mut self) {
        drop(self.0.take());
    }
}

const THERE: &str = "is there until it is finished or dropped";

impl Deref for Unfinished {
    type Target = AsyncPgConnection;

    fn deref(&self) -> &AsyncPgConnection {
        self.0.as_ref().expect(THERE)
    }
}

impl DerefMut for Unfinished {
    fn deref_mut(&mut self) -> &mut AsyncPgConnection {
        self.0.as_mut().expect(THERE)
    }
}

impl Drop for Unfinished {
    fn drop(&mut self) {
        if let Some(connection) = self.0.take() {
            drop(Object::take(connection));
        }
    }
}
