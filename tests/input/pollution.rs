//! The same thing said twice: it has one meaning, whichever part of the system looks, or is refused.

use serde_json::json;

use crate::harness::{
    Entrance, LOGINS, MULTIPART, PASSWORD, Stack, URLENCODED, assert_is_refused, items, mail_entrances,
    multipart, token_entrances,
};

const ARTHUR: &str = "king.arthur@camelot.bt";
const MORDRED: &str = "mordred@camelot.bt";

/// A form whose fields are text.
fn form<'a>(fields: &[(&'a str, &'a str)]) -> Vec<(&'a str, &'a [u8])> {
    fields.iter().map(|(name, value)| (*name, value.as_bytes())).collect()
}

/// `contract.md` is silent on repeated fields of a form. In FastAPI Users the last one counts (`contract-observed.md`,
/// section 5), so it does here.
#[tokio::test]
async fn h03_of_a_repeated_form_field_the_last_decides_and_nothing_sees_the_others() {
    let stack = Stack::start().await;
    let http = stack.http();
    let mordred = stack.register(MORDRED).await;
    stack.register(ARTHUR).await;
    let (user, password) = (("username", MORDRED), ("password", PASSWORD));
    for fields in [
        vec![("username", ARTHUR), user, password],
        vec![("username", ""), ("password", "wrong"), user, password],
        vec![user, password, ("username[]", ARTHUR), ("username[0]", ARTHUR), ("Username", ARTHUR)],
        vec![user, password, ("username ", ARTHUR), ("email", ARTHUR), ("password[]", "wrong")],
        vec![("grant_type", "code"), user, password, ("grant_type", "password")],
    ] {
        for answer in http.log_in_with(LOGINS[0], &form(&fields)).await {
            let me = http.bare("GET", "/users/me", &answer.text("access_token")).await;
            assert_eq!(
                (me.text("id"), me.text("email")),
                (mordred.clone(), MORDRED.to_owned()),
                "{fields:?}"
            );
        }
    }
    let file = ("password\"; filename=\"p.txt", "wrong");
    let text_last = http.send_form(LOGINS[0], MULTIPART, multipart(&form(&[file, user, password])));
    assert_eq!(text_last.await.status, 200);
    // The name of a field is decoded before it is compared.
    let spelled = format!("username={ARTHUR}&password={PASSWORD}&user%6eame=mordred%40camelot.bt");
    let token = http.send_form(LOGINS[0], URLENCODED, spelled).await.text("access_token");
    assert_eq!(http.bare("GET", "/users/me", &token).await.text("id"), mordred);
    // What is in the URL or in a header is no part of the form.
    let query = format!("{}?username={ARTHUR}&password=wrong&grant_type=code", LOGINS[0]);
    for answer in http.log_in_with(&query, &form(&[user, password])).await {
        let me = http.bare("GET", "/users/me", &answer.text("access_token")).await;
        assert_eq!(me.text("id"), mordred);
    }
}

#[tokio::test]
async fn h03_a_form_that_says_two_things_at_once_logs_nobody_in() {
    let stack = Stack::start().await;
    let http = stack.http();
    for email in [ARTHUR, MORDRED] {
        stack.register(email).await;
    }
    let before = stack.database.contents().await;
    let (user, password) = (("username", ARTHUR), ("password", PASSWORD));
    let both =
        [",", " ", "\n", "\r\n", "\t", ";", "&", ", ", ">,<"].map(|sign| format!("{ARTHUR}{sign}{MORDRED}"));
    let mut cases = vec![
        (400, vec![user, password, ("password", "wrong")]),
        (400, vec![user, password, ("username", "nobody@camelot.bt")]),
        (422, vec![user, password, ("password", "")]),
        (422, vec![user, password, ("username", "")]),
        (422, vec![user, password, ("grant_type", "password"), ("grant_type", "code")]),
        (422, vec![("username[]", ARTHUR), password]),
        (422, vec![user, ("password[]", PASSWORD)]),
        (422, vec![("USERNAME", ARTHUR), ("PASSWORD", PASSWORD)]),
    ];
    cases.extend(both.iter().map(|both| (400, vec![("username", both.as_str()), password])));
    for path in LOGINS {
        for (status, fields) in &cases {
            for answer in http.log_in_with(path, &form(fields)).await {
                assert_is_refused(&answer, *status, &format!("{fields:?}"));
            }
        }
        let query = http.request("POST", &format!("{path}?username={ARTHUR}&password={PASSWORD}"));
        assert_is_refused(&http.send(query.header("content-type", URLENCODED)).await, 422, "a query");
        let basic = http.request("POST", path).basic_auth(ARTHUR, Some(PASSWORD));
        assert_is_refused(&http.send(basic).await, 422, "HTTP Basic");
        let file = ("password\"; filename=\"p.txt", PASSWORD);
        let body = multipart(&form(&[user, password, file]));
        let answer = http.send_form(path, MULTIPART, body).await;
        assert_is_refused(&answer, 422, "a file after the text");
        for (status, body) in [
            (422, format!("username={ARTHUR};password={PASSWORD}")),
            (400, format!("username={ARTHUR};username={MORDRED}&password={PASSWORD}")),
            (400, format!("username={ARTHUR}=&password={PASSWORD}")),
            (400, format!("username=%6bing.arthur%2540camelot.bt&password={PASSWORD}")),
        ] {
            assert_is_refused(&http.send_form(path, URLENCODED, body.clone()).await, status, &body);
        }
    }
    assert_eq!(stack.database.contents().await, before);
}

