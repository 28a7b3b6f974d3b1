//! Postgres: the pool, the time that every wait for it may take, and the migrations.
//!
//! The limits go down inwards, so that a database that is slow, gone or locked costs a caller an error and never a
//! hang: an action, then its wait for a connection, then its statements, which the server itself ends.

use std::error::Error as _;
use std::time::Duration;

use deadpool::Runtime;
use deadpool::managed::{PoolError, Timeouts};
use diesel::ConnectionError;
use diesel::result::{DatabaseErrorKind, Error as DieselError};
use diesel_async::pooled_connection::{
    AsyncDieselConnectionManager, ManagerConfig, RecyclingMethod,
    deadpool::{Object, Pool},
};
use diesel_async::{AsyncConnection as _, AsyncMigrationHarness, AsyncPgConnection, RunQueryDsl};
use diesel_migrations::{EmbeddedMigrations, MigrationHarness as _, embed_migrations};
use futures_util::FutureExt as _;
use futures_util::future::BoxFuture;
use tokio::time::{Instant, sleep, timeout};
use tokio_postgres::NoTls;
use tracing::Instrument as _;

use crate::error::{Error, Result};

const MIGRATIONS: EmbeddedMigrations = embed_migrations!("migrations");

/// How long a connection may take to open, to be waited for while others have them all, and to be made ready for the
/// next. One that takes longer to open than an action may take is there for the next action.
const POOL: Timeouts = Timeouts {
    create: Some(Duration::from_secs(2)),
    wait: Some(Duration::from_millis(500)),
    recycle: Some(Duration::from_secs(1)),
};
/// How long an action may take in the database altogether; less than a gateway waits for the answer.
const ACTION: Duration = Duration::from_millis(1_800);
/// The server's own limits, for each session of the pool.
const SESSION_OPTIONS: &str = "-c statement_timeout=1500ms -c lock_timeout=1s \
     -c idle_in_transaction_session_timeout=5s -c synchronous_commit=on -c timezone=UTC";
/// The same for migrations, which may take long, but may not hold up the rest by waiting for a lock.
const MIGRATION_OPTIONS: &str = "-c statement_timeout=0 -c lock_timeout=1s -c timezone=UTC";
/// The advisory lock of whoever migrates; "portcull" in ASCII.
const MIGRATION_LOCK: i64 = 0x706f_7274_6375_6c6c;
/// How long to wait for another process that migrates.
const MIGRATION_WAIT: Duration = Duration::from_secs(60);

/// A connection on which a transaction is open.
pub type Transaction = AsyncPgConnection;

/// A connection of the pool.
pub type Connection = Object<AsyncPgConnection>;

/// The database. A clone is another handle of the same pool.
#[derive(Clone)]
pub struct Database {
    pool: Pool<AsyncPgConnection>,
    settings: tokio_postgres::Config,
}

impl Database {
    /// A pool of at most `size` connections, none of which is opened yet.
    #[must_use]
    pub fn new(mut settings: tokio_postgres::Config, size: usize) -> Self {
        settings
            .keepalives_idle(Duration::from_secs(10))
            .tcp_user_timeout(Duration::from_secs(10))
            .application_name("identity-service");
        let pooled = with_options(&settings, SESSION_OPTIONS);
        let mut config = ManagerConfig::default();
        config.recycling_method = RecyclingMethod::Fast;
        config.custom_setup = Box::new(move |_| {
            let settings = pooled.clone();
            let refused =
                |error: Error| error.source().map_or_else(|| error.to_string(), ToString::to_string);
            async move { open(&settings).await.map_err(refused).map_err(ConnectionError::BadConnection) }
                .boxed()
        });
        let manager = AsyncDieselConnectionManager::new_with_config("", config);
        let pool = Pool::builder(manager).max_size(size).timeouts(POOL).runtime(Runtime::Tokio1).build();
        let pool = pool.expect("a pool with timeouts has a runtime");
        Self { pool, settings }
    }

    /// A connection of the pool.
    ///
    /// # Errors
    /// [`Error::DatabaseUnavailable`] when none is free, and none can be opened, in time.
    pub async fn connection(&self) -> Result<Connection> {
        self.pool.get().await.map_err(|error| match error {
            PoolError::Backend(cause) => Error::DatabaseUnavailable(cause.into()),
            own => Error::DatabaseUnavailable(own.into()),
        })
    }

    /// Runs an action that only reads, within the time that an action may take.
    ///
    /// # Errors
    /// Those of the action, and [`Error::DatabaseUnavailable`] when the time is up.
    pub async fn read<T>(&self, action: impl Future<Output = Result<T>>) -> Result<T> {
        timeout(ACTION, action)
            .await
            .unwrap_or_else(|elapsed| Err(Error::DatabaseUnavailable(elapsed.into())))
    }

