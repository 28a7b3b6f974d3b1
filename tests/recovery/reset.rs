//! When a token for a new password is good, and when it is not.

use serde_json::json;

use super::{
    BAD_RESET, BAD_VERIFY, EMAIL, NEW_PASSWORD, Purpose, passwords, reset, settled, stack_and_user, verify,
};
use crate::harness::{PASSWORD, Stack};

#[tokio::test]
async fn a_password_that_is_refused_leaves_the_token_usable_and_a_bad_token_hides_the_rules() {
    let (stack, ..) = stack_and_user().await;
    let http = stack.http();
    let token = Purpose::Reset.token(&stack, EMAIL).await;
    for (password, reason) in [
        ("short", "Password should be at least 8 characters"),
        (&"x".repeat(1025), "Password should be at most 1024 bytes"),
        ("my king.arthur@CAMELOT.bt", "Password should not contain e-mail"),
    ] {
        let answer = reset(&http, &token, password).await;
        let detail = json!({"code": "RESET_PASSWORD_INVALID_PASSWORD", "reason": reason});
        assert_eq!((answer.status, answer.json()), (400, json!({ "detail": detail })));
        assert_eq!(reset(&http, &"A".repeat(43), password).await.short(), BAD_RESET);
    }
    assert_eq!(reset(&http, &token, NEW_PASSWORD).await.short(), "200 null");
}

#[tokio::test]
async fn a_newer_token_replaces_the_older_one() {
    let (stack, ..) = stack_and_user().await;
    let older = Purpose::Reset.token(&stack, EMAIL).await;
    let newer = Purpose::Reset.token(&stack, EMAIL).await;
    assert_ne!(older, newer);
    assert_eq!(reset(&stack.http(), &older, NEW_PASSWORD).await.short(), BAD_RESET);
    assert_eq!(reset(&stack.http(), &newer, NEW_PASSWORD).await.short(), "200 null");
}

#[tokio::test]
async fn a_token_is_good_for_one_purpose_and_is_no_access_token() {
    let (stack, _, access) = stack_and_user().await;
    let http = stack.http();
    let for_password = Purpose::Reset.token(&stack, EMAIL).await;
    let for_address = Purpose::Verify.token(&stack, EMAIL).await;
    assert_eq!(reset(&http, &for_address, NEW_PASSWORD).await.short(), BAD_RESET);
    assert_eq!(verify(&http, &for_password).await.short(), BAD_VERIFY);
    for token in [&for_password, &for_address] {
        assert_eq!(http.bare("GET", "/users/me", token).await.status, 401);
    }
    assert_eq!(reset(&http, &access, NEW_PASSWORD).await.short(), BAD_RESET);
    assert_eq!(verify(&http, &access).await.short(), BAD_VERIFY);
    assert_eq!(reset(&http, &for_password, NEW_PASSWORD).await.status, 200);
    assert_eq!(verify(&http, &for_address).await.status, 200, "a new password does not end it");
}

#[tokio::test]
async fn text_that_is_no_token_is_a_bad_token() {
    let (stack, ..) = stack_and_user().await;
    let http = stack.http();
    let token = Purpose::Reset.token(&stack, EMAIL).await;
    let last = token.chars().next_back().unwrap();
    // 43 characters have two bits to spare: another last character may stand for the same bytes.
    let spellings = ('A'..='Z').chain('a'..='z').chain('0'..='9').filter(|char| *char != last);
    let mut others: Vec<_> = spellings.map(|char| format!("{}{char}", &token[..42])).collect();
    others.extend(["", " ", "\0", "é", "null"].map(str::to_owned));
    others.extend([format!("{token}="), format!(" {token}"), token.to_lowercase(), "A".repeat(10_000)]);
    for other in others {
        assert_eq!(reset(&http, &other, NEW_PASSWORD).await.short(), BAD_RESET, "{other:.60}");
        assert_eq!(verify(&http, &other).await.short(), BAD_VERIFY, "{other:.60}");
    }
    assert_eq!(reset(&http, &token, NEW_PASSWORD).await.status, 200);
}

