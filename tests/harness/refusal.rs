//! The closed set of refusals: what an answer with 4xx or 5xx may say, and nothing else (contract.md, "Common").

use portcullis_proto::email::EmailError as E;
use serde_json::Value;

use super::Answer;

/// A password that is sent wherever a client could put one by mistake. No answer may show it, and no log: it begins
/// with a word that [`super::Process`] looks for there.
pub const CANARY: &str = "lancelot du Lac & fils";

/// What a status says when no code of the contract says more, and what a 401 says of a refresh token.
const PHRASES: [(u16, &str); 14] = [
    (400, "Bad Request"),
    (401, "Unauthorized"),
    (401, "REFRESH_BAD_TOKEN"),
    (403, "Forbidden"),
    (404, "Not Found"),
    (405, "Method Not Allowed"),
    (408, "Request Timeout"),
    (413, "Request Entity Too Large"),
    (414, "URI Too Long"),
    (415, "Unsupported Media Type"),
    (431, "Request Header Fields Too Large"),
    (500, "Internal Server Error"),
    (503, "Service Unavailable"),
    (504, "Gateway Timeout"),
];
/// The codes of 400 that stand alone.
const CODES: [&str; 8] = [
    "REGISTER_USER_ALREADY_EXISTS",
    "LOGIN_BAD_CREDENTIALS",
    "UPDATE_USER_EMAIL_ALREADY_EXISTS",
    "RESET_PASSWORD_BAD_TOKEN",
    "VERIFY_USER_BAD_TOKEN",
    "VERIFY_USER_ALREADY_VERIFIED",
    "Missing boundary in multipart.",
    "Invalid multipart data.",
];
/// The codes of 400 that come with a reason, and the reasons.
const PASSWORD_CODES: [&str; 3] =
    ["REGISTER_INVALID_PASSWORD", "UPDATE_USER_INVALID_PASSWORD", "RESET_PASSWORD_INVALID_PASSWORD"];
const PASSWORD_REASONS: [&str; 3] = [
    "Password should be at least 8 characters",
    "Password should be at most 1024 bytes",
    "Password should not contain e-mail",
];
const JSON_PROBLEMS: [&str; 4] = ["Expecting value", "Duplicate name", "Nested too deeply", "Not UTF-8"];
const FLAGS: [&str; 3] = ["is_active", "is_superuser", "is_verified"];
/// Every header that a refusal may have. A browser's page is told a little more, and that is another test's matter.
const HEADERS: [&str; 11] = [
    "allow",
    "cache-control",
    "connection",
    "content-length",
    "content-type",
    "date",
    "retry-after",
    "vary",
    "www-authenticate",
    "x-content-type-options",
    "x-request-id",
];
/// Words by which a library would give itself away, in lower case.
const WORDS: [&str; 16] = [
    "serde",
    "deserialize",
    "tonic",
    "grpc",
    "actix",
    "diesel",
    "postgres",
    "rust",
    "panick",
    "utf8error",
    " line 1",
    "column",
    "expected value at",
    "trailing",
    "eof while",
    "bcrypt",
];

/// Fails unless this is a refusal with this status, in words of the closed set. `what` was refused.
#[track_caller]
pub fn assert_is_refused(answer: &Answer, status: u16, what: &str) {
    assert_eq!(answer.status, status, "{what}: {answer:?}");
    let whole = format!("{what}: {answer:?}");
    let said = format!("{answer:?}").to_lowercase();
    assert!(!said.contains("lancelot"), "the password is shown: {whole}");
    assert!(WORDS.iter().all(|word| !said.contains(word)), "a library speaks: {whole}");
    for name in answer.headers.keys() {
        assert!(HEADERS.contains(&name.as_str()), "the header {name}: {whole}");
    }
    let header = |name| answer.header(name);
    assert_eq!(
        (header("content-type"), header("cache-control")),
        ("application/json", "no-store"),
        "{whole}"
    );
    assert_eq!(header("www-authenticate") == "Bearer", answer.status == 401, "{whole}");
    let body = answer.json();
    assert_eq!(body.to_string(), answer.body, "it is not compact");
    let object = body.as_object().unwrap_or_else(|| panic!("{whole}"));
    assert_eq!(object.keys().collect::<Vec<_>>(), ["detail"], "{whole}");
    assert!(is_legal(answer.status, &object["detail"]), "{whole}");
}

/// Whether an answer with this status may say this.
pub(super) fn is_legal(status: u16, detail: &Value) -> bool {
    match (status, detail) {
        (422, Value::Array(items)) => !items.is_empty() && items.iter().all(is_legal_item),
        (400, Value::Object(detail)) => {
            detail.keys().eq(["code", "reason"])
                && is_one_of(&detail["code"], &PASSWORD_CODES)
                && is_one_of(&detail["reason"], &PASSWORD_REASONS)
        }
        (status, Value::String(text)) => {
            PHRASES.contains(&(status, text)) || (status == 400 && CODES.contains(&text.as_str()))
        }
        _ => false,
    }
}

