//! F23: keys turn over, and no valid token is refused.

use std::time::{Duration, Instant};

use portcullis_proto::v1::GetKeysRequest;

use super::watch::{Heard, Removed, Watch, judge, share_of_success};
use super::{EMAIL, age, kid, list, log_in, the};
use crate::harness::{Fleet, PASSWORD, Plan, Process, Rpc, rounds};

/// How soon a replica does what is due.
const DUE: Duration = Duration::from_secs(12);

/// A fleet with a user, and a token of his.
pub async fn scene() -> (Fleet, String) {
    let fleet = Fleet::start(Plan::default()).await;
    assert_eq!(fleet.clients()[0].register(EMAIL, PASSWORD).await.status, 201);
    let token = log_in(&fleet.gateways[0]).await;
    (fleet, token)
}

/// Logs in at all gateways again and again for a while; each token is shown everywhere at once.
async fn go_on(fleet: &Fleet, watch: &Watch, lasting: Duration) {
    let began = Instant::now();
    while began.elapsed() < lasting {
        for gateway in &fleet.gateways {
            watch.add(&log_in(gateway).await);
            tokio::time::sleep(Duration::from_millis(200)).await;
        }
    }
}

/// Waits until a replica has done what is due.
async fn until_current(identity: &Process, kid: &str) {
    identity.until("rotated", DUE, async || the("current", &list(identity)) == kid).await;
}

/// Waits until every replica signs with this key.
async fn until_told(fleet: &Fleet, kid: &str) {
    for identity in &fleet.identities {
        let is_told = async || current(identity).await == kid;
        identity.until("told of the key", Duration::from_secs(2), is_told).await;
    }
}

/// The key that a replica believes is the current one.
pub async fn current(identity: &Process) -> String {
    let mut rpc = Rpc::connect(identity.port).await;
    let keys = rpc.trust.get_keys(GetKeysRequest {}).await.expect("are told").into_inner().keys;
    keys.into_iter().next().expect("there is a current one").kid
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn f23_keys_turn_over_and_no_valid_token_is_refused() {
    let (mut fleet, token) = scene().await;
    let watch = Watch::begin(&fleet.gateways, std::slice::from_ref(&token));
    let mut removed = Removed::new();
    let pause = rounds(Duration::from_secs(2), Duration::from_secs(30));
    for round in 0..rounds(2, 6) {
        let before = list(&fleet.identities[0]);
        let (old, new) = (the("current", &before), the("next", &before));
        age(&fleet.database, "next", "16 minutes").await;
        // In the middle of it a process dies: before, at, or after the moment.
        let dying = (round + 1) % 3;
        if round % 2 == 0 {
            // By age.
            age(&fleet.database, "current", "91 days").await;
            fleet.identities[dying].kill();
        } else {
            let command = fleet.identities[0].spawn(&["key", "rotate"]);
            fleet.identities[dying].kill();
            assert!(command.wait_with_output().unwrap().status.success(), "it is published");
        }
        until_current(&fleet.identities[(dying + 1) % 3], &new).await;
        fleet.identities[dying].restart();
        fleet.identities[dying].until_serving().await;
        until_told(&fleet, &new).await;
        go_on(&fleet, &watch, pause).await;
        assert_eq!(kid(&log_in(&fleet.gateways[0]).await), new);
        go_on(&fleet, &watch, pause).await;
        assert!(list(&fleet.identities[2]).iter().any(|key| key.kid == old && key.state == "retired"));
        // A day later its last token has expired; those shown here have not.
        let begun = Instant::now();
        age(&fleet.database, "retired", "25 hours").await;
        let is_gone = async || list(&fleet.identities[0]).iter().all(|key| key.kid != old);
        fleet.identities[0].until("rid of the key", DUE, is_gone).await;
        removed.insert(old, (begun, Instant::now()));
        go_on(&fleet, &watch, pause).await;
    }
    tokio::time::sleep(super::watch::LAW + Duration::from_secs(1)).await;
    let heard = watch.end().await;
    let wrong = judge(&heard, &removed);
    assert!(wrong.is_empty(), "{} of {}: {:#?}", wrong.len(), heard.len(), &wrong[..wrong.len().min(10)]);
    let is_of_living =
        |heard: &Heard| removed.get(&heard.kid).is_none_or(|(begun, _)| heard.answered < *begun);
    let of_living: Vec<_> = heard.into_iter().filter(is_of_living).collect();
    assert!(share_of_success(&of_living) > 0.99, "only {}", share_of_success(&of_living));
    // Those of retired keys among them.
    for kid in removed.keys() {
        let believed = of_living.iter().filter(|heard| heard.kid == *kid && heard.status < 300).count();
        assert!(believed > 50, "{believed} tokens of {kid} were believed");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn f23_control_a_rotation_that_drops_the_old_key_at_once_is_found_out() {
    let (fleet, token) = scene().await;
    let watch = Watch::begin(&fleet.gateways, std::slice::from_ref(&token));
    tokio::time::sleep(Duration::from_millis(500)).await;
    let sql = "DELETE FROM signing_keys WHERE state = 'current';
               UPDATE signing_keys SET state = 'current' WHERE state = 'next'";
    fleet.database.connect().await.batch_execute(sql).await.unwrap();
    tokio::time::sleep(Duration::from_secs(2)).await;
    assert!(!judge(&watch.end().await, &Removed::new()).is_empty());
}

#[tokio::test]
async fn replicas_that_find_something_due_at_once_do_it_once() {
    let (fleet, _) = scene().await;
    for _ in 0..rounds(1, 10) {
        let before = list(&fleet.identities[0]);
        age(&fleet.database, "next", "16 minutes").await;
        age(&fleet.database, "current", "91 days").await;
        until_current(&fleet.identities[0], &the("next", &before)).await;
        // Until each of the three has looked.
        tokio::time::sleep(Duration::from_secs(6)).await;
        let after = list(&fleet.identities[0]);
        assert_eq!(after.len(), before.len() + 1, "{after:#?}");
        assert_ne!(the("next", &after), the("next", &before));
    }
}

#[tokio::test]
async fn all_replicas_sign_with_a_new_key_and_all_gateways_know_it_at_once() {
    let (fleet, _) = scene().await;
    let new = the("next", &list(&fleet.identities[0]));
    // Younger than a cache.
    fleet.identities[0].command(&["key", "rotate", "--now"]).unwrap();
    until_told(&fleet, &new).await;
    for _ in 0..6 {
        for gateway in &fleet.gateways {
            let token = log_in(gateway).await;
            assert_eq!(kid(&token), new);
            for http in fleet.clients() {
                assert_eq!(http.bare("GET", "/auth/check", &token).await.status, 204);
            }
        }
    }
}
