//! SQL in every string that a client can send: it stays a string.

use std::time::Instant;

use futures_util::StreamExt as _;
use futures_util::stream;
use portcullis_proto::v1::{
    CreateUserRequest, DeleteSessionRequest, DeleteUserRequest, GetUserRequest, ListUsersRequest,
    RequestPasswordResetRequest, ResetPasswordRequest, VerifyEmailRequest,
};
use reqwest::RequestBuilder;
use reqwest::header::HeaderValue;
use serde_json::{Value, json};

use crate::harness::{
    Answer, Forge, Http, PASSWORD, Rpc, Stack, Vigil, assert_is_refused, claims, outcome, rounds, urlencoded,
    with_token,
};

/// What ends the literal or the list that a careless query would put the text into.
const ENDS: [&str; 15] = [
    "",
    "'",
    "''",
    "\"",
    "')",
    "'))",
    "\\'",
    "%27",
    "＇",
    "\u{2b9}'",
    "$$",
    "`",
    ";",
    "\0'",
    "admin@camelot.bt'",
];
/// What it would do then.
const DEEDS: [&str; 32] = [
    " OR 1=1",
    " OR '1'='1",
    "/**/OR/**/1=1",
    " UNION SELECT NULL,NULL,NULL",
    " UNION ALL SELECT * FROM users",
    "; DROP TABLE users",
    "; DELETE FROM users",
    "; TRUNCATE sessions CASCADE",
    "; UPDATE users SET is_superuser=true",
    "; INSERT INTO users SELECT * FROM users",
    "; SELECT pg_sleep(9)",
    "||pg_sleep(9)",
    " AND 9=(SELECT 9 FROM pg_sleep(9))",
    " AND 1=CAST((SELECT version()) AS int)",
    "; COPY users TO PROGRAM 'true'",
    "; SET ROLE postgres",
    "; COMMIT",
    "; ROLLBACK",
    " RETURNING password_hash",
    " LIMIT 1 OFFSET 1",
    " ORDER BY 99",
    " FOR UPDATE",
    "%",
    "_%",
    " ILIKE '%'",
    "$1",
    "$1::text",
    "U&'\\0027'",
    "E'\\x27'",
    "->>'email'",
    "#>>'{a,b}'",
    "@?'$.x'",
];
/// What makes the rest of the query harmless.
const RESTS: [&str; 9] = ["", "--", "-- ", "#", "/*", ";--", "'", "\"", "\0"];

/// So many of all combinations, evenly spread.
fn corpus(size: usize) -> Vec<String> {
    let all = ENDS.len() * DEEDS.len() * RESTS.len();
    let text = |at: usize| {
        let (end, rest, deed) =
            (at % ENDS.len(), at / ENDS.len() % RESTS.len(), at / ENDS.len() / RESTS.len());
        format!("{}{}{}", ENDS[end], DEEDS[deed], RESTS[rest])
    };
    (0..size).map(|number| text(number * all / size)).collect()
}

/// An address whose local part is as much of the text as may stand there: it is legal, and goes to the database.
fn address(text: &str) -> String {
    let atom = |c: &char| c.is_ascii_alphanumeric() || "!#$%&'*+-/=?^_`{|}~".contains(*c);
    let local: String = text.chars().filter(atom).take(60).collect();
    format!("{local}q@camelot.bt")
}

/// Who sends the texts, and to whom.
struct Attack {
    http: Http,
    rpc: Rpc,
    superuser: String,
    forge: Forge,
}