#[tokio::test]
async fn a_token_dies_with_the_password_with_its_time_and_with_its_user() {
    let stack = Stack::start().await;
    let (http, database) = (stack.http(), stack.database.connect().await);
    let (_, superuser) = stack.superuser("merlin@camelot.bt").await;
    for (number, what) in
        ["password", "superuser's password", "time", "user", "active"].into_iter().enumerate()
    {
        let email = format!("knight.{number}@camelot.bt");
        let (id, access) = stack.user(&email).await;
        let token = Purpose::Reset.token(&stack, &email).await;
        let path = format!("/users/{id}");
        let done = match what {
            "password" => {
                http.json("PATCH", "/users/me", &access, json!({"password": "lancelot"})).await.status
            }
            "superuser's password" => {
                http.json("PATCH", &path, &superuser, json!({"password": "lancelot"})).await.status
            }
            "time" => {
                let sql = "UPDATE recovery_tokens SET expires_at = now()";
                database.batch_execute(sql).await.unwrap();
                200
            }
            "user" => http.bare("DELETE", &path, &superuser).await.status,
            _ => http.json("PATCH", &path, &superuser, json!({"is_active": false})).await.status,
        };
        assert!([200, 204].contains(&done), "{what}: {done}");
        assert_eq!(reset(&http, &token, NEW_PASSWORD).await.short(), BAD_RESET, "{what}");
        if what == "active" {
            // Nothing but the flag stood in its way.
            http.json("PATCH", &path, &superuser, json!({"is_active": true})).await;
            assert_eq!(reset(&http, &token, NEW_PASSWORD).await.status, 200);
        }
    }
}

#[tokio::test]
async fn a_new_address_or_a_rehash_leaves_the_token_good() {
    let (mut stack, _, access) = stack_and_user().await;
    let http = stack.http();
    let token = Purpose::Reset.token(&stack, EMAIL).await;
    stack.identity.kill();
    stack.identity.restart_with(&[("BCRYPT_COST", "11")]);
    stack.identity.until_serving().await;
    stack.gateway.until_ready().await;
    http.token(EMAIL, PASSWORD).await; // by which it is hashed anew
    let rehashed = "SELECT count(*) FROM users WHERE password_hash LIKE '$2b$11$%'";
    let limit = std::time::Duration::from_secs(10);
    stack.identity.until("hashed anew", limit, async || stack.database.number(rehashed).await == 1).await;
    let moved = json!({"email": "arthur@camelot.bt"});
    assert_eq!(http.json("PATCH", "/users/me", &access, moved).await.status, 200);
    assert_eq!(reset(&http, &token, NEW_PASSWORD).await.status, 200);
    assert_eq!(http.log_in("arthur@camelot.bt", NEW_PASSWORD).await.status, 200);
}

#[tokio::test]
async fn nobody_but_an_active_user_is_mailed_and_nothing_is_left_of_the_request() {
    let (stack, id, _) = stack_and_user().await;
    let (_, superuser) = stack.superuser("merlin@camelot.bt").await;
    let http = stack.http();
    http.json("PATCH", &format!("/users/{id}"), &superuser, json!({"is_active": false})).await;
    http.json("PATCH", "/users/me", &superuser, json!({})).await;
    for email in [EMAIL, "mordred@camelot.bt"] {
        for purpose in Purpose::BOTH {
            purpose.ask(&http, email).await;
        }
        assert!(settled(&stack, &stack.mailbox(), email).await.is_empty(), "{email}");
    }
    assert_eq!(stack.database.number("SELECT count(*) FROM recovery_tokens").await, 0);
    assert_eq!(stack.database.number("SELECT count(*) FROM mails").await, 0);
}

#[tokio::test]
async fn neither_the_database_nor_a_log_knows_a_token() {
    let (stack, ..) = stack_and_user().await;
    let http = stack.http();
    let tokens = [Purpose::Reset.token(&stack, EMAIL).await, Purpose::Verify.token(&stack, EMAIL).await];
    assert_eq!(verify(&http, &tokens[1]).await.status, 200);
    assert_eq!(reset(&http, &tokens[0], NEW_PASSWORD).await.status, 200);
    settled(&stack, &stack.mailbox(), EMAIL).await;
    let everything = stack.database.contents().await.join("\n");
    for token in &tokens {
        assert!(!everything.contains(token.as_str()), "{token} is in the database");
    }
    let left = "SELECT count(*) FROM mails WHERE sealed_token IS NOT NULL OR recipient IS NOT NULL";
    assert_eq!(stack.database.number(left).await, 0, "what was sent is erased");
    for log in [stack.identity.log(), stack.gateway.log()] {
        for secret in [tokens[0].as_str(), tokens[1].as_str(), NEW_PASSWORD, EMAIL] {
            assert!(!log.contains(secret), "{secret} is in a log");
        }
    }
    assert_eq!(passwords(&http).await, (false, true));
}
