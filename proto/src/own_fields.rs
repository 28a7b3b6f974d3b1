//! The operator's own fields of a user, between JSON and `google.protobuf.Struct`.
//!
//! A `Struct` has doubles for numbers and no order of its members. So an integer is exact up to [`MAX_INTEGER`] only:
//! identity-service refuses what is beyond.

use prost_types::value::Kind;
use prost_types::{ListValue, Struct, Value as Wire};
use serde_json::{Map, Number, Value};

/// The fields that users have anyway, and those that could be taken for one: no own field has such a name.
pub const BUILT_IN: [&str; 10] = [
    "id",
    "email",
    "password",
    "current_password",
    "hashed_password",
    "is_active",
    "is_superuser",
    "is_verified",
    "create_time",
    "update_time",
];

/// How deep lists and objects may be nested in an own field.
pub const MAX_DEPTH: usize = 16;

/// How deep they are nested at most in a message; with more than 32 a reader of protobuf gives up. Deeper ones are cut off
/// by [`to_struct`]: that is deep enough for identity-service to refuse the field, if it takes it at all.
pub const MAX_WIRE_DEPTH: usize = 24;

/// The largest integer that is exact as a double, and the one after it is too: 2^53 − 1 (RFC 7493 section 2.2).
pub const MAX_INTEGER: f64 = 9_007_199_254_740_991.0;

/// JSON as a message.
#[must_use]
pub fn to_struct(object: &Map<String, Value>) -> Struct {
    to_object(object, MAX_WIRE_DEPTH)
}

/// A message as JSON. A whole number becomes an integer; one that is not finite, the nearest that is; nothing, null.
#[must_use]
pub fn from_struct(message: Struct) -> Map<String, Value> {
    message.fields.into_iter().map(|(name, value)| (name, to_json(value))).collect()
}

fn to_object(object: &Map<String, Value>, depth: usize) -> Struct {
    let fields = object.iter().map(|(name, value)| (name.clone(), to_wire(value, depth))).collect();
    Struct { fields }
}

fn to_wire(value: &Value, depth: usize) -> Wire {
    let kind = match value {
        Value::Array(_) | Value::Object(_) if depth == 0 => Kind::NullValue(0),
        Value::Null => Kind::NullValue(0),
        Value::Bool(flag) => Kind::BoolValue(*flag),
        Value::Number(number) => Kind::NumberValue(number.as_f64().unwrap_or(f64::MAX)),
        Value::String(text) => Kind::StringValue(text.clone()),
        Value::Array(values) => {
            let values = values.iter().map(|value| to_wire(value, depth - 1)).collect();
            Kind::ListValue(ListValue { values })
        }
        Value::Object(object) => Kind::StructValue(to_object(object, depth - 1)),
    };
    Wire { kind: Some(kind) }
}

fn to_json(value: Wire) -> Value {
    match value.kind {
        None | Some(Kind::NullValue(_)) => Value::Null,
        Some(Kind::BoolValue(flag)) => Value::Bool(flag),
        Some(Kind::NumberValue(number)) => Value::Number(to_number(number)),
        Some(Kind::StringValue(text)) => Value::String(text),
        Some(Kind::ListValue(list)) => Value::Array(list.values.into_iter().map(to_json).collect()),
        Some(Kind::StructValue(message)) => Value::Object(from_struct(message)),
    }
}

fn to_number(number: f64) -> Number {
    if number.fract() == 0.0 && number.abs() <= MAX_INTEGER {
        #[expect(clippy::cast_possible_truncation, reason = "it is whole, and within the limits of an i64")]
        return Number::from(number as i64);
    }
    let finite = if number.is_nan() { f64::MAX } else { number.clamp(f64::MIN, f64::MAX) };
    Number::from_f64(finite).expect("it is finite")
}

#[cfg(test)]
mod tests {
    use super::*;
    use prost::Message as _;
    use serde_json::json;

    fn there_and_back(value: Value) -> Value {
        let bytes = to_struct(value.as_object().unwrap()).encode_to_vec();
        from_struct(Struct::decode(bytes.as_slice()).unwrap()).into()
    }

    #[test]
    fn json_comes_back_as_it_was_and_whole_numbers_as_integers() {
        for value in [
            json!({}),
            json!({"a": null, "b": [true, "x", {"c": {}}, []], "": -1.5}),
            json!({"a": [0, -7, 9_007_199_254_740_991_u64, -9_007_199_254_740_991_i64, 1e300, 0.1, 5e-324]}),
        ] {
            assert_eq!(there_and_back(value.clone()), value);
        }
        assert_eq!(there_and_back(json!({"a": [5.0, -0.0]})).to_string(), r#"{"a":[5,0]}"#);
        assert!(there_and_back(json!({"a": u64::MAX}))["a"].as_f64().unwrap() > MAX_INTEGER);
    }

    #[test]
    fn a_number_that_is_not_finite_is_beyond_the_integers() {
        for number in [f64::NAN, f64::INFINITY, f64::NEG_INFINITY] {
            assert!(to_number(number).as_f64().unwrap().abs() > MAX_INTEGER);
        }
    }

    #[test]
    fn what_is_nested_deeper_than_a_message_carries_is_cut_off_and_still_too_deep() {
        let depth = |value: &Value| {
            let mut levels = 0;
            let mut inner = value;
            while let Some(next) = inner.get(0).or_else(|| inner.get("x")) {
                inner = next;
                levels += 1;
            }
            levels
        };
        for wrap in [|inner: Value| json!([inner]), |inner: Value| json!({ "x": inner })] {
            let deep = (0..120).fold(Value::Null, |inner, _| wrap(inner));
            let back = there_and_back(json!({ "a": deep }));
            assert_eq!(depth(&back["a"]), MAX_WIRE_DEPTH);
            const { assert!(MAX_WIRE_DEPTH > MAX_DEPTH) };
        }
    }
}