impl Attack {
    /// Every request with the text in a place that refuses it, with the statuses that it may have.
    fn refused(&self, text: &str) -> Vec<(&'static [u16], RequestBuilder)> {
        let post = |path: &str| self.http.request("POST", path);
        let json = |body: Value| post("/auth/register").json(&body);
        let recovery = |name: &str, body: Value| post(&format!("/auth/{name}")).json(&body);
        let form = |path: &str, fields: &[(&str, &str)]| {
            let fields: Vec<_> = fields.iter().map(|(name, value)| (*name, value.as_bytes())).collect();
            let request = post(path).header("content-type", "application/x-www-form-urlencoded");
            request.body(urlencoded(&fields))
        };
        let id = |method: &str, tail: &str| {
            let id: String = text.bytes().map(|byte| format!("%{byte:02x}")).collect();
            self.http.request(method, &format!("/users/{id}{tail}")).bearer_auth(&self.superuser)
        };
        let header = |name: &str, value: String| {
            let value = HeaderValue::from_bytes(value.as_bytes()).ok()?;
            Some(self.http.request("GET", "/users/me").header(name, value))
        };
        let with = |token: String| (&[401][..], self.http.request("GET", "/users/me").bearer_auth(token));
        let claim = |name: &str| with(self.forge.with_claims(&self.superuser, json!({name: text})));
        let header_with_kid = json!({"alg": "EdDSA", "typ": "at+jwt", "kid": text});
        let mut requests = vec![
            (&[422][..], json(json!({"email": text, "password": PASSWORD}))),
            (&[422], json(json!({"email": format!("{text} <x>"), "password": text}))),
            (&[422], json(json!({"email": "a@camelot.bt", "password": PASSWORD, "is_active": text}))),
            (&[422], json(json!({text: text, "email": 1, "password": PASSWORD}))),
            // The address is taken, which is found out before anything is hashed.
            (&[400], json(json!({"email": "victim@camelot.bt", "password": format!("{text} long enough")}))),
            (&[400], form("/auth/jwt/login", &[("username", text), ("password", PASSWORD)])),
            (&[400], form("/auth/cookie/login", &[("username", text), ("password", text)])),
            (
                &[422],
                form(
                    "/auth/jwt/login",
                    &[("grant_type", text), ("username", "a@camelot.bt"), ("password", text)],
                ),
            ),
            (&[422], recovery("forgot-password", json!({"email": text}))),
            (&[422], recovery("request-verify-token", json!({"email": text}))),
            (&[400], recovery("reset-password", json!({"token": text, "password": text}))),
            (&[400], recovery("verify", json!({"token": text}))),
            (&[404], id("GET", "")),
            (&[404], id("PATCH", "").json(&json!({"is_superuser": true}))),
            (&[404], id("DELETE", "?id=me")),
            with(self.forge.sign(&header_with_kid, &claims(&self.superuser))),
            claim("sub"),
            claim("sid"),
            claim("jti"),
        ];
        let headers = [
            header("authorization", format!("Bearer {text}")),
            header("authorization", text.to_owned()),
            header("cookie", format!("fastapiusersauth={text}")),
        ];
        requests.extend(headers.into_iter().flatten().map(|request| (&[400, 401][..], request)));
        requests
    }

    async fn check(&self, text: &str) {
        for (statuses, request) in self.refused(text) {
            let what = format!("{text:?} in {request:?}");
            let answer = self.http.send(request).await;
            assert!(statuses.contains(&answer.status), "{what}: {answer:?}");
            assert_is_refused(&answer, answer.status, &what);
            self.is_quick(&answer);
        }
        self.check_directly(text).await;
        // A query is nobody's business, so it is not refused either.
        let query = format!("/users/me?{}", urlencoded(&[("id", text.as_bytes())]));
        let answer = self.http.bare("GET", &query, &self.superuser).await;
        assert_eq!((answer.status, answer.text("email").as_str()), (200, "merlin@camelot.bt"));
    }

