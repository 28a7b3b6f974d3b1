//! Whatever is no good refresh token gets one answer, and ends nothing.

use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use portcullis_proto::v1::RefreshSessionRequest;
use serde_json::json;

use super::{EMAIL, REFUSED, an_hour_later, chain, offline, parts, refresh, refreshed, session, works};
use crate::harness::{
    Database, Doors, Fleet, Http, MULTIPART, PASSWORD, Plan, Stack, URLENCODED, assert_is_refused, claims,
    multipart, outcome, urlencoded,
};

/// Texts that are no refresh token of this stack, and ones of another and of ended sessions.
async fn bad_tokens(stack: &Stack) -> Vec<(&'static str, String)> {
    let http = stack.http();
    let log_in = async || offline(&http, EMAIL, PASSWORD).await;
    let given = log_in().await;
    let [id, secret, tag] = parts(&given.refresh);
    let joined = |id: &[u8], secret: &[u8], tag: &[u8]| URL_SAFE_NO_PAD.encode([id, secret, tag].concat());
    let other = log_in().await.refresh;
    let [other_id, ..] = parts(&other);
    let mut bad = vec![
        ("nonsense", "nonsense".to_owned()),
        ("one character", "A".to_owned()),
        ("spaces", "   ".to_owned()),
        ("an access token", given.access.clone()),
        ("cut", given.refresh[..85].to_owned()),
        ("longer", format!("{}A", given.refresh)),
        ("padded", format!("{}==", given.refresh)),
        ("very long", "A".repeat(12_000)),
        ("a NUL in front", format!("\0{}", given.refresh)),
        ("upper case", given.refresh.to_uppercase()),
        ("zeros", joined(&[0; 16], &[0; 32], &[0; 16])),
        ("another secret", joined(&id, &[7; 32], &tag)),
        ("another tag", joined(&id, &secret, &[7; 16])),
        ("another session", joined(&other_id, &secret, &tag)),
        ("the session alone", session(&given.refresh)),
    ];
    let stranger = Stack::start().await;
    stranger.register(EMAIL).await;
    bad.push(("of another issuer", offline(&stranger.http(), EMAIL, PASSWORD).await.refresh));
    let ended = log_in().await;
    assert_eq!(http.bare("POST", "/auth/jwt/logout", &ended.access).await.status, 204);
    bad.push(("of an ended session", ended.refresh));
    let reused = log_in().await.refresh;
    refreshed(&http, &reused).await;
    an_hour_later(&stack.database, &reused).await;
    bad.push(("used before", reused));
    let expired = log_in().await.refresh;
    let sql = "UPDATE sessions SET expires_at = now() WHERE id::text = $1";
    stack.database.rows(sql, &[&session(&expired)]).await;
    bad.push(("expired", expired));
    bad
}

/// What a cookie refresh answers to this token; none if no cookie can hold it.
async fn by_cookie(http: &Http, token: &[u8]) -> Option<String> {
    let value = [b"fastapiusersrefresh=", token].concat();
    let value = reqwest::header::HeaderValue::from_bytes(&value).ok()?;
    let answer = http.send(http.request("POST", "/auth/cookie/refresh").header("cookie", value)).await;
    assert_eq!(answer.header("set-cookie"), "", "a refusal changes no cookie");
    assert_eq!((answer.header("www-authenticate"), answer.header("cache-control")), ("Bearer", "no-store"));
    Some(answer.short())
}

#[tokio::test]
async fn whatever_is_no_good_refresh_token_gets_the_same_answer() {
    let stack = Stack::start().await;
    stack.register(EMAIL).await;
    let (http, mut rpc) = (stack.http(), stack.rpc().await);
    for (what, token) in bad_tokens(&stack).await {
        let answer = refresh(&http, &token).await;
        assert_eq!(answer.short(), REFUSED, "{what}");
        assert_is_refused(&answer, 401, what);
        if !token.trim().is_empty() {
            let by_cookie = by_cookie(&http, token.as_bytes()).await;
            assert!(by_cookie.is_none_or(|answer| answer == REFUSED), "{what}");
        }
        let message = RefreshSessionRequest { refresh_token: token };
        let said = outcome(&rpc.sessions.refresh_session(message).await);
        assert_eq!(said, "Unauthenticated REFRESH_TOKEN_REFUSED", "{what}");
    }
    let fields: [(&str, &[u8]); 2] = [("grant_type", b"refresh_token"), ("refresh_token", b"\xff\xfe")];
    for answer in [
        http.send_form("/auth/jwt/refresh", URLENCODED, urlencoded(&fields)).await,
        http.send_form("/auth/jwt/refresh", MULTIPART, multipart(&fields)).await,
    ] {
        assert_eq!(answer.short(), REFUSED, "not UTF-8");
    }
    assert_eq!(by_cookie(&http, b"\xff\xfe").await.unwrap(), REFUSED);
    let none = http.bare("POST", "/auth/cookie/refresh", "").await;
    assert_eq!((none.short().as_str(), none.header("set-cookie")), (REFUSED, ""), "no cookie");
}

