//! One connection for all point reads: look-ups of rows by an index. They are sent one behind the other without waiting
//! (pipelined), which costs each a fraction of what a connection of its own does.
//!
//! What holds up one holds up all behind it, so nothing but point reads goes there, each with a short limit; and at the
//! first failure the connection is given up, and the pool serves for a while.

use std::fmt::Display;
use std::sync::{Arc, PoisonError};
use std::time::Duration;

use diesel_async::AsyncPgConnection;
use tokio::time::Instant;
use tracing::debug;

use super::health::{self, Said};
use super::opener::Opener;

/// How long the pool serves after the connection was given up.
const REST: Duration = Duration::from_secs(1);
/// The limits of the session: an index look-up takes some tens of microseconds. Half of that Postgres would spend on
/// planning it anew, because a list of ids is a parameter of which it expects a lot to gain.
const SETUP: &str = "SET statement_timeout = '500ms'; SET lock_timeout = '100ms'; SET timezone = 'UTC'; \
     SET plan_cache_mode = force_generic_plan";

pub(super) struct Shared {
    opener: Arc<Opener>,
    state: std::sync::Mutex<State>,
}

enum State {
    /// There is none, and none is opened before this time.
    Resting(Instant),
    /// One is being opened since this time; the pool serves meanwhile.
    Opening(Instant),
    Open(Arc<AsyncPgConnection>),
}

impl Shared {
    pub(super) fn new(opener: Arc<Opener>) -> Self {
        Self { opener, state: std::sync::Mutex::new(State::Resting(Instant::now())) }
    }

    /// The connection, if there is one. If there could be one it is opened, for those who come later.
    pub(super) fn connection(self: &Arc<Self>) -> Option<Arc<AsyncPgConnection>> {
        let mut state = self.state();
        match &*state {
            State::Open(connection) => Some(Arc::clone(connection)),
            State::Resting(until) if *until <= Instant::now() => {
                let now = Instant::now();
                *state = State::Opening(now);
                tokio::spawn(Arc::clone(self).open(now));
                None
            }
            State::Resting(_) | State::Opening(_) => None,
        }
    }

    async fn open(self: Arc<Self>, since: Instant) {
        let opened = self.opener.open(SETUP).await;
        let mut state = self.state();
        // Meanwhile it may have been given up: then it leads to the server that is to be left.
        if matches!(*state, State::Opening(current) if current == since) {
            *state = match opened {
                Ok(connection) => State::Open(Arc::new(connection)),
                Err(_) => State::Resting(Instant::now() + REST), // whoever uses the pool meets the cause and says it
            };
        }
    }

    /// What the server of the connection says, if there is one. Gives it up if it does not answer: whoever reads over it
    /// may not wait long enough to find out.
    pub(super) async fn ping(&self) -> Option<Said> {
        let open = match &*self.state() {
            State::Open(connection) => Arc::clone(connection),
            State::Resting(_) | State::Opening(_) => return None,
        };
        match health::ask(&open).await {
            Ok(Said::Nothing) => {
                self.give_up(&open, &"it does not answer");
                Some(Said::Nothing)
            }
            Ok(said) => Some(said),
            Err(error) => {
                self.give_up(&open, &error);
                None
            }
        }
    }

    /// Gives the connection up, if it is still the one in use.
    pub(super) fn give_up(&self, failed: &Arc<AsyncPgConnection>, cause: &dyn Display) {
        let mut state = self.state();
        if matches!(&*state, State::Open(current) if Arc::ptr_eq(current, failed)) {
            debug!(%cause, "the connection for point reads is given up");
            *state = State::Resting(Instant::now() + REST);
        }
    }

    /// Gives it up, whatever it is.
    pub(super) fn renew(&self) {
        *self.state() = State::Resting(Instant::now());
    }

    fn state(&self) -> std::sync::MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
