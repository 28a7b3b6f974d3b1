//! When a token for an e-mail address is good, and when it is not.

use serde_json::json;

use super::{ALREADY_VERIFIED, BAD_VERIFY, EMAIL, Purpose, settled, stack_and_user, verify};

#[tokio::test]
async fn tokens_do_not_replace_each_other_and_are_used_once() {
    let (stack, id, _) = stack_and_user().await;
    let (_, superuser) = stack.superuser("merlin@camelot.bt").await;
    let http = stack.http();
    let older = Purpose::Verify.token(&stack, EMAIL).await;
    let newer = Purpose::Verify.token(&stack, EMAIL).await;
    assert_eq!(verify(&http, &older).await.status, 200);
    assert_eq!(verify(&http, &newer).await.short(), ALREADY_VERIFIED);
    let unverify = json!({"is_verified": false});
    assert_eq!(http.json("PATCH", &format!("/users/{id}"), &superuser, unverify).await.status, 200);
    assert_eq!(verify(&http, &older).await.short(), BAD_VERIFY, "it was used");
    assert_eq!(verify(&http, &newer).await.status, 200, "it was not");
}

#[tokio::test]
async fn a_token_is_about_one_address_of_one_user() {
    let (stack, id, access) = stack_and_user().await;
    let (_, superuser) = stack.superuser("merlin@camelot.bt").await;
    let http = stack.http();
    let token = Purpose::Verify.token(&stack, EMAIL).await;
    for email in ["King.Arthur@Camelot.bt", "arthur@camelot.bt"] {
        assert_eq!(http.json("PATCH", "/users/me", &access, json!({ "email": email })).await.status, 200);
    }
    assert_eq!(verify(&http, &token).await.short(), BAD_VERIFY, "the address is another");
    assert_eq!(http.json("PATCH", "/users/me", &access, json!({ "email": EMAIL })).await.status, 200);
    assert_eq!(verify(&http, &token).await.short(), BAD_VERIFY, "it does not live again");
    let token = Purpose::Verify.token(&stack, EMAIL).await;
    let path = format!("/users/{id}");
    assert_eq!(http.json("PATCH", &path, &superuser, json!({"is_active": false})).await.status, 200);
    assert_eq!(verify(&http, &token).await.short(), BAD_VERIFY, "inactive");
    assert_eq!(http.json("PATCH", &path, &superuser, json!({"is_active": true})).await.status, 200);
    let spelling = json!({"email": "KING.ARTHUR@camelot.bt"});
    assert_eq!(http.json("PATCH", &path, &superuser, spelling).await.status, 200);
    assert_eq!(verify(&http, &token).await.status, 200, "a new spelling is the same address");
    let (id, _) = stack.user("mordred@camelot.bt").await;
    let token = Purpose::Verify.token(&stack, "mordred@camelot.bt").await;
    assert_eq!(http.bare("DELETE", &format!("/users/{id}"), &superuser).await.status, 204);
    stack.register("mordred@camelot.bt").await;
    assert_eq!(verify(&http, &token).await.short(), BAD_VERIFY, "of him who had the address before");
}

#[tokio::test]
async fn who_is_verified_is_not_mailed_and_a_token_that_has_expired_is_bad() {
    let (stack, ..) = stack_and_user().await;
    let http = stack.http();
    let token = Purpose::Verify.token(&stack, EMAIL).await;
    stack.database.rows("UPDATE recovery_tokens SET expires_at = now()", &[]).await;
    assert_eq!(verify(&http, &token).await.short(), BAD_VERIFY);
    let token = Purpose::Verify.token(&stack, EMAIL).await;
    assert_eq!(verify(&http, &token).await.status, 200);
    Purpose::Verify.ask(&http, EMAIL).await;
    assert_eq!(settled(&stack, &stack.mailbox(), EMAIL).await.len(), 2);
}
