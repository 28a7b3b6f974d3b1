//! What is asked and what is answered, over HTTP and over gRPC.

use portcullis_proto::v1::{CreateSessionRequest, RefreshSessionRequest};
use serde_json::json;

use super::{EMAIL, REFUSED, SCOPE, log_in, number, offline, refresh, refreshed, session, stack_and_tokens};
use super::{tokens, works};
use crate::harness::{MULTIPART, PASSWORD, Stack, assert_is_refused, claims, multipart, outcome};

const WEEK: i64 = 7 * 24 * 60 * 60;

#[tokio::test]
async fn a_login_that_asks_for_it_gets_a_refresh_token_and_each_gets_the_next() {
    let stack = Stack::start().await;
    stack.register(EMAIL).await;
    let http = stack.http();
    let login = log_in(&http, "/auth/jwt/login", EMAIL, PASSWORD, "openid offline_access").await;
    let first = tokens(&login);
    let answer = refresh(&http, &first.refresh).await;
    let second = tokens(&answer);
    for (answer, given) in [(&login, &first), (&answer, &second)] {
        let (access, refresh) = (&given.access, &given.refresh);
        assert_eq!(
            answer.body,
            format!(
                r#"{{"access_token":"{access}","token_type":"bearer","expires_in":3600,"refresh_token":"{refresh}","scope":"offline_access"}}"#
            )
        );
        assert_eq!(answer.header("cache-control"), "no-store");
        assert_eq!(answer.header("content-type"), "application/json");
        assert!(works(&http, access).await);
        let said = claims(access);
        assert_eq!(said["sid"], json!(session(refresh)), "both belong to one session");
        assert_eq!(number(&said, "exp") - number(&said, "iat"), 3600);
    }
    assert_ne!(first.refresh, second.refresh);
    assert_ne!(first.access, second.access);
    // As a multipart form too.
    let fields: [(&str, &[u8]); 2] =
        [("grant_type", b"refresh_token"), ("refresh_token", second.refresh.as_bytes())];
    let third = tokens(&http.send_form("/auth/jwt/refresh", MULTIPART, multipart(&fields)).await);
    assert!(works(&http, &third.access).await);
    assert!(works(&http, &first.access).await, "an access token is good until it expires");
}

