//! Bytes that are no text, and text that Postgres cannot keep: refused at the door, wherever they come in.

use serde_json::json;

use crate::harness::{
    LOGINS, PASSWORD, Stack, Vigil, assert_is_refused, exchange, items, mail_entrances, token_entrances,
};

const ARTHUR: &str = "king.arthur@camelot.bt";

/// Bytes that no UTF-8 text has: a lone continuation, Latin-1, overlong forms, a surrogate, a cut-off character, a
/// code point above the last.
const NO_TEXT: [&[u8]; 8] = [
    b"\xff",
    b"\x80",
    b"caf\xe9",
    b"\xc0\x80",
    b"\xe0\x80\xaf",
    b"\xed\xa0\x80",
    b"\xf0\x9f\x8f",
    b"\xf5\x80\x80\x80",
];

#[tokio::test]
async fn h05_json_that_is_not_utf8_is_refused_whatever_its_charset_says() {
    let stack = Stack::start().await;
    let (http, entrances) = (stack.http(), stack.entrances().await);
    let before = stack.database.contents().await;
    for bytes in NO_TEXT {
        for (head, tail) in [
            (r#"{"password":"excalibur","email":"a"#, r#"@camelot.bt"}"#),
            (r#"{"email":"a@camelot.bt","password":"excalibur"#, r#""}"#),
            (r#"{"email":"a@camelot.bt","password":"excalibur","x":""#, r#""}"#),
            (r#"{"email":"a@camelot.bt","password":"excalibur",""#, r#"":1}"#),
            ("", "{}"),
            ("{}", ""),
        ] {
            let body = [head.as_bytes(), bytes, tail.as_bytes()].concat();
            for entrance in entrances.iter().chain(&mail_entrances()).chain(&token_entrances()) {
                for charset in ["", "; charset=utf-8", "; charset=latin-1", "; charset=utf-16", ";charset"] {
                    let content_type = format!("application/json{charset}");
                    let request = entrance.request(&http).header("content-type", content_type);
                    let answer = http.send(request.body(body.clone())).await;
                    assert_is_refused(&answer, 422, &format!("{bytes:?} after {head}"));
                    assert_eq!(items(&answer), ["- json_invalid"]);
                    let valid = std::str::from_utf8(&body).expect_err("is no text").valid_up_to();
                    assert_eq!(answer.json()["detail"][0]["loc"][1], valid);
                }
            }
        }
    }
    assert_eq!(stack.database.contents().await, before);
}

#[tokio::test]
async fn h05_a_nul_is_legal_in_a_password_and_refused_in_every_other_field() {
    let stack = Stack::start().await;
    let (http, entrances) = (stack.http(), stack.entrances().await);
    let before = stack.database.contents().await;
    for (field, item) in [
        (r#""email":"a\u0000@camelot.bt""#, "email value_error"),
        (r#""email":"\u0000a@camelot.bt""#, "email value_error"),
        (r#""email":"a@camelot.bt\u0000""#, "email value_error"),
        (r#""email":"\"\u0000\" <a@camelot.bt>""#, "email value_error"),
        (r#""is_active":"true\u0000""#, "is_active bool_parsing"),
        (r#""is_superuser":"\u0000""#, "is_superuser bool_parsing"),
        (r#""is_verified":["\u0000"]"#, "is_verified bool_type"),
        (r#""first_name":"\u0000""#, "- value_error"),
        (r#""first_name":[{"x":["a\u0000"]}]"#, "- value_error"),
        (r#""first_name":{"a\u0000":1}"#, "- value_error"),
        (r#""\u0000":1"#, "- value_error"),
        (r#""password\u0000":"x""#, "- value_error"),
    ] {
        let email = if field.starts_with("\"email") { "" } else { r#""email":"a@camelot.bt","# };
        let body = format!(r#"{{{email}"password":"\u0000 \u0000 excalibur",{field}}}"#);
        for entrance in &entrances {
            let answer = entrance.send(&http, body.clone()).await;
            assert_is_refused(&answer, 422, &body);
            assert_eq!(items(&answer), [item], "{body}");
        }
        // Here a flag is a field like any other.
        let body = format!("{{{email}{field}}}");
        for entrance in mail_entrances() {
            let answer = entrance.send(&http, body.clone()).await;
            assert_is_refused(&answer, 422, &body);
            let item = if email.is_empty() { item } else { "- value_error" };
            assert_eq!(items(&answer), [item], "{body}");
        }
    }
    assert_eq!(stack.database.contents().await, before);
    let body = r#"{"email":"a@camelot.bt","password":"\u0000 \u0000 excalibur"}"#;
    assert_eq!(entrances[0].send(&http, body).await.status, 201);
    let form: [(&str, &[u8]); 2] = [("username", b"a@camelot.bt"), ("password", b"\0 \0 excalibur")];
    for answer in http.log_in_with(LOGINS[0], &form).await {
        assert_eq!(answer.status, 200, "{answer:?}");
    }
}

/// Without identity-service there is nobody who could compute a hash: what is refused as ever was not hashed.
#[tokio::test]
async fn h05_a_form_that_is_no_text_is_bad_credentials_and_nothing_is_hashed_for_it() {
    let mut stack = Stack::start().await;
    stack.register(ARTHUR).await;
    let before = stack.database.contents().await;
    let http = stack.http();
    let (user, password) = (("username", ARTHUR.as_bytes()), ("password", PASSWORD.as_bytes()));
    let mut cases = vec![
        (400, vec![("username", &b"king.arthur@camelot.bt\0"[..]), password]),
        (400, vec![("username", b"\0"), password]),
        (400, vec![("username", b"\0"), user, password]),
        (422, vec![user, password, ("scope", b"\0")]),
        (422, vec![user, password, ("grant_type", b"password\0")]),
    ];
    let names: Vec<String> =
        NO_TEXT.iter().map(|bytes| bytes.iter().map(|byte| format!("%{byte:02x}")).collect()).collect();
    for bytes in NO_TEXT {
        cases.push((400, vec![("username", bytes), password]));
        cases.push((400, vec![user, ("password", bytes)]));
        cases.push((400, vec![user, password, ("scope", bytes)]));
        cases.push((400, vec![user, password, ("grant_type", bytes)]));
        cases.push((400, vec![("password", bytes), user, password]));
    }
    for identity_lives in [true, false] {
        if !identity_lives {
            stack.identity.kill();
            assert_is_refused(&http.log_in(ARTHUR, PASSWORD).await, 503, "a login that needs a hash");
        }
        for path in LOGINS {
            for (status, fields) in &cases {
                for answer in http.log_in_with(path, fields).await {
                    assert_is_refused(&answer, *status, &format!("{fields:?}"));
                }
            }
            for charset in ["", "; charset=latin-1", "; charset=utf-16"] {
                for name in &names {
                    let content_type = format!("application/x-www-form-urlencoded{charset}");
                    let body = format!("username={ARTHUR}&password={PASSWORD}&{name}=1");
                    assert_is_refused(&http.send_form(path, &content_type, body).await, 400, name);
                }
                // The same as raw bytes, without `%`.
                let body = [format!("username={ARTHUR}&password=").as_bytes(), NO_TEXT[0]].concat();
                let content_type = format!("application/x-www-form-urlencoded{charset}");
                assert_is_refused(&http.send_form(path, &content_type, body).await, 400, "raw bytes");
            }
        }
    }
    assert_eq!(stack.database.contents().await, before);
}

/// Whether the library refused what is no HTTP: before there is a request that we could answer, and without a word.
fn is_cut_off(answer: &str) -> bool {
    let head = "HTTP/1.1 400 Bad Request\r\ncontent-length: 0\r\nconnection: close\r\n";
    answer.starts_with(head) && answer.ends_with("\r\n\r\n")
}

#[tokio::test]
async fn h05_bytes_that_are_no_text_in_a_path_a_query_a_header_or_a_cookie_name_nobody() {
    let stack = Stack::start().await;
    let (_, token) = stack.superuser("merlin@camelot.bt").await;
    let http = stack.http();
    let vigil = Vigil::begin(&stack).await;
    let before = stack.database.contents().await;
    for code in ["%ff", "%00", "%c0%80", "%ed%a0%80", "%80", "%f0%9f"] {
        for (status, method, path) in [
            (404, "GET", format!("/users/{code}")),
            (404, "PATCH", format!("/users/{code}")),
            (404, "DELETE", format!("/users/{code}")),
            (404, "GET", format!("/users/me{code}")),
            (404, "GET", format!("/{code}")),
            (404, "POST", format!("/auth/register{code}")),
            (404, "POST", format!("/auth/{code}/login")),
        ] {
            assert_is_refused(&http.json(method, &path, &token, json!({})).await, status, &path);
        }
        let me = http.bare("GET", &format!("/users/me?{code}={code}"), &token).await;
        assert_eq!((me.status, me.text("email").as_str()), (200, "merlin@camelot.bt"), "{code}");
    }
    for bytes in NO_TEXT {
        let of = |head: &str, tail: &str| [head.as_bytes(), bytes, tail.as_bytes()].concat();
        for (name, value) in [
            ("authorization", of("Bearer ", "")),
            ("authorization", of("Bearer ", &token)),
            ("authorization", of(&format!("Bearer {token}"), "")),
            ("authorization", of("", &token)),
            ("cookie", of("fastapiusersauth=", "")),
            ("cookie", of("fastapiusersauth=", &token)),
        ] {
            let request = http
                .request("GET", "/users/me")
                .header(name, reqwest::header::HeaderValue::from_bytes(&value).unwrap());
            assert_is_refused(&http.send(request).await, 401, &format!("{name}: {bytes:?}"));
        }
        // A header or a cookie that is not ours may hold what it likes.
        let value = reqwest::header::HeaderValue::from_bytes(&of("a=", "")).unwrap();
        let request = http.request("GET", "/users/me").bearer_auth(&token);
        let answer = http.send(request.header("cookie", value.clone()).header("x-king", value)).await;
        assert_eq!(answer.status, 200, "{answer:?}");
    }
    // What no HTTP client sends: bytes that no request line or header has.
    for bytes in [&b"\0"[..], b"\xff", b"\x80", b"\x7f"] {
        for (head, tail) in [
            ("GET /users/", " HTTP/1.1\r\nHost: x\r\n"),
            ("GET /users/me?", " HTTP/1.1\r\nHost: x\r\n"),
            ("G", "ET /users/me HTTP/1.1\r\nHost: x\r\n"),
            ("GET /users/me HTTP/1.1\r\nHost: x\r\nAuthorization", ": x\r\n"),
        ] {
            let request = [head.as_bytes(), bytes, tail.as_bytes(), b"Connection: close\r\n\r\n"].concat();
            let answer = exchange(stack.gateway.port, request).text;
            assert!(is_cut_off(&answer), "{bytes:?} after {head}: {answer}");
        }
    }
    for header in ["Authorization", "Cookie", "X-King"] {
        let request =
            format!("GET /users/me HTTP/1.1\r\nHost: x\r\n{header}: a\0b\r\nConnection: close\r\n\r\n");
        let answer = exchange(stack.gateway.port, request).text;
        assert!(is_cut_off(&answer), "{answer}");
    }
    assert_eq!(stack.database.contents().await, before);
    vigil.assert_unharmed();
}
