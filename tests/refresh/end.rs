//! What ends a session when its access cookie has expired: the mark holds an end token, which can do nothing else.

use std::time::{Duration, Instant};

use portcullis_proto::v1::{CreateSessionRequest, EndSessionRequest, RefreshSessionRequest};

use super::cookies::{all_given, log_in, refresh, set_cookies, stack};
use super::{EMAIL, REFUSED, SCOPE, chain, digest, offline, parts, refreshed, works};
use crate::harness::{Answer, Fleet, Http, PASSWORD, Plan, outcome};

const OTHER: &str = "sir.mordred@camelot.bt";

async fn log_out(http: &Http, cookie: &str) -> Answer {
    http.send(http.request("POST", "/auth/cookie/logout").header("cookie", cookie)).await
}

/// Logs in for all three cookies, with these along.
async fn marked(http: &Http, along: &str) -> [String; 3] {
    all_given(&log_in(http, SCOPE, &[("cookie", along)]).await)
}

/// A token with another character in the middle of its tag.
fn changed(token: &str) -> String {
    let at = 30;
    let other = if token[at..].starts_with('A') { "B" } else { "A" };
    format!("{}{other}{}", &token[..at], &token[at + 1..])
}

#[tokio::test]
async fn c04_a_logout_with_the_mark_alone_ends_the_session_at_every_gateway() {
    let fleet = Fleet::start(Plan { identities: 2, gateways: 2, ..Plan::default() }).await;
    let clients = fleet.clients();
    assert_eq!(clients[0].register(EMAIL, PASSWORD).await.status, 201);
    let [access, token, end] = marked(&clients[0], "a=b").await;
    // It is the session's, however often that is refreshed.
    let [newest, token, same] =
        all_given(&refresh(&clients[1], &format!("fastapiusersrefresh={token}"), &[]).await);
    assert_eq!(end, same);
    let check = async |http: &Http, access: &str| http.bare("GET", "/auth/check", access).await.status;
    for http in &clients {
        assert_eq!((check(http, &access).await, check(http, &newest).await), (204, 204));
    }
    let answer = log_out(&clients[1], &format!("fastapiusersoffline={end}")).await;
    assert_eq!((answer.status, set_cookies(&answer).len()), (204, 3), "{answer:?}");
    let ended = Instant::now();
    assert_eq!(super::refresh(&clients[0], &token).await.short(), REFUSED);
    for http in &clients {
        for access in [&access, &newest] {
            while check(http, access).await != 401 {
                assert!(ended.elapsed() < Duration::from_secs(2), "it goes on");
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        }
    }
    // It is over, and that is what was wanted.
    assert_eq!(log_out(&clients[0], &format!("fastapiusersoffline={end}")).await.status, 204);
    let revoked = "SELECT count(*) FROM revocations WHERE session_id IS NOT NULL";
    assert_eq!(fleet.database.number(revoked).await, 1);
}

#[tokio::test]
async fn c04_a_login_with_the_mark_of_an_earlier_session_ends_that_one() {
    let (_stack, http) = stack().await;
    let mut mark = "a=b".to_owned();
    let mut earlier = Vec::new();
    for _ in 0..2 {
        let [access, token, end] = marked(&http, &mark).await;
        earlier.push((access, token));
        mark = format!("fastapiusersoffline={end}");
    }
    // One that fails ends nothing.
    let form = [("username", EMAIL), ("password", "lancelot")];
    let wrong = http.request("POST", "/auth/cookie/login").form(&form).header("cookie", &mark);
    assert_eq!(http.send(wrong).await.status, 400);
    let (access, token) = earlier.pop().unwrap();
    let token = refreshed(&http, &token).await.refresh;
    // One without a refresh token does.
    let plain = log_in(&http, "", &[("cookie", &mark)]).await;
    assert_eq!((plain.status, set_cookies(&plain).len()), (204, 3));
    earlier.push((access, token));
    for (access, token) in earlier {
        assert_eq!(super::refresh(&http, &token).await.short(), REFUSED);
        assert!(!works(&http, &access).await);
    }
}

#[tokio::test]
async fn c04_a_logout_ends_the_sessions_of_both_cookies() {
    let (_stack, http) = stack().await;
    let [same, first, end] = marked(&http, "a=b").await;
    let [other, second, _] = marked(&http, "a=b").await;
    let [_, third, both] = marked(&http, "a=b").await;
    for (access, end, over) in [(&other, &end, [&first, &second]), (&same, &both, [&first, &third])] {
        let cookies = format!("fastapiusersauth={access}; fastapiusersoffline={end}");
        assert_eq!(log_out(&http, &cookies).await.status, 204);
        for token in over {
            assert_eq!(super::refresh(&http, token).await.short(), REFUSED);
        }
    }
    // Both cookies of one session end it once.
    let [access, token, end] = marked(&http, "a=b").await;
    let cookies = format!("fastapiusersauth={access}; fastapiusersoffline={end}");
    assert_eq!(log_out(&http, &cookies).await.status, 204);
    assert_eq!(super::refresh(&http, &token).await.short(), REFUSED);
}

#[tokio::test]
async fn c04_what_is_no_end_token_or_is_there_twice_ends_nothing_and_is_taken_away() {
    let (stack, http) = stack().await;
    let [access, token, end] = marked(&http, "a=b").await;
    let good = format!("fastapiusersoffline={end}");
    for evil in [
        "fastapiusersoffline=1".to_owned(),
        format!("fastapiusersoffline={token}"),
        format!("fastapiusersoffline={access}"),
        format!("fastapiusersoffline={}", changed(&end)),
        format!("fastapiusersoffline={}", &token[..43]),
        format!("{good}; {good}"),
        format!("{good}; %66astapiusersoffline={end}"),
    ] {
        let out = log_out(&http, &evil).await;
        assert_eq!((out.status, set_cookies(&out).len()), (204, 3), "{evil}");
        let plain = log_in(&http, "", &[("cookie", &evil)]).await;
        assert_eq!((plain.status, set_cookies(&plain).len()), (204, 3), "{evil}");
    }
    // The JWT routes do not look at it.
    let bearer = http.token(EMAIL, PASSWORD).await;
    let out = http.request("POST", "/auth/jwt/logout").bearer_auth(&bearer).header("cookie", &good);
    assert_eq!(http.send(out).await.status, 204);
    let form = [("username", EMAIL), ("password", PASSWORD)];
    let login = http.request("POST", "/auth/jwt/login").form(&form).header("cookie", &good);
    assert_eq!(http.send(login).await.status, 200);
    assert!(works(&http, &access).await);
    refreshed(&http, &token).await;
    // What somebody makes up is nothing that an operator is to be told of.
    assert!(!stack.gateway.log().contains("ERROR"), "{}", stack.gateway.log());
}

#[tokio::test]
async fn a_plain_login_and_logout_are_as_ever() {
    let (stack, http) = stack().await;
    let plain = log_in(&http, "", &[]).await;
    let set = set_cookies(&plain);
    assert_eq!((plain.status, set.len()), (204, 1));
    let cookie = set[0].split(';').next().unwrap();
    let out = log_out(&http, cookie).await;
    assert_eq!((out.status, set_cookies(&out).len()), (204, 1));
    assert_eq!(stack.database.number("SELECT count(*) FROM sessions").await, 0);
}

#[tokio::test]
async fn an_end_token_can_neither_refresh_nor_say_who_calls() {
    let (stack, http) = stack().await;
    let [_, token, end] = marked(&http, "a=b").await;
    let before = chain(&stack.database, &token).await;
    assert_eq!(super::refresh(&http, &end).await.short(), REFUSED);
    let by_cookie = refresh(&http, &format!("fastapiusersrefresh={end}"), &[]).await;
    assert_eq!((by_cookie.short().as_str(), set_cookies(&by_cookie).len()), (REFUSED, 0));
    for path in ["/users/me", "/auth/check", "/users/me/sessions"] {
        assert_eq!(http.bare("GET", path, &end).await.status, 401, "{path}");
        let cookie = http.request("GET", path).header("cookie", format!("fastapiusersauth={end}"));
        assert_eq!(http.send(cookie).await.status, 401, "{path}");
    }
    assert_eq!(http.bare("POST", "/auth/jwt/logout", &end).await.status, 401);
    assert_eq!(chain(&stack.database, &token).await, before);
    refreshed(&http, &token).await;
}

#[tokio::test]
async fn c05_a_refresh_cookie_of_another_session_than_the_cookies_beside_it_is_refused() {
    let (stack, http) = stack().await;
    stack.register(OTHER).await;
    let planted = offline(&http, OTHER, PASSWORD).await.refresh;
    let [access, token, end] = marked(&http, "a=b").await;
    let (auth, mark) = (format!("fastapiusersauth={access}"), format!("fastapiusersoffline={end}"));
    let evil = format!("fastapiusersrefresh={planted}");
    for beside in [&auth, &mark, &format!("{auth}; {mark}")] {
        let answer = refresh(&http, &format!("{evil}; {beside}"), &[]).await;
        assert_eq!((answer.short().as_str(), set_cookies(&answer).len()), (REFUSED, 0), "{beside}");
    }
    // Or it is what stands beside that is planted: what is refused was not used, and is good later.
    let others = offline(&http, OTHER, PASSWORD).await.access;
    let answer =
        refresh(&http, &format!("fastapiusersrefresh={token}; fastapiusersauth={others}; {mark}"), &[]).await;
    assert_eq!((answer.short().as_str(), set_cookies(&answer).len()), (REFUSED, 0));
    assert_eq!(chain(&stack.database, &token).await, Some((digest(&parts(&token)[1]), 0)));
    // With a mark that may be anything, nobody knows.
    let answer = refresh(&http, &format!("{evil}; {mark}; {mark}"), &[]).await;
    assert_eq!((answer.status, set_cookies(&answer).len()), (400, 0));
    // What names nobody any more does not count.
    let gone = http.token(EMAIL, PASSWORD).await;
    assert_eq!(http.bare("POST", "/auth/jwt/logout", &gone).await.status, 204);
    let started = Instant::now();
    loop {
        let answer = refresh(&http, &format!("{evil}; fastapiusersauth={gone}"), &[]).await;
        if answer.status == 204 {
            break;
        }
        assert!(started.elapsed() < Duration::from_secs(2), "{answer:?}");
    }
    let answer = refresh(&http, &format!("{evil}; fastapiusersoffline=1"), &[]).await;
    assert_eq!((answer.status, set_cookies(&answer).len()), (204, 3));
    // Its own go with it.
    all_given(&refresh(&http, &format!("fastapiusersrefresh={token}; {auth}; {mark}"), &[]).await);
}

#[tokio::test]
async fn over_grpc_an_end_token_ends_its_session_and_nothing_else_does() {
    let (stack, http) = stack().await;
    let mut rpc = stack.rpc().await;
    let login = |offline_access| CreateSessionRequest {
        email: EMAIL.into(),
        password: PASSWORD.into(),
        offline_access,
        ..Default::default()
    };
    let plain = rpc.sessions.create_session(login(false)).await.unwrap().into_inner();
    assert_eq!(plain.end_token, "");
    let first = rpc.sessions.create_session(login(true)).await.unwrap().into_inner();
    let message = RefreshSessionRequest { refresh_token: first.refresh_token.clone() };
    let second = rpc.sessions.refresh_session(message).await.unwrap().into_inner();
    assert_eq!((&second.end_token, &second.session_id), (&first.end_token, &first.session.unwrap().id));
    let end = first.end_token;
    let mut ends = async |token: &str| {
        let message = EndSessionRequest { end_token: token.to_owned() };
        outcome(&rpc.sessions.end_session(message).await)
    };
    for none in ["", "x", &changed(&end), &first.refresh_token, &first.access_token, &end[..42]] {
        assert_eq!(ends(none).await, "InvalidArgument INVALID_REQUEST", "{none}");
    }
    assert!(works(&http, &second.access_token).await);
    for _ in 0..2 {
        assert_eq!(ends(&end).await, "OK");
        assert!(!works(&http, &second.access_token).await && works(&http, &plain.access_token).await);
    }
    // As long as its last access token is good it is remembered, and no longer.
    let remembered = "SELECT count(*) FROM revocations WHERE session_id IS NOT NULL
                      AND expires_at BETWEEN now() + interval '1 hour' AND now() + interval '80 minutes'";
    assert_eq!(stack.database.number(remembered).await, 1);
    assert_eq!(super::refresh(&http, &second.refresh_token).await.short(), REFUSED);
    assert_eq!(
        outcome(&rpc.sessions.refresh_session(RefreshSessionRequest { refresh_token: end }).await),
        "Unauthenticated REFRESH_TOKEN_REFUSED"
    );
}
