//! The key that refresh tokens are made with: one for all replicas, sealed, and made by whoever starts first.

use std::time::Duration;

use super::{EMAIL, offline, refreshed};
use crate::harness::{Database, Fleet, IDENTITY, PASSWORD, Plan, Process, Stack};

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
        let status = identity.wait(Duration::from_secs(5)).await.expect("does not start");
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

#[tokio::test]
async fn of_two_who_make_a_key_at_once_the_later_takes_the_others() {
    let mut stack = Stack::start().await;
    stack.register(EMAIL).await;
    let tokens = offline(&stack.http(), EMAIL, PASSWORD).await;
    stack.identity.kill();
    let other = stack.database.connect().await;
    // As if another were about to make the one that there was.
    for sql in [
        "CREATE TABLE kept AS SELECT * FROM secrets; DELETE FROM secrets",
        "BEGIN; INSERT INTO secrets SELECT * FROM kept",
    ] {
        other.batch_execute(sql).await.unwrap();
    }
    stack.identity.restart();
    let waits = "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database()
                 AND wait_event_type = 'Lock' AND query LIKE '%secrets%'";
    let is_waiting = async || stack.database.number(waits).await > 0;
    stack.identity.until("waiting", Duration::from_secs(10), is_waiting).await;
    other.batch_execute("COMMIT; DROP TABLE kept").await.unwrap();
    stack.identity.until_serving().await;
    stack.gateway.until_ready().await;
    refreshed(&stack.http(), &tokens.refresh).await;
}
