//! What ends a session, and what does not. Ended means ended, at once and at both front doors.

use portcullis_proto::v1::DeleteSessionRequest;
use serde_json::{Value, json};

use crate::harness::{Doors, PASSWORD, Stack, claims, outcome, with_token};

const EMAIL: &str = "king.arthur@camelot.bt";

/// Whether a token works, as the gateway and identity-service say alike.
async fn works(stack: &Stack, token: &str) -> bool {
    Doors::of(stack).await.believe(token).await
}

#[tokio::test]
async fn logout_ends_its_own_session_in_both_transports_and_no_other() {
    let stack = Stack::start().await;
    let (_, one) = stack.user(EMAIL).await;
    let other = stack.http().token(EMAIL, PASSWORD).await;
    assert_eq!(stack.http().bare("POST", "/auth/jwt/logout", &one).await.status, 204);
    assert!(!works(&stack, &one).await);
    assert!(works(&stack, &other).await);
    let http = stack.http();
    let cookie =
        http.request("POST", "/auth/cookie/logout").header("cookie", format!("fastapiusersauth={other}"));
    assert_eq!(http.send(cookie).await.status, 204);
    assert!(!works(&stack, &other).await);
}

#[tokio::test]
async fn a_user_who_changes_his_password_or_address_keeps_this_session_and_loses_the_others() {
    let stack = Stack::start().await;
    let (_, kept) = stack.user(EMAIL).await;
    for (change, password) in
        [(json!({"password": "lancelot"}), PASSWORD), (json!({"email": "a@camelot.bt"}), "lancelot")]
    {
        let lost = stack.http().token(EMAIL, password).await;
        assert_eq!(stack.http().json("PATCH", "/users/me", &kept, change).await.status, 200);
        assert!(works(&stack, &kept).await);
        assert!(!works(&stack, &lost).await);
    }
}

#[tokio::test]
async fn a_new_spelling_of_ones_own_address_ends_nothing() {
    let stack = Stack::start().await;
    let (_, one) = stack.user(EMAIL).await;
    let other = stack.http().token(EMAIL, PASSWORD).await;
    let spelling = json!({"email": "King.Arthur@camelot.bt"});
    assert_eq!(stack.http().json("PATCH", "/users/me", &one, spelling).await.status, 200);
    assert!(works(&stack, &other).await);
}

/// A user's token, and what is left of it after a superuser's change and then another.
async fn after(change: Value, then: Value) -> (bool, bool) {
    let stack = Stack::start().await;
    let (id, token) = stack.user(EMAIL).await;
    let (_, superuser) = stack.superuser("merlin@camelot.bt").await;
    let path = format!("/users/{id}");
    assert_eq!(stack.http().json("PATCH", &path, &superuser, change).await.status, 200);
    let first = works(&stack, &token).await;
    assert_eq!(stack.http().json("PATCH", &path, &superuser, then).await.status, 200);
    (first, works(&stack, &token).await)
}

#[tokio::test]
async fn a_deactivation_ends_everything_and_activation_brings_nothing_back() {
    let left = after(json!({"is_active": false}), json!({"is_active": true})).await;
    assert_eq!(left, (false, false));
}

#[tokio::test]
async fn a_password_set_by_a_superuser_ends_everything() {
    assert_eq!(after(json!({"password": "lancelot"}), json!({})).await, (false, false));
}

#[tokio::test]
async fn other_changes_by_a_superuser_end_nothing() {
    let flags = json!({"is_superuser": true, "is_verified": true});
    assert_eq!(after(flags, json!({"email": "a@camelot.bt"})).await, (true, true));
}

#[tokio::test]
async fn a_demoted_superuser_loses_the_right_at_once_and_keeps_the_login() {
    let stack = Stack::start().await;
    let (id, demoted) = stack.superuser(EMAIL).await;
    let (_, superuser) = stack.superuser("merlin@camelot.bt").await;
    let demote = json!({"is_superuser": false});
    assert_eq!(stack.http().json("PATCH", &format!("/users/{id}"), &superuser, demote).await.status, 200);
    assert_eq!(stack.http().bare("GET", &format!("/users/{id}"), &demoted).await.status, 403);
    assert!(works(&stack, &demoted).await);
}

#[tokio::test]
async fn revoked_tokens_stay_dead_even_if_their_session_were_there() {
    let stack = Stack::start().await;
    let (id, token) = stack.user(EMAIL).await;
    stack.identity.command(&["user", "deactivate", EMAIL]).unwrap();
    stack.identity.command(&["user", "activate", EMAIL]).unwrap();
    // As if a row of the old session had survived: the epoch refuses its token all the same.
    let session = claims(&token)["sid"].as_str().unwrap().to_owned();
    let sql = format!("INSERT INTO sessions VALUES ('{session}', '{id}', now(), now() + interval '1 hour')");
    stack.database.connect().await.batch_execute(&sql).await.unwrap();
    assert!(!works(&stack, &token).await);
}

#[tokio::test]
async fn over_grpc_a_user_ends_any_session_of_his_own_and_none_of_others() {
    let stack = Stack::start().await;
    let (_, token) = stack.user(EMAIL).await;
    let other = stack.http().token(EMAIL, PASSWORD).await;
    let (_, foreign) = stack.user("lancelot@camelot.bt").await;
    let mut rpc = stack.rpc().await;
    let sid = |token: &str| claims(token)["sid"].as_str().unwrap().to_owned();
    let mut end = async |id: String| {
        outcome(&rpc.sessions.delete_session(with_token(DeleteSessionRequest { id }, &token)).await)
    };
    assert_eq!(end(sid(&foreign)).await, "NotFound SESSION_NOT_FOUND");
    assert_eq!(end("nonsense".into()).await, "NotFound SESSION_NOT_FOUND");
    assert_eq!(end(sid(&other)).await, "OK");
    assert_eq!(end(sid(&other)).await, "NotFound SESSION_NOT_FOUND");
    assert_eq!(end(sid(&token)).await, "OK");
    assert_eq!(end("current".into()).await, "Unauthenticated UNAUTHENTICATED");
    assert!(works(&stack, &foreign).await);
    assert!(!works(&stack, &other).await);
}
