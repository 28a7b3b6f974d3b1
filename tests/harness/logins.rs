//! Many sessions without a hash: rows as a login writes them, and tokens signed with the real key.

use serde_json::json;
use uuid::Uuid;

use super::{Database, Forge, claims};

/// Gives the user of a token so many further sessions; their tokens.
pub async fn further_sessions(database: &Database, token: &str, count: usize) -> Vec<String> {
    let forge = Forge::with_the_real_key(database).await;
    let ids: Vec<Uuid> = (0..count).map(|_| Uuid::now_v7()).collect();
    let user = claims(token)["sub"].as_str().expect("is text").to_owned();
    let sql = "INSERT INTO sessions (id, user_id, created_at, expires_at)
               SELECT id, $1::text::uuid, now(), to_timestamp($3::text::bigint) FROM unnest($2::text[]::uuid[]) id";
    let texts: Vec<String> = ids.iter().map(Uuid::to_string).collect();
    let expiry = claims(token)["exp"].to_string();
    database.rows(sql, &[&user, &texts, &expiry]).await;
    ids.iter().map(|id| forge.with_claims(token, json!({"sid": id, "jti": Uuid::new_v4()}))).collect()
}
