//! Transactions: each is done or not, and its caller is told which, or that nobody knows.

use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use diesel::result::{DatabaseErrorKind, Error as DieselError};
use diesel_async::{AsyncConnection as _, AsyncPgConnection};
use futures_util::future::BoxFuture;
use tokio::time::{sleep, sleep_until, timeout_at};
use tracing::Instrument as _;

use super::{Database, GLANCE, out_of_time};
use crate::error::{Error, Result};

/// How long a transaction may take altogether; less than a gateway waits for the answer.
const TRANSACTION: Duration = Duration::from_millis(1_800);

impl Database {
    /// Runs a transaction, within the time that one may take, in a task of its own: a caller who hangs up in the middle
    /// neither cuts it off nor costs the pool a connection. An error of the action rolls it back.
    ///
    /// # Errors
    /// Those of the action, [`Error::DatabaseUnavailable`] when the time is up, and [`Error::OutcomeUnknown`] when the
    /// database was told to commit and did not say in time that it has.
    pub async fn transaction<T: Send + 'static>(
        &self,
        action: impl for<'r> FnOnce(&'r mut AsyncPgConnection) -> BoxFuture<'r, Result<T>> + Send + 'static,
    ) -> Result<T> {
        let (until, is_committing) = (Instant::now() + TRANSACTION, Arc::new(AtomicBool::new(false)));
        let commits_for_too_long = {
            let is_committing = Arc::clone(&is_committing);
            async move {
                sleep_until(until.into()).await;
                // If it never does, it has ended, or is about to.
                while !is_committing.load(Ordering::Relaxed) {
                    sleep(GLANCE).await;
                }
            }
        };
        let database = self.clone();
        let run = async move {
            let outcome = database.run(until, &is_committing, action).await;
            if outcome.as_ref().is_err_and(is_of_standby) {
                database.renew();
            }
            outcome
        };
        tokio::select! {
            outcome = tokio::spawn(run.in_current_span()) => {
                outcome.unwrap_or_else(|panicked| Err(Error::Internal(panicked.into())))
            }
            () = commits_for_too_long => Err(Error::OutcomeUnknown("the commit takes too long".into())),
        }
    }

    async fn run<T: Send>(
        &self,
        until: Instant,
        is_committing: &AtomicBool,
        action: impl for<'r> FnOnce(&'r mut AsyncPgConnection) -> BoxFuture<'r, Result<T>> + Send,
    ) -> Result<T> {
        let began = Instant::now();
        let mut connection = timeout_at(until.into(), self.connection()).await.unwrap_or_else(out_of_time)?;
        let outcome = {
            let mut transaction = pin!(connection.transaction(async |connection| {
                let done = action(connection).await?;
                is_committing.store(true, Ordering::Relaxed);
                Ok(done)
            }));
            let mut until = until;
            loop {
                match timeout_at(until.into(), &mut transaction).await {
                    Ok(outcome) => break Ok(outcome),
                    // It may wait for a synchronous standby. As long as it does, its connection counts: else the pool would
                    // open another for each, until the server has no more.
                    Err(_) if is_committing.load(Ordering::Relaxed) && !self.is_stale(began) => {
                        until = Instant::now() + GLANCE;
                    }
                    Err(elapsed) => break Err(elapsed),
                }
            }
        };
        match (outcome, is_committing.load(Ordering::Relaxed)) {
            (Ok(Err(Error::DatabaseUnavailable(cause) | Error::Internal(cause))), true) => {
                connection.finish();
                Err(Error::OutcomeUnknown(cause))
            }
            (Ok(outcome), _) => {
                connection.finish();
                outcome
            }
            (Err(elapsed), true) => {
                connection.leave();
                Err(Error::OutcomeUnknown(elapsed.into()))
            }
            (Err(elapsed), false) => out_of_time(elapsed),
        }
    }
}

/// Whether the server takes no writes any more (SQLSTATE 25006).
fn is_of_standby(error: &Error) -> bool {
    let Error::DatabaseUnavailable(cause) = error else { return false };
    let said = cause.downcast_ref::<DieselError>();
    matches!(said, Some(DieselError::DatabaseError(DatabaseErrorKind::ReadOnlyTransaction, _)))
}