    /// The strings that come straight to identity-service, some of which no client of the gateway can send.
    async fn check_directly(&self, text: &str) {
        let started = Instant::now();
        let (mut users, mut sessions) = (self.rpc.users.clone(), self.rpc.sessions.clone());
        let mut recovery = self.rpc.recovery.clone();
        let (id, email) = (text.to_owned(), "direct@camelot.bt".to_owned());
        let create =
            CreateUserRequest { user_id: id.clone(), email, password: PASSWORD.to_owned(), profile: None };
        let list = ListUsersRequest { page_token: id.clone(), ..ListUsersRequest::default() };
        let get = with_token(GetUserRequest { id: id.clone() }, &self.superuser);
        let delete = with_token(DeleteUserRequest { id: id.clone() }, &self.superuser);
        let end = with_token(DeleteSessionRequest { id }, &self.superuser);
        let (token, password) = (text.to_owned(), text.to_owned());
        let ask = RequestPasswordResetRequest { email: token.clone(), language_codes: vec![token.clone()] };
        let reset = ResetPasswordRequest { token: token.clone(), password };
        let refused = [
            outcome(&recovery.request_password_reset(ask).await),
            outcome(&recovery.reset_password(reset).await),
            outcome(&recovery.verify_email(VerifyEmailRequest { token }).await),
        ];
        let no_token = "InvalidArgument RECOVERY_TOKEN_REFUSED";
        assert_eq!(refused, ["InvalidArgument INVALID_REQUEST", no_token, no_token], "{text:?}");
        let outcomes = [
            outcome(&users.create_user(create).await),
            outcome(&users.list_users(with_token(list, &self.superuser)).await),
            outcome(&users.get_user(get).await),
            outcome(&users.delete_user(delete).await),
            outcome(&sessions.delete_session(end).await),
        ];
        let (invalid, nobody) = ("InvalidArgument INVALID_REQUEST", "NotFound USER_NOT_FOUND");
        assert_eq!(outcomes, [invalid, invalid, nobody, nobody, "NotFound SESSION_NOT_FOUND"], "{text:?}");
        assert!(started.elapsed().as_secs() < 9, "{text:?}");
    }

    /// That no `pg_sleep` was run.
    fn is_quick(&self, answer: &Answer) {
        assert!(answer.took.as_secs() < 9, "{answer:?}");
    }
}

#[tokio::test]
async fn h28_sql_in_any_string_is_a_string() {
    let stack = Stack::start().await;
    let (_, superuser) = stack.superuser("merlin@camelot.bt").await;
    let (mover, token) = stack.user("mover@camelot.bt").await;
    stack.register("victim@camelot.bt").await;
    let vigil = Vigil::begin(&stack).await;
    let forge = Forge::with_the_real_key(&stack.database).await;
    let attack = Attack { http: stack.http(), rpc: stack.rpc().await, superuser, forge };
    let others = async || {
        let mut rows = stack.database.contents().await;
        rows.retain(|row| !row.contains(&mover));
        rows
    };
    let before = others().await;
    let texts = corpus(rounds(200, 2000));
    stream::iter(&texts).map(|text| attack.check(text)).buffer_unordered(8).collect::<()>().await;
    // As far as a text can stand in a legal address, it reaches the database as a parameter, and comes back as it was.
    for email in texts.iter().map(|text| address(text)) {
        let moved = attack.http.json("PATCH", "/users/me", &token, json!({"email": email})).await;
        assert_eq!((moved.status, moved.text("email")), (200, email.clone()));
        let taken = attack.http.register(&email, PASSWORD).await;
        assert_eq!(taken.short(), r#"400 {"detail":"REGISTER_USER_ALREADY_EXISTS"}"#, "{email}");
    }
    assert_eq!(others().await, before);
    assert_eq!(stack.database.number("SELECT count(*) FROM users").await, 4);
    vigil.assert_unharmed();
}

#[tokio::test]
async fn h28_sql_in_an_address_or_a_password_registers_and_logs_in_one_user() {
    let stack = Stack::start().await;
    let http = &stack.http();
    let size = rounds(12, 200);
    let texts = corpus(size);
    let tries = stream::iter(texts.iter().enumerate()).map(|(number, text)| async move {
        let (email, password) = (format!("{number}{}", address(text)), format!("{text} long enough"));
        let answer = http.register(&email, &password).await;
        assert_eq!((answer.status, answer.text("email")), (201, email.clone()), "{text:?}");
        assert_eq!(http.log_in(&email, &password).await.status, 200, "{text:?}");
        assert_eq!(http.log_in(&email, text).await.status, 400, "{text:?}");
    });
    tries.buffer_unordered(4).collect::<()>().await;
    assert_eq!(stack.database.number("SELECT count(*) FROM users").await, size as i64);
    assert_eq!(stack.database.number("SELECT count(*) FROM sessions").await, size as i64);
}
