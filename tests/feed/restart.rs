//! F26: whoever starts anew knows everything before he is asked, and what is counted anew is not taken for the old.

use std::time::{Duration, Instant};

use serde_json::json;

use super::{Door, EMAIL, LAW, Said, check};
use crate::harness::{
    Cluster, Database, Flaw, Fleet, NaiveReplica, PASSWORD, Plan, Process, further_sessions, rounds,
};

/// How soon a gateway must be ready again.
const READY: Duration = Duration::from_secs(2);

/// A fleet, so many ended tokens, and one that goes on.
async fn with_ended(count: usize) -> (Fleet, Vec<String>, String) {
    let fleet = Fleet::start(Plan::default()).await;
    let http = &fleet.clients()[0];
    assert_eq!(http.register(EMAIL, PASSWORD).await.status, 201);
    let kept = http.token(EMAIL, PASSWORD).await;
    let ended = further_sessions(&fleet.database, &kept, count).await;
    let change = json!({"password": "lancelot"});
    assert_eq!(http.json("PATCH", "/users/me", &kept, change).await.status, 200);
    let written = fleet.database.number("SELECT count(*) FROM revocations").await;
    assert_eq!(written, i64::try_from(count).unwrap());
    (fleet, ended, kept)
}

/// Asks a gateway that has just been started about ended tokens, from the first answer on; how often one was believed, and
/// when it was ready.
async fn ask_from_the_start(
    gateway: &Process,
    ended: &[String],
    lasting: Duration,
) -> (usize, Option<Duration>) {
    let (door, started) = (Door::of(gateway), Instant::now());
    let checks: Vec<_> = ended.iter().map(|token| check(token)).collect();
    let ready = crate::harness::Http::new(gateway.port);
    let (mut believed, mut ready_after) = (0, None);
    for check in checks.iter().cycle() {
        believed += usize::from(door.try_check(check).await == Some(Said::Good));
        if ready_after.is_none()
            && ready.try_get("/health/ready").await.is_some_and(|answer| answer.status == 200)
        {
            ready_after = Some(started.elapsed());
        }
        if started.elapsed() > lasting {
            break;
        }
    }
    (believed, ready_after)
}

#[tokio::test]
async fn f26_a_gateway_that_starts_anew_knows_ten_thousand_ended_sessions_before_it_is_ready() {
    let (mut fleet, ended, kept) = with_ended(10_000).await;
    for _ in 0..rounds(1, 10) {
        for number in 0..fleet.gateways.len() {
            let gateway = &mut fleet.gateways[number];
            gateway.kill();
            gateway.restart();
            let (believed, ready) = ask_from_the_start(gateway, &ended, Duration::from_secs(3)).await;
            assert_eq!(believed, 0, "ended tokens were believed");
            assert!(ready.is_some_and(|after| after <= READY), "it is ready after {ready:?}");
            assert_eq!(Door::of(gateway).check(&kept).await, Said::Good);
        }
    }
}

#[tokio::test]
async fn f26_control_a_gateway_that_has_forgotten_is_found_out() {
    let (fleet, ended, _) = with_ended(100).await;
    let naive =
        NaiveReplica::start(Flaw::IgnoresRevocations, &fleet.database, fleet.identities[0].port).await;
    let gateway = Process::gateway_to(naive.port, &[]);
    let (believed, _) = ask_from_the_start(&gateway, &ended, Duration::from_secs(1)).await;
    assert!(believed > 0, "nobody notices");
}

#[tokio::test]
async fn a_gateway_is_not_ready_before_it_has_been_told_what_has_ended() {
    let stack = crate::harness::Stack::start().await;
    let database = stack.database.connect().await;
    database.batch_execute("ALTER TABLE revocation_feeds RENAME TO gone").await.unwrap();
    // The replica serves, and cannot tell.
    let gateway = Process::gateway(&stack.identity, &[]);
    let http = crate::harness::Http::new(gateway.port);
    let lives = async || http.try_get("/health/live").await.is_some_and(|answer| answer.status == 200);
    gateway.until("alive", READY, lives).await;
    let asked = Instant::now();
    while asked.elapsed() < READY {
        assert_eq!(http.bare("GET", "/health/ready", "").await.status, 503);
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    assert!(gateway.log().contains("it serves"), "the replica does not serve at all");
    database.batch_execute("ALTER TABLE gone RENAME TO revocation_feeds").await.unwrap();
    gateway.until_ready().await;
}

#[tokio::test]
async fn after_a_crash_of_the_database_everything_is_told_again() {
    let (cluster, url) = Cluster::start();
    let fleet = Fleet::over(Database::create_in(&url, "").await, Plan::default()).await;
    let http = &fleet.clients()[0];
    assert_eq!(http.register(EMAIL, PASSWORD).await.status, 201);
    let kept = http.token(EMAIL, PASSWORD).await;
    let mut ending = further_sessions(&fleet.database, &kept, 4).await;
    let mut ended = Vec::new();
    let life = async || -> String {
        fleet.database.rows("SELECT id::text FROM revocation_feeds", &[]).await[0].get(0)
    };
    for (number, is_crash) in [true, false].into_iter().enumerate() {
        let (before, told) = (life().await, ended.len());
        if is_crash {
            cluster.kill();
            cluster.restart();
        } else {
            cluster.configure("");
        }
        for gateway in &fleet.gateways {
            gateway.until_ready().await;
        }
        fleet.until_ready().await;
        let is_told = async || fleet.database.number("SELECT count(*) FROM revocation_feeds").await == 1;
        fleet.identities[0].until("telling", LAW, is_told).await;
        // A stop in good order gives out no number twice; but then the server has begun at another time.
        assert_eq!(life().await != before, is_crash);
        for _ in 0..2 {
            let token = ending.pop().unwrap();
            // The first may still meet a connection to the server that was, and is told to try again.
            let is_done = async || http.bare("POST", "/auth/jwt/logout", &token).await.status == 204;
            fleet.identities[0].until("writing", READY, is_done).await;
            ended.push(token);
        }
        tokio::time::sleep(LAW).await;
        for door in fleet.gateways.iter().map(Door::of) {
            for token in &ended {
                assert_eq!(door.check(token).await, Said::Refused, "{told} had ended before");
            }
            assert_eq!(door.check(&kept).await, Said::Good);
        }
        for identity in &fleet.identities {
            let said = identity.log().matches("verifiers are told everything again").count();
            assert_eq!(said, number + 1);
        }
    }
}
