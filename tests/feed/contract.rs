//! The feed as any service may follow it: `TrustService.Watch`, spoken to directly.

use std::time::{Duration, Instant};

use portcullis_proto::v1::{Revocation, WatchRequest, revocation};
use serde_json::json;
use tokio::time::timeout;

use super::follower::{Follower, probe, sessions, start};
use super::{EMAIL, LAW};
use crate::harness::{Cluster, Database, Http, Process, Stack, Standby, claims, further_sessions, outcome};

fn sid(token: &str) -> String {
    claims(token)["sid"].as_str().unwrap().to_owned()
}

async fn log_out(http: &Http, token: &str) -> String {
    assert_eq!(http.bare("POST", "/auth/jwt/logout", token).await.status, 204);
    sid(token)
}

/// A stack and so many tokens of one user.
async fn with_tokens(count: usize) -> (Stack, Vec<String>, String) {
    let stack = Stack::start().await;
    let (_, kept) = stack.user(EMAIL).await;
    let tokens = further_sessions(&stack.database, &kept, count).await;
    (stack, tokens, kept)
}

#[tokio::test]
async fn a_follower_is_told_the_keys_then_what_has_ended_and_then_each_change_at_once() {
    let (stack, tokens, kept) = with_tokens(3).await;
    let http = stack.http();
    let before = log_out(&http, &tokens[0]).await;
    let mut follower = Follower::from(&stack.identity, "").await;
    let told = follower.until_complete().await;
    assert!(told.keys.is_some());
    assert_eq!(sessions(&told), [before]);
    let remaining = told.revocations[0].remaining.unwrap().seconds;
    // The rest of the token's hour, and what clocks may be wrong by.
    assert!((3_600..=3_600 + 605).contains(&remaining), "{remaining}");
    let asked = Instant::now();
    let ended = log_out(&http, &tokens[1]).await;
    // What was told before may come again.
    follower.until_ended(&ended).await;
    assert!(
        asked.elapsed() < Duration::from_millis(400),
        "only a probe would have told: {:?}",
        asked.elapsed()
    );
    // A user's epoch, in the place of his sessions.
    stack.identity.command(&["user", "deactivate", EMAIL]).unwrap();
    let is_user = |revocation: &Revocation| matches!(revocation.tokens, Some(revocation::Tokens::User(_)));
    let told = follower.until(|told| told.revocations.iter().any(is_user)).await;
    let revocation = told.revocations.into_iter().find(is_user).unwrap();
    let Some(revocation::Tokens::User(user)) = revocation.tokens else { panic!("it is one") };
    assert_eq!(user.user_id, claims(&kept)["sub"].as_str().unwrap());
    assert!(user.epoch > claims(&kept)["epoch"].as_i64().unwrap());
}

#[tokio::test]
async fn the_answer_to_a_probe_comes_after_all_that_was_before_it_and_answers_the_latest() {
    let (stack, tokens, _) = with_tokens(50).await;
    let mut follower = Follower::from(&stack.identity, "").await;
    follower.until_complete().await;
    let http = stack.http();
    for (number, token) in (1..).zip(&tokens) {
        let ended = log_out(&http, token).await;
        follower.requests.send(probe(number)).unwrap();
        let told = follower.until_ended(&ended).await;
        assert!(told.probe <= number);
        if told.probe < number {
            let told = follower.until(|told| told.probe >= number).await;
            assert!(told.has_time && told.probe == number, "{told:?}");
        }
    }
    (100..200).for_each(|number| follower.requests.send(probe(number)).unwrap());
    let told = follower.until(|told| told.probe >= 199).await;
    assert_eq!(told.probe, 199);
}

#[tokio::test]
async fn what_ended_before_a_probe_is_told_before_its_answer_also_when_nobody_was_told_at_once() {
    let (stack, tokens, _) = with_tokens(20).await;
    let mut follower = Follower::from(&stack.identity, "").await;
    follower.until_complete().await;
    let database = stack.database.connect().await;
    for (number, token) in (1..).zip(&tokens) {
        let sql = "INSERT INTO revocations (session_id, expires_at) VALUES ($1::text::uuid, now() + interval '1 hour')";
        database.execute(sql, &[&sid(token)]).await.unwrap();
        // Before the answer, or with it; and nothing else makes a replica look.
        let told = follower.probe(number).await;
        assert!(sessions(&told).contains(&sid(token)), "{told:?}");
    }
}

#[tokio::test]
async fn who_comes_back_with_a_position_is_told_what_he_missed_by_any_replica() {
    let (stack, tokens, _) = with_tokens(10).await;
    let other = Process::identity(&stack.database.url, &[]);
    other.until_serving().await;
    let http = stack.http();
    let mut position = Follower::from(&stack.identity, "").await.until_complete().await.position;
    for (number, token) in tokens.iter().enumerate() {
        let ended = log_out(&http, token).await;
        let identity = if number % 2 == 0 { &other } else { &stack.identity };
        let told = Follower::from(identity, &position).await.until_complete().await;
        assert_eq!(sessions(&told), [ended]);
        position = told.position;
    }
    // Who has no position, or one of another life of the server, is told everything.
    let (_, snapshot) = position.split_once('/').unwrap();
    let foreign = format!("{}@1.5/{snapshot}", uuid::Uuid::new_v4());
    for position in ["", &foreign] {
        let told = Follower::from(&other, position).await.until_complete().await;
        assert_eq!(sessions(&told).len(), tokens.len(), "{position}");
    }
}

