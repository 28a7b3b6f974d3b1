//! A broken schema stops the start: one line that names the file and the place in it.

use super::file;
use crate::harness::{IDENTITY, program};

/// What `serve` says with this schema, before it has looked for a database.
fn refusal(path: &str) -> String {
    let mut variables: Vec<_> =
        IDENTITY.iter().map(|&(name, value)| (name.to_owned(), value.to_owned())).collect();
    variables.push(("DATABASE_URL".to_owned(), "postgres://u:p@127.0.0.1:1/db".to_owned()));
    variables.push(("USER_SCHEMA".to_owned(), path.to_owned()));
    let output = program("identity-service", &variables).arg("serve").output().unwrap();
    let said = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(2), "{said}");
    assert_eq!(said.trim_end().lines().count(), 1, "{said}");
    said
}

#[test]
fn a_broken_schema_stops_the_start_with_one_line_that_names_file_and_place() {
    let with = |inside: &str| format!(r#"{{"type": "object", {inside}}}"#);
    for (text, said) in [
        ("{\n  \"type\": object}".to_owned(), "2:11: not JSON"),
        (with(r#""$schema": "http://json-schema.org/draft-07/schema#""#), "/$schema: "),
        (with(r#""properties": {"a": {"type": "strng"}}"#), "/properties/a/type: not a schema"),
        (with(r#""properties": {"a": {"pattern": "(\n(?=x)\n"}}"#), "/properties/a/pattern: "),
        (with(r#""properties": {"a": {"$ref": "https://a.example/b"}}"#), "/properties/a/$ref: "),
        (with(r#""properties": {"a": {"format": "dtae"}}"#), "/properties/a/format: "),
        (
            with(r#""properties": {"email": {}}"#),
            "/properties/email: users have a field of this name already",
        ),
        (with(r#""properties": {"a": {"readOnly": true}}, "required": ["a"]"#), "/properties/a: it is both"),
        (
            with(r#""properties": {"a": {"properties": {"b\nc": {"format": "dtae"}}}}"#),
            "/properties/a/properties/b\\nc/format: ",
        ),
        (with(r#""properties": {}"#), "/properties: there are none"),
        ("[]".to_owned(), "/: "),
    ] {
        let file = file(&text);
        let path = file.path().to_str().unwrap();
        let line = refusal(path);
        assert!(line.starts_with(&format!("identity-service: USER_SCHEMA names {path:?}: {said}")), "{line}");
    }
    for path in ["/nowhere/schema.json", "/"] {
        assert!(refusal(path).contains(&format!("USER_SCHEMA names {path:?}: cannot be read: ")));
    }
}
