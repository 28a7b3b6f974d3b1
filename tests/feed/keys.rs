//! The keys as the feed tells them: an answer to a probe proves that none that was taken away is still believed.

use std::time::{Duration, Instant};

use portcullis_proto::v1::{KeyState, PublicKey};

use super::follower::{Follower, start};
use crate::harness::{Fleet, Plan, rounds};

/// The ids of keys and their states, as they were told.
fn told(keys: &[PublicKey]) -> Vec<(String, KeyState)> {
    keys.iter().map(|key| (key.kid.clone(), key.state())).collect()
}

#[tokio::test]
async fn a_change_of_the_keys_is_told_no_later_than_the_answer_to_a_probe_that_comes_after_it() {
    let fleet = Fleet::start(Plan { gateways: 0, ..Plan::default() }).await;
    let mut follower = Follower::from(&fleet.identities[0], "").await;
    let first = follower.until_complete().await.keys.expect("the first message has the keys");
    assert_eq!(
        told(&first).iter().map(|(_, state)| *state).collect::<Vec<_>>(),
        [KeyState::Current, KeyState::Next]
    );
    // Unchanged, they are not told again.
    assert_eq!(follower.probe(1).await.keys, None);
    let mut current = first[0].kid.clone();
    for number in 2..rounds(6, 40) {
        let retire = ["key", "retire", current.as_str(), "--compromised"];
        fleet.identities[1].command(&retire).expect("it is done, after a wait for the next key to be known");
        let mut answers = follower.probe(number).await;
        // The news may have come before the probe was sent.
        let keys = answers.keys.take().expect("the keys have changed, and were not told");
        assert!(keys.iter().all(|key| key.kid != current), "{keys:?}");
        current.clone_from(&keys[0].kid);
        assert_eq!(keys[0].state(), KeyState::Current);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_begins_while_the_keys_change_is_told_all_the_same() {
    let fleet = Fleet::start(Plan { gateways: 0, ..Plan::default() }).await;
    for _ in 0..rounds(3, 30) {
        // The next key is old enough to sign at once.
        let sql = "UPDATE signing_keys SET state_since = now() - interval '2 minutes' WHERE state = 'next'";
        fleet.database.connect().await.execute(sql, &[]).await.unwrap();
        let (begun, port) = (Instant::now(), fleet.identities[0].port);
        let follows = tokio::spawn(async move {
            let mut followers = Vec::new();
            // There are places for 256.
            while begun.elapsed() < Duration::from_millis(300) && followers.len() < 200 {
                followers.push(Follower::with(port, vec![start("")]).await.expect("there is a place"));
            }
            followers
        });
        let listed = fleet.identities[1].command(&["key", "rotate", "--now"]).unwrap();
        let current = listed.lines().nth(1).unwrap().split_whitespace().next().unwrap().to_owned();
        for mut follower in follows.await.unwrap() {
            let keys = follower.probe(1).await.keys.expect("nothing was heard before");
            assert_eq!((&keys[0].kid, keys[0].state()), (&current, KeyState::Current));
        }
    }
}
