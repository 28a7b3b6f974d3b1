//! The cookie: how it is set and taken away, that no other cookie ever becomes it, and that a login with one leaves
//! no older session behind.

use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::harness::{Answer, Http, PASSWORD, Stack, Transport, Vigil, claims, exchange};

const NAME: &str = "fastapiusersauth";
const VICTIM: &str = "guinevere@camelot.bt";
const ATTACKER: &str = "mordred@camelot.bt";
/// What a browser keeps at least of one cookie, attributes and all (RFC 6265 section 6.1).
const LARGEST_COOKIE: usize = 4096;

/// All `Set-Cookie` headers of an answer.
fn set_cookies(answer: &Answer) -> Vec<&str> {
    answer.headers.get_all("set-cookie").iter().map(|value| value.to_str().expect("is ASCII")).collect()
}

/// The one cookie of an answer, cut into its value and its attributes.
fn cookie(answer: &Answer) -> (&str, Vec<&str>) {
    let [only] = set_cookies(answer)[..] else { panic!("not one Set-Cookie: {answer:?}") };
    let (pair, attributes) = only.split_once("; ").expect("it has attributes");
    (pair.strip_prefix(&format!("{NAME}=")).expect("it is ours"), attributes.split("; ").collect())
}

/// Logs in for a cookie, sending what a browser sends along.
async fn log_in_with(http: &Http, path: &str, password: &str, headers: &[(&str, &str)]) -> Answer {
    let mut request = http.request("POST", path).form(&[("username", VICTIM), ("password", password)]);
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    http.send(request).await
}

fn as_cookie(token: &str) -> String {
    format!("{NAME}={token}")
}

async fn works(stack: &Stack, token: &str) -> bool {
    match stack.http().bare("GET", "/users/me", token).await.status {
        200 => true,
        401 => false,
        status => panic!("neither works nor not: {status}"),
    }
}

#[tokio::test]
async fn c02_a_logout_takes_away_exactly_the_cookie_that_the_login_has_set() {
    let stack = Stack::with(&[("ACCESS_TOKEN_LIFETIME_SECONDS", "600")], &[]).await;
    stack.register(VICTIM).await;
    let http = stack.http();
    let login = http.log_in_for_cookie(VICTIM, PASSWORD).await;
    let (token, set) = cookie(&login);
    assert_eq!(set, ["HttpOnly", "Max-Age=600", "Path=/", "SameSite=lax", "Secure"]);
    assert!(works(&stack, token).await);
    for (transport, sent) in
        [(Transport::Bearer, token), (Transport::Cookie, token), (Transport::Cookie, "nonsense")]
    {
        let logout = http.send(transport.send(http.request("POST", "/auth/cookie/logout"), sent)).await;
        let (value, cleared) = cookie(&logout);
        let expected: Vec<_> =
            set.iter().map(|&it| if it == "Max-Age=600" { "Max-Age=0" } else { it }).collect();
        assert_eq!((logout.status, value, cleared), (204, "\"\"", expected), "{transport:?}");
    }
    let bearer = http.token(VICTIM, PASSWORD).await;
    let refused = http.log_in_for_cookie(VICTIM, "lancelot").await;
    let incomplete = http.log_in_for_cookie(VICTIM, "").await;
    let logout = http.send(Transport::Cookie.send(http.request("POST", "/auth/jwt/logout"), &bearer)).await;
    for (answer, status) in [(refused, 400), (incomplete, 422), (logout, 204)] {
        assert_eq!((answer.status, set_cookies(&answer).len()), (status, 0), "{answer:?}");
    }
}

/// Who the gateway takes the sender of these `Cookie` headers for.
fn who(port: u16, headers: &[impl AsRef<[u8]>]) -> String {
    let mut request = b"GET /users/me HTTP/1.1\r\nHost: x\r\nConnection: close\r\n".to_vec();
    for header in headers {
        request.extend([b"Cookie: ", header.as_ref(), b"\r\n"].concat());
    }
    request.extend(b"\r\n");
    let answer = exchange(port, request).text;
    let (head, body) = answer.split_once("\r\n\r\n").unwrap_or_else(|| panic!("no answer: {answer:?}"));
    match head.split(' ').nth(1) {
        Some("200") => serde_json::from_str::<Value>(body).unwrap()["email"].as_str().unwrap().to_owned(),
        Some("401") => "nobody".to_owned(),
        Some("400") => body.to_owned(),
        _ => panic!("{answer}"),
    }
}

