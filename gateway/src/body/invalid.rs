//! FastAPI's 422: what is wrong with a body, item by item. No item ever shows a password, wherever it was sent: also
//! who types it into the field of the e-mail address does not get it back.

use portcullis_proto::field_path::{FieldPath, PROFILE, Step};
use portcullis_proto::violation::Kind;
use serde::Serialize;
use serde_json::{Value, json};

use crate::failure::Violation;

/// The fields that a client can send, beside the operator's own.
const FIELDS: [&str; 6] = ["email", "password", "is_active", "is_superuser", "is_verified", "end_token"];

/// One thing that is wrong, as it stands in the answer.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Item(Value);

/// The whole answer.
#[must_use]
pub fn body(items: &[Item]) -> Value {
    json!({ "detail": items })
}

/// The whole answer to a refusal of identity-service, which knows rules for values, not for JSON; `None` if it
/// refused nothing that the client can have sent.
#[must_use]
pub fn refused(violations: &[Violation]) -> Option<Value> {
    let items: Vec<_> = violations.iter().filter_map(refused_field).collect();
    (!items.is_empty()).then(|| body(&items))
}

/// Whether a client can have sent the field that identity-service refused. What it says of others is not his concern.
#[must_use]
pub fn can_be_sent(violation: &Violation) -> bool {
    refused_field(violation).is_some()
}

fn refused_field(violation: &Violation) -> Option<Item> {
    let Violation { field, kind, description } = violation;
    if FIELDS.contains(&field.as_str()) {
        return Some(value_error(field, description));
    }
    let FieldPath(way) = FieldPath::parse(field)?;
    match way.split_first()? {
        (Step::Name(first), own) if first == PROFILE => Some(refused_own_field(own, *kind, description)),
        _ => None,
    }
}

/// Of the operator's own fields, which stand beside the others in a body, identity-service knows what pydantic would say.
fn refused_own_field(way: &[Step], kind: Kind, description: &str) -> Item {
    let to_place = |step: &Step| match step {
        Step::Name(name) => json!(name),
        Step::Index(index) => json!(index),
    };
    let place = std::iter::once(json!("body")).chain(way.iter().map(to_place)).collect();
    match kind {
        Kind::ValueError => {
            let item = item("value_error", place, &format!("Value error, {description}"), Value::Null);
            with_context(item, json!({ "reason": description }))
        }
        kind => item(&kind.as_str().to_ascii_lowercase(), place, description, Value::Null),
    }
}

/// There is no body.
#[must_use]
pub fn missing_body() -> Item {
    item("missing", json!(["body"]), "Field required", Value::Null)
}

/// The body is not JSON; it stops being JSON at this byte.
#[must_use]
pub fn not_json(byte: usize, problem: &str) -> Item {
    let item = item("json_invalid", json!(["body", byte]), "JSON decode error", json!({}));
    with_context(item, json!({ "error": problem }))
}

/// The body is JSON, but not an object, or is not said to be JSON.
#[must_use]
pub fn not_an_object(value: &Value) -> Item {
    let message = "Input should be a valid dictionary or object to extract fields from";
    item("model_attributes_type", json!(["body"]), message, shown(value))
}

/// A required field is missing.
#[must_use]
pub fn missing(field: &str) -> Item {
    item("missing", at(field), "Field required", Value::Null)
}

/// A field is not a string.
#[must_use]
pub fn not_a_string(field: &str, value: &Value) -> Item {
    let value = if field == "password" { Value::Null } else { shown(value) };
    item("string_type", at(field), "Input should be a valid string", value)
}

/// A field has a value that could be a flag, but is none.
#[must_use]
pub fn unknown_flag(field: &str) -> Item {
    let message = "Input should be a valid boolean, unable to interpret input";
    item("bool_parsing", at(field), message, Value::Null)
}

/// A field has a value that cannot be a flag.
#[must_use]
pub fn not_a_flag(field: &str) -> Item {
    item("bool_type", at(field), "Input should be a valid boolean", Value::Null)
}

/// A field has a value that breaks a rule; for `email`, `reason` says why it is no e-mail address.
#[must_use]
pub fn value_error(field: &str, reason: &str) -> Item {
    let message = match field {
        "email" => format!("value is not a valid email address: {reason}"),
        _ => format!("Value error, {reason}"),
    };
    with_context(item("value_error", at(field), &message, Value::Null), json!({ "reason": reason }))
}

/// A header has a value that breaks a rule.
#[must_use]
pub fn header_error(name: &str, reason: &str) -> Item {
    let item = item("value_error", json!(["header", name]), &format!("Value error, {reason}"), Value::Null);
    with_context(item, json!({ "reason": reason }))
}

/// A NUL stands in the name or in the value of a field that is otherwise ignored. Which one is not said: a name can
/// be anything.
#[must_use]
pub fn stray_nul() -> Item {
    let reason = "a NUL is legal in a password only";
    let message = format!("Value error, {reason}");
    with_context(item("value_error", json!(["body"]), &message, Value::Null), json!({ "reason": reason }))
}

/// A form asks for another kind of grant than this one.
#[must_use]
pub fn unknown_grant(expected: &str) -> Item {
    let pattern = format!("^{expected}$");
    let message = format!("String should match pattern '{pattern}'");
    let item = item("string_pattern_mismatch", at("grant_type"), &message, Value::Null);
    with_context(item, json!({ "pattern": pattern }))
}

fn item(kind: &str, loc: Value, msg: &str, input: Value) -> Item {
    Item(json!({ "type": kind, "loc": loc, "msg": msg, "input": input }))
}

fn with_context(mut item: Item, context: Value) -> Item {
    item.0["ctx"] = context;
    item
}

fn at(field: &str) -> Value {
    json!(["body", field])
}

/// The value, if it cannot be a password.
fn shown(value: &Value) -> Value {
    match value {
        Value::Bool(_) => value.clone(),
        Value::Null | Value::Number(_) | Value::String(_) | Value::Array(_) | Value::Object(_) => Value::Null,
    }
}
