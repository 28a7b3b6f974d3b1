//! Postgres: the pool, the time that every wait for it may take, and the migrations.
//!
//! The limits go down inwards, so that a database that is slow, gone or locked costs a caller an error and never a
//! hang: an action, then its wait for a connection, then its statements, which the server itself ends.

mod health;
mod migrations;
mod opener;
mod pooler;
mod servers;
mod shared;
mod unfinished;

use std::error::Error as _;
use std::ops::Deref;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, PoisonError};
use std::time::{Duration, Instant};

use deadpool::Runtime;
use deadpool::managed::{Hook, HookError, PoolError, Timeouts};
use diesel::ConnectionError;
use diesel::result::{DatabaseErrorKind, Error as DieselError};
use diesel_async::pooled_connection::{
    AsyncDieselConnectionManager, ManagerConfig, PoolError as OpenError, RecyclingMethod,
    deadpool::{Object, Pool},
};
use diesel_async::{AsyncConnection as _, AsyncPgConnection};
use futures_util::FutureExt as _;
use futures_util::future::BoxFuture;
use tokio::time::error::Elapsed;
use tokio::time::{sleep, timeout, timeout_at};
use tracing::Instrument as _;

use crate::error::{Error, Result};
use opener::Opener;
use shared::Shared;

pub use servers::{Servers, parse as parse_url};
pub use unfinished::Unfinished;

/// How long a connection may take to open, to be waited for while others have them all, and to be made ready for the
/// next. One that takes longer to open than an action may take is there for the next action.
const POOL: Timeouts = Timeouts {
    create: Some(opener::LIMIT),
    wait: Some(Duration::from_millis(500)),
    recycle: Some(Duration::from_secs(1)),
};
/// How long a transaction may take altogether; less than a gateway waits for the answer.
const TRANSACTION: Duration = Duration::from_millis(1_800);
/// How long a read may take altogether; less than a gateway waits that has asked another replica first.
const READ: Duration = Duration::from_millis(1_500);
/// How often it is looked whether somebody has given a connection back, while none can be opened.
const GLANCE: Duration = Duration::from_millis(10);
/// The server's own limits, for each session of the pool.
const SETUP: &str = "SET statement_timeout = '1500ms'; SET lock_timeout = '1s'; \
     SET idle_in_transaction_session_timeout = '5s'; SET synchronous_commit = on; SET timezone = 'UTC'";

/// A connection on which a transaction is open.
pub type Transaction = AsyncPgConnection;

type Connection = Object<AsyncPgConnection>;

/// A connection for a point read.
pub enum PointConnection {
    /// Others use it too.
    Shared(Arc<AsyncPgConnection>),
    /// Nobody else does.
    Own(Arc<Unfinished>),
}

impl Deref for PointConnection {
    type Target = AsyncPgConnection;

    fn deref(&self) -> &AsyncPgConnection {
        match self {
            Self::Shared(connection) => connection,
            Self::Own(connection) => connection,
        }
    }
}

/// The database. A clone is another handle of the same pool.
#[derive(Clone)]
pub struct Database {
    pool: Pool<AsyncPgConnection>,
    shared: Arc<Shared>,
    opener: Arc<Opener>,
    /// Connections that were opened before are not used again.
    stale_before: Arc<std::sync::Mutex<Option<Instant>>>,
}

impl Database {
    /// A pool of at most `size` connections, none of which is opened yet, and one more for point reads.
    #[must_use]
    pub fn new(mut servers: Servers, size: usize) -> Self {
        for settings in &mut servers.each {
            settings
                .keepalives_idle(Duration::from_secs(10))
                .tcp_user_timeout(Duration::from_secs(10))
                .application_name("identity-service");
        }
        let opener = Arc::new(Opener::new(servers));
        let stale_before = Arc::default();
        let pool = pool(Arc::clone(&opener), size, Arc::clone(&stale_before));
        Self { pool, shared: Arc::new(Shared::new(Arc::clone(&opener))), opener, stale_before }
    }

    /// A connection of the pool, which goes back there when the caller says that he has finished.
    ///
    /// # Errors
    /// [`Error::DatabaseUnavailable`] when none is free, and none can be opened, in time.
    pub async fn connection(&self) -> Result<Unfinished> {
        self.take().await.map(|connection| Unfinished::new(connection, self.opener.tls()))
    }

    async fn take(&self) -> Result<Connection> {
        let give_up = Instant::now() + POOL.wait.expect("is set above");
        loop {
            match self.pool.get().await {
                Ok(connection) => return Ok(connection),
                // As when the server has no more for us: there are some that others will give back.
                Err(PoolError::Backend(OpenError::ConnectionError(_)))
                    if self.pool.status().size > 0 && Instant::now() < give_up =>
                {
                    sleep(GLANCE).await;
                }
                Err(PoolError::Backend(cause)) => return Err(Error::DatabaseUnavailable(cause.into())),
                Err(own) => return Err(Error::DatabaseUnavailable(own.into())),
            }
        }
    }

