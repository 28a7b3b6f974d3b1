//! The parsers of bodies against what is written by the rule, and against what is nearly that.

use std::fmt::Write as _;

use actix_web::web::Bytes;
use gateway::body::{Body, form, json};
use gateway::failure::Failure;
use proptest::prelude::*;
use proptest::sample::select;
use secrecy::ExposeSecret as _;
use serde_json::{Map, Value, json};

use crate::harness::{URLENCODED, any_bytes, fuzz, nearly};

const MULTIPART: &str = "multipart/form-data; boundary=----aBoundaryLikeABrowsers";
const DELIMITER: &str = "------aBoundaryLikeABrowsers";

fn body(content_type: &[u8], bytes: &[u8]) -> Body {
    let essence =
        String::from_utf8_lossy(content_type).split(';').next().unwrap_or_default().trim().to_lowercase();
    Body { essence, content_type: content_type.to_vec(), bytes: Bytes::copy_from_slice(bytes) }
}

/// What a login form says, or the status and what is wrong.
fn log_in(content_type: &[u8], bytes: &[u8]) -> Result<(String, String), (u16, Vec<String>)> {
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    match runtime.block_on(form::credentials(&body(content_type, bytes))) {
        Ok(read) => Ok((read.username, read.password.expose_secret().to_owned())),
        Err(failure) => Err(said(&failure)),
    }
}

/// The status of a refusal, and the fields or the code in it.
fn said(failure: &Failure) -> (u16, Vec<String>) {
    let (status, body) = failure.answer();
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let items = body["detail"].as_array();
    let said = match items {
        Some(items) => items.iter().map(|item| text(&item["loc"][1])).collect(),
        None => vec![text(&body["detail"])],
    };
    (status.as_u16(), said)
}

type Pairs = Vec<(String, Vec<u8>)>;

/// Fields and their values as a client may send them, in this order.
fn pairs() -> impl Strategy<Value = Pairs> {
    let name = prop_oneof![
        4 => Just("username".to_owned()), 4 => Just("password".to_owned()), 1 => Just("grant_type".to_owned()),
        1 => select(&["Username", "scope", "user name", "username[]", "a&b=c"][..]).prop_map(str::to_owned),
    ];
    let value = prop_oneof![
        6 => "[a-z@.&=+% é]{1,6}".prop_map(String::into_bytes),
        1 => Just(b"password".to_vec()),
        1 => Just(Vec::new()),
        1 => any_bytes(4),
    ];
    prop::collection::vec((name, value), 0..5)
}

/// What the contract says of such a form.
fn expected(pairs: &Pairs) -> Result<(String, String), (u16, Vec<String>)> {
    let last = |name: &str| {
        let found = pairs.iter().rev().find(|(known, _)| known == name);
        found.map(|(_, value)| value.clone()).filter(|value| !value.is_empty())
    };
    let (grant, username, password) = (last("grant_type"), last("username"), last("password"));
    let is_ours = |name: &str| ["grant_type", "username", "password"].contains(&name);
    let others = || pairs.iter().filter(|(name, _)| !is_ours(name)).map(|(_, value)| value);
    let wrong = [
        ("grant_type", grant.is_some_and(|grant| grant != b"password" && str::from_utf8(&grant).is_ok())),
        ("username", username.is_none()),
        ("password", password.is_none()),
        ("", others().any(|value| value.contains(&b'\0'))), // of no field that is named
    ];
    let wrong: Vec<_> = wrong.iter().filter(|(_, is)| *is).map(|(name, _)| (*name).to_owned()).collect();
    if !wrong.is_empty() {
        return Err((422, wrong));
    }
    let text = |bytes: Option<Vec<u8>>| String::from_utf8(bytes.unwrap()).ok();
    let mut values = pairs.iter();
    let is_possible = values.all(|(name, value)| {
        str::from_utf8(value).is_ok() && !(name == "username" && value.contains(&b'\0'))
    });
    match (text(username), text(password)) {
        (Some(username), Some(password)) if is_possible => Ok((username, password)),
        _ => Err((400, vec!["LOGIN_BAD_CREDENTIALS".to_owned()])),
    }
}