const REFUSED: &str = r#"{"detail":"Bad Request"}"#;

/// Names that a careless reader trims, decodes or folds to ours, and whether one of them anywhere is refused. The rest
/// are plainly others' cookies.
fn names_like_ours() -> Vec<(Vec<u8>, bool)> {
    let utf8 = |text: String| text.into_bytes();
    let mut names = Vec::new();
    for space in ["\u{2000}", "\u{a0}", "\u{85}", "\u{3000}", "\u{2028}", "\u{1680}"] {
        names.push((utf8(format!("{space}{NAME}")), true));
        names.push((utf8(format!("{NAME}{space}")), true));
        let encoded: String = space.bytes().map(|byte| format!("%{byte:02x}")).collect();
        names.push((utf8(format!("{encoded}{NAME}")), true));
    }
    for name in ["%66astapiusersauth", "%2566astapiusersauth", "%252566astapiusersauth", "fastapiusersaut%68"]
    {
        names.push((utf8(name.to_owned()), true));
    }
    names.push((utf8(format!("%20{NAME}%09")), true));
    names.push((utf8(NAME.bytes().map(|byte| format!("%{byte:02X}")).collect()), true));
    for name in [
        "FastAPIUsersAuth",
        "FASTAPIUSERSAUTH",
        "xfastapiusersauth",
        "fastapiusersauth2",
        "fastapiusersaut",
        "__Host-fastapiusersauth",
        "__Secure-fastapiusersauth",
        "fastapiusersauth.",
        "$fastapiusersauth",
        "\"fastapiusersauth\"",
        "fastapiusers auth",
        "ｆastapiusersauth",
        "fastapiusersauth,a",
    ] {
        names.push((utf8(name.to_owned()), false));
    }
    names.push(([b"\xa0", NAME.as_bytes()].concat(), false)); // not UTF-8, so no space in any reading of it
    names
}

#[tokio::test]
async fn c03_no_cookie_of_another_name_is_ever_taken_for_ours() {
    let stack = Stack::start().await;
    let (_, good) = stack.user(VICTIM).await;
    let (_, evil) = stack.user(ATTACKER).await;
    let good = as_cookie(&good);
    for (name, is_refused) in names_like_ours() {
        let evil = [&name[..], b"=", evil.as_bytes()].concat();
        let in_one = |first: &[u8], second: &[u8]| vec![[first, b"; ", second].concat()];
        let shown = String::from_utf8_lossy(&name).into_owned();
        for (jar, expected) in [
            (in_one(&evil, good.as_bytes()), VICTIM),
            (in_one(good.as_bytes(), &evil), VICTIM),
            (vec![evil.clone(), good.clone().into_bytes()], VICTIM),
            (vec![good.clone().into_bytes(), evil.clone()], VICTIM),
            (vec![evil.clone()], "nobody"),
        ] {
            let expected = if is_refused { REFUSED } else { expected };
            assert_eq!(who(stack.gateway.port, &jar), expected, "{shown:?}");
        }
    }
}

