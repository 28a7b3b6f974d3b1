//! What a foreign page can make a browser do with the user's cookie: nothing.

use std::fmt::Debug;

use reqwest::RequestBuilder;
use serde_json::json;

use crate::harness::{Answer, PASSWORD, Stack, Transport};

const PUBLIC: &str = "https://id.example.com";
const LISTED: &str = "https://app.example";
/// Public, listed, one that only begins like the public one, none that a page could name, a sibling subdomain, another
/// port, another scheme, absent.
const ORIGINS: [&str; 8] = [
    PUBLIC,
    LISTED,
    "https://id.example.com.evil.example",
    "null",
    "https://shop.example.com",
    "https://id.example.com:8443",
    "http://id.example.com",
    "",
];
/// What browsers send, a spelling that they do not, absent.
const SITES: [&str; 6] = ["same-origin", "same-site", "cross-site", "none", "Same-Origin", ""];
/// Methods and paths; no path where it is that of the user or of the victim.
const REQUESTS: [(&str, &str); 9] = [
    ("GET", ""),
    ("POST", "/auth/register"),
    ("POST", "/auth/forgot-password"),
    ("POST", "/auth/reset-password"),
    ("POST", "/auth/request-verify-token"),
    ("POST", "/auth/verify"),
    ("PUT", ""),
    ("PATCH", ""),
    ("DELETE", ""),
];
const FORBIDDEN: &str = r#"403 {"detail":"Forbidden"}"#;

/// Where a request comes from: `Origin` and `Sec-Fetch-Site`, each absent if empty.
#[derive(Debug, Clone, Copy)]
struct Source {
    origin: &'static str,
    site: &'static str,
}

impl Source {
    fn all() -> impl Iterator<Item = Self> {
        ORIGINS.into_iter().flat_map(|origin| SITES.map(|site| Self { origin, site }))
    }

    /// The contract's rule: "a listed Origin passes; else Sec-Fetch-Site same-origin or none passes; else an Origin
    /// equal to the public one; both absent passes; otherwise 403".
    fn passes(self) -> bool {
        if self.origin == LISTED || self.site == "same-origin" || self.site == "none" {
            return true;
        }
        self.origin == PUBLIC || (self.origin.is_empty() && self.site.is_empty())
    }

    fn send(self, mut request: RequestBuilder) -> RequestBuilder {
        for (name, value) in [("origin", self.origin), ("sec-fetch-site", self.site)] {
            if !value.is_empty() {
                request = request.header(name, value);
            }
        }
        request
    }
}

async fn stack() -> Stack {
    Stack::with(&[], &[("PUBLIC_ORIGIN", PUBLIC), ("CORS_ALLOWED_ORIGINS", LISTED)]).await
}

/// An answer that may differ by where the request comes from says so to caches.
fn assert_varies(answer: &Answer, cell: &impl Debug) {
    let vary = answer.headers.get_all("vary").iter().map(|value| value.to_str().unwrap());
    let vary = vary.collect::<Vec<_>>().join(", ").to_ascii_lowercase();
    let names: Vec<_> = vary.split(", ").collect();
    assert!(names.contains(&"origin") && names.contains(&"sec-fetch-site"), "{cell:?}: Vary is {vary:?}");
}

