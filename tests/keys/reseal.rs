//! The key-encryption key is exchanged while everybody goes on.

use super::rotation::scene;
use super::{list, log_in, the};
use crate::harness::{IDENTITY, Process};

const NEW: &str = "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=";

#[tokio::test]
async fn the_key_encryption_key_is_exchanged_and_nobody_notices() {
    let (mut fleet, token) = scene().await;
    let old = IDENTITY.iter().find(|(name, _)| *name == "KEY_ENCRYPTION_KEY").unwrap().1;
    let both = [("KEY_ENCRYPTION_KEY", NEW), ("KEY_ENCRYPTION_KEY_OTHER", old)];
    // One replica after the other is told of both. Meanwhile keys are made, and those who know only the old one go on.
    for number in 0..fleet.identities.len() {
        let identity = &mut fleet.identities[number];
        identity.kill();
        identity.restart_with(&both);
        identity.until_serving().await;
        fleet.identities[0].command(&["key", "rotate", "--now"]).unwrap();
        fleet.identities[2].command(&["key", "rotate", "--now"]).unwrap();
        let token = log_in(&fleet.gateways[0]).await;
        assert_eq!(fleet.clients()[1].bare("GET", "/users/me", &token).await.status, 200);
        fleet.until_ready().await;
    }
    let before = list(&fleet.identities[0]);
    let said = fleet.identities[0].command(&["key", "reseal"]).unwrap();
    assert!(said.starts_with("sealed with KEY_ENCRYPTION_KEY: all "), "{said}");
    // Then the old one can be forgotten.
    for identity in &mut fleet.identities {
        identity.kill();
        identity.restart_with(&[("KEY_ENCRYPTION_KEY", NEW), ("KEY_ENCRYPTION_KEY_OTHER", "")]);
        identity.until_serving().await;
    }
    assert_eq!(list(&fleet.identities[0]), before);
    fleet.until_ready().await;
    for http in fleet.clients() {
        assert_eq!(http.bare("GET", "/users/me", &token).await.status, 200);
    }
    fleet.identities[0].command(&["key", "rotate", "--now"]).unwrap();
    assert_eq!(the("current", &list(&fleet.identities[0])), the("next", &before));
    let token = log_in(&fleet.gateways[0]).await;
    assert_eq!(fleet.clients()[1].bare("GET", "/users/me", &token).await.status, 200);
    // The old one opens nothing any more.
    let mut identity = Process::identity(&fleet.database.url, &[]);
    let status = identity.wait(std::time::Duration::from_secs(10)).await.expect("it ends");
    assert_eq!(status.code(), Some(1));
    assert!(identity.log().contains("KEY_ENCRYPTION_KEY is not the key"), "{}", identity.log());
}
