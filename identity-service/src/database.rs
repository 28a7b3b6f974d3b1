//! Postgres: the pool, the time that every wait for it may take, and the migrations.
//!
//! The limits go down inwards, so that a database that is slow, gone or locked costs a caller an error and never a
//! hang: an action, then its wait for a connection, then its statements, which the server itself ends.

mod health;
mod listener;
mod migrations;
mod opener;
mod pooler;
mod servers;
mod shared;
mod transaction;
mod unfinished;

use std::error::Error as _;
use std::ops::Deref;
use std::sync::{Arc, PoisonError};
use std::time::{Duration, Instant};

use deadpool::Runtime;
use deadpool::managed::{Hook, HookError, PoolError, Timeouts};
use diesel::ConnectionError;
use diesel::result::{DatabaseErrorKind, Error as DieselError};
use diesel_async::AsyncPgConnection;
use diesel_async::pooled_connection::{
    AsyncDieselConnectionManager, ManagerConfig, PoolError as OpenError, RecyclingMethod,
    deadpool::{Object, Pool},
};
use futures_util::FutureExt as _;
use tokio::time::error::Elapsed;
use tokio::time::{sleep, timeout};

use crate::error::{Error, Result};
use opener::Opener;
use shared::Shared;

pub use listener::Listener;
pub use servers::{Servers, parse as parse_url};
pub use unfinished::Unfinished;

/// How long a connection may take to open, to be waited for while others have them all, and to be made ready for the
/// next. One that takes longer to open than an action may take is there for the next action.
const POOL: Timeouts = Timeouts {
    create: Some(opener::LIMIT),
    wait: Some(Duration::from_millis(500)),
    recycle: Some(Duration::from_secs(1)),
};
/// How long a read may take altogether; so much is left to a gateway which has waited for another replica in vain.
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

/// A moment that clones share; there may not have been any.
#[derive(Clone, Default)]
struct Moment(Arc<std::sync::Mutex<Option<Instant>>>);

impl Moment {
    fn get(&self) -> Option<Instant> {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Makes it the present one.
    fn set(&self) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = Some(Instant::now());
    }
}

/// The database. A clone is another handle of the same pool.
#[derive(Clone)]
pub struct Database {
    pool: Pool<AsyncPgConnection>,
    shared: Arc<Shared>,
    opener: Arc<Opener>,
    /// Connections that were opened before are not used again.
    stale_before: Moment,
    /// When a connection of the pool was last answered.
    answered_at: Moment,
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
        let stale_before = Moment::default();
        let pool = pool(Arc::clone(&opener), size, stale_before.clone());
        let shared = Arc::new(Shared::new(Arc::clone(&opener)));
        Self { pool, shared, opener, stale_before, answered_at: Moment::default() }
    }

    /// A connection of the pool, which goes back there when the caller says that he has finished.
    ///
    /// # Errors
    /// [`Error::DatabaseUnavailable`] when none is free, and none can be opened, in time.
    pub async fn connection(&self) -> Result<Unfinished> {
        let connection = self.take().await?;
        Ok(Unfinished::new(connection, self.opener.tls(), self.answered_at.clone()))
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
        in_time(async {
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

    /// Runs an action that only reads, on a connection of the pool, within the time that a read may take.
    ///
    /// # Errors
    /// Those of the action, and [`Error::DatabaseUnavailable`] when the time is up.
    pub async fn read<T>(&self, action: impl AsyncFnOnce(&mut AsyncPgConnection) -> Result<T>) -> Result<T> {
        in_time(async {
            let mut connection = self.connection().await?;
            let outcome = action(&mut connection).await;
            connection.finish();
            outcome
        })
        .await
    }

    /// Refuses a pooler that is no way to reach Postgres.
    ///
    /// # Errors
    /// [`Error::Internal`] when there is one, or when we are refused; [`Error::DatabaseUnavailable`] when nobody can say.
    pub async fn refuse_transaction_pooler(&self) -> Result<()> {
        let look = pooler::refuse_transaction_pooler(&self.opener);
        timeout(opener::LIMIT, look).await.unwrap_or_else(out_of_time)
    }

    /// The same, then applies the migrations that the database lacks, one process at a time; returns their names.
    ///
    /// # Errors
    /// [`Error::DatabaseUnavailable`] when the database cannot be reached or another process migrates for longer than five
    /// minutes, [`Error::Internal`] when a migration fails for a minute, as for want of a lock. Each is a transaction.
    pub async fn migrate(&self) -> Result<Vec<String>> {
        self.refuse_transaction_pooler().await?;
        migrations::run(&self.opener).await
    }

    /// The migrations that this program has and the database lacks.
    ///
    /// # Errors
    /// [`Error::DatabaseUnavailable`] when the database cannot be reached.
    pub async fn missing_migrations(&self) -> Result<Vec<String>> {
        self.read(async |connection| migrations::missing(connection).await).await
    }
}

fn pool(opener: Arc<Opener>, size: usize, stale_before: Moment) -> Pool<AsyncPgConnection> {
    let mut config = ManagerConfig::default();
    config.recycling_method = RecyclingMethod::Fast;
    config.custom_setup = Box::new(move |_| {
        let opener = Arc::clone(&opener);
        let refused = |error: Error| error.source().map_or_else(|| error.to_string(), ToString::to_string);
        async move { opener.open(SETUP).await.map_err(refused).map_err(ConnectionError::BadConnection) }
            .boxed()
    });
    let is_fresh = Hook::sync_fn(move |_, metrics: &deadpool::managed::Metrics| {
        match stale_before.get().is_some_and(|moment| metrics.created <= moment) {
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

/// Ends a read that takes longer than one may.
async fn in_time<T>(read: impl Future<Output = Result<T>>) -> Result<T> {
    timeout(READ, read).await.unwrap_or_else(out_of_time)
}

fn out_of_time<T>(elapsed: Elapsed) -> Result<T> {
    Err(Error::DatabaseUnavailable(elapsed.into()))
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
