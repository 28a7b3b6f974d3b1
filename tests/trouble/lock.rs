//! F15: a migration that holds the table of users, as a bad one does.

use std::time::{Duration, Instant};

use tokio_postgres::Client;

use crate::harness::{Ask, Crowd, Seen, rounds};

use super::{CONNECTIONS, Scene, assert_nothing_is_lost, tally};

/// How long a transaction may wait for a lock, in seconds, and as a part of an answer.
const LOCK: f64 = 1.2;
/// A connection, then a lock, then what the machine is slow by; the deadline of identity-service cuts it off.
const ANSWER: Duration = Duration::from_millis(2_200);
const CROWD: [Ask; 20] = [
    Ask::Me,
    Ask::Me,
    Ask::Me,
    Ask::Me,
    Ask::Me,
    Ask::Me,
    Ask::Me,
    Ask::Me,
    Ask::Me,
    Ask::Change,
    Ask::Change,
    Ask::Change,
    Ask::Change,
    Ask::Change,
    Ask::Change,
    Ask::LogIn,
    Ask::LogIn,
    Ask::LogIn,
    Ask::Register,
    Ask::Forged,
];

/// What Postgres saw while the table was locked.
#[derive(Debug, Default)]
struct Watched {
    /// The longest that anybody waited for a lock, in seconds.
    longest: f64,
    /// The most connections of the service.
    connections: i64,
}

/// Asks Postgres again and again until `end`.
async fn watch(client: &Client, end: Instant) -> Watched {
    let sql = "SELECT
        (SELECT coalesce(max(extract(epoch FROM clock_timestamp() - waitstart)), 0)::float8
            FROM pg_locks WHERE NOT granted),
        (SELECT count(*) FROM pg_stat_activity WHERE application_name = 'identity-service')";
    let mut watched = Watched::default();
    while Instant::now() < end {
        let row = client.query_one(sql, &[]).await.unwrap();
        watched.longest = watched.longest.max(row.get(0));
        watched.connections = watched.connections.max(row.get(1));
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    watched
}

/// Whether the service is ready until `end`, at each look.
async fn watch_readiness(scene: &Scene, end: Instant) -> bool {
    let (http, mut ready) = (scene.stack.http(), true);
    while Instant::now() < end {
        ready &= http.bare("GET", "/health/ready", "").await.status == 200;
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    ready
}

/// How long after a moment the last request began that failed, and all requests that began after the moment.
fn recovery(seen: &[Seen], moment: Instant) -> (Duration, Vec<Seen>) {
    let after: Vec<_> = seen.iter().filter(|seen| seen.began > moment).cloned().collect();
    let failed = after.iter().filter(|seen| !seen.succeeded()).map(|seen| seen.began - moment);
    (failed.max().unwrap_or_default(), after)
}

/// What a request must be answered meanwhile.
fn is_honest(seen: &Seen) -> bool {
    match seen.ask {
        Ask::Forged => seen.status == 401,
        Ask::Me | Ask::Change | Ask::LogIn | Ask::Register => seen.status == 503,
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn f15_a_locked_table_ends_each_wait_after_a_second_and_all_is_normal_a_second_after_it() {
    let scene = Scene::set().await;
    let (gateway, database) = (&scene.stack.gateway, &scene.stack.database);
    let (migration, observer) = (database.connect().await, database.connect().await);
    let crowd = Crowd::at(&[gateway.port], &scene.persona, &CROWD);
    tokio::time::sleep(Duration::from_secs(1)).await;

    migration.batch_execute("BEGIN; LOCK TABLE users IN ACCESS EXCLUSIVE MODE").await.unwrap();
    let from = Instant::now();
    let end = from + rounds(Duration::from_secs(4), Duration::from_secs(10));
    let (watched, ready) = tokio::join!(watch(&observer, end), watch_readiness(&scene, end));
    let to = Instant::now();
    migration.batch_execute("ROLLBACK").await.unwrap();
    tokio::time::sleep(Duration::from_secs(3)).await;
    let seen = crowd.end().await;
    let during: Vec<Seen> = seen.iter().filter(|seen| seen.is_within(from, to)).cloned().collect();
    let slowest = during.iter().map(|seen| seen.took).max().unwrap();
    let (well, after) = recovery(&seen, to);
    println!("{}: slowest {slowest:?}, {watched:?}; well after {well:?}: {}", tally(&during), tally(&after));
    let untrue: Vec<_> = during.iter().filter(|seen| !is_honest(seen)).collect();
    assert!(untrue.is_empty(), "{} of {}: {untrue:#?}", untrue.len(), during.len());
    assert!(ready, "the database answers, and is thought to be away");
    assert!(watched.longest > 0.5 && watched.longest <= LOCK, "{watched:?}");
    assert!(watched.connections <= CONNECTIONS, "{watched:?}");
    assert!(slowest <= ANSWER, "{slowest:?}");
    assert!(well <= Duration::from_secs(1), "who came {well:?} after the lock was refused");
    let works = |ask: &Ask| after.iter().any(|seen| seen.ask == *ask && seen.succeeded());
    assert!([Ask::Me, Ask::Change, Ask::LogIn, Ask::Register].iter().all(works), "{}", tally(&after));
    assert_nothing_is_lost(database, &seen).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn f15_control_a_session_without_a_limit_is_seen_to_wait() {
    let scene = Scene::set().await;
    let database = &scene.stack.database;
    let (migration, patient, observer) =
        (database.connect().await, database.connect().await, database.connect().await);
    migration.batch_execute("BEGIN; LOCK TABLE users IN ACCESS EXCLUSIVE MODE").await.unwrap();
    let waits = tokio::spawn(async move { patient.batch_execute("SELECT FROM users").await });
    let watched = watch(&observer, Instant::now() + Duration::from_secs(2)).await;
    assert!(watched.longest > LOCK, "{watched:?}");
    migration.batch_execute("ROLLBACK").await.unwrap();
    waits.await.unwrap().unwrap();
}