/// Type and place of each item of a 422.
pub fn items(answer: &Answer) -> Vec<String> {
    let body = answer.json();
    let items = body["detail"].as_array().unwrap_or_else(|| panic!("{answer:?}"));
    let place = |item: &Value| item["loc"][1].as_str().unwrap_or("-").to_owned();
    items.iter().map(|item| format!("{} {}", place(item), item["type"].as_str().expect("is text"))).collect()
}

fn is_one_of(value: &Value, texts: &[&str]) -> bool {
    value.as_str().is_some_and(|text| texts.contains(&text))
}

/// Whether this is an item of a 422 that there is.
fn is_legal_item(item: &Value) -> bool {
    let names: Vec<_> = item.as_object().into_iter().flatten().map(|(name, _)| name.as_str()).collect();
    let (kind, message) =
        (item["type"].as_str().unwrap_or_default(), item["msg"].as_str().unwrap_or_default());
    let context = match kind {
        "json_invalid" => Some("error"),
        "value_error" => Some("reason"),
        "string_pattern_mismatch" => Some("pattern"),
        _ => None,
    };
    let expected = ["type", "loc", "msg", "input"].into_iter().chain(context.map(|_| "ctx"));
    if !names.into_iter().eq(expected) {
        return false;
    }
    let said = context.map_or("", |name| match item["ctx"].as_object() {
        Some(context) if context.len() == 1 => context[name].as_str().unwrap_or_default(),
        _ => "",
    });
    let loc: Vec<_> = item["loc"].as_array().into_iter().flatten().collect();
    let at = match loc[..] {
        [body] if body == "body" => "",
        [body, field] if body == "body" && field.is_u64() => "(position)",
        [body, field] if body == "body" => field.as_str().unwrap_or("(neither)"),
        _ => "(nowhere)",
    };
    let input = match &item["input"] {
        Value::Null => "null",
        Value::Bool(_) => "bool",
        Value::Object(object) if object.is_empty() => "{}",
        _ => "something",
    };
    let is_flag = FLAGS.contains(&at);
    let shows_no_text = ["null", "bool"].contains(&input);
    match kind {
        "missing" => {
            ["", "email", "username", "password", "token", "grant_type", "refresh_token"].contains(&at)
                && message == "Field required"
                && input == "null"
        }
        "model_attributes_type" => {
            at.is_empty()
                && message == "Input should be a valid dictionary or object to extract fields from"
                && shows_no_text
        }
        "json_invalid" => {
            at == "(position)"
                && message == "JSON decode error"
                && input == "{}"
                && JSON_PROBLEMS.contains(&said)
        }
        "string_type" => {
            ["email", "password", "username", "token", "grant_type", "refresh_token"].contains(&at)
                && message == "Input should be a valid string"
                && (input == "null" || (input == "bool" && ["email", "token"].contains(&at)))
        }
        "bool_parsing" => {
            is_flag
                && message == "Input should be a valid boolean, unable to interpret input"
                && input == "null"
        }
        "bool_type" => is_flag && message == "Input should be a valid boolean" && input == "null",
        "string_pattern_mismatch" => {
            at == "grant_type"
                && message == format!("String should match pattern '{said}'")
                && ["^password$", "^refresh_token$"].contains(&said)
                && input == "null"
        }
        "value_error" if at == "email" => {
            message == format!("value is not a valid email address: {said}")
                && bad_addresses().iter().any(|(error, _)| error.to_string() == said)
                && input == "null"
        }
        "value_error" => {
            at.is_empty()
                && said == "a NUL is legal in a password only"
                && message == format!("Value error, {said}")
                && input == "null"
        }
        _ => false,
    }
}

/// An address for every reason for which one is refused, and the reason.
pub fn bad_addresses() -> [(E, String); 23] {
    [
        (E::InputTooLong, "x".repeat(2049)),
        (E::LineBreak, "king@camelot.bt\r\nBcc: lancelot@camelot.bt".into()),
        (E::Unsafe, "king\0@camelot.bt".into()),
        (E::NoAtSign, String::new()),
        (E::TooLong, format!("king@{}bt", "camelot.".repeat(40))),
        (E::LocalEmpty, "@camelot.bt".into()),
        (E::LocalQuoted, "\"king arthur\"@camelot.bt".into()),
        (E::LocalCharacters, "king arthur@camelot.bt".into()),
        (E::LocalStart, ".king@camelot.bt".into()),
        (E::LocalEnd, "king.@camelot.bt".into()),
        (E::LocalTooLong, format!("{}@camelot.bt", "x".repeat(65))),
        (E::TwoPeriods, "king..arthur@camelot.bt".into()),
        (E::DomainEmpty, "king@".into()),
        (E::DomainLiteral, "king@[127.0.0.1]".into()),
        (E::DomainCharacters, "king@came_lot.bt".into()),
        (E::DomainStart, "king@.camelot.bt".into()),
        (E::DomainEnd, "king@camelot.bt.".into()),
        (E::DomainHyphen, "king@-camelot.bt".into()),
        (E::LabelTooLong, format!("king@{}.bt", "x".repeat(64))),
        (E::DomainIdna, "king@xn--a.bt".into()),
        (E::NoTopLevelDomain, "king@camelot".into()),
        (E::TopLevelDomain, "king@127.0.0.1".into()),
        (E::SpecialUse, "king@camelot.test".into()),
    ]
}
