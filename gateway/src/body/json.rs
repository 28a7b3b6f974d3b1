//! From bytes to a JSON object, strictly (RFC 8259 and RFC 7493): UTF-8 only, and no byte order mark, NaN,
//! lone surrogate or duplicate name: two parsers would read each differently.
//!
//! The parser is the one that pydantic has, since it knows numbers of any size and says where a fault is. FastAPI reads
//! bodies with Python's, whose limit of 4,300 digits it has too.

use jiter::{Jiter, JiterError, JiterErrorType, JsonErrorType, Peek};
use serde_json::{Map, Value};

use super::{Body, invalid};
use crate::failure::Failure;

/// What FastAPI says of most faults.
const EXPECTED: &str = "Expecting value";
/// How deep arrays and objects may be nested; with it the stack that reading them takes is bounded.
const MAX_DEPTH: usize = 127;

/// The object that a body holds.
///
/// # Errors
/// FastAPI's 422 for a body that is missing, not JSON or not an object.
pub fn object(body: &Body) -> Result<Map<String, Value>, Failure> {
    let refuse = |item| Err(Failure::Invalid(vec![item]));
    if body.bytes.is_empty() {
        return refuse(invalid::missing_body());
    }
    if !is_json(&body.essence) {
        return refuse(invalid::not_an_object(&Value::Null));
    }
    match parse(&body.bytes) {
        Ok(Value::Object(map)) => Ok(map),
        Ok(Value::Null) => refuse(invalid::missing_body()),
        Ok(value) => refuse(invalid::not_an_object(&value)),
        Err((byte, problem)) => refuse(invalid::not_json(byte, problem)),
    }
}

/// The object that a body holds; one without fields for a body that is missing, or is not said to be JSON, or not an
/// object. So reads FastAPI whose fields are named one by one (`Body(embed=True)`).
///
/// # Errors
/// FastAPI's 422 for a body that is said to be JSON and is not.
pub fn embedded(body: &Body) -> Result<Map<String, Value>, Failure> {
    if body.bytes.is_empty() || !is_json(&body.essence) {
        return Ok(Map::new());
    }
    match parse(&body.bytes) {
        Ok(Value::Object(map)) => Ok(map),
        Ok(_) => Ok(Map::new()),
        Err((byte, problem)) => Err(Failure::Invalid(vec![invalid::not_json(byte, problem)])),
    }
}

/// `application/json` and `application/*+json`, whatever their parameters.
fn is_json(essence: &str) -> bool {
    essence
        .strip_prefix("application/")
        .is_some_and(|subtype| subtype == "json" || subtype.ends_with("+json"))
}

/// The value, or the byte at which the text stops being JSON, and why.
fn parse(bytes: &[u8]) -> Result<Value, (usize, &'static str)> {
    std::str::from_utf8(bytes).map_err(|error| (error.valid_up_to(), "Not UTF-8"))?;
    let mut text = Jiter::new(bytes);
    let value = read(&mut text, MAX_DEPTH)?;
    text.finish().map_err(fault)?;
    Ok(value)
}

/// The next value of the text, which may be this deep.
fn read(text: &mut Jiter<'_>, depth: usize) -> Result<Value, (usize, &'static str)> {
    let next = text.peek().map_err(fault)?;
    let start = text.current_index();
    match next {
        Peek::Array | Peek::Object if depth == 0 => Err((start, "Nested too deeply")),
        Peek::Array => {
            let mut values = Vec::new();
            let mut more = text.known_array().map_err(fault)?;
            while more.is_some() {
                values.push(read(text, depth - 1)?);
                more = text.array_step().map_err(fault)?;
            }
            Ok(Value::Array(values))
        }
        Peek::Object => {
            let mut map = Map::new();
            let mut name = text.known_object().map_err(fault)?.map(str::to_owned);
            while let Some(new) = name {
                if map.contains_key(&new) {
                    return Err((text.current_index(), "Duplicate name"));
                }
                map.insert(new, read(text, depth - 1)?);
                name = text.next_key().map_err(fault)?.map(str::to_owned);
            }
            Ok(Value::Object(map))
        }
        Peek::String => text.known_str().map(Value::from).map_err(fault),
        Peek::True | Peek::False => text.known_bool(next).map(Value::from).map_err(|_| (start, EXPECTED)),
        Peek::Null => text.known_null().map(|()| Value::Null).map_err(|_| (start, EXPECTED)),
        number => text.known_number_bytes(number).map(number_of).map_err(fault),
    }
}

/// A number. One that no double holds becomes the nearest that one holds: no field of ours takes it.
fn number_of(digits: &[u8]) -> Value {
    let nearest = if digits.starts_with(b"-") { f64::MIN } else { f64::MAX };
    serde_json::from_slice(digits).map_or_else(|_| nearest.into(), Value::Number)
}