    /// Runs an action that writes, within the time that an action may take, in a task of its own: a caller who
    /// hangs up in the middle neither cuts it off nor costs the pool a connection.
    ///
    /// # Errors
    /// Those of the action, and [`Error::DatabaseUnavailable`] when the time is up: then nobody knows whether
    /// the write happened.
    pub async fn write<T: Send + 'static>(
        &self,
        action: impl Future<Output = Result<T>> + Send + 'static,
    ) -> Result<T> {
        let limited = timeout(ACTION, action);
        match tokio::spawn(limited.in_current_span()).await {
            Ok(Ok(outcome)) => outcome,
            Ok(Err(elapsed)) => Err(Error::DatabaseUnavailable(elapsed.into())),
            Err(panicked) => Err(Error::Internal(panicked.into())),
        }
    }

    /// Runs a transaction, as [`Database::write`] does. An error rolls it back.
    ///
    /// # Errors
    /// Those of [`Database::write`].
    pub async fn transaction<T: Send + 'static>(
        &self,
        action: impl for<'r> FnOnce(&'r mut AsyncPgConnection) -> BoxFuture<'r, Result<T>> + Send + 'static,
    ) -> Result<T> {
        let database = self.clone();
        self.write(async move {
            let mut pooled = database.connection().await?;
            let connection: &mut AsyncPgConnection = &mut pooled;
            connection.transaction(async move |connection| action(connection).await).await
        })
        .await
    }

    /// Whether the database answers.
    ///
    /// # Errors
    /// [`Error::DatabaseUnavailable`] when it does not.
    pub async fn ping(&self) -> Result<()> {
        self.read(async {
            let mut connection = self.connection().await?;
            diesel::sql_query("SELECT 1").execute(&mut connection).await?;
            Ok(())
        })
        .await
    }

    /// Applies the migrations that the database lacks, one process at a time; returns their names.
    ///
    /// # Errors
    /// [`Error::DatabaseUnavailable`] when the database cannot be reached or another process migrates for
    /// longer than a minute, [`Error::Internal`] when a migration fails. Each migration is a transaction.
    pub async fn migrate(&self) -> Result<Vec<String>> {
        let mut connection = open(&with_options(&self.settings, MIGRATION_OPTIONS)).await?;
        take_migration_lock(&mut connection).await?;
        // The lock goes with the connection, whichever way this ends.
        let mut harness = AsyncMigrationHarness::new(connection);
        let applied = harness.run_pending_migrations(MIGRATIONS).map_err(Error::Internal)?;
        Ok(applied.iter().map(ToString::to_string).collect())
    }
}

/// Opens a connection.
///
/// # Errors
/// [`Error::Internal`] when the server refuses us by name, password or database: waiting does not mend that. Else
/// [`Error::DatabaseUnavailable`].
async fn open(settings: &tokio_postgres::Config) -> Result<AsyncPgConnection> {
    let limit = POOL.create.expect("is set above");
    let opened = timeout(limit, settings.connect(NoTls)).await;
    let opened = opened.map_err(|elapsed| Error::DatabaseUnavailable(elapsed.into()))?;
    let (client, connection) = opened.map_err(|error| {
        // Class 28 is an invalid authorization, class 3D an unknown database.
        let refused = error.code().is_some_and(|state| ["28", "3D"].contains(&&state.code()[..2]));
        let said = format!("Postgres (DATABASE_URL): {}", describe(&error)).into();
        if refused { Error::Internal(said) } else { Error::DatabaseUnavailable(said) }
    })?;
    AsyncPgConnection::try_from_client_and_connection(client, connection)
        .await
        .map_err(|error| Error::DatabaseUnavailable(error.into()))
}

/// The settings with further options of the session, after those that the URL gives.
fn with_options(settings: &tokio_postgres::Config, options: &str) -> tokio_postgres::Config {
    let given = settings.get_options().unwrap_or_default();
    settings.clone().options(format!("{given} {options}")).clone()
}

/// What an error has to say, with its causes: tokio-postgres hides them behind the first.
fn describe(error: &dyn std::error::Error) -> String {
    let causes = std::iter::successors(Some(error), |error| (*error).source());
    causes.map(ToString::to_string).collect::<Vec<_>>().join(": ")
}

#[derive(diesel::QueryableByName)]
struct Lock {
    #[diesel(sql_type = diesel::sql_types::Bool)]
    taken: bool,
}

async fn take_migration_lock(connection: &mut AsyncPgConnection) -> Result<()> {
    let give_up = Instant::now() + MIGRATION_WAIT;
    loop {
        let lock: Lock = diesel::sql_query("SELECT pg_try_advisory_lock($1) AS taken")
            .bind::<diesel::sql_types::BigInt, _>(MIGRATION_LOCK)
            .get_result(connection)
            .await?;
        if lock.taken {
            return Ok(());
        }
        if Instant::now() > give_up {
            return Err(Error::DatabaseUnavailable("another process has been migrating for a minute".into()));
        }
        sleep(Duration::from_millis(100)).await;
    }
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