#[tokio::test]
async fn h14_out_of_any_jar_comes_the_one_true_cookie_or_a_refusal() {
    let stack = Stack::start().await;
    let vigil = Vigil::begin(&stack).await;
    let (_, good) = stack.user(VICTIM).await;
    let (_, evil) = stack.user(ATTACKER).await;
    let crowd = (0..200).map(|n| format!("c{n}=v; ")).collect::<String>();
    let mut jars = Vec::new();
    for (jar, expected) in [
        ("fastapiusersauth=GOOD", VICTIM),
        ("fastapiusersauth=\"GOOD\"", VICTIM),
        ("CROWDfastapiusersauth=GOOD", VICTIM),
        ("fastapiusersauth=GOOD; CROWD", VICTIM),
        ("=; =EVIL; ; ;;fastapiusersauth=GOOD", VICTIM),
        ("$Version=1; fastapiusersauth=GOOD; $Path=/; $Domain=x", VICTIM),
        ("$Version=\"1\"; $fastapiusersauth=EVIL; fastapiusersauth=GOOD", VICTIM),
        ("EVIL; fastapiusersauth=GOOD", VICTIM),
        ("fastapiusersauth; fastapiusersauth=GOOD", VICTIM),
        ("a=fastapiusersauth=EVIL; fastapiusersauth=GOOD", VICTIM),
        ("=fastapiusersauth=EVIL; fastapiusersauth=GOOD", VICTIM),
        ("a=\"x, fastapiusersauth=EVIL\"; fastapiusersauth=GOOD", VICTIM),
        ("fastapiusersauth = GOOD ", VICTIM),
        // A `;` ends a cookie in quotes too, as in browsers: what follows it is another cookie.
        ("a=\"x; fastapiusersauth=EVIL\"; fastapiusersauth=GOOD", REFUSED),
        ("a=\"; fastapiusersauth=GOOD\"", "nobody"),
        ("fastapiusersauth=EVIL; fastapiusersauth=GOOD", REFUSED),
        ("fastapiusersauth=GOOD; fastapiusersauth=EVIL", REFUSED),
        ("fastapiusersauth=GOOD; fastapiusersauth=GOOD", REFUSED),
        ("fastapiusersauth=; fastapiusersauth=GOOD", REFUSED),
        ("CROWDfastapiusersauth=EVIL; CROWDfastapiusersauth=GOOD", REFUSED),
        ("fastapiusersauth=EVIL, fastapiusersauth=GOOD", "nobody"),
        ("fastapiusersauth=EVIL,GOOD", "nobody"),
        ("fastapiusersauth=\"EVIL\"GOOD", "nobody"),
        ("fastapiusersauth=%22GOOD%22", "nobody"),
        ("fastapiusersauth", "nobody"),
        ("fastapiusersauth=", "nobody"),
        ("fastapiusersauth=\"\"", "nobody"),
        ("GOOD", "nobody"),
        ("=GOOD", "nobody"),
        ("", "nobody"),
    ] {
        let jar = jar.replace("CROWD", &crowd).replace("GOOD", &good).replace("EVIL", &evil);
        jars.push((vec![jar.into_bytes()], expected));
    }
    let [good, evil] = [good, evil].map(|token| as_cookie(&token).into_bytes());
    for (name, is_refused) in names_like_ours() {
        let jar = [&name[..], &evil[NAME.len()..], b"; ", &good].concat();
        jars.push((vec![jar], if is_refused { REFUSED } else { VICTIM }));
    }
    // Each header has cookies of its own, but the jar is one.
    jars.push((vec![evil.clone(), good.clone()], REFUSED));
    jars.push((vec![good.clone(), evil], REFUSED));
    jars.push((vec![b"a=b".to_vec(), good, crowd.into_bytes()], VICTIM));
    for (jar, expected) in jars {
        let shown: Vec<_> = jar.iter().map(|header| String::from_utf8_lossy(header)).collect();
        assert_eq!(who(stack.gateway.port, &jar), expected, "{shown:?}");
    }
    vigil.assert_unharmed();
}

/// Whoever sends it keeps a worker for as long as it takes to read.
#[tokio::test]
async fn h14_a_name_that_is_encoded_thousands_of_times_is_refused_as_fast_as_any_other() {
    let stack = Stack::start().await;
    let vigil = Vigil::begin(&stack).await;
    let deep = |end: &str| [format!("%{}{end}=x", "25".repeat(50 * 1024))];
    for jar in [deep(""), deep("66astapiusersauth"), deep("61")] {
        let took = |_| {
            let started = Instant::now();
            assert_eq!(who(stack.gateway.port, &jar), REFUSED);
            started.elapsed()
        };
        // The fastest of some is slow on no machine, unless it is slow by itself.
        let fastest = (0..3).map(took).min();
        assert!(fastest < Some(Duration::from_secs(1)), "{fastest:?}");
    }
    vigil.assert_unharmed();
}

#[tokio::test]
async fn c04_a_cookie_login_begins_a_new_session_and_ends_the_one_whose_cookie_came_along() {
    let stack = Stack::start().await;
    let (_, planted) = stack.user(ATTACKER).await;
    let (_, elsewhere) = stack.user(VICTIM).await;
    let attackers_other = stack.http().token(ATTACKER, PASSWORD).await;
    let http = stack.http();
    let mut before = planted.clone();
    // First the attacker's session is replaced, then the victim's own.
    for _ in 0..2 {
        let login =
            log_in_with(&http, "/auth/cookie/login", PASSWORD, &[("cookie", &as_cookie(&before))]).await;
        assert_eq!(login.status, 204);
        let after = cookie(&login).0.to_owned();
        assert_ne!(claims(&after)["sid"], claims(&before)["sid"]);
        let me = http.bare("GET", "/users/me", &after).await;
        assert_eq!((me.status, me.text("email").as_str()), (200, VICTIM));
        assert!(!works(&stack, &before).await, "the replaced session goes on");
        before = after;
    }
    for (token, whose) in
        [(before, "the last"), (elsewhere, "elsewhere"), (attackers_other, "attacker's other")]
    {
        assert!(works(&stack, &token).await, "{whose}");
    }
}

