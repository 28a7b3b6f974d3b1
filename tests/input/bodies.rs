//! Bodies that are not what the schema says: each is refused in words of a closed set, changes nothing, and no answer
//! shows a password.

use serde_json::{Value, json};

use crate::harness::{
    CANARY, LOGINS, MULTIPART, PASSWORD, Stack, URLENCODED, assert_is_refused, items, mail_entrances,
    multipart, token_entrances, urlencoded,
};

#[tokio::test]
async fn h01_a_password_is_not_shown_wherever_in_a_body_it_was_typed() {
    let stack = Stack::start().await;
    let (http, entrances, c) = (stack.http(), stack.entrances().await, CANARY);
    let before = stack.database.contents().await;
    let values = [
        json!({"email": c, "password": PASSWORD}),
        json!({"email": PASSWORD, "password": [c]}),
        json!({"email": "a@camelot.bt", "password": [[c]]}),
        json!({"email": "a@camelot.bt", "password": {c: c}}),
        json!({"email": [c], "password": c}),
        json!({"email": {c: c}, "password": c}),
        json!({"email": format!("{c}@camelot.bt"), "password": c}),
        json!({"email": format!("{c} <{c}@camelot>"), "password": c}),
        json!({"email": format!("a@{c}.bt"), "password": c}),
        json!({"email": format!("a@camelot.bt\r\nX-Header: {c}"), "password": c}),
        json!({"email": "a@camelot.bt", "password": c, "is_active": c}),
        json!({"email": "a@camelot.bt", "password": c, "is_superuser": [c]}),
        json!({"email": "a@camelot.bt", "password": c, "is_verified": {c: c}}),
        json!({c: c, "is_active": "x"}),
        json!({c: c, "password": false, "x": "\0"}),
        json!({format!("{c}\0"): c}),
        json!([c]),
        json!([{"email": "a@camelot.bt", "password": c}]),
        json!(c),
    ];
    let malformed = [
        format!(r#"{{"email":"a@camelot.bt","password":"{c}""#),
        format!(r#"{{"email":"a@camelot.bt","password":"{c}",}}"#),
        format!(r#"{{"email":"a@camelot.bt","password":{c}}}"#),
        format!(r#"{{"email":"a@camelot.bt","password":"{c}","password":"{c}"}}"#),
        format!(r#"{{"{c}":1,"{c}":2}}"#),
        format!(r#"{{"password":"{c}\ud800"}}"#),
        format!(r#"{{"password":"{c}\x"}}"#),
        format!("{{'password':'{c}'}}"),
        format!("password={c}"),
        c.to_owned(),
    ];
    for body in values.iter().map(Value::to_string).chain(malformed) {
        // None of the bodies has a token.
        for entrance in entrances.iter().chain(&token_entrances()) {
            assert_is_refused(&entrance.send(&http, body.clone()).await, 422, &body);
            let text = entrance.request(&http).header("content-type", "text/plain").body(body.clone());
            assert_is_refused(&http.send(text).await, 422, &body);
        }
    }
    let [register, ..] = &entrances;
    assert_is_refused(&register.send(&http, json!({"password": c}).to_string()).await, 422, "no e-mail");
    let weak = json!({"email": "a@camelot.bt", "password": c.repeat(50)});
    assert_is_refused(&register.send(&http, weak.to_string()).await, 400, "too long");
    let weak = json!({"email": "a@camelot.bt", "password": format!("{c} a@camelot.bt")});
    assert_is_refused(&register.send(&http, weak.to_string()).await, 400, "with the e-mail");
    for entrance in token_entrances() {
        for body in [json!({"token": [c], "password": c}), json!({"token": {c: c}, "password": [c]})] {
            assert_is_refused(&entrance.send(&http, body.to_string()).await, 422, "no token");
        }
        let body = json!({"token": c, "password": c});
        assert_is_refused(&entrance.send(&http, body.to_string()).await, 400, "a password as the token");
    }
    for entrance in mail_entrances() {
        for body in [json!({"email": c}), json!({"email": [c]}), json!({"password": c, c: c})] {
            assert_is_refused(&entrance.send(&http, body.to_string()).await, 422, "no address");
        }
    }
    assert_eq!(stack.database.contents().await, before);
}

#[tokio::test]
async fn h01_a_password_is_not_shown_wherever_in_a_login_or_beside_a_body_it_was_typed() {
    let stack = Stack::start().await;
    let (http, c) = (stack.http(), CANARY.as_bytes());
    let (_, token) = stack.user("king.arthur@camelot.bt").await;
    let before = stack.database.contents().await;
    let file = "password\"; filename=\"lancelot.txt";
    let king: &[u8] = b"king.arthur@camelot.bt";
    for path in LOGINS {
        for (status, content_type, body) in [
            (400, URLENCODED, urlencoded(&[("username", king), ("password", c)]).into_bytes()),
            (400, URLENCODED, urlencoded(&[("username", c), ("password", c)]).into_bytes()),
            (422, URLENCODED, urlencoded(&[("username", c), ("password", b"")]).into_bytes()),
            (
                422,
                URLENCODED,
                urlencoded(&[("username", king), ("password", c), ("grant_type", c)]).into_bytes(),
            ),
            (422, URLENCODED, format!("{CANARY}={CANARY}").into_bytes()),
            (422, URLENCODED, json!({"username": CANARY}).to_string().into_bytes()),
            (422, MULTIPART, multipart(&[("username", king), (file, c)])),
            (422, MULTIPART, multipart(&[("username\"; filename=\"x", c), ("password", c)])),
            (
                422,
                MULTIPART,
                multipart(&[("grant_type\"; filename=\"x", c), ("username", king), ("password", c)]),
            ),
            (422, MULTIPART, multipart(&[(CANARY, c)])),
            (422, MULTIPART, multipart(&[("username", c), ("password", c)])[..90].to_vec()),
            (400, "multipart/form-data", multipart(&[("password", c)])),
            (400, "multipart/form-data; boundary=lancelot", multipart(&[("password", c)])),
            (422, MULTIPART, [b"--XX\r\n", c, b"\r\n--XX--"].concat()),
            (422, "text/plain", c.to_vec()),
            (
                422,
                "application/json",
                json!({"username": CANARY, "password": CANARY}).to_string().into_bytes(),
            ),
        ] {
            let what = format!("{content_type} {:?}", String::from_utf8_lossy(&body));
            assert_is_refused(&http.send_form(path, content_type, body).await, status, &what);
        }
    }
    let get = |path: &str| http.request("GET", path);
    for (status, request) in [
        (401, get(&format!("/users/{CANARY}"))),
        (404, get(&format!("/{CANARY}?password={CANARY}"))),
        (405, get(&format!("/auth/register?password={CANARY}"))),
        (401, get("/users/me").bearer_auth(CANARY)),
        (401, get("/users/me").basic_auth("king", Some(CANARY))),
        (401, get("/users/me").header("cookie", format!("fastapiusersauth={CANARY}"))),
        (403, get(&format!("/users/{CANARY}")).bearer_auth(&token)),
        (415, get("/users/me").header("content-encoding", CANARY)),
        (401, get("/users/me").header("lancelot", CANARY)),
    ] {
        let what = format!("{request:?}");
        assert_is_refused(&http.send(request).await, status, &what);
    }
    assert_eq!(stack.database.contents().await, before);
}

#[tokio::test]
async fn h01_what_cannot_be_carried_out_now_is_refused_in_the_same_closed_set() {
    let mut stack = Stack::start().await;
    let (http, entrances) = (stack.http(), stack.entrances().await);
    stack.identity.kill();
    let body = json!({"email": "a@camelot.bt", "password": CANARY, "token": "x"}).to_string();
    for entrance in entrances.iter().chain(&mail_entrances()).chain(&token_entrances()) {
        assert_is_refused(&entrance.send(&http, body.clone()).await, 503, &entrance.path);
    }
    assert_is_refused(&http.log_in("a@camelot.bt", CANARY).await, 503, "a login");
}

#[tokio::test]
async fn h01_all_bad_fields_are_reported_at_once_in_the_order_of_the_schema() {
    let stack = Stack::start().await;
    let (http, entrances) = (stack.http(), stack.entrances().await);
    let before = stack.database.contents().await;
    let bad = [
        ("email", json!("nobody"), "value_error"),
        ("password", json!([1]), "string_type"),
        ("is_active", json!("banana"), "bool_parsing"),
        ("is_superuser", json!([]), "bool_type"),
        ("is_verified", json!(2), "bool_parsing"),
    ];
    for chosen in 1..1_u32 << bad.len() {
        let chosen = |index: &usize| chosen >> index & 1 == 1;
        // The order in the body is another one.
        let mut body = json!({});
        for index in (0..bad.len()).rev() {
            let good = if index < 2 { ["a@camelot.bt", PASSWORD][index].into() } else { Value::Null };
            body[bad[index].0] = if chosen(&index) { bad[index].1.clone() } else { good };
        }
        for entrance in &entrances {
            // FastAPI Users reads the password of a change before its e-mail.
            let order = if entrance.method == "POST" { [0, 1, 2, 3, 4] } else { [1, 0, 2, 3, 4] };
            let expected = order.iter().filter(|index| chosen(index));
            let expected: Vec<_> =
                expected.map(|&index| format!("{} {}", bad[index].0, bad[index].2)).collect();
            let answer = entrance.send(&http, body.to_string()).await;
            assert_is_refused(&answer, 422, &body.to_string());
            assert_eq!(items(&answer), expected, "{body}");
        }
    }
    for path in LOGINS {
        let forms =
            http.log_in_with(path, &[("password", b""), ("username", b""), ("grant_type", b"x")]).await;
        for answer in forms {
            assert_is_refused(&answer, 422, path);
            let expected = ["grant_type string_pattern_mismatch", "username missing", "password missing"];
            assert_eq!(items(&answer), expected);
        }
    }
    assert_eq!(stack.database.contents().await, before);
}