/// The form urlencoded; what may stand as it is does so where `plainly` says.
fn urlencoded(pairs: &Pairs, plainly: u64) -> Vec<u8> {
    let encode = |bytes: &[u8]| {
        let mut text = String::new();
        for (at, byte) in bytes.iter().enumerate() {
            match byte {
                b' ' => text.push('+'),
                b'a'..=b'z' | b'@' | b'.' | b'_' if plainly >> (at % 64) & 1 == 1 => text.push(*byte as char),
                byte if at % 2 == 0 => write!(text, "%{byte:02x}").unwrap(),
                byte => write!(text, "%{byte:02X}").unwrap(),
            }
        }
        text
    };
    let pairs = pairs.iter().map(|(name, value)| format!("{}={}", encode(name.as_bytes()), encode(value)));
    pairs.collect::<Vec<_>>().join("&").into_bytes()
}

fn multipart(pairs: &Pairs) -> Vec<u8> {
    let mut bytes = Vec::new();
    for (name, value) in pairs {
        bytes.extend(
            format!("{DELIMITER}\r\nContent-Disposition: form-data; name=\"{name}\"\r\n\r\n").bytes(),
        );
        bytes.extend(value);
        bytes.extend(b"\r\n");
    }
    bytes.extend(format!("{DELIMITER}--\r\n").bytes());
    bytes
}

#[test]
fn h30_a_login_form_is_read_as_it_was_written_in_both_encodings() {
    fuzz((pairs(), any::<u64>()), |(pairs, plainly)| {
        let expected = expected(&pairs);
        assert_eq!(log_in(URLENCODED.as_bytes(), &urlencoded(&pairs, plainly)), expected);
        assert_eq!(log_in(MULTIPART.as_bytes(), &multipart(&pairs)), expected);
    });
}

#[test]
fn h30_whatever_a_login_form_holds_it_is_read_or_refused_in_the_contracts_words() {
    const WORDS: &[&str] = &[
        "&",
        "=",
        "+",
        "%",
        "%0",
        "%ff",
        "%00",
        "username",
        "password",
        "\r\n",
        "\r\n\r\n",
        "--",
        DELIMITER,
        "\"",
        ";",
        "; filename=\"x\"",
        "Content-Disposition: form-data; name=",
        "Content-Type: multipart/mixed; boundary=x\r\n",
        "Content-Transfer-Encoding: base64\r\n",
        "Content-Length: 99999999999\r\n",
    ];
    const TYPES: &[&str] =
        &[";", "boundary=", "\"", "=", "charset=utf-16", "multipart/form-data", " ", "----"];
    let forms = (pairs(), any::<u64>()).prop_map(|(pairs, plainly)| urlencoded(&pairs, plainly));
    let parts = pairs().prop_map(|pairs| multipart(&pairs));
    let bytes = prop_oneof![4 => nearly(forms, WORDS), 6 => nearly(parts, WORDS), 1 => any_bytes(80)];
    let types = nearly(select(&[URLENCODED, MULTIPART, MULTIPART, MULTIPART][..]), TYPES);
    let types = prop_oneof![2 => select(&[URLENCODED, MULTIPART][..]).prop_map(|t| t.as_bytes().to_vec()), 1 => types];
    fuzz((types, bytes), |(content_type, bytes)| match log_in(&content_type, &bytes) {
        Ok((username, password)) => {
            assert!(!username.is_empty() && !username.contains('\0') && !password.is_empty());
            let read = vec![
                ("username".into(), username.clone().into()),
                ("password".into(), password.clone().into()),
            ];
            assert_eq!(log_in(URLENCODED.as_bytes(), &urlencoded(&read, 0)), Ok((username, password)));
        }
        Err((422, fields)) => {
            assert!(!fields.is_empty());
            assert!(
                fields
                    .iter()
                    .all(|field| ["grant_type", "username", "password", ""].contains(&field.as_str()))
            );
        }
        Err((status, code)) => {
            let codes =
                ["LOGIN_BAD_CREDENTIALS", "Missing boundary in multipart.", "Invalid multipart data."];
            assert!(status == 400 && codes.contains(&code[0].as_str()), "{status} {code:?}");
        }
    });
}

