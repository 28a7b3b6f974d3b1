//! The cookies of a session that goes on: what is set, what is taken away, and who may ask for it.

use reqwest::header::HeaderValue;

use super::{EMAIL, SCOPE, chain, refreshed, works};
use crate::harness::{Answer, Http, PASSWORD, Stack};

const AUTH: &str = "Path=/; SameSite=lax; Secure";
const REFRESH: &str = "Path=/auth/cookie/refresh; SameSite=strict; Secure";
const OFFLINE: &str = "Path=/auth/cookie; SameSite=strict; Secure";
const MARK: (&str, &str) = ("cookie", "fastapiusersoffline=1");
const WEEK: i64 = 7 * 24 * 60 * 60;

pub(super) fn set_cookies(answer: &Answer) -> Vec<String> {
    let all = answer.headers.get_all("set-cookie").iter();
    all.map(|value| value.to_str().expect("is ASCII").to_owned()).collect()
}

/// The access token and the refresh token of an answer that sets all three cookies, exactly.
fn given(answer: &Answer) -> (String, String) {
    let [access, refresh, _] = all_given(answer);
    (access, refresh)
}

/// The access token, the refresh token and the end token of an answer that sets all three cookies, exactly.
pub(super) fn all_given(answer: &Answer) -> [String; 3] {
    assert_eq!((answer.status, answer.body.as_str()), (204, ""), "{answer:?}");
    assert_eq!(answer.header("cache-control"), "no-store");
    let set = set_cookies(answer);
    assert_eq!(set.len(), 3, "{set:?}");
    let value = |at: usize, name: &str| {
        let pair = set[at].split(';').next().unwrap();
        pair.strip_prefix(&format!("{name}=")).unwrap_or_else(|| panic!("{set:?}")).to_owned()
    };
    let (access, refresh) = (value(0, "fastapiusersauth"), value(1, "fastapiusersrefresh"));
    let end = value(2, "fastapiusersoffline");
    let expected = [
        format!("fastapiusersauth={access}; HttpOnly; Max-Age=3600; {AUTH}"),
        format!("fastapiusersrefresh={refresh}; HttpOnly; Max-Age={WEEK}; {REFRESH}"),
        format!("fastapiusersoffline={end}; HttpOnly; Max-Age={WEEK}; {OFFLINE}"),
    ];
    assert_eq!(set, expected);
    [access, refresh, end]
}

