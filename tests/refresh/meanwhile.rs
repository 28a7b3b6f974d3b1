//! What another transaction does while a refresh waits for it is seen, and not written over.

use std::time::Duration;

use super::{REFUSED, digest, parts, refresh, refreshed, session, stack_and_tokens};
use crate::harness::{Answer, Stack};

/// Uses a token while a transaction of the test's own is open, which has done the first and then does the second; the
/// answer, which must not come before the commit.
async fn refresh_during(stack: &Stack, token: &str, first: &str, then: &str) -> Answer {
    let other = stack.database.connect().await;
    let session = session(token);
    let run = async |sql: &str| {
        let sql = sql.replace("{id}", &format!("'{session}'"));
        other.batch_execute(&sql).await.unwrap();
    };
    run("BEGIN").await;
    run(first).await;
    let refreshing = tokio::spawn({
        let (http, token) = (stack.http(), token.to_owned());
        async move { refresh(&http, &token).await }
    });
    let waits = "SELECT count(*) FROM pg_stat_activity
                 WHERE datname = current_database() AND wait_event_type = 'Lock'";
    let is_waiting = async || stack.database.number(waits).await > 0;
    stack.identity.until("made to wait", Duration::from_secs(1), is_waiting).await;
    assert!(!refreshing.is_finished(), "the refresh does not wait");
    run(then).await;
    run("COMMIT").await;
    refreshing.await.unwrap()
}

#[tokio::test]
async fn a_refresh_that_others_overtake_does_not_take_the_chain_back() {
    let (stack, first) = stack_and_tokens().await;
    let http = stack.http();
    let second = refreshed(&http, &first.refresh).await;
    let third = refreshed(&http, &second.refresh).await;
    // As if neither had happened yet, and then as if both had.
    let set = |token: &str, uses: &str| {
        let digest: String = digest(&parts(token)[1]).iter().map(|byte| format!("{byte:02x}")).collect();
        format!("UPDATE sessions SET refresh_digest = '\\x{digest}', refresh_uses = {uses} WHERE id = {{id}}")
    };
    let sql = set(&first.refresh, "'{}'").replace("{id}", &format!("'{}'", session(&first.refresh)));
    stack.database.rows(&sql, &[]).await;
    let lock = "SELECT FROM sessions WHERE id = {id} FOR NO KEY UPDATE";
    let overtaken =
        refresh_during(&stack, &first.refresh, lock, &set(&third.refresh, "ARRAY[now(), now()]")).await;
    assert_eq!(overtaken.text("refresh_token"), second.refresh);
    let newest = Some((digest(&parts(&third.refresh)[1]), 2));
    assert_eq!(super::chain(&stack.database, &third.refresh).await, newest);
    refreshed(&http, &third.refresh).await;
}

#[tokio::test]
async fn a_session_that_ends_while_its_refresh_waits_is_not_refreshed() {
    let owner = "id = (SELECT user_id FROM sessions WHERE id = {id})";
    for (first, then) in [
        ("DELETE FROM sessions WHERE id = {id}", "SELECT"),
        (&*format!("UPDATE users SET is_active = false WHERE {owner}"), "SELECT"),
        (
            &*format!("SELECT FROM users WHERE {owner} FOR NO KEY UPDATE"),
            "DELETE FROM sessions WHERE id = {id}",
        ),
        (&*format!("UPDATE users SET password_version = password_version + 1 WHERE {owner}"), "SELECT"),
        (&*format!("UPDATE users SET epoch = nextval('epochs') WHERE {owner}"), "SELECT"),
        (&*format!("DELETE FROM users WHERE {owner}"), "SELECT"),
    ] {
        let (stack, given) = stack_and_tokens().await;
        let answer = refresh_during(&stack, &given.refresh, first, then).await;
        assert_eq!(answer.short(), REFUSED, "{first}; {then}");
        let used = "SELECT count(*) FROM sessions WHERE refresh_uses <> '{}'";
        assert_eq!(stack.database.number(used).await, 0, "{first}; {then}");
    }
}
