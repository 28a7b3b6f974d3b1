//! Spellings of paths, ids and methods. Whatever is asked for, and however it is written, needs the same credential
//! and is answered alike.

use crate::harness::{PASSWORD, RawAnswer, Stack, Vigil, exchange};

/// Somebody without a credential, a user, and a superuser, who ask for the same.
struct Callers {
    stack: Stack,
    user: (String, String),
    superuser: (String, String),
}

impl Callers {
    async fn set() -> Self {
        let stack = Stack::start().await;
        let user = stack.user("user@camelot.bt").await;
        let superuser = stack.superuser("superuser@camelot.bt").await;
        Self { stack, user, superuser }
    }

    /// Sends a request with this token, none if it is empty, that cannot be sent as other than these bytes.
    fn ask(&self, method: &str, target: &str, token: &str, headers: &str) -> RawAnswer {
        let credential = if token.is_empty() { "" } else { &format!("Authorization: Bearer {token}\r\n") };
        let request = format!(
            "{method} {target} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n{credential}{headers}\r\n"
        );
        let answer = exchange(self.stack.gateway.port, request).only();
        if answer.status >= 400 && method != "HEAD" {
            answer.assert_is_ours();
        }
        answer
    }

    /// How each of the three is answered.
    fn statuses(&self, method: &str, target: &str) -> [u16; 3] {
        ["", &self.user.1, &self.superuser.1].map(|token| self.ask(method, target, token, "").status)
    }

    /// Fails unless each of the three is answered so for each target.
    fn assert_answered<T: AsRef<str>>(&self, targets: impl IntoIterator<Item = T>, statuses: [u16; 3]) {
        for target in targets {
            assert_eq!(self.statuses("GET", target.as_ref()), statuses, "{:?}", target.as_ref());
        }
    }
}

/// How the three are answered where only a superuser may look.
const FOR_SUPERUSERS: [u16; 3] = [401, 403, 200];
/// The same where nobody has the id.
const NOBODY: [u16; 3] = [401, 403, 404];
/// The same where there is no such path.
const NOWHERE: [u16; 3] = [404, 404, 404];

#[tokio::test]
async fn h15_every_spelling_of_a_path_is_the_path_or_none() {
    let callers = Callers::set().await;
    let vigil = Vigil::begin(&callers.stack).await;
    // Escaped letters are the letters (RFC 3986 section 6.2.2.2), queries, fragments and hosts are nothing.
    for target in [
        "/users/me",
        "/users/%6de",
        "/%75%73ers/%6D%65",
        "/users/me?",
        "/users/me?/../x",
        "/users/me?id=7#x",
        "/users/me#x",
        "http://x/users/me",
    ] {
        assert_eq!(callers.statuses("GET", target), [401, 200, 200], "{target}");
        for (id, token) in [&callers.user, &callers.superuser] {
            assert!(callers.ask("GET", target, token, "").body.contains(id), "{target} is another's");
        }
    }
    // Nothing is folded, and an escaped slash separates nothing.
    callers.assert_answered(
        [
            "//x/users/me",
            "/users/me/",
            "//users/me",
            "/users//me",
            "/./users/me",
            "/users/./me",
            "/users/me/.",
            "/users/../users/me",
            "/health/live/../../users/me",
            "/users/%2e/me",
            "/users/%2e%2e/users/me",
            "/users/..%2fusers/me",
            "/users%2Fme",
            "/users/me%2f",
            "/users/me%2F..",
            "/users%5Cme",
            "/users\\me",
            "/users;x=1/me",
            "/Users/me",
            "/USERS/ME",
            "/users",
            "/users/",
            "/",
            "/users%00/me",
            "/%ff/me",
            "/%00",
            "/auth/jwt/login/",
            "/auth/..;/users/me",
            "/.well-known/JWKS.json",
            "/health/live%00",
            "/health/live;x=1",
        ],
        NOWHERE,
    );
    // What is no spelling of `me` is an id of nobody: decoded once, to the end, with nothing cut off.
    callers.assert_answered(
        [
            "/users/ME",
            "/users/Me",
            "/users/me;x=1",
            "/users/me%3bx=1",
            "/users/me%00",
            "/users/%00me",
            "/users/%00",
            "/users/me%20",
            "/users/me%09",
            "/users/me%0a",
            "/users/me%ff",
            "/users/%ff",
            "/users/me%23",
            "/users/me%3f",
            "/users/me\\",
            "/users/%256de",
            "/users/me.json",
            "/users/%u006de",
            "/users/%",
            "/users/%6",
            "/users/%zz",
            "/users/..",
            "/users/.",
            "/users/%2e%2e",
            "/users/m%65%CC%81",
        ],
        NOBODY,
    );
    let id = &callers.user.0;
    let escaped: String = id.bytes().map(|byte| format!("%{byte:02x}")).collect();
    let spellings = [format!("/users/{id}"), format!("/users/{escaped}"), format!("/%75sers/{id}")];
    callers.assert_answered(spellings, FOR_SUPERUSERS);
    assert_eq!(callers.statuses("GET", "/health/%6cive"), [200; 3]);
    vigil.assert_unharmed();
}

