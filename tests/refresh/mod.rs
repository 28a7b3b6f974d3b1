//! Refresh tokens: a session goes on without the password, as long as nobody has copied what it goes on with.

mod bad;
mod chain;
mod cookies;
mod end;
mod endings;
mod flow;
mod meanwhile;
mod parallel;
mod race;
mod secret;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::Value;

use crate::harness::{Answer, Database, Http, PASSWORD, Stack};

const EMAIL: &str = "king.arthur@camelot.bt";
/// The one answer to whatever is no good refresh token.
pub const REFUSED: &str = r#"401 {"detail":"REFRESH_BAD_TOKEN"}"#;
const SCOPE: &str = "offline_access";

/// The tokens of a session.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Tokens {
    pub access: String,
    pub refresh: String,
}

/// Logs in for a bearer token and a refresh token.
pub async fn offline(http: &Http, email: &str, password: &str) -> Tokens {
    tokens(&log_in(http, "/auth/jwt/login", email, password, SCOPE).await)
}

async fn log_in(http: &Http, path: &str, email: &str, password: &str, scope: &str) -> Answer {
    let form = [("username", email), ("password", password), ("scope", scope)];
    http.send(http.request("POST", path).form(&form)).await
}

/// The tokens in an answer that gives some.
pub fn tokens(answer: &Answer) -> Tokens {
    assert_eq!(answer.status, 200, "{answer:?}");
    Tokens { access: answer.text("access_token"), refresh: answer.text("refresh_token") }
}

/// Uses a refresh token.
pub async fn refresh(http: &Http, token: &str) -> Answer {
    let form = [("grant_type", "refresh_token"), ("refresh_token", token)];
    http.send(http.request("POST", "/auth/jwt/refresh").form(&form)).await
}

/// Uses a refresh token that must be good.
async fn refreshed(http: &Http, token: &str) -> Tokens {
    tokens(&refresh(http, token).await)
}

/// A stack with a user, who has logged in for a refresh token.
async fn stack_and_tokens() -> (Stack, Tokens) {
    let stack = Stack::start().await;
    stack.register(EMAIL).await;
    let tokens = offline(&stack.http(), EMAIL, PASSWORD).await;
    (stack, tokens)
}

/// The three parts of a refresh token: the id of the session, the secret, the tag.
fn parts(token: &str) -> [Vec<u8>; 3] {
    let bytes = URL_SAFE_NO_PAD.decode(token).expect("is base64url");
    assert_eq!(bytes.len(), 64, "{token}");
    [&bytes[..16], &bytes[16..48], &bytes[48..]].map(<[u8]>::to_vec)
}

/// What is stored of a secret.
fn digest(secret: &[u8]) -> Vec<u8> {
    aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, secret).as_ref().to_vec()
}

/// The session that a token belongs to.
fn session(token: &str) -> String {
    uuid::Uuid::from_slice(&parts(token)[0]).expect("is an id").to_string()
}

/// The stored chain of a token's session: the digest of the newest token, and how many uses are remembered; none if the
/// session has ended.
async fn chain(database: &Database, token: &str) -> Option<(Vec<u8>, i32)> {
    let sql = "SELECT refresh_digest, cardinality(refresh_uses) FROM sessions WHERE id::text = $1";
    let rows = database.rows(sql, &[&session(token)]).await;
    rows.first().map(|row| (row.get(0), row.get(1)))
}

/// Makes it an hour later for a token's session, as far as uses of its tokens go.
async fn an_hour_later(database: &Database, token: &str) {
    let sql = "UPDATE sessions SET refresh_uses = ARRAY(
                   SELECT used - interval '1 hour' FROM unnest(refresh_uses) WITH ORDINALITY AS u (used, nr)
                   ORDER BY nr
               ) WHERE id::text = $1";
    database.rows(sql, &[&session(token)]).await;
}

/// Whether an access token names its user.
async fn works(http: &Http, access: &str) -> bool {
    match http.bare("GET", "/users/me", access).await.status {
        200 => true,
        401 => false,
        status => panic!("neither works nor not: {status}"),
    }
}

/// The number in a claim or an answer.
fn number(value: &Value, name: &str) -> i64 {
    value[name].as_i64().unwrap_or_else(|| panic!("no {name}: {value}"))
}