/// Where a fault begins; of an unknown escape the parser says where it has read it.
fn fault(error: JiterError) -> (usize, &'static str) {
    let is_escape = error.error_type == JiterErrorType::JsonError(JsonErrorType::InvalidEscape);
    (error.index - usize::from(is_escape), EXPECTED)
}

#[cfg(test)]
mod tests {
    use super::*;
    use actix_web::web::Bytes;
    use proptest::prelude::*;

    fn read(content_type: &str, bytes: &[u8]) -> Result<Map<String, Value>, Value> {
        let body = Body {
            essence: content_type.to_owned(),
            content_type: content_type.as_bytes().to_vec(),
            bytes: Bytes::copy_from_slice(bytes),
        };
        object(&body).map_err(|failure| {
            let (status, body) = failure.answer();
            assert_eq!(status, 422);
            body["detail"][0].clone()
        })
    }

    #[test]
    fn malformed_json_is_reported_where_its_fault_begins() {
        for (text, byte) in [
            ("not json", 0),
            ("{\"email\":", 9),
            ("{\"email\"", 8),
            (r#"{"email":"\x"}"#, 10),
            (r#"{"email":"a@b.com"/*x*/}"#, 18),
            ("{'email':'a@b.com'}", 1),
            (r#"{"email":"a@b.com",}"#, 19),
            ("{} x", 3),
            ("{email:1}", 1),
            ("\n\n  nope", 4),
            (r#"{"a":NaN}"#, 5),
            ("\u{feff}{}", 0),
        ] {
            let item = read("application/json", text.as_bytes()).unwrap_err();
            assert_eq!(item["type"], "json_invalid", "{text}");
            assert_eq!(item["loc"], serde_json::json!(["body", byte]), "{text}");
        }
    }

    #[test]
    fn what_parsers_read_differently_is_refused() {
        let deep = format!("{}{}", "[".repeat(200), "]".repeat(200));
        for text in [r#"{"a":1,"a":1}"#, r#"{"x":{"a":1,"a":2}}"#, r#"{"a":"\ud800"}"#, "[1,]", &deep] {
            assert_eq!(
                read("application/json", text.as_bytes()).unwrap_err()["type"],
                "json_invalid",
                "{text}"
            );
        }
        assert_eq!(read("application/json", b"{\"a\":\"\xff\"}").unwrap_err()["loc"][1], 6);
    }

    #[test]
    fn a_number_may_be_larger_than_a_double_holds() {
        let long = "9".repeat(4300);
        for number in ["0", "-0", "18446744073709551616", "1e999", "-1e999", "1e-999", &long] {
            let text = format!(r#"{{"a":[{number}]}}"#);
            assert!(read("application/json", text.as_bytes()).unwrap()["a"][0].is_number(), "{number}");
        }
        // As in Python, which would need too long for more digits.
        assert!(read("application/json", format!(r#"{{"a":9{long}}}"#).as_bytes()).is_err());
    }

    #[test]
    fn nesting_ends_where_the_stack_is_safe() {
        let nested = |depth: usize| format!(r#"{{"a":{}{}}}"#, "[".repeat(depth), "]".repeat(depth));
        assert!(read("application/json", nested(MAX_DEPTH - 1).as_bytes()).is_ok());
        for depth in [MAX_DEPTH, 8_000] {
            let item = read("application/json", nested(depth).as_bytes()).unwrap_err();
            assert_eq!(item["ctx"]["error"], "Nested too deeply");
        }
    }

    #[test]
    fn a_body_that_is_no_object_is_not_shown() {
        for (text, kind) in [
            ("", "missing"),
            ("null", "missing"),
            ("[]", "model_attributes_type"),
            (r#""guinevere""#, "model_attributes_type"),
            (r#"["king@camelot.bt","guinevere"]"#, "model_attributes_type"),
        ] {
            let item = read("application/json", text.as_bytes()).unwrap_err();
            assert_eq!((&item["type"], &item["loc"]), (&kind.into(), &serde_json::json!(["body"])), "{text}");
            assert!(!item.to_string().contains("guinevere"), "{item}");
        }
    }

    #[test]
    fn only_json_content_types_are_read() {
        for essence in ["application/json", "application/vnd.api+json"] {
            assert!(read(essence, b"{}").is_ok(), "{essence}");
        }
        for essence in
            ["", "text/plain", "text/json", "application/jsonx", "application/x-www-form-urlencoded"]
        {
            assert_eq!(read(essence, b"{}").unwrap_err()["type"], "model_attributes_type", "{essence}");
        }
    }

    proptest! {
        #[test]
        fn no_bytes_make_the_parser_panic(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
            let _: Result<Value, _> = parse(&bytes);
        }

        #[test]
        fn no_json_like_text_makes_the_parser_panic(text in r#"[\[\]{}":,\\ea0-9né\n .-]{0,60}"#) {
            if let Err((byte, _)) = parse(text.as_bytes()) {
                prop_assert!(byte <= text.len());
            }
        }
    }
}