#[tokio::test]
async fn h16_an_id_has_one_form_in_any_case() {
    let callers = Callers::set().await;
    let vigil = Vigil::begin(&callers.stack).await;
    let id = &callers.user.0;
    callers
        .assert_answered([format!("/users/{id}"), format!("/users/{}", id.to_uppercase())], FOR_SUPERUSERS);
    let bare = id.replace('-', "");
    let ids = [
        format!("{{{id}}}"),
        format!("%7b{id}%7d"),
        format!("urn:uuid:{id}"),
        format!("\"{id}\""),
        bare.clone(),
        format!("{}-{}", &bare[..16], &bare[16..]),
        id.replace('-', "_"),
        id.replace('-', "%E2%80%90"),     // a hyphen of Unicode
        id.replacen('0', "%D9%A0", 1),    // a zero of Arabic
        id.replacen('0', "%EF%BC%90", 1), // a zero in full width
        format!("%20{id}"),
        format!("{id}%20"),
        format!("{id}%00"),
        format!("{id}%0a"),
        format!("0{id}"),
        id[..35].to_owned(),
        format!("{},{id}", id),
        "00000000-0000-0000-0000-000000000000".to_owned(),
        "ffffffff-ffff-ffff-ffff-ffffffffffff".to_owned(),
        "c232ab00-9414-11ec-b3c8-9f68deced846".to_owned(), // of version 1
        "1".to_owned(),
        "-1".to_owned(),
        "null".to_owned(),
        "'%20OR%20''='".to_owned(),
        "x".repeat(7000),
    ];
    callers.assert_answered(ids.iter().map(|id| format!("/users/{id}")), NOBODY);
    for method in ["PATCH", "DELETE"] {
        for id in &ids {
            assert_eq!(callers.statuses(method, &format!("/users/{id}")), NOBODY, "{method} {id}");
        }
    }
    assert_eq!(callers.statuses("GET", &format!("/users/{}", "0".repeat(10 * 1024))), [414; 3]);
    callers.assert_answered(["/users/", "/users"], NOWHERE);
    // The order is credential, right, existence, in this order also for who is there.
    assert_eq!(callers.statuses("DELETE", &format!("/users/{id}")), [401, 403, 204]);
    vigil.assert_unharmed();
}

#[tokio::test]
async fn h17_a_method_that_a_path_does_not_have_is_refused_with_those_that_it_has() {
    let callers = Callers::set().await;
    let vigil = Vigil::begin(&callers.stack).await;
    let token = &callers.user.1;
    let long = "X".repeat(10 * 1024);
    for method in
        ["TRACE", "PROPFIND", "TRACK", "QUERY", "PUT", "get", "Get", "patch", "PRI", "HEAD", "OPTIONS", &long]
    {
        for (path, allowed) in [
            ("/users/me", "get, patch, delete"),
            ("/users/camelot.bt", "get, patch, delete"),
            ("/auth/register", "post"),
            ("/auth/reset-password", "post"),
            ("/auth/verify", "post"),
            ("/health/live", "get"),
        ] {
            let answer = callers.ask(method, path, token, "X-Secret: user@camelot.bt\r\n");
            assert_eq!((answer.status, answer.header("allow")), (405, allowed), "{method} {path}");
            // TRACE would show what a proxy adds, and what a page may not read.
            assert!(!answer.head.contains("camelot") && !answer.body.contains("camelot"), "{answer:?}");
        }
        assert_eq!(callers.ask(method, "/nowhere", token, "").status, 404, "{method}");
    }
    // A tunnel has no end, so the connection does not live on.
    for (target, status) in [("/users/me", 405), ("camelot.bt:443", 404)] {
        let answer = callers.ask("CONNECT", target, token, "");
        assert_eq!((answer.status, answer.header("connection")), (status, "close"));
    }
    assert_eq!(callers.ask("OPTIONS", "*", token, "").status, 404);
    vigil.assert_unharmed();
}

#[tokio::test]
async fn h17_no_header_query_or_field_overrides_the_method() {
    let callers = Callers::set().await;
    let vigil = Vigil::begin(&callers.stack).await;
    let ((id, _), (_, token)) = (&callers.user, &callers.superuser);
    let path = format!("/users/{id}");
    for header in ["X-HTTP-Method-Override", "X-HTTP-Method", "X-Method-Override", "Method", "_method"] {
        let headers = format!("{header}: DELETE\r\n");
        assert_eq!(callers.ask("GET", &path, token, &headers).status, 200, "{header}");
        assert_eq!(callers.ask("POST", &path, token, &headers).status, 405, "{header}");
    }
    assert_eq!(callers.ask("GET", &format!("{path}?_method=DELETE"), token, "").status, 200);
    let http = callers.stack.http();
    let form = http.request("POST", &path).bearer_auth(token).form(&[("_method", "DELETE")]);
    assert_eq!(http.send(form).await.status, 405);
    let form = [("username", "user@camelot.bt"), ("password", PASSWORD), ("_method", "DELETE")];
    let login = http.request("POST", "/auth/jwt/login").header("x-http-method-override", "GET").form(&form);
    assert_eq!(http.send(login).await.status, 200);
    assert_eq!(callers.ask("GET", &path, token, "").status, 200, "he is there no more");
    vigil.assert_unharmed();
}
