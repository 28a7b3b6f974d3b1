//! From bytes to a JSON object, strictly (RFC 8259 and RFC 7493): UTF-8 only, and no byte order mark, NaN,
//! lone surrogate, duplicate name or number that no double holds: two parsers would read each differently. But a
//! whole number may be of any size, as it may be for Python: who ignores its field need not hold it.

use std::borrow::Cow;
use std::fmt;

use serde::de::{Deserialize, Deserializer, Error as _, MapAccess, SeqAccess, Visitor};
use serde_json::{Map, Number, Value};

use super::{Body, invalid};
use crate::failure::Failure;

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

/// `application/json` and `application/*+json`, whatever their parameters.
fn is_json(essence: &str) -> bool {
    essence
        .strip_prefix("application/")
        .is_some_and(|subtype| subtype == "json" || subtype.ends_with("+json"))
}

/// The value, or the byte at which the text stops being JSON, and why.
fn parse(bytes: &[u8]) -> Result<Value, (usize, &'static str)> {
    let text = std::str::from_utf8(bytes).map_err(|error| (error.valid_up_to(), "Not UTF-8"))?;
    match serde_json::from_str::<Strict>(&with_whole_numbers_cut(text)) {
        Ok(Strict(value)) => Ok(value),
        Err(error) if error.is_eof() => Err((text.len(), "Expecting value")),
        Err(error) if error.is_data() => Err((position(text, &error), "Duplicate name")),
        Err(error) => Err((position(text, &error), "Expecting value")),
    }
}

/// How many digits of a whole number are read. The largest double has one more.
const DIGITS: usize = 308;

/// The text with white space, so that no byte moves, for the digits of a whole number that serde_json would refuse. No
/// field of ours is a number, and as a flag one is as wrong as the other.
fn with_whole_numbers_cut(text: &str) -> Cow<'_, str> {
    let bytes = text.as_bytes();
    let mut cut = Cow::Borrowed(text);
    let (mut at, mut in_string) = (0, false);
    while at < bytes.len() {
        let is_number = |byte: &&u8| byte.is_ascii_digit() || b".eE+-".contains(*byte);
        let length = match bytes[at] {
            b'\\' => 2,
            b'0'..=b'9' if !in_string => bytes[at..].iter().take_while(is_number).count(),
            _ => 1,
        };
        in_string ^= bytes[at] == b'"';
        if length > DIGITS && bytes[at..at + length].iter().all(u8::is_ascii_digit) {
            cut.to_mut().replace_range(at + DIGITS..at + length, &" ".repeat(length - DIGITS));
        }
        at += length;
    }
    cut
}

/// Where the faulty token begins. serde_json says where it noticed the fault: a line and a byte in it.
fn position(text: &str, error: &serde_json::Error) -> usize {
    let bytes = text.as_bytes();
    let before: usize = text.split_inclusive('\n').take(error.line().saturating_sub(1)).map(str::len).sum();
    let mut at = (before + error.column()).saturating_sub(1).min(bytes.len());
    while at > 0 && (bytes[at - 1].is_ascii_alphanumeric() || bytes[at - 1] == b'-') {
        at -= 1;
    }
    if at > 0 && bytes[at - 1] == b'\\' { at - 1 } else { at }
}

/// A JSON value without duplicate names.
struct Strict(Value);

impl<'de> Deserialize<'de> for Strict {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(StrictVisitor).map(Strict)
    }
}

struct StrictVisitor;

impl<'de> Visitor<'de> for StrictVisitor {
    type Value = Value;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a JSON value")
    }

    fn visit_unit<E>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_bool<E>(self, value: bool) -> Result<Value, E> {
        Ok(Value::Bool(value))
    }

    fn visit_i64<E>(self, value: i64) -> Result<Value, E> {
        Ok(Value::Number(value.into()))
    }

    fn visit_u64<E>(self, value: u64) -> Result<Value, E> {
        Ok(Value::Number(value.into()))
    }

    fn visit_f64<E>(self, value: f64) -> Result<Value, E> {
        Ok(Number::from_f64(value).map_or(Value::Null, Value::Number))
    }

    fn visit_str<E>(self, value: &str) -> Result<Value, E> {
        Ok(Value::String(value.to_owned()))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Value, A::Error> {
        let mut values = Vec::new();
        while let Some(Strict(value)) = seq.next_element()? {
            values.push(value);
        }
        Ok(Value::Array(values))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut entries: A) -> Result<Value, A::Error> {
        let mut map = Map::new();
        while let Some((name, Strict(value))) = entries.next_entry::<String, Strict>()? {
            if map.insert(name, value).is_some() {
                return Err(A::Error::custom("duplicate name"));
            }
        }
        Ok(Value::Object(map))
    }
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
    fn malformed_json_is_reported_where_its_faulty_token_begins() {
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
        for text in [
            r#"{"a":1,"a":1}"#,
            r#"{"x":{"a":1,"a":2}}"#,
            r#"{"a":"\ud800"}"#,
            r#"{"a":1e999}"#,
            "[1,]",
            &deep,
        ] {
            assert_eq!(
                read("application/json", text.as_bytes()).unwrap_err()["type"],
                "json_invalid",
                "{text}"
            );
        }
        assert_eq!(read("application/json", b"{\"a\":\"\xff\"}").unwrap_err()["loc"][1], 6);
    }

    #[test]
    fn a_whole_number_may_be_of_any_size() {
        for digits in [1, 20, DIGITS, DIGITS + 1, 400, 5000] {
            let number = "9".repeat(digits);
            let text = format!(r#"{{"a":-{number},"b":[{number},"\\\"{number}"],"c":1}}"#);
            let object = read("application/json", text.as_bytes()).unwrap();
            assert!(object["a"].is_number() && object["b"][0].is_number(), "{digits}");
            assert_eq!(
                (&object["b"][1], &object["c"]),
                (&format!("\\\"{number}").into(), &1.into()),
                "{digits}"
            );
        }
    }

    #[test]
    fn a_long_number_is_no_excuse_for_what_stands_around_it() {
        let number = "9".repeat(400);
        for (rest, byte) in [(".5}", 406), ("e1}", 5), ("x}", 5), (" 1}", 406), ("", 405)] {
            let item = read("application/json", format!("{{\"a\":{number}{rest}").as_bytes()).unwrap_err();
            assert_eq!((&item["type"], &item["loc"][1]), (&"json_invalid".into(), &byte.into()), "{rest}");
        }
        for faulty in [format!("1e{number}"), format!("0{number}"), format!("{number}{number}e9")] {
            assert!(read("application/json", format!("{{\"a\":{faulty}}}").as_bytes()).is_err(), "{faulty}");
        }
        let precise = read("application/json", format!(r#"{{"a":0.{number}}}"#).as_bytes()).unwrap();
        assert_eq!(precise["a"], 1.0);
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