#[tokio::test]
async fn a_long_snapshot_and_a_long_absence_are_told_in_pieces_and_whole() {
    let (stack, tokens, kept) = with_tokens(25_000).await;
    let mut early = Follower::from(&stack.identity, "").await;
    let position = early.until_complete().await.position;
    let change = json!({"password": "lancelot"});
    assert_eq!(stack.http().json("PATCH", "/users/me", &kept, change).await.status, 200);
    // More than a read tells all at once: he has to begin again.
    assert_eq!(early.end().await, "OK");
    let mut all: Vec<_> = tokens.iter().map(|token| sid(token)).collect();
    all.sort();
    for position in ["", &position] {
        let mut told = sessions(&Follower::from(&stack.identity, position).await.until_complete().await);
        told.sort();
        assert!(told == all, "{} of {}", told.len(), all.len());
    }
}

#[tokio::test]
async fn what_is_no_start_or_no_probe_is_refused() {
    let stack = Stack::start().await;
    let port = stack.identity.port;
    let refused = "InvalidArgument INVALID_REQUEST";
    for first in [
        vec![probe(1)],
        vec![WatchRequest::default()],
        vec![start("nonsense")],
        vec![start("01a21031-c949-413c-a0c5-a39a7d927455@1/1:2:'; DROP TABLE users; --")],
        vec![start(&"1".repeat(60_000))],
    ] {
        let outcome = match Follower::with(port, first.clone()).await {
            Ok(follower) => follower.end().await,
            Err(status) => outcome::<()>(&Err(status)),
        };
        assert_eq!(outcome, refused, "{first:?}");
    }
    for second in [probe(0), start(""), WatchRequest::default()] {
        let follower = Follower::with(port, vec![start(""), second.clone()]).await.unwrap();
        assert_eq!(follower.end().await, refused, "{second:?}");
    }
}

#[tokio::test]
async fn a_replica_that_stops_ends_the_streams_and_is_not_held_up_by_them() {
    let mut stack = Stack::start().await;
    let mut followers = Vec::new();
    for _ in 0..20 {
        let mut follower = Follower::from(&stack.identity, "").await;
        follower.until_complete().await;
        followers.push(follower);
    }
    let asked = Instant::now();
    stack.identity.signal("TERM");
    for follower in followers {
        assert_eq!(follower.end().await, "OK");
    }
    assert!(stack.identity.wait(Duration::from_secs(5)).await.is_some_and(|status| status.success()));
    assert!(asked.elapsed() < LAW, "it took {:?}", asked.elapsed());
    assert!(stack.identity.log().contains("stopped: no call was cut off"));
}

#[tokio::test]
async fn there_are_no_more_followers_than_there_may_be_and_who_says_nothing_is_let_go() {
    let (stack, tokens, kept) = with_tokens(2_000).await;
    let change = json!({"password": "lancelot"});
    assert_eq!(stack.http().json("PATCH", "/users/me", &kept, change).await.status, 200);
    let before = stack.identity.memory();
    let mut silent = Vec::new();
    let refused = loop {
        // A connection each, so that each has a window of its own; nobody reads.
        match Follower::with(stack.identity.port, vec![start("")]).await {
            Ok(follower) => silent.push(follower),
            Err(status) => break outcome::<()>(&Err(status)),
        }
        assert!(silent.len() < 300, "there may be as many as want to");
    };
    assert_eq!(refused, "ResourceExhausted OVERLOADED");
    let growth = stack.identity.memory().saturating_sub(before);
    assert!(growth < 100 * 1024 * 1024, "{} silent followers cost {growth} bytes", silent.len());
    // The gateway has had its place, and goes on.
    assert_eq!(stack.http().bare("GET", "/auth/check", &kept).await.status, 204);
    assert_eq!(stack.http().bare("GET", "/auth/check", &tokens[0]).await.status, 401);
    let is_there_room = async || {
        let follower = Follower::with(stack.identity.port, vec![start("")]).await;
        follower.is_ok()
    };
    stack.identity.until("rid of those who say nothing", Duration::from_secs(20), is_there_room).await;
}

#[tokio::test]
async fn a_server_that_is_the_primary_no_more_answers_no_probe_and_its_successor_tells_everything_again() {
    let (cluster, url) = Cluster::start();
    let database = Database::create_in(&url, "").await;
    let standby = Standby::of(&cluster);
    let identity = Process::identity(&standby.beside_primary(&database.url), &[]);
    identity.until_serving().await;
    let mut follower = Follower::from(&identity, "").await;
    follower.until_complete().await;
    follower.probe(1).await;
    let (old, connection) =
        tokio_postgres::connect(&cluster.superuser_url(), tokio_postgres::NoTls).await.unwrap();
    tokio::spawn(connection);
    old.batch_execute("ALTER SYSTEM SET default_transaction_read_only = on").await.unwrap();
    old.batch_execute("SELECT pg_reload_conf()").await.unwrap();
    tokio::time::sleep(Duration::from_millis(500)).await;
    // It goes on running, and takes reads.
    follower.requests.send(probe(2)).unwrap();
    let answered = timeout(LAW, follower.until(|told| told.probe >= 2)).await;
    assert!(answered.is_err(), "{answered:?}");
    standby.promote();
    assert_eq!(follower.end().await, "OK");
    let mut again = None;
    let is_told = async || {
        again = Follower::with(identity.port, vec![start("")]).await.ok();
        again.is_some()
    };
    identity.until("telling", Duration::from_secs(5), is_told).await;
    again.unwrap().until_complete().await;
}
