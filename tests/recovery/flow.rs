//! From the request to the new password and to the verified address, as a user and his front end go.

use serde_json::json;

use super::{
    ALREADY_VERIFIED, BAD_RESET, EMAIL, NEW_PASSWORD, Purpose, passwords, reset, stack_and_user, verify,
};
use crate::harness::{PASSWORD, Stack};
use crate::refresh;

#[tokio::test]
async fn who_has_forgotten_his_password_sets_a_new_one_by_the_token_in_his_mail() {
    let (stack, _, access) = stack_and_user().await;
    let http = stack.http();
    let offline = refresh::offline(&http, EMAIL, PASSWORD).await;
    let mail = Purpose::Reset.mail(&stack, "King.Arthur@CAMELOT.bt").await;
    assert_eq!(mail.link().split("token=").next(), Some("http://localhost:3000/reset-password?"));
    let token = mail.token();
    assert_eq!(token.len(), 43);
    // Looking uses nothing up: a mail scanner follows links.
    assert_eq!(http.bare("GET", "/auth/reset-password", "").await.status, 405);
    let answer = reset(&http, &token, NEW_PASSWORD).await;
    assert_eq!(answer.short(), "200 null");
    assert_eq!(answer.header("cache-control"), "no-store");
    assert!(answer.headers.get("set-cookie").is_none(), "nobody is logged in by it");
    assert_eq!(passwords(&http).await, (false, true));
    assert_eq!(http.bare("GET", "/users/me", &access).await.status, 401, "every session has ended");
    assert_eq!(refresh::refresh(&http, &offline.refresh).await.short(), refresh::REFUSED);
    assert_eq!(reset(&http, &token, "another-one").await.short(), BAD_RESET);
    // And he is told, so that he learns of it if it was somebody else.
    let mails = stack.mailbox().wait_for(EMAIL, 2).await;
    assert!(!mails[1].text().contains("token="), "{}", mails[1].text());
    assert_ne!(mails[1].subject(), mail.subject());
    let me = http.bare("GET", "/users/me", &http.token(EMAIL, NEW_PASSWORD).await).await;
    assert!(!me.json()["is_verified"].as_bool().unwrap(), "it does not verify the address");
}

#[tokio::test]
async fn who_has_the_token_in_the_mail_has_shown_that_the_address_is_his() {
    let (stack, id, access) = stack_and_user().await;
    let http = stack.http();
    let mail = Purpose::Verify.mail(&stack, EMAIL).await;
    assert_eq!(mail.link().split("token=").next(), Some("http://localhost:3000/verify?"));
    assert_eq!(http.bare("GET", &format!("/auth/verify?token={}", mail.token()), "").await.status, 405);
    let expected = json!({
        "id": id, "email": EMAIL, "is_active": true, "is_superuser": false, "is_verified": true,
    });
    let answer = verify(&http, &mail.token()).await;
    assert_eq!((answer.status, answer.json()), (200, expected.clone()));
    // The session goes on.
    assert_eq!(http.bare("GET", "/users/me", &access).await.json(), expected);
    assert_eq!(verify(&http, &mail.token()).await.short(), ALREADY_VERIFIED);
}

#[tokio::test]
async fn a_mail_is_in_the_language_that_the_client_prefers() {
    let stack = Stack::start().await;
    let http = stack.http();
    let is_russian = |text: &str| text.chars().any(|letter| ('а'..='я').contains(&letter));
    for (number, (accepted, russian)) in [
        ("ru-RU,ru;q=0.9,en;q=0.5", true),
        ("de, ru;q=0.3", true),
        ("en-GB, ru;q=0.3", false),
        ("de", false),
        ("*", false),
        ("ru;q=0", false),
        ("\u{e9}, ;;;, -", false),
    ]
    .into_iter()
    .enumerate()
    {
        let email = format!("knight.{number}@camelot.bt");
        stack.register(&email).await;
        let ask = http.request("POST", Purpose::Reset.path()).json(&json!({ "email": email }));
        assert_eq!(http.send(ask.header("accept-language", accepted)).await.short(), "202 null");
        let mail = stack.mailbox().wait_for(&email, 1).await.remove(0);
        for text in [mail.subject(), mail.text(), mail.html()] {
            assert_eq!(is_russian(&text), russian, "{accepted}: {text}");
        }
        if number == 0 {
            // The notice of the use is in the language of the mail.
            assert_eq!(reset(&http, &mail.token(), NEW_PASSWORD).await.status, 200);
            assert!(is_russian(&stack.mailbox().wait_for(&email, 2).await[1].text()));
        }
    }
}
