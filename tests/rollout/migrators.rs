//! F35: migrators that race, wait, and are killed.

use std::process::Child;
use std::time::{Duration, Instant};

use tokio::time::{sleep, timeout};

use super::migrations::{Migration, Schema, all, apply, versions};
use crate::harness::{Database, Process, rounds};

/// How long anybody may be held up by a migration that waits for a lock: its `lock_timeout`, and some time to be heard.
const HELD_UP: Duration = Duration::from_millis(800);

/// An identity-service that applies nothing itself, whose variables the commands of a test have.
fn operator(database: &Database) -> Process {
    Process::identity(&database.url, &[("MIGRATIONS", "wait"), ("LISTEN_ADDRESS", "127.0.0.1:0")])
}

/// How a command ended and what it said, without stopping the test's own connections meanwhile.
async fn output(child: Child) -> std::process::Output {
    tokio::task::spawn_blocking(move || child.wait_with_output().unwrap()).await.unwrap()
}

/// The schema after each number of migrations.
async fn schemas() -> Vec<Schema> {
    let database = Database::create().await;
    let mut schemas = vec![Schema::of(&database).await];
    for migration in all() {
        apply(&database, &migration).await;
        schemas.push(Schema::of(&database).await);
    }
    schemas
}

/// What is wrong with a database that was being migrated, if the schema is not the one that its versions stand for.
async fn half_applied(database: &Database, schemas: &[Schema]) -> Option<String> {
    let applied = versions(database).await;
    let is_prefix = all().iter().zip(&applied).all(|(migration, version)| migration.version == *version);
    let fits = is_prefix && Schema::of(database).await == schemas[applied.len()];
    (!fits).then(|| format!("the schema is not that of {applied:?}"))
}

/// A database without the last migration of users and all that come after it; and how many it has.
async fn before_the_last_of_users() -> (Database, usize) {
    let migrations = all();
    let last = migrations.iter().rposition(|migration| migration.up.contains("ALTER TABLE users")).unwrap();
    let database = Database::create().await;
    for migration in &migrations[..last] {
        apply(&database, migration).await;
    }
    (database, last)
}

#[tokio::test]
async fn f35_of_five_migrators_at_once_one_applies_each_migration_and_all_end_well() {
    let schemas = schemas().await;
    for _ in 0..rounds(3, 30) {
        let database = Database::create().await;
        let operator = operator(&database);
        let migrators: Vec<_> = (0..5).map(|_| operator.spawn(&["migrate"])).collect();
        let mut applied = Vec::new();
        for migrator in migrators {
            let output = output(migrator).await;
            assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
            let said = String::from_utf8(output.stdout).unwrap();
            applied.extend(said.lines().filter_map(|line| line.strip_prefix("applied ")).map(str::to_owned));
        }
        let expected: Vec<_> = all().into_iter().map(|migration| migration.version).collect();
        assert_eq!(applied, expected, "each once, by one of them");
        assert_eq!(half_applied(&database, &schemas).await, None);
    }
}

/// The longest that a read of users took, until `until` has ended.
async fn longest_read<T>(database: &Database, until: impl Future<Output = T>) -> (Duration, T) {
    let client = database.connect().await;
    let mut longest = Duration::ZERO;
    tokio::pin!(until);
    loop {
        let begun = Instant::now();
        let read = client.simple_query("SELECT count(*) FROM users");
        tokio::select! {
            biased;
            read = read => {
                read.unwrap();
                longest = longest.max(begun.elapsed());
            }
            ended = &mut until => return (longest.max(begun.elapsed()), ended),
        }
        sleep(Duration::from_millis(20)).await;
    }
}

