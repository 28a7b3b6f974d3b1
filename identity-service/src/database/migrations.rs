//! The migrations, which stand in the program.

use std::time::Duration;

use diesel_async::{AsyncMigrationHarness, AsyncPgConnection, RunQueryDsl};
use diesel_migrations::{EmbeddedMigrations, MigrationHarness as _, embed_migrations};
use tokio::time::{Instant, sleep};

use super::opener::Opener;
use crate::error::{Error, Result};

const MIGRATIONS: EmbeddedMigrations = embed_migrations!("migrations");

/// Migrations may take long, but may not hold up the rest by waiting for a lock.
const SETUP: &str = "SET statement_timeout = 0; SET lock_timeout = '1s'; SET timezone = 'UTC'";
/// The advisory lock of whoever migrates; "portcull" in ASCII.
const LOCK: i64 = 0x706f_7274_6375_6c6c;
/// How long to wait for another process that migrates.
const WAIT: Duration = Duration::from_secs(60);

/// Applies the migrations that the database lacks, one process at a time; returns their names.
pub(super) async fn run(opener: &Opener) -> Result<Vec<String>> {
    let mut connection = opener.open(SETUP).await?;
    take_lock(&mut connection).await?;
    // The lock goes with the connection, whichever way this ends.
    let mut harness = AsyncMigrationHarness::new(connection);
    let applied = harness.run_pending_migrations(MIGRATIONS).map_err(Error::Internal)?;
    Ok(applied.iter().map(ToString::to_string).collect())
}

#[derive(diesel::QueryableByName)]
struct Lock {
    #[diesel(sql_type = diesel::sql_types::Bool)]
    taken: bool,
}

async fn take_lock(connection: &mut AsyncPgConnection) -> Result<()> {
    let give_up = Instant::now() + WAIT;
    loop {
        let lock: Lock = diesel::sql_query("SELECT pg_try_advisory_lock($1) AS taken")
            .bind::<diesel::sql_types::BigInt, _>(LOCK)
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