/// What takes the refresh token away.
fn cleared() -> [String; 2] {
    [
        format!(r#"fastapiusersrefresh=""; HttpOnly; Max-Age=0; {REFRESH}"#),
        format!(r#"fastapiusersoffline=""; HttpOnly; Max-Age=0; {OFFLINE}"#),
    ]
}

/// A cookie login with what a browser sends along.
pub(super) async fn log_in(http: &Http, scope: &str, headers: &[(&str, &str)]) -> Answer {
    let form = [("username", EMAIL), ("password", PASSWORD), ("scope", scope)];
    let request = http.request("POST", "/auth/cookie/login").form(&form);
    http.send(headers.iter().fold(request, |request, (name, value)| request.header(*name, *value))).await
}

pub(super) async fn refresh(http: &Http, cookie: &str, headers: &[(&str, &str)]) -> Answer {
    let cookie = HeaderValue::from_bytes(cookie.as_bytes()).expect("can be sent");
    let request = http.request("POST", "/auth/cookie/refresh").header("cookie", cookie);
    http.send(headers.iter().fold(request, |request, (name, value)| request.header(*name, *value))).await
}

pub(super) async fn stack() -> (Stack, Http) {
    let stack = Stack::start().await;
    stack.register(EMAIL).await;
    let http = stack.http();
    (stack, http)
}

#[tokio::test]
async fn c02_a_login_and_a_refresh_set_exactly_these_three_cookies() {
    let (_stack, http) = stack().await;
    let (first_access, first) = given(&log_in(&http, SCOPE, &[]).await);
    let (second_access, second) = given(&refresh(&http, &format!("fastapiusersrefresh={first}"), &[]).await);
    assert!(works(&http, &first_access).await && works(&http, &second_access).await);
    assert_ne!(first, second);
    // Quoted, and among others.
    let among = format!("a=b; fastapiusersrefresh=\"{second}\"; fastapiusersauth={first_access}; {}", MARK.1);
    let (_, third) = given(&refresh(&http, &among, &[]).await);
    // It is the same token wherever it is used.
    refreshed(&http, &third).await;
}

#[tokio::test]
async fn c02_a_login_without_one_and_a_logout_take_away_the_refresh_token_that_a_browser_has() {
    let (_stack, http) = stack().await;
    let logout = async |headers: &[(&str, &str)]| {
        let request = http.request("POST", "/auth/cookie/logout");
        let request = headers.iter().fold(request, |request, (name, value)| request.header(*name, *value));
        http.send(request).await
    };
    let auth_cleared = format!(r#"fastapiusersauth=""; HttpOnly; Max-Age=0; {AUTH}"#);
    // Without the mark all is as ever; with one that is there twice, or disguised, better once too often.
    for unmarked in ["a=b", "fastapiusersoffline=", "fastapiusersoffline", "xfastapiusersoffline=1"] {
        let login = log_in(&http, "", &[("cookie", unmarked)]).await;
        assert_eq!((login.status, set_cookies(&login).len()), (204, 1), "{unmarked}");
        assert_eq!(
            set_cookies(&logout(&[("cookie", unmarked)]).await),
            [auth_cleared.as_str()],
            "{unmarked}"
        );
    }
    for marked in [MARK.1, "fastapiusersoffline=1; fastapiusersoffline=2", "%66astapiusersoffline=1"] {
        let login = log_in(&http, "", &[("cookie", marked)]).await;
        let set = set_cookies(&login);
        assert!(set[0].starts_with("fastapiusersauth=ey"), "{marked}");
        assert_eq!((login.status, &set[1..]), (204, &cleared()[..]), "{marked}");
        let logout = logout(&[("cookie", marked)]).await;
        let expected = [&[auth_cleared.clone()][..], &cleared()].concat();
        assert_eq!((logout.status, set_cookies(&logout)), (204, expected), "{marked}");
    }
    // A login with a refresh token of its own replaces it; one that fails changes nothing, nor do the bearer's.
    given(&log_in(&http, SCOPE, &[MARK]).await);
    let form = [("username", EMAIL), ("password", "lancelot")];
    let wrong = http.request("POST", "/auth/cookie/login").form(&form).header(MARK.0, MARK.1);
    assert_eq!(set_cookies(&http.send(wrong).await), [""; 0]);
    let token = http.token(EMAIL, PASSWORD).await;
    let bearer = http.request("POST", "/auth/jwt/logout").bearer_auth(&token).header(MARK.0, MARK.1);
    assert_eq!(set_cookies(&http.send(bearer).await), [""; 0]);
}

#[tokio::test]
async fn c04_a_login_ends_the_session_whose_cookie_it_replaces_with_its_refresh_token() {
    let (_stack, http) = stack().await;
    let (access, old) = given(&log_in(&http, SCOPE, &[]).await);
    let along = format!("fastapiusersauth={access}; {}", MARK.1);
    let (_, new) = given(&log_in(&http, SCOPE, &[("cookie", &along)]).await);
    assert_eq!(super::refresh(&http, &old).await.short(), super::REFUSED);
    refreshed(&http, &new).await;
}

#[tokio::test]
async fn h14_a_refresh_cookie_that_is_there_twice_or_disguised_is_refused_and_not_used() {
    let (stack, http) = stack().await;
    let (_, token) = given(&log_in(&http, SCOPE, &[]).await);
    let before = chain(&stack.database, &token).await;
    let good = format!("fastapiusersrefresh={token}");
    for evil in [
        format!("{good}; {good}"),
        format!("{good}; fastapiusersrefresh="),
        format!("{good}; %66astapiusersrefresh=x"),
        format!("{good}; %2566astapiusersrefresh=x"),
        format!("\u{2000}fastapiusersrefresh=x; {good}"),
        format!("{good}; \u{a0}fastapiusersrefresh=x"),
        format!("{good}; fastapiusersauth=x; fastapiusersauth=y"),
    ] {
        let answer = refresh(&http, &evil, &[]).await;
        let said = (answer.short(), set_cookies(&answer).len());
        assert_eq!(said, (r#"400 {"detail":"Bad Request"}"#.to_owned(), 0), "{evil:?}");
    }
    for others in
        ["FastAPIUsersRefresh", "xfastapiusersrefresh", "fastapiusersrefresh2", "__Host-fastapiusersrefresh"]
    {
        let answer = refresh(&http, &format!("{others}={token}"), &[]).await;
        assert_eq!(answer.short(), super::REFUSED, "{others}");
    }
    assert_eq!(chain(&stack.database, &token).await, before);
    given(&refresh(&http, &good, &[]).await);
}

#[tokio::test]
async fn c01_no_foreign_page_refreshes_and_pages_of_ours_do() {
    let (stack, http) = stack().await;
    let (_, mut token) = given(&log_in(&http, SCOPE, &[]).await);
    let before = chain(&stack.database, &token).await;
    let cookie = |token: &str| format!("fastapiusersrefresh={token}");
    for foreign in [
        &[("origin", "https://evil.example"), ("sec-fetch-site", "cross-site")][..],
        &[("sec-fetch-site", "cross-site")],
        &[("sec-fetch-site", "same-site")],
        &[("origin", "https://evil.example")],
        &[("origin", "null")],
    ] {
        let answer = refresh(&http, &cookie(&token), foreign).await;
        let said = (answer.short(), set_cookies(&answer).len());
        assert_eq!(said, (r#"403 {"detail":"Forbidden"}"#.to_owned(), 0), "{foreign:?}");
    }
    assert_eq!(chain(&stack.database, &token).await, before);
    for own in [
        &[("origin", "http://localhost:8000"), ("sec-fetch-site", "same-origin")][..],
        &[("sec-fetch-site", "same-origin")],
        &[("origin", "http://localhost:8000")],
        &[],
    ] {
        token = given(&refresh(&http, &cookie(&token), own).await).1;
    }
}