#[tokio::test]
async fn h03_json_that_says_two_things_at_once_is_refused_and_a_query_says_nothing() {
    let stack = Stack::start().await;
    let (http, entrances) = (stack.http(), stack.entrances().await);
    for email in [ARTHUR, MORDRED] {
        stack.register(email).await;
    }
    let before = stack.database.contents().await;
    let strings = [
        json!([ARTHUR, MORDRED]),
        json!([ARTHUR]),
        json!({"0": ARTHUR}),
        json!({"$ne": ""}),
        json!({"email": ARTHUR}),
    ];
    let both = [",", ", ", ";", " ", "\n", "\r\n", "%0a", "\0", "\t", "|", "> <", ">, <"];
    let mut both: Vec<_> = both.iter().map(|sign| format!("{ARTHUR}{sign}{MORDRED}")).collect();
    both.extend([
        format!("{ARTHUR} <{MORDRED}>"),
        format!("<{ARTHUR}> <{MORDRED}>"),
        format!("a <{ARTHUR}>, b <{MORDRED}>"),
    ]);
    both.extend([
        format!("<{ARTHUR}> {MORDRED}"),
        format!("{ARTHUR}@{MORDRED}"),
        format!("\"{ARTHUR}\"@camelot.bt"),
    ]);
    let repeated = [
        format!(r#"{{"email":"{ARTHUR}","email":"{MORDRED}","password":"excalibur"}}"#),
        format!(r#"{{"email":"{ARTHUR}","password":"excalibur","\u0065mail":"{MORDRED}"}}"#),
        format!(r#"{{"email":"{ARTHUR}","password":"excalibur","password":"excalibur"}}"#),
        format!(r#"{{"email":"{ARTHUR}","password":"excalibur","is_superuser":false,"is_superuser":true}}"#),
    ];
    for entrance in mail_entrances() {
        for value in &strings {
            let answer = entrance.send(&http, json!({"email": value}).to_string()).await;
            assert_is_refused(&answer, 422, &value.to_string());
            assert_eq!(items(&answer), ["email string_type"], "{value}");
        }
        for email in &both {
            let answer = entrance.send(&http, json!({"email": email}).to_string()).await;
            assert_is_refused(&answer, 422, email);
            assert_eq!(items(&answer), ["email value_error"], "{email}");
        }
        let others = [
            format!(r#"{{"email":"{ARTHUR}","email":"{ARTHUR}"}}"#),
            format!(r#"{{"email":"{ARTHUR}","to":"{MORDRED}","to":"{MORDRED}"}}"#),
        ];
        for body in repeated.iter().chain(&others) {
            let answer = entrance.send(&http, body.clone()).await;
            assert_is_refused(&answer, 422, body);
            assert_eq!(items(&answer), ["- json_invalid"], "{body}");
        }
        let query = http.request("POST", &format!("{}?email={ARTHUR}", entrance.path));
        assert_is_refused(&http.send(query).await, 422, "a query");
    }
    for entrance in token_entrances() {
        for value in &strings {
            let answer = entrance.send(&http, json!({"token": value, "password": value}).to_string()).await;
            assert_is_refused(&answer, 422, &value.to_string());
            let with_password = ["token string_type", "password string_type"];
            let expected = if entrance.path.ends_with("verify") { 1 } else { 2 };
            assert_eq!(items(&answer), with_password[..expected], "{value}");
        }
        let body = r#"{"token":"x","password":"excalibur","token":"x"}"#;
        let answer = entrance.send(&http, body).await;
        assert_is_refused(&answer, 422, body);
        assert_eq!(items(&answer), ["- json_invalid"], "{body}");
    }
    for entrance in &entrances {
        for value in &strings {
            let answer = entrance.send(&http, json!({"email": value, "password": value}).to_string()).await;
            assert_is_refused(&answer, 422, &value.to_string());
            let mut items = items(&answer);
            items.sort();
            assert_eq!(items, ["email string_type", "password string_type"], "{value}");
        }
        for email in &both {
            let answer =
                entrance.send(&http, json!({"email": email, "password": PASSWORD}).to_string()).await;
            assert_is_refused(&answer, 422, email);
            assert_eq!(items(&answer), ["email value_error"], "{email}");
        }
        for body in &repeated {
            let answer = entrance.send(&http, body.clone()).await;
            assert_is_refused(&answer, 422, body);
            assert_eq!(items(&answer), ["- json_invalid"], "{body}");
        }
    }
    assert_eq!(stack.database.contents().await, before);
    assert!(stack.mailbox().all().is_empty(), "nothing was asked for");
    for (number, entrance) in entrances.into_iter().enumerate() {
        let (path, email) = (entrance.path.clone(), format!("{number}@camelot.bt"));
        let query =
            "?email=query@camelot.bt&password=x&is_superuser=true&is_active=false&is_verified=true&id=me";
        let polluted = Entrance { path: path + query, ..entrance };
        let answer = polluted.send(&http, json!({"email": email, "password": "excalibur"}).to_string()).await;
        let user = answer.json();
        assert_eq!(
            (&user["email"], &user["is_verified"], &user["is_active"]),
            (&json!(email), &json!(false), &json!(true))
        );
        assert_eq!(user["is_superuser"], json!(false), "{answer:?}");
        assert_eq!(http.log_in(&email, "excalibur").await.status, 200);
    }
}