#[tokio::test]
async fn a_login_that_does_not_ask_is_answered_as_ever() {
    let stack = Stack::start().await;
    stack.register(EMAIL).await;
    let http = stack.http();
    for scope in ["", "openid", "OFFLINE_ACCESS", "offline_access2 offline"] {
        let bearer = log_in(&http, "/auth/jwt/login", EMAIL, PASSWORD, scope).await;
        let token = bearer.text("access_token");
        assert_eq!(bearer.body, format!(r#"{{"access_token":"{token}","token_type":"bearer"}}"#), "{scope}");
        let cookie = log_in(&http, "/auth/cookie/login", EMAIL, PASSWORD, scope).await;
        assert_eq!((cookie.status, cookie.headers.get_all("set-cookie").iter().count()), (204, 1), "{scope}");
        assert!(cookie.header("set-cookie").starts_with("fastapiusersauth="), "{scope}");
    }
    let plain = "SELECT count(*) FROM sessions WHERE refresh_digest IS NULL AND access_expires_at IS NULL
                 AND expires_at = created_at + interval '1 hour'";
    assert_eq!(stack.database.number(plain).await, 8);
    // What is no good login gets no refresh token either.
    let wrong = log_in(&http, "/auth/jwt/login", EMAIL, "lancelot", SCOPE).await;
    assert_eq!(wrong.short(), r#"400 {"detail":"LOGIN_BAD_CREDENTIALS"}"#);
}

#[tokio::test]
async fn a_form_that_is_wrong_is_refused_as_fastapi_does() {
    let (stack, given) = stack_and_tokens().await;
    let http = stack.http();
    let missing = |field: &str| json!({"type": "missing", "loc": ["body", field], "msg": "Field required", "input": null});
    let mismatch = json!({"type": "string_pattern_mismatch", "loc": ["body", "grant_type"],
        "msg": "String should match pattern '^refresh_token$'", "input": null, "ctx": {"pattern": "^refresh_token$"}});
    let both = json!([missing("grant_type"), missing("refresh_token")]);
    for (form, expected) in [
        (&[][..], both.clone()),
        (&[("grant_type", ""), ("refresh_token", "")], both.clone()),
        (&[("refresh_token", &*given.refresh)], json!([missing("grant_type")])),
        (&[("grant_type", "refresh_token")], json!([missing("refresh_token")])),
        (&[("grant_type", "password"), ("refresh_token", &given.refresh)], json!([mismatch])),
        (
            &[("grant_type", "refresh_token "), ("refresh_token", "")],
            json!([mismatch, missing("refresh_token")]),
        ),
    ] {
        let answer = http.send(http.request("POST", "/auth/jwt/refresh").form(form)).await;
        assert_eq!((answer.status, &answer.json()["detail"]), (422, &expected), "{form:?}");
        assert_is_refused(&answer, 422, "a form");
    }
    // JSON is no form.
    let body = json!({"grant_type": "refresh_token", "refresh_token": given.refresh});
    let answer = http.json("POST", "/auth/jwt/refresh", "", body).await;
    assert_eq!((answer.status, &answer.json()["detail"]), (422, &both));
    refreshed(&http, &given.refresh).await;
}

#[tokio::test]
async fn over_grpc_the_same_is_said() {
    let stack = Stack::start().await;
    stack.register(EMAIL).await;
    let mut rpc = stack.rpc().await;
    let login = |offline_access| CreateSessionRequest {
        email: EMAIL.into(),
        password: PASSWORD.into(),
        offline_access,
        ..Default::default()
    };
    let plain = rpc.sessions.create_session(login(false)).await.unwrap().into_inner();
    assert_eq!((plain.refresh_token.as_str(), plain.refresh_expires_in), ("", None));
    let first = rpc.sessions.create_session(login(true)).await.unwrap().into_inner();
    let begun = first.session.unwrap();
    assert_eq!(begun.id, session(&first.refresh_token));
    assert_eq!(begun.expire_time.unwrap().seconds - begun.create_time.unwrap().seconds, WEEK);
    let message = RefreshSessionRequest { refresh_token: first.refresh_token };
    let second = rpc.sessions.refresh_session(message).await.unwrap().into_inner();
    for (access, refresh) in
        [(first.expires_in, first.refresh_expires_in), (second.expires_in, second.refresh_expires_in)]
    {
        assert_eq!((access.unwrap().seconds, refresh.unwrap().seconds), (3600, WEEK));
    }
    assert!(works(&stack.http(), &second.access_token).await);
    // One of them is good at both doors.
    refreshed(&stack.http(), &second.refresh_token).await;
    for (refresh_token, expected) in
        [("", "InvalidArgument INVALID_REQUEST"), ("x", "Unauthenticated REFRESH_TOKEN_REFUSED")]
    {
        let message = RefreshSessionRequest { refresh_token: refresh_token.into() };
        assert_eq!(outcome(&rpc.sessions.refresh_session(message).await), expected);
    }
}

#[tokio::test]
async fn a_session_that_is_refreshed_is_one_session_whose_end_is_put_off() {
    let (stack, first) = stack_and_tokens().await;
    let http = stack.http();
    let shift = "UPDATE sessions SET created_at = created_at - interval '1 day',
                 expires_at = expires_at - interval '1 day', last_seen_at = last_seen_at - interval '1 day'";
    stack.database.rows(shift, &[]).await;
    let listed = async |access: &str| http.bare("GET", "/users/me/sessions", access).await.json();
    let before = listed(&first.access).await;
    let second = refreshed(&http, &first.refresh).await;
    let after = listed(&second.access).await;
    assert_eq!(after.as_array().unwrap().len(), 1);
    assert_eq!((&after[0]["id"], &after[0]["created_at"]), (&before[0]["id"], &before[0]["created_at"]));
    assert_ne!(after[0]["expires_at"], before[0]["expires_at"]);
    assert_ne!(after[0]["last_seen_at"], before[0]["last_seen_at"], "that it is refreshed is a use");
}

#[tokio::test]
async fn a_session_ends_when_it_is_not_refreshed_and_when_it_is_old_and_no_token_outlives_it() {
    let (stack, first) = stack_and_tokens().await;
    let (http, database) = (stack.http(), &stack.database);
    let set = async |what: &str| {
        database.rows(&format!("UPDATE sessions SET {what}"), &[]).await;
    };
    // So old that a minute is left.
    set("created_at = now() - interval '30 days' + interval '60 seconds', access_expires_at = now()").await;
    let answer = refresh(&http, &first.refresh).await;
    let (second, left) = (tokens(&answer), number(&answer.json(), "expires_in"));
    assert!((50..=60).contains(&left), "{left}");
    let said = claims(&second.access);
    assert!((number(&said, "exp") - number(&said, "iat") - left).abs() <= 1, "{said}");
    let session_ends = "SELECT count(*) FROM sessions WHERE expires_at = created_at + interval '30 days'";
    assert_eq!(database.number(session_ends).await, 1);
    set("created_at = now() - interval '30 days'").await;
    assert_eq!(refresh(&http, &second.refresh).await.short(), REFUSED);
    // Not used for a week.
    let third = offline(&http, EMAIL, PASSWORD).await;
    set("expires_at = now()").await;
    assert_eq!(refresh(&http, &third.refresh).await.short(), REFUSED);
}