/// Values as a client may send them.
fn values() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        3 => "\\PC{0,6}".prop_map(Value::from),
        1 => any::<i64>().prop_map(Value::from),
        1 => any::<i32>().prop_map(|quarters| (f64::from(quarters) / 4.0).into()), // read exactly whoever reads them
        1 => any::<bool>().prop_map(Value::from),
        1 => Just(Value::Null),
    ];
    let name = prop_oneof!["email|password|is_active|x", "\\PC{0,3}"];
    leaf.prop_recursive(3, 12, 4, move |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
            prop::collection::vec((name.clone(), inner), 0..4)
                .prop_map(|members| Value::Object(members.into_iter().collect())),
        ]
    })
}

fn objects() -> impl Strategy<Value = Map<String, Value>> {
    let name = prop_oneof!["email|password|is_active|x", "\\PC{0,3}"];
    prop::collection::vec((name, values()), 0..4).prop_map(|members| members.into_iter().collect())
}

fn read_json(bytes: &[u8]) -> Result<Map<String, Value>, Value> {
    json::object(&body(b"application/json", bytes)).map_err(|failure| {
        let (status, answer) = failure.answer();
        assert_eq!((status.as_u16(), answer["detail"].as_array().map(Vec::len)), (422, Some(1)));
        answer["detail"][0].clone()
    })
}

#[test]
fn h30_an_object_is_read_as_it_was_written_unless_a_name_is_there_twice() {
    fuzz((objects(), any::<bool>(), values()), |(object, is_pretty, value)| {
        let write = if is_pretty { serde_json::to_string_pretty } else { serde_json::to_string };
        let text = write(&object).unwrap();
        assert_eq!(read_json(text.as_bytes()).as_ref(), Ok(&object));
        // With one of its names once more, here or further down.
        let Some(name) = object.keys().next() else { return };
        let open = text.strip_suffix('}').unwrap();
        let twice = format!("{open},{}:{value}}}", json!(name));
        for text in [format!(r#"{{"a":[{twice}]}}"#), twice] {
            assert!(read_json(text.as_bytes()).is_err_and(|item| item["type"] == "json_invalid"), "{text}");
        }
    });
}

#[test]
fn h30_whatever_a_json_body_holds_it_is_read_as_all_read_it_or_refused_at_a_byte_of_it() {
    const WORDS: &[&str] = &[
        "{",
        "}",
        "[",
        "]",
        "\"",
        ":",
        ",",
        "\\",
        "\\u0000",
        "\\ud800",
        "\\udc00",
        "\u{feff}",
        "NaN",
        "1e999",
        "-0",
        "-",
        "null",
        "true",
        "'",
        "/*x*/",
        "\n",
        "\"x\":1,",
        "18446744073709551616",
    ];
    let text = objects().prop_map(|object| Value::Object(object).to_string());
    let deep =
        (0..200usize).prop_map(|depth| format!("{{\"a\":{}{}}}", "[".repeat(depth), "]".repeat(depth)));
    let bytes = prop_oneof![8 => nearly(text, WORDS), 1 => nearly(deep, WORDS), 1 => any_bytes(40)];
    fuzz(bytes, |bytes| match read_json(&bytes) {
        Ok(object) => {
            match serde_json::from_slice::<Map<_, _>>(&bytes) {
                Ok(known) => assert_eq!(known, object),
                // Of what we read it refuses nothing but these.
                Err(error) => {
                    let known = ["number out of range", "recursion limit exceeded"];
                    assert!(known.iter().any(|limit| error.to_string().starts_with(limit)), "{error}");
                }
            }
            assert!(read_json(Value::Object(object).to_string().as_bytes()).is_ok());
        }
        Err(item) => match item["type"].as_str().unwrap() {
            "json_invalid" => assert!(item["loc"][1].as_u64().unwrap() <= bytes.len() as u64),
            "missing" => assert!(bytes.is_empty() || bytes.trim_ascii() == b"null"),
            "model_attributes_type" => {
                assert!(!serde_json::from_slice::<Value>(&bytes).is_ok_and(|value| value.is_object()));
            }
            kind => panic!("{kind}"),
        },
    });
}
