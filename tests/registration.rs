//! A registration whose answer was lost can be sent again: with the same id it is the same.

use serde_json::{Value, json};
use uuid::{NoContext, Timestamp, Uuid};

use crate::harness::{Answer, PASSWORD, Stack};

const EMAIL: &str = "king.arthur@camelot.bt";
const TAKEN: &str = r#"400 {"detail":"REGISTER_USER_ALREADY_EXISTS"}"#;

async fn register(stack: &Stack, keys: &[&str], body: Value) -> Answer {
    let http = stack.http();
    let request = http.request("POST", "/auth/register").json(&body);
    http.send(keys.iter().fold(request, |request, key| request.header("idempotency-key", *key))).await
}

fn body(email: &str, password: &str) -> Value {
    json!({"email": email, "password": password})
}

#[tokio::test]
async fn the_same_registration_sent_again_gets_the_same_answer_and_makes_one_user() {
    let stack = Stack::start().await;
    let key = Uuid::now_v7().to_string();
    let first = register(&stack, &[&key], body(EMAIL, PASSWORD)).await;
    assert_eq!((first.status, first.text("id")), (201, key.clone()), "{first:?}");
    // Another spelling of the address is the same address; quotes are how the draft writes a key.
    for (key, email) in [(key.clone(), EMAIL), (format!("\"{key}\""), "King.Arthur@CAMELOT.bt")] {
        let again = register(&stack, &[&key], body(email, PASSWORD)).await;
        assert_eq!(again.short(), first.short());
    }
    assert_eq!(stack.database.number("SELECT count(*) FROM users").await, 1);
}

#[tokio::test]
async fn whoever_registers_twice_at_once_with_one_id_gets_the_same_answer_twice() {
    let stack = Stack::start().await;
    for number in 0..5 {
        let (key, email) = (Uuid::now_v7().to_string(), format!("knight{number}@camelot.bt"));
        let keys = [key.as_str()];
        let twice = [
            register(&stack, &keys, body(&email, PASSWORD)),
            register(&stack, &keys, body(&email, PASSWORD)),
        ];
        let answers = futures_util::future::join_all(twice).await;
        assert_eq!((answers[0].status, answers[0].text("id")), (201, key), "{answers:?}");
        assert_eq!(answers[0].short(), answers[1].short());
    }
    assert_eq!(stack.database.number("SELECT count(*) FROM users").await, 5);
}

#[tokio::test]
async fn an_id_or_an_address_in_use_is_told_as_such_and_no_more() {
    let stack = Stack::start().await;
    let (key, other) = (Uuid::now_v7().to_string(), Uuid::now_v7().to_string());
    assert_eq!(register(&stack, &[&key], body(EMAIL, PASSWORD)).await.status, 201);
    for (key, email, password) in [
        (&key, EMAIL, "lancelot"),
        (&key, "lancelot@camelot.bt", PASSWORD),
        (&other, EMAIL, PASSWORD),
        (&other, EMAIL, "lancelot"),
    ] {
        assert_eq!(
            register(&stack, &[key], body(email, password)).await.short(),
            TAKEN,
            "{email} {password}"
        );
    }
    assert_eq!(stack.database.number("SELECT count(*) FROM users").await, 1);
}

#[tokio::test]
async fn a_key_that_cannot_be_an_id_is_refused_with_all_that_is_wrong_besides() {
    let stack = Stack::start().await;
    let old = Timestamp::from_unix(NoContext, 1_700_000_000, 0);
    let (good, old) = (Uuid::now_v7().to_string(), Uuid::new_v7(old).to_string());
    let random = Uuid::new_v4().to_string();
    let keys: [&[&str]; 6] = [&[""], &["x"], &[&random], &[&old], &[&good, &good], &["ключ"]];
    for keys in keys {
        let refused = register(&stack, keys, body(EMAIL, PASSWORD)).await;
        assert_eq!(refused.status, 422, "{keys:?}: {refused:?}");
        let items = refused.json();
        assert_eq!(items["detail"][0]["loc"], json!(["header", "Idempotency-Key"]), "{items}");
        assert_eq!(items["detail"].as_array().unwrap().len(), 1);
        let with_body = register(&stack, keys, json!({"email": EMAIL})).await;
        let places: Vec<_> =
            with_body.json()["detail"].as_array().unwrap().iter().map(|item| item["loc"].clone()).collect();
        assert_eq!(places, [json!(["header", "Idempotency-Key"]), json!(["body", "password"])]);
    }
    assert_eq!(stack.database.number("SELECT count(*) FROM users").await, 0);
}
