//! What no own field may hold, whatever the schema says: what cannot be stored, or not be shown as it was sent.

use portcullis_proto::field_path::Step;
use portcullis_proto::own_fields::{MAX_DEPTH, MAX_INTEGER};
use portcullis_proto::violation::Kind;
use serde_json::{Map, Value};

use super::refusal::Refusal;

/// The longest JSON text of all own fields of a user, in bytes: the longest body that the gateway reads.
const MAX_LENGTH: usize = 16 * 1024;

/// Refuses more than is kept of a user.
pub(super) fn check_length(fields: &Map<String, Value>) -> Result<(), Refusal> {
    let length = serde_json::to_vec(fields).map_or(usize::MAX, |text| text.len());
    if length <= MAX_LENGTH {
        return Ok(());
    }
    let description = format!("All own fields together should have at most {MAX_LENGTH} bytes as JSON");
    Err(Refusal::new(Vec::new(), Kind::ValueError, description))
}

/// The first thing in a field that is beyond the limits.
pub(super) fn find_excess(name: &str, value: &Value) -> Option<Refusal> {
    look(value, MAX_DEPTH).map(|refusal| refusal.below(Step::Name(name.to_owned())))
}

fn look(value: &Value, depth: usize) -> Option<Refusal> {
    match value {
        Value::Null | Value::Bool(_) => None,
        Value::Number(number) => number.as_f64().and_then(beyond_the_integers),
        Value::String(text) => text.contains('\0').then(|| here("Input should have no NUL")),
        Value::Array(_) | Value::Object(_) if depth == 0 => {
            Some(here(&format!("Input should be nested at most {MAX_DEPTH} deep")))
        }
        Value::Array(values) => values
            .iter()
            .enumerate()
            .find_map(|(index, value)| Some(look(value, depth - 1)?.below(Step::Index(index)))),
        Value::Object(fields) if fields.keys().any(|name| name.contains('\0')) => {
            Some(here("Input should have no NUL in a name"))
        }
        Value::Object(fields) => fields
            .iter()
            .find_map(|(name, value)| Some(look(value, depth - 1)?.below(Step::Name(name.clone())))),
    }
}

fn beyond_the_integers(number: f64) -> Option<Refusal> {
    let (kind, limit) = match number {
        number if number > MAX_INTEGER => {
            (Kind::LessThanEqual, format!("less than or equal to {MAX_INTEGER}"))
        }
        number if number < -MAX_INTEGER => {
            (Kind::GreaterThanEqual, format!("greater than or equal to -{MAX_INTEGER}"))
        }
        _ => return None,
    };
    let description = format!("Input should be {limit}, beyond which integers are not exact");
    Some(Refusal::new(Vec::new(), kind, description))
}

fn here(description: &str) -> Refusal {
    Refusal::new(Vec::new(), Kind::ValueError, description.to_owned())
}