#[tokio::test]
async fn who_knows_a_session_but_none_of_its_tokens_can_neither_end_it_nor_make_us_look() {
    let plan = Plan { identities: 1, gateways: 1, database_links: true, ..Plan::default() };
    let fleet = Fleet::over(Database::create().await, plan).await;
    let http = fleet.clients().remove(0);
    assert_eq!(http.register(EMAIL, PASSWORD).await.status, 201);
    let given = offline(&http, EMAIL, PASSWORD).await;
    // The id stands in the access token, which more people see.
    let id = uuid::Uuid::parse_str(claims(&given.access)["sid"].as_str().unwrap()).unwrap();
    let forged = |byte: u8| URL_SAFE_NO_PAD.encode([id.as_bytes(), &[byte; 48][..]].concat());
    let before = chain(&fleet.database, &given.refresh).await;
    for byte in 0..50 {
        assert_eq!(refresh(&http, &forged(byte)).await.short(), REFUSED);
    }
    assert_eq!(chain(&fleet.database, &given.refresh).await, before);
    assert!(works(&http, &given.access).await);
    // Without a database it is refused all the same, and only then.
    fleet.database_links[0].close();
    assert_eq!(refresh(&http, &forged(1)).await.short(), REFUSED);
    let genuine = refresh(&http, &given.refresh).await;
    assert_eq!(genuine.short(), r#"503 {"detail":"Service Unavailable"}"#);
    fleet.database_links[0].open();
    let is_good_again = async || refresh(&http, &given.refresh).await.status == 200;
    fleet.gateways[0].until("refreshing", Duration::from_secs(5), is_good_again).await;
}

#[tokio::test]
async fn j10_a_refresh_token_is_no_access_token_and_an_access_token_is_no_refresh_token() {
    let (stack, given) = super::stack_and_tokens().await;
    let http = stack.http();
    // As a bearer and as a cookie, at both doors.
    let mut doors = Doors::of(&stack).await;
    doors.believe_only(&given.access, [("a refresh token", given.refresh.clone())]).await;
    let cookie = format!("fastapiusersauth={}", given.refresh);
    let answer = http.send(http.request("GET", "/users/me").header("cookie", cookie)).await;
    assert_eq!(answer.short(), r#"401 {"detail":"Unauthorized"}"#);
    assert_eq!(http.bare("GET", "/auth/check", &given.refresh).await.status, 401);
    assert_eq!(refresh(&http, &given.access).await.short(), REFUSED);
    assert_eq!(by_cookie(&http, given.access.as_bytes()).await.unwrap(), REFUSED);
    // A refresh token where none is read refreshes nothing.
    for name in ["fastapiusersauth", "fastapiusersoffline", "refresh_token"] {
        let cookie = format!("{name}={}", given.refresh);
        let request = http.request("POST", "/auth/cookie/refresh").header("cookie", cookie);
        assert_eq!(http.send(request).await.short(), REFUSED, "{name}");
    }
    let request = http.request("POST", &format!("/auth/jwt/refresh?refresh_token={}", given.refresh));
    assert_eq!(http.send(request.form(&[("grant_type", "refresh_token")])).await.status, 422);
    let body = json!({"refresh_token": given.refresh});
    assert_eq!(http.json("POST", "/auth/cookie/refresh", "", body).await.short(), REFUSED);
    assert_eq!(http.bare("POST", "/auth/cookie/refresh", &given.refresh).await.short(), REFUSED);
    refreshed(&http, &given.refresh).await;
}