#[tokio::test]
async fn f35_a_migration_waits_for_a_long_transaction_and_holds_nobody_up_meanwhile() {
    let (database, _) = before_the_last_of_users().await;
    let reader = database.connect().await;
    reader.batch_execute("BEGIN; SELECT count(*) FROM users").await.unwrap();
    let operator = operator(&database);
    let mut migrator = operator.spawn(&["migrate"]);
    let (longest, ()) = longest_read(&database, sleep(Duration::from_secs(rounds(5, 40)))).await;
    assert!(migrator.try_wait().unwrap().is_none(), "it has not waited");
    assert!(longest < HELD_UP, "a read took {longest:?}");
    // Long enough to have been held up at all.
    assert!(longest > Duration::from_millis(150), "no read has met the migration: {longest:?}");

    reader.batch_execute("COMMIT").await.unwrap();
    let ended = timeout(Duration::from_secs(6), output(migrator)).await.expect("it goes on by itself");
    let said = String::from_utf8_lossy(&ended.stderr);
    assert!(ended.status.success() && said.contains("could not be applied, and is tried again"), "{said}");
    assert_eq!(half_applied(&database, &schemas().await).await, None);
}

#[tokio::test]
async fn f35_control_a_migration_without_a_limit_is_seen_to_hold_everybody_up() {
    let (database, last) = before_the_last_of_users().await;
    let reader = database.connect().await;
    reader.batch_execute("BEGIN; SELECT count(*) FROM users").await.unwrap();
    let migrations = all();
    let waiting = async {
        let release = async {
            sleep(Duration::from_secs(3)).await;
            reader.batch_execute("COMMIT").await.unwrap();
        };
        tokio::join!(apply(&database, &migrations[last]), release)
    };
    let (longest, _) = longest_read(&database, waiting).await;
    assert!(longest > HELD_UP, "a read took only {longest:?}");
}

/// Kills a migrator, and waits until its server process has noticed.
async fn kill(database: &Database, mut migrator: Child) {
    migrator.kill().unwrap();
    migrator.wait().unwrap();
    let sql = "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND state <> 'idle'
               AND pid <> pg_backend_pid() AND application_name = 'identity-service'";
    for _ in 0..200 {
        if database.number(sql).await == 0 {
            return;
        }
        sleep(Duration::from_millis(20)).await;
    }
    panic!("the server goes on with a migration of nobody");
}

#[tokio::test]
async fn f35_a_migrator_that_is_killed_leaves_each_migration_whole_or_not_at_all_and_the_next_finishes() {
    let schemas = schemas().await;
    let mut left = Vec::new();
    for round in 0..rounds(6, 60) {
        let database = Database::create().await;
        let operator = operator(&database);
        let migrator = operator.spawn(&["migrate"]);
        sleep(Duration::from_millis(5 + 97 * round % 120)).await;
        kill(&database, migrator).await;
        assert_eq!(half_applied(&database, &schemas).await, None, "round {round}");
        left.push(versions(&database).await.len());
        operator.command(&["migrate"]).expect("it finishes");
        assert_eq!(Schema::of(&database).await, schemas[all().len()], "round {round}");
    }
    println!("migrations that were there after the kill: {left:?}");
}

#[tokio::test]
async fn f35_one_that_is_killed_while_it_waits_for_a_lock_has_applied_nothing_of_it() {
    let schemas = schemas().await;
    let (database, last) = before_the_last_of_users().await;
    let reader = database.connect().await;
    reader.batch_execute("BEGIN; SELECT count(*) FROM users").await.unwrap();
    let operator = operator(&database);
    let migrator = operator.spawn(&["migrate"]);
    let waiting = "SELECT count(*) FROM pg_locks WHERE NOT granted AND relation = 'users'::regclass";
    let is_met = async || database.number(waiting).await > 0;
    operator.until("waiting", Duration::from_secs(10), is_met).await;
    kill(&database, migrator).await;
    assert_eq!(half_applied(&database, &schemas).await, None);
    assert_eq!(versions(&database).await.len(), last);
    reader.batch_execute("COMMIT").await.unwrap();
    operator.command(&["migrate"]).expect("it finishes");
    assert_eq!(half_applied(&database, &schemas).await, None);
}

#[tokio::test]
async fn f35_control_a_migration_that_is_there_by_half_is_found_out() {
    let schemas = schemas().await;
    let database = Database::create().await;
    let migrations = all();
    for migration in &migrations[..2] {
        apply(&database, migration).await;
    }
    assert_eq!(half_applied(&database, &schemas).await, None);
    let Migration { up, .. } = &migrations[2];
    database.connect().await.batch_execute(up).await.unwrap();
    assert!(half_applied(&database, &schemas).await.is_some(), "applied, and not written down");
}
