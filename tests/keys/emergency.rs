//! F23: a key that somebody has stolen is worth nothing within two seconds, at every gateway and every replica.

use std::time::{Duration, Instant};

use super::rotation::{current, scene};
use super::watch::{LAW, Removed, Watch, judge};
use super::{kid, list, log_in, parse, the};
use crate::harness::{Flaw, Fleet, Http, NaiveReplica, Plan, Process, Rpc, outcome, rounds, with_token};
use crate::refresh::{REFUSED, Tokens, offline, refresh};
use portcullis_proto::v1::GetUserRequest;

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn f23_a_key_that_is_compromised_is_refused_everywhere_within_two_seconds() {
    let (fleet, first) = scene().await;
    let watch = Watch::begin(&fleet.gateways, std::slice::from_ref(&first));
    let mut removed = Removed::new();
    for round in 0..rounds(2, 20) {
        let stolen = the("current", &list(&fleet.identities[0]));
        let token = log_in(&fleet.gateways[round % 2]).await;
        assert_eq!(kid(&token), stolen);
        watch.add(&token);
        tokio::time::sleep(Duration::from_millis(700)).await;
        let begun = Instant::now();
        let retire = ["key", "retire", stolen.as_str(), "--compromised"];
        let after = parse(&fleet.identities[round % 3].command(&retire).unwrap());
        let done = Instant::now();
        removed.insert(stolen.clone(), (begun, done));
        assert!(after.iter().all(|key| key.kid != stolen), "{after:#?}");
        // Who has to log in again can, as soon as the replica has been told, and is believed everywhere.
        let new = the("current", &after);
        for identity in &fleet.identities {
            identity.until("told", LAW, async || current(identity).await == new).await;
        }
        let again = log_in(&fleet.gateways[0]).await;
        assert_eq!(kid(&again), new);
        watch.add(&again);
        tokio::time::sleep(LAW.saturating_sub(done.elapsed()) + Duration::from_secs(1)).await;
        for identity in &fleet.identities {
            let mut rpc = Rpc::connect(identity.port).await;
            let me = || GetUserRequest { id: "me".into() };
            let said = outcome(&rpc.users.get_user(with_token(me(), &token)).await);
            assert_eq!(said, "Unauthenticated UNAUTHENTICATED");
            assert_eq!(outcome(&rpc.users.get_user(with_token(me(), &again)).await), "OK");
        }
    }
    let heard = watch.end().await;
    let wrong = judge(&heard, &removed);
    assert!(wrong.is_empty(), "{} of {}: {:#?}", wrong.len(), heard.len(), &wrong[..wrong.len().min(10)]);
    let last = |kid: &String, done: &Instant| {
        let believed = heard.iter().filter(|heard| heard.kid == *kid && heard.status < 300);
        believed.map(|heard| heard.asked.saturating_duration_since(*done)).max().unwrap_or_default()
    };
    let worst = removed.iter().map(|(kid, (_, done))| last(kid, done)).max();
    println!("believed for {worst:?} after the command had ended, at the most");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn f23_control_a_gateway_that_is_not_told_of_the_removal_is_found_out() {
    let (fleet, token) = scene().await;
    let real = fleet.identities[0].port;
    let naive = NaiveReplica::start(Flaw::IgnoresRevocations, &fleet.database, real).await;
    let gateway = Process::gateway_to(naive.port, &[]);
    gateway.until_ready().await;
    let watch = Watch::begin(std::slice::from_ref(&gateway), std::slice::from_ref(&token));
    tokio::time::sleep(Duration::from_secs(2)).await;
    let (begun, stolen) = (Instant::now(), kid(&token));
    fleet.identities[0].command(&["key", "retire", &stolen, "--compromised"]).unwrap();
    let removed = Removed::from([(stolen, (begun, Instant::now()))]);
    tokio::time::sleep(LAW + Duration::from_secs(1)).await;
    assert!(!judge(&watch.end().await, &removed).is_empty());
}

#[tokio::test]
async fn a_replica_that_cannot_read_the_keys_believes_nobody_and_says_so() {
    let (fleet, token) = scene().await;
    let me = || GetUserRequest { id: "me".into() };
    let mut rpc = Rpc::connect(fleet.identities[0].port).await;
    assert_eq!(outcome(&rpc.users.get_user(with_token(me(), &token)).await), "OK");
    // As somebody would who can write to the database, and does not know the key-encryption key.
    let sql = "UPDATE signing_keys SET state = 'retired' WHERE state = 'current';
               UPDATE signing_keys SET state = 'current', sealed_private_key = 'nothing sealed' WHERE state = 'next'";
    fleet.database.connect().await.batch_execute(sql).await.unwrap();
    tokio::time::sleep(LAW).await;
    let said = outcome(&rpc.users.get_user(with_token(me(), &token)).await);
    assert_eq!(said, "Internal INTERNAL");
    let log = fleet.identities[0].log();
    assert!(log.contains("KEY_ENCRYPTION_KEY is not the key that the signing key"), "{log}");
    for http in fleet.clients() {
        let status = http.bare("GET", "/auth/check", &token).await.status;
        assert!(status >= 500, "{status}: nobody can know");
    }
}

#[tokio::test]
async fn a_replica_that_slept_through_the_removal_does_not_believe_the_key_when_it_wakes() {
    let (fleet, token) = scene().await;
    let mut rpc = Rpc::connect(fleet.identities[0].port).await;
    for _ in 0..rounds(2, 20) {
        let token = log_in(&fleet.gateways[0]).await;
        fleet.identities[0].signal("STOP");
        fleet.identities[1].command(&["key", "retire", &kid(&token), "--compromised"]).unwrap();
        tokio::time::sleep(LAW).await;
        let me = GetUserRequest { id: "me".into() };
        let asked = tokio::spawn({
            let (mut users, token) = (rpc.users.clone(), token.clone());
            async move { outcome(&users.get_user(with_token(me, &token)).await) }
        });
        tokio::time::sleep(Duration::from_millis(50)).await;
        fleet.identities[0].signal("CONT");
        assert_eq!(asked.await.unwrap(), "Unauthenticated UNAUTHENTICATED");
    }
    let me = GetUserRequest { id: "me".into() };
    let said = outcome(&rpc.users.get_user(with_token(me, &token)).await);
    assert_eq!(said, "Unauthenticated UNAUTHENTICATED");
}

/// A replica that is cut off knows older keys than a gateway has been told of by another.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_replica_that_is_cut_off_brings_no_removed_key_back() {
    let mut fleet = Fleet::start(Plan { identities: 2, database_links: true, ..Plan::default() }).await;
    assert_eq!(fleet.clients()[0].register(super::EMAIL, crate::harness::PASSWORD).await.status, 201);
    let token = log_in(&fleet.gateways[0]).await;
    fleet.database_links[1].hold();
    let watch = Watch::begin(&fleet.gateways, std::slice::from_ref(&token));
    let begun = Instant::now();
    fleet.identities[0].command(&["key", "retire", &kid(&token), "--compromised"]).unwrap();
    let removed = Removed::from([(kid(&token), (begun, Instant::now()))]);
    tokio::time::sleep(LAW).await;
    // The gateways have only the other one to go to.
    fleet.identities[0].kill();
    tokio::time::sleep(Duration::from_secs(4)).await;
    let heard = watch.end().await;
    assert!(judge(&heard, &removed).is_empty());
    assert!(heard.iter().any(|heard| heard.status < 300), "it was believed before");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn when_all_keys_may_be_known_to_somebody_new_ones_take_their_place() {
    let (fleet, token) = scene().await;
    let before_all = offline(&fleet.clients()[0], super::EMAIL, crate::harness::PASSWORD).await;
    let before = list(&fleet.identities[0]);
    fleet.identities[0].command(&["key", "rotate", "--now"]).unwrap();
    // Somebody goes on refreshing all the while, with what he has.
    let going_on = tokio::spawn(go_on_refreshing(fleet.clients(), before_all.clone()));
    let after = parse(&fleet.identities[0].command(&["key", "retire", "--all", "--compromised"]).unwrap());
    assert_eq!(after.len(), 2, "{after:#?}");
    assert!(after.iter().all(|key| before.iter().all(|old| old.kid != key.kid)), "{after:#?}");
    for http in fleet.clients() {
        assert_eq!(http.bare("GET", "/users/me", &token).await.status, 401);
    }
    let last = tokio::time::timeout(LAW, going_on).await.expect("he is refused at last").unwrap();
    for http in fleet.clients() {
        assert_eq!(http.bare("GET", "/auth/check", &last.access).await.status, 401);
    }
    // Whoever had the refresh key could have made refresh tokens, too.
    for http in fleet.clients() {
        let is_refused = async || refresh(&http, &before_all.refresh).await.short() == REFUSED;
        fleet.gateways[0].until("refusing it", LAW, is_refused).await;
        let anew = offline(&http, super::EMAIL, crate::harness::PASSWORD).await;
        assert_eq!(refresh(&fleet.clients()[0], &anew.refresh).await.status, 200);
    }
    let said = fleet.identities[0].command(&["key", "retire", "--all"]).unwrap_err();
    assert!(said.contains("--compromised"), "{said}");
}

/// Refreshes a session again and again, until it is refused; the last tokens.
async fn go_on_refreshing(clients: Vec<Http>, mut tokens: Tokens) -> Tokens {
    for http in clients.iter().cycle() {
        let answer = refresh(http, &tokens.refresh).await;
        match answer.status {
            200 => tokens = crate::refresh::tokens(&answer),
            503 | 504 => {}
            _ => break,
        }
    }
    tokens
}