#[tokio::test]
async fn c01_a_foreign_page_changes_nothing_with_the_users_cookie_and_nobody_else_is_hindered() {
    let stack = stack().await;
    let (_, token) = stack.superuser("king.arthur@camelot.bt").await;
    let someone = stack.register("lancelot@camelot.bt").await;
    let http = stack.http();
    let database = stack.database.connect().await;
    let shown = async || -> String {
        let sql = "SELECT email FROM users WHERE is_superuser";
        database.query_one(sql, &[]).await.unwrap().get(0)
    };
    let mut address = shown().await;
    let mut cells = 0;
    for (method, path) in REQUESTS {
        for source in Source::all() {
            for sent in
                [&[Transport::Cookie][..], &[Transport::Bearer], &[Transport::Cookie, Transport::Bearer], &[]]
            {
                let cell = (method, path, source, sent);
                let passes = method == "GET" || !sent.contains(&Transport::Cookie) || source.passes();
                // What must be refused would do harm, and what passes is cheap.
                let victim = if passes { uuid::Uuid::nil().to_string() } else { someone.clone() };
                let spelling = format!("king.{}@camelot.bt", cased("arthur", cells));
                let request = match method {
                    "POST" => http.request(method, path).json(&json!({})),
                    "PATCH" => http.request(method, "/users/me").json(&json!({"email": spelling})),
                    "DELETE" => http.request(method, &format!("/users/{victim}")),
                    _ => http.request(method, "/users/me"),
                };
                let request = sent.iter().fold(source.send(request), |request, by| by.send(request, &token));
                let answer = http.send(request).await;
                let done = match (method, sent.is_empty()) {
                    ("POST", _) => 422,
                    ("PUT", _) => 405,
                    (_, true) => 401,
                    ("DELETE", false) => 404,
                    (_, false) => 200,
                };
                if passes {
                    assert_eq!(answer.status, done, "{cell:?} {answer:?}");
                } else {
                    assert_eq!(answer.short(), FORBIDDEN, "{cell:?}");
                }
                if method == "PATCH" {
                    address = if answer.status == 200 { spelling } else { address };
                    assert_eq!(shown().await, address, "{cell:?}");
                }
                if method != "GET" {
                    assert_varies(&answer, &cell);
                }
                let reader = if source.origin == LISTED { LISTED } else { "" };
                assert_eq!(answer.header("access-control-allow-origin"), reader, "{cell:?}");
                cells += 1;
            }
        }
    }
    assert_eq!(cells, 1728);
    assert_eq!(http.bare("GET", &format!("/users/{someone}"), &token).await.status, 200);
}

/// A spelling of the word by the bits of a number.
fn cased(word: &str, bits: usize) -> String {
    let upper = |(at, letter): (usize, char)| {
        if bits >> (at % 6) & 1 == 1 { letter.to_ascii_uppercase() } else { letter }
    };
    word.chars().enumerate().map(upper).collect()
}

#[tokio::test]
async fn c01_a_foreign_page_logs_nobody_in_for_a_cookie_and_nobody_out() {
    let stack = stack().await;
    let (_, token) = stack.user("king.arthur@camelot.bt").await;
    let http = stack.http();
    let form = [("username", "king.arthur@camelot.bt"), ("password", PASSWORD)];
    for source in Source::all() {
        // What must be refused is a good login or the logout of a live session; what passes costs no hash.
        let form = if source.passes() { &[][..] } else { &form };
        let cookie = if source.passes() { "nonsense" } else { &token };
        // Those of the cookie are refused without one too: they change what the browser keeps.
        for (path, cookie, done) in [
            ("/auth/cookie/login", cookie, 422),
            ("/auth/cookie/login", "", 422),
            ("/auth/cookie/logout", cookie, 204),
            ("/auth/cookie/logout", "", 204),
            ("/auth/cookie/refresh", cookie, 401),
            ("/auth/cookie/refresh", "", 401),
            ("/auth/jwt/logout", cookie, 401),
        ] {
            let request = source.send(http.request("POST", path)).form(form);
            let answer = http.send(Transport::Cookie.send(request, cookie)).await;
            let cell = (path, cookie.is_empty(), source);
            if source.passes() {
                assert_eq!(answer.status, done, "{cell:?} {answer:?}");
            } else {
                assert_eq!(
                    (answer.short().as_str(), answer.header("set-cookie")),
                    (FORBIDDEN, ""),
                    "{cell:?}"
                );
            }
            assert_varies(&answer, &cell);
        }
    }
    // A login for a bearer token gives the browser nothing that it would send by itself.
    let foreign = Source { origin: "https://evil.example", site: "cross-site" };
    let login = http.send(foreign.send(http.request("POST", "/auth/jwt/login")).form(&form)).await;
    assert_eq!((login.status, login.header("access-control-allow-origin")), (200, ""));
    assert_eq!(stack.database.number("SELECT count(*) FROM sessions").await, 2);
    assert_eq!(http.bare("GET", "/users/me", &token).await.status, 200);
}
