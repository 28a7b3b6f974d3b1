use super::*;

#[test]
fn what_is_no_schema_of_own_fields_is_named_with_its_place() {
    let with = |inside: &str| format!(r#"{{"type": "object", {inside}}}"#);
    let properties = |inside: &str| with(&format!(r#""properties": {{{inside}}}"#));
    for (text, said) in [
        (String::new(), "1:0: not JSON: EOF while parsing a value"),
        ("{\n  \"type\": object}".to_owned(), "2:11: not JSON: expected value"),
        ("[]".to_owned(), "/: "),
        ("true".to_owned(), "/: "),
        (r#"{"properties": {"a": {}}}"#.to_owned(), "/type: "),
        (r#"{"type": ["object"], "properties": {"a": {}}}"#.to_owned(), "/type: "),
        (with(r#""title": "x""#), "/properties: there are none"),
        (properties(""), "/properties: there are none"),
        (
            with(r#""$schema": "http://json-schema.org/draft-07/schema#", "properties": {"a": {}}"#),
            "/$schema: \"http://json-schema.org/draft-07/schema#\" is not https://json-schema.org/draft/2020-12/schema",
        ),
        (properties(r#""a": {"type": "strng"}"#), "/properties/a/type: not a schema: "),
        (properties(r#""a": {"minLength": -1}"#), "/properties/a/minLength: not a schema: "),
        (properties(r#""a": {"pattern": "("}"#), "/properties/a/pattern: "),
        (properties(r#""a": {"pattern": "(?=x)y"}"#), "/properties/a/pattern: "),
        (properties(r#""a": {"pattern": "(a)\\1"}"#), "/properties/a/pattern: "),
        (properties(r#""a": {"format": "dtae"}"#), "/properties/a/format: \"dtae\" is no format"),
        (
            properties(r#""a": {"items": {"$ref": "https://a.example/b"}}"#),
            "/properties/a/items/$ref: \"https://a.example/b\": it leads out",
        ),
        (properties(r#""a": {"$ref": "other.json#/x"}"#), "/properties/a/$ref: "),
        (
            properties(r##""a/b": {"$ref": "#/$defs/x"}"##),
            "/properties/a~1b/$ref: \"#/$defs/x\": it leads nowhere",
        ),
        (properties(r##""a": {"$ref": "#x"}"##), "/"),
        (properties(r#""": {}"#), "/properties/: the name is empty"),
        (properties(r#""a\u0000": {}"#), "/properties/a\\u{0}: the name is empty"),
        (properties(r#""email": {}"#), "/properties/email: users have a field of this name already"),
        (properties(r#""hashed_password": {}"#), "/properties/hashed_password: users have"),
        (
            with(r#""properties": {"a": {"readOnly": true}}, "required": ["a"]"#),
            "/properties/a: it is both readOnly and required",
        ),
        (with(r#""properties": {"a": {}}, "required": ["a", "b"]"#), "/required/1: \"b\" is not one of"),
        (
            properties(r#""a": {"properties": {"b": {"writeOnly": true}}}"#),
            "/properties/a/properties/b/writeOnly: ",
        ),
        (with(r#""readOnly": true, "properties": {"a": {}}"#), "/readOnly: "),
    ] {
        let problem = Schema::parse(text.as_bytes()).err().unwrap_or_else(|| panic!("is taken: {text}"));
        assert!(problem.starts_with(said), "{text}: {problem}");
        assert!(!problem.contains('\n') && problem.len() < 500, "{problem}");
    }
}

#[test]
fn a_schema_may_use_all_of_the_draft() {
    for text in [
        r##"{"$schema": "https://json-schema.org/draft/2020-12/schema", "type": "object",
            "properties": {"a": {"$ref": "#/$defs/a"}, "b": {"type": "object", "properties": {"email": {"format": "email"}}}},
            "$defs": {"a": {"type": "array", "items": {"$ref": "#/$defs/a"}}}, "additionalProperties": false}"##,
        r#"{"type": "object", "properties": {"a": {"enum": [{"$ref": "x", "readOnly": true}], "default": {"format": "x"}}}}"#,
        r#"{"type": "object", "properties": {"readOnly": {"readOnly": true}, "b": true}, "required": ["b"]}"#,
    ] {
        assert_eq!(Schema::parse(text.as_bytes()).err(), None, "{text}");
    }
}
