//! The key that refresh tokens are made with: one for all replicas, sealed, and made by whoever starts first.

use std::time::Duration;

use super::{EMAIL, offline, refreshed};
use crate::harness::{Database, Fleet, IDENTITY, PASSWORD, Plan, Process};

#[tokio::test]
async fn replicas_that_start_at_once_end_up_with_one_key() {
    let fleet = Fleet::start(Plan { identities: 3, gateways: 2, ..Plan::default() }).await;
    assert_eq!(fleet.database.number("SELECT count(*) FROM secrets").await, 1);
    let http = fleet.clients().remove(0);
    assert_eq!(http.register(EMAIL, PASSWORD).await.status, 201);
    let mut tokens = offline(&http, EMAIL, PASSWORD).await;
    for _ in 0..12 {
        tokens = refreshed(&http, &tokens.refresh).await;
    }
    // It is there after a restart, too.
    let mut fleet = fleet;
    for identity in &mut fleet.identities {
        identity.kill();
        identity.restart();
    }
    fleet.until_ready().await;
    refreshed(&fleet.clients()[1], &tokens.refresh).await;
    assert_eq!(fleet.database.number("SELECT count(*) FROM secrets").await, 1);
}

#[tokio::test]
async fn a_key_that_does_not_open_stops_the_start_and_is_left_as_it_is() {
    let database = Database::create().await;
    let mut identity = Process::identity(&database.url, &[]);
    identity.until_serving().await;
    identity.kill();
    // It is nowhere as it is.
    let sealed: Vec<u8> = database.rows("SELECT sealed FROM secrets", &[]).await[0].get(0);
    assert_eq!(sealed.len(), 12 + 32 + 16);
    for flaw in ["set_byte(sealed, 20, get_byte(sealed, 20) # 1)", "''::bytea"] {
        database.rows(&format!("UPDATE secrets SET sealed = {flaw}"), &[]).await;
        let before = database.contents().await;
        identity.restart();
        let status = identity.wait(Duration::from_secs(5)).expect("does not start");
        assert_eq!(status.code(), Some(1));
        let log = identity.log();
        let last = log.lines().last().unwrap_or_default();
        let said = "identity-service: KEY_ENCRYPTION_KEY is not the key that the secret refresh_tokens in the database";
        assert!(last.starts_with(said), "{log}");
        assert_eq!(database.contents().await, before);
    }
    let kek = IDENTITY.iter().find(|(name, _)| *name == "KEY_ENCRYPTION_KEY").unwrap().1;
    assert!(!identity.log().contains(kek));
}