#[tokio::test]
async fn c04_a_login_that_fails_or_sets_no_cookie_and_a_cookie_of_nobody_end_nothing() {
    let stack = Stack::start().await;
    let (_, kept) = stack.user(VICTIM).await;
    let (_, ended) = stack.user(ATTACKER).await;
    let http = stack.http();
    assert_eq!(http.bare("POST", "/auth/jwt/logout", &ended).await.status, 204);
    let (kept_cookie, ended_cookie) = (as_cookie(&kept), as_cookie(&ended));
    let bearer = format!("Bearer {kept}");
    for (path, password, headers, status) in [
        ("/auth/cookie/login", "lancelot", vec![("cookie", kept_cookie.as_str())], 400),
        ("/auth/cookie/login", "", vec![("cookie", &kept_cookie)], 422),
        (
            "/auth/cookie/login",
            PASSWORD,
            vec![("cookie", &kept_cookie), ("origin", "https://evil.example")],
            403,
        ),
        ("/auth/cookie/login", PASSWORD, vec![("cookie", &kept_cookie), ("cookie", &kept_cookie)], 400),
        ("/auth/jwt/login", PASSWORD, vec![("cookie", &kept_cookie)], 200),
        ("/auth/cookie/login", PASSWORD, vec![("authorization", &bearer)], 204),
        ("/auth/cookie/login", PASSWORD, vec![("authorization", &bearer), ("cookie", &ended_cookie)], 204),
        ("/auth/cookie/login", PASSWORD, vec![("cookie", "fastapiusersauth=nonsense")], 204),
    ] {
        let answer = log_in_with(&http, path, password, &headers).await;
        assert_eq!(answer.status, status, "{path} {headers:?} {answer:?}");
        assert!(works(&stack, &kept).await, "{path} {headers:?}");
    }
    assert!(!stack.gateway.log().contains("was not ended"), "{}", stack.gateway.log());
}

#[tokio::test]
async fn c04_that_the_replaced_session_cannot_be_ended_does_not_undo_the_login() {
    let stack = Stack::start().await;
    let (_, old) = stack.user(VICTIM).await;
    let mut other = stack.database.connect().await;
    let lock = other.transaction().await.unwrap();
    let sid = claims(&old)["sid"].as_str().unwrap().to_owned();
    lock.batch_execute(&format!("SELECT FROM sessions WHERE id = '{sid}' FOR UPDATE")).await.unwrap();
    let login =
        log_in_with(&stack.http(), "/auth/cookie/login", PASSWORD, &[("cookie", &as_cookie(&old))]).await;
    assert_eq!(login.status, 204);
    // Far more than it takes, and less than its client waits (security.md, section 8.1, rule 4).
    assert!(login.took < Duration::from_secs(10), "{:?}", login.took);
    lock.rollback().await.unwrap();
    assert!(works(&stack, cookie(&login).0).await && works(&stack, &old).await);
    let log = stack.gateway.log();
    assert!(log.lines().any(|line| line.contains("WARN") && line.contains("was not ended")), "{log}");
}

#[tokio::test]
async fn c05_a_browser_keeps_the_one_cookie_whatever_the_issuer_is_called() {
    // As long as the configuration takes, and each character twice as long in a token.
    let issuer = format!("https://{}", "\\".repeat(512 - "https://".len()));
    let variables = [("ISSUER", issuer.as_str()), ("ACCESS_TOKEN_LIFETIME_SECONDS", "86400")];
    let stack = Stack::with(&variables, &[]).await;
    stack.register(VICTIM).await;
    let login = stack.http().log_in_for_cookie(VICTIM, PASSWORD).await;
    let (token, _) = cookie(&login);
    assert_eq!(claims(token)["iss"], json!(issuer));
    assert!(works(&stack, token).await);
    let length = login.header("set-cookie").len();
    assert!(length <= LARGEST_COOKIE, "the cookie has {length} bytes");
}
