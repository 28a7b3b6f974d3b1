//! The operator's own fields, as `USER_SCHEMA` has them, through both processes.

mod rest;
mod rpc;
mod schema_changes;
mod start;

use std::io::Write as _;

use serde_json::{Value, json};

use crate::harness::{Answer, PASSWORD, Stack};

const EMAIL: &str = "king.arthur@camelot.bt";

/// A file with a schema of these properties, of which some are required.
fn schema(properties: &Value, required: &[&str]) -> tempfile::NamedTempFile {
    let schema = json!({"type": "object", "properties": properties, "required": required});
    file(&schema.to_string())
}

fn file(text: &str) -> tempfile::NamedTempFile {
    let mut file = tempfile::NamedTempFile::new().unwrap();
    file.write_all(text.as_bytes()).unwrap();
    file
}

/// What most tests here start from: a little of everything.
fn knights() -> tempfile::NamedTempFile {
    let properties = json!({
        "first_name": {"type": "string", "minLength": 2, "maxLength": 100},
        "birthdate": {"type": "string", "format": "date"},
        "age": {"type": "integer", "minimum": 0},
        "address": {
            "type": "object",
            "properties": {"street": {"type": "string", "minLength": 1}, "city": {"type": "string"}},
            "required": ["street"],
            "additionalProperties": false,
        },
        "tags": {"type": "array", "items": {"type": "string"}},
        "rank": {"enum": ["squire", "knight"], "readOnly": true},
        "pin": {"type": "string", "writeOnly": true},
        "anything": {},
    });
    schema(&properties, &["first_name"])
}

async fn stack(schema: &tempfile::NamedTempFile) -> Stack {
    Stack::with(&[("USER_SCHEMA", schema.path().to_str().unwrap())], &[]).await
}

/// Registers with these fields beside address and password.
async fn register(stack: &Stack, email: &str, own: Value) -> Answer {
    let mut body = json!({"email": email, "password": PASSWORD});
    body.as_object_mut().unwrap().extend(own.as_object().unwrap().clone());
    stack.http().json("POST", "/auth/register", "", body).await
}

async fn patch(stack: &Stack, path: &str, token: &str, changes: Value) -> Answer {
    stack.http().json("PATCH", path, token, changes).await
}

/// What is wrong: where, and of which type.
fn wrong(answer: &Answer) -> Vec<String> {
    assert_eq!(answer.status, 422, "{answer:?}");
    let items = answer.json()["detail"].as_array().unwrap().clone();
    items.iter().map(|item| format!("{} {}", item["loc"], item["type"].as_str().unwrap())).collect()
}

/// An answer without the fields that every user has.
fn own(answer: &Answer) -> Value {
    assert!([200, 201].contains(&answer.status), "{answer:?}");
    let mut user = answer.json();
    let fields = user.as_object_mut().unwrap();
    for name in ["id", "email", "is_active", "is_superuser", "is_verified"] {
        assert!(fields.shift_remove(name).is_some(), "{answer:?}");
    }
    user
}

/// What is stored of the only user.
async fn stored(stack: &Stack) -> Value {
    let text: String = stack.database.rows("SELECT profile::text FROM users", &[]).await[0].get(0);
    serde_json::from_str(&text).unwrap()
}
