//! The migrations, which stand in the program.

use std::error::Error as StdError;
use std::time::Duration;

use diesel::migration::{Migration, MigrationSource as _};
use diesel::pg::Pg;
use diesel::sql_types::{BigInt, Bool, Text};
use diesel_async::{AsyncMigrationHarness, AsyncPgConnection, RunQueryDsl};
use diesel_migrations::{EmbeddedMigrations, MigrationHarness as _, embed_migrations};
use tokio::time::{Instant, sleep};
use tracing::warn;

use super::opener::Opener;
use crate::error::{Error, Result};

const MIGRATIONS: EmbeddedMigrations = embed_migrations!("migrations");

/// Migrations may take long, but whoever comes after one that waits for a lock waits with it: so for much less than the
/// second that those have. Autovacuum gives way only to who waits for a second (`deadlock_timeout`), so it is waited for.
const SETUP: &str = "SET statement_timeout = 0; SET lock_timeout = '200ms'; SET timezone = 'UTC'";
/// The advisory lock of whoever migrates; "portcull" in ASCII.
const LOCK: i64 = 0x706f_7274_6375_6c6c;
/// How long to wait for another process that migrates.
const WAIT: Duration = Duration::from_secs(300);
/// For how long a migration is tried again that has failed. Most often it has waited for a lock in vain; the library does
/// not tell.
const PATIENCE: Duration = Duration::from_secs(60);
/// How long until the next try: most of the time nobody waits for a lock.
const PAUSE: Duration = Duration::from_secs(2);

/// A migration that could not be applied.
struct Failed {
    name: String,
    cause: Box<dyn StdError + Send + Sync>,
}

/// Applies the migrations that the database lacks, one process at a time; returns their names.
pub(super) async fn run(opener: &Opener) -> Result<Vec<String>> {
    let mut applied = Vec::new();
    let mut failing: Option<(String, Instant)> = None;
    loop {
        let Some(Failed { name, cause }) = apply_all(opener, &mut applied).await? else { return Ok(applied) };
        let since =
            failing.filter(|(before, _)| *before == name).map_or_else(Instant::now, |(_, since)| since);
        if since.elapsed() > PATIENCE {
            return Err(Error::Internal(format!("the migration {name} cannot be applied: {cause}").into()));
        }
        warn!(migration = name, %cause, "a migration could not be applied, and is tried again");
        failing = Some((name, since));
    }
}

/// The same once, as far as it goes. Each is a transaction, and so it is there as a whole or not at all.
async fn apply_all(opener: &Opener, applied: &mut Vec<String>) -> Result<Option<Failed>> {
    let mut connection = opener.open(SETUP).await?;
    take_lock(&mut connection).await?;
    // The lock goes with the connection, whichever way this ends.
    let mut harness = AsyncMigrationHarness::new(connection);
    for migration in harness.pending_migrations(MIGRATIONS).map_err(Error::Internal)? {
        match harness.run_migration(&*migration) {
            Ok(version) => applied.push(version.to_string()),
            Err(cause) => {
                // With the lock, so that no other process tries meanwhile.
                sleep(PAUSE).await;
                return Ok(Some(Failed { name: migration.name().to_string(), cause }));
            }
        }
    }
    Ok(None)
}

/// The migrations that this program has and the database lacks. Those that only a newer program has do not matter.
pub(super) async fn missing(connection: &mut AsyncPgConnection) -> Result<Vec<String>> {
    let known: Vec<Box<dyn Migration<Pg>>> = MIGRATIONS.migrations().map_err(Error::Internal)?;
    let known = known.iter().map(|migration| migration.name().version().to_string());
    let applied = applied(connection).await?;
    Ok(known.filter(|version| !applied.contains(version)).collect())
}

async fn applied(connection: &mut AsyncPgConnection) -> Result<Vec<String>> {
    let begun: Answer =
        diesel::sql_query("SELECT to_regclass('__diesel_schema_migrations') IS NOT NULL AS yes")
            .get_result(connection)
            .await?;
    if !begun.yes {
        return Ok(Vec::new());
    }
    let applied: Vec<Applied> =
        diesel::sql_query("SELECT version FROM __diesel_schema_migrations").load(connection).await?;
    Ok(applied.into_iter().map(|migration| migration.version).collect())
}

#[derive(diesel::QueryableByName)]
struct Applied {
    #[diesel(sql_type = Text)]
    version: String,
}

#[derive(diesel::QueryableByName)]
struct Answer {
    #[diesel(sql_type = Bool)]
    yes: bool,
}

async fn take_lock(connection: &mut AsyncPgConnection) -> Result<()> {
    let give_up = Instant::now() + WAIT;
    loop {
        let lock: Answer = diesel::sql_query("SELECT pg_try_advisory_lock($1) AS yes")
            .bind::<BigInt, _>(LOCK)
            .get_result(connection)
            .await?;
        if lock.yes {
            return Ok(());
        }
        if Instant::now() > give_up {
            return Err(Error::DatabaseUnavailable(
                "another process has been migrating for five minutes".into(),
            ));
        }
        sleep(Duration::from_millis(100)).await;
    }
}
