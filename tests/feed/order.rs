//! F40: what ends in a transaction that commits late is not missed.

use std::time::{Duration, Instant};

use tokio::task::JoinSet;

use super::{Door, EMAIL, Fate, LAW, until_fresh, watch};
use crate::harness::{
    Database, Flaw, Fleet, NaiveReplica, PASSWORD, Plan, Process, claims, further_sessions, rounds,
};

/// How many schedules are played at once: each has two connections of its own.
const LANES: usize = 10;
/// How many transactions a schedule has.
const TRANSACTIONS: usize = 2;
const POLL: Duration = Duration::from_millis(100);

/// Up to so many milliseconds, by chance.
fn chance(most: u128) -> Duration {
    Duration::from_millis(u64::try_from(uuid::Uuid::new_v4().as_u128() % (most + 1)).unwrap())
}

/// Plays a schedule: transactions that write in one order and commit in another, without a NOTIFY. When each token ended.
async fn play(database: &Database, tokens: &[String]) -> Vec<(String, Instant)> {
    let sql =
        "INSERT INTO revocations (session_id, expires_at) VALUES ($1::text::uuid, now() + interval '1 hour')";
    let mut open = Vec::new();
    for token in tokens {
        let client = database.connect().await;
        client.batch_execute("BEGIN").await.unwrap();
        let session = claims(token)["sid"].as_str().unwrap().to_owned();
        client.execute(sql, &[&session]).await.unwrap();
        open.push((token.clone(), client));
        tokio::time::sleep(chance(30)).await;
    }
    // The first to write commits last; in between somebody reads, or not.
    let mut ended = Vec::new();
    while let Some((token, client)) = open.pop() {
        client.batch_execute("COMMIT").await.unwrap();
        ended.push((token, Instant::now()));
        if !open.is_empty() {
            tokio::time::sleep(chance(700)).await;
        }
    }
    ended
}

/// Plays so many schedules before these doors; what became of each token at each.
async fn play_all(fleet: &Fleet, doors: &[Door], schedules: usize) -> Vec<Fate> {
    let http = &fleet.clients()[0];
    assert_eq!(http.register(EMAIL, PASSWORD).await.status, 201);
    let kept = http.token(EMAIL, PASSWORD).await;
    let tokens = further_sessions(&fleet.database, &kept, schedules * TRANSACTIONS).await;
    let mut fates = Vec::new();
    let schedules: Vec<_> = tokens.chunks(TRANSACTIONS).collect();
    for lanes in schedules.chunks(LANES) {
        let mut watched = JoinSet::new();
        let played = futures_util::future::join_all(lanes.iter().map(|tokens| play(&fleet.database, tokens)));
        for (token, ended) in played.await.concat() {
            for door in doors {
                let (door, token) = (door.clone(), token.clone());
                // Those that ended first have had their time already.
                let lasting = ended.elapsed() + LAW + Duration::from_millis(500);
                watched.spawn(async move { watch(&door, &token, ended, POLL, lasting).await });
            }
        }
        fates.extend(watched.join_all().await);
    }
    for door in doors {
        assert_eq!(door.check(&kept).await, super::Said::Good, "it has not ended");
    }
    fates
}

#[tokio::test]
async fn f40_what_commits_out_of_order_and_untold_is_known_within_two_seconds() {
    let fleet = Fleet::start(Plan::default()).await;
    let doors: Vec<_> = fleet.gateways.iter().map(Door::of).collect();
    let fates = play_all(&fleet, &doors, rounds(30, 1_000)).await;
    let wrong: Vec<_> = fates.iter().filter_map(Fate::complaint).collect();
    assert!(wrong.is_empty(), "{} of {}: {wrong:#?}", wrong.len(), fates.len());
}

#[tokio::test]
async fn f40_control_a_replica_that_reads_by_sequence_is_found_out() {
    let fleet = Fleet::start(Plan { identities: 1, gateways: 1, ..Plan::default() }).await;
    let naive = NaiveReplica::start(Flaw::ReadsBySequence, &fleet.database, fleet.identities[0].port).await;
    let gateway = Process::gateway_to(naive.port, &[]);
    gateway.until_ready().await;
    until_fresh(&gateway).await;
    let fates = play_all(&fleet, &[Door::of(&gateway)], 10).await;
    assert!(fates.iter().filter_map(Fate::complaint).count() > 0, "nobody notices: {fates:#?}");
}