    /// Runs a point read: one look-up of rows by an index. It goes over the one connection that all point reads share,
    /// or, when that is not well, over one of the pool.
    ///
    /// # Errors
    /// [`Error::DatabaseUnavailable`] when it takes longer than a read may.
    pub async fn point_read<T, F>(&self, action: impl Fn(PointConnection) -> F) -> Result<T>
    where
        F: Future<Output = Result<T, DieselError>>,
    {
        self.read(async {
            if let Some(connection) = self.shared.connection() {
                match action(PointConnection::Shared(Arc::clone(&connection))).await {
                    Ok(found) => return Ok(found),
                    Err(error) => self.shared.give_up(&connection, &error),
                }
            }
            let own = Arc::new(self.connection().await?);
            let found = action(PointConnection::Own(Arc::clone(&own))).await;
            if let Some(own) = Arc::into_inner(own) {
                own.finish();
            }
            Ok(found?)
        })
        .await
    }

    /// Runs an action that only reads, within the time that a read may take.
    ///
    /// # Errors
    /// Those of the action, and [`Error::DatabaseUnavailable`] when the time is up.
    pub async fn read<T>(&self, action: impl Future<Output = Result<T>>) -> Result<T> {
        timeout(READ, action).await.unwrap_or_else(too_late)
    }

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
        let database = self.clone();
        let task = async move {
            let outcome = database.run(Instant::now() + TRANSACTION, action).await;
            if outcome.as_ref().is_err_and(is_of_standby) {
                database.renew();
            }
            outcome
        };
        tokio::spawn(task.in_current_span())
            .await
            .unwrap_or_else(|panicked| Err(Error::Internal(panicked.into())))
    }

    async fn run<T: Send>(
        &self,
        until: Instant,
        action: impl for<'r> FnOnce(&'r mut AsyncPgConnection) -> BoxFuture<'r, Result<T>> + Send,
    ) -> Result<T> {
        let mut connection = timeout_at(until.into(), self.connection()).await.unwrap_or_else(too_late)?;
        let is_committing = AtomicBool::new(false);
        let transaction = connection.transaction(async |connection| {
            let done = action(connection).await?;
            is_committing.store(true, Ordering::Relaxed);
            Ok(done)
        });
        let outcome = timeout_at(until.into(), transaction).await;
        match (outcome, is_committing.into_inner()) {
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
            (Err(elapsed), false) => too_late(elapsed),
        }
    }

    /// Refuses a pooler that is no way to reach Postgres, then applies the migrations that the database lacks, one process
    /// at a time; returns their names.
    ///
    /// # Errors
    /// [`Error::DatabaseUnavailable`] when the database cannot be reached or another process migrates for
    /// longer than a minute, [`Error::Internal`] when a migration fails. Each migration is a transaction.
    pub async fn migrate(&self) -> Result<Vec<String>> {
        timeout(opener::LIMIT, pooler::refuse_transaction_pooler(&self.opener))
            .await
            .unwrap_or_else(too_late)?;
        migrations::run(&self.opener).await
    }
}

fn pool(
    opener: Arc<Opener>,
    size: usize,
    stale_before: Arc<std::sync::Mutex<Option<Instant>>>,
) -> Pool<AsyncPgConnection> {
    let mut config = ManagerConfig::default();
    config.recycling_method = RecyclingMethod::Fast;
    config.custom_setup = Box::new(move |_| {
        let opener = Arc::clone(&opener);
        let refused = |error: Error| error.source().map_or_else(|| error.to_string(), ToString::to_string);
        async move { opener.open(SETUP).await.map_err(refused).map_err(ConnectionError::BadConnection) }
            .boxed()
    });
    let is_fresh = Hook::sync_fn(move |_, metrics: &deadpool::managed::Metrics| {
        let stale_before = *stale_before.lock().unwrap_or_else(PoisonError::into_inner);
        match stale_before.is_some_and(|time| metrics.created <= time) {
            true => Err(HookError::message("the server has become a standby")),
            false => Ok(()),
        }
    });
    Pool::builder(AsyncDieselConnectionManager::new_with_config("", config))
        .max_size(size)
        .timeouts(POOL)
        .runtime(Runtime::Tokio1)
        .pre_recycle(is_fresh)
        .build()
        .expect("a pool with timeouts has a runtime")
}

fn too_late<T>(elapsed: Elapsed) -> Result<T> {
    Err(Error::DatabaseUnavailable(elapsed.into()))
}

/// Whether the server takes no writes any more (SQLSTATE 25006).
fn is_of_standby(error: &Error) -> bool {
    let Error::DatabaseUnavailable(cause) = error else { return false };
    let said = cause.downcast_ref::<DieselError>();
    matches!(said, Some(DieselError::DatabaseError(DatabaseErrorKind::ReadOnlyTransaction, _)))
}

/// What the database says that no query expected. A query that expects a violated key handles it itself.
impl From<DieselError> for Error {
    fn from(error: DieselError) -> Self {
        match error {
            DieselError::DatabaseError(
                DatabaseErrorKind::UniqueViolation
                | DatabaseErrorKind::ForeignKeyViolation
                | DatabaseErrorKind::NotNullViolation
                | DatabaseErrorKind::CheckViolation
                | DatabaseErrorKind::RestrictViolation
                | DatabaseErrorKind::ExclusionViolation,
                _,
            )
            | DieselError::NotFound
            | DieselError::SerializationError(_)
            | DieselError::DeserializationError(_)
            | DieselError::QueryBuilderError(_)
            | DieselError::InvalidCString(_) => Self::Internal(error.into()),
            other => Self::DatabaseUnavailable(other.into()),
        }
    }
}
