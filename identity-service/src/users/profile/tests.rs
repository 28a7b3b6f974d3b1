use portcullis_proto::violation::Kind;
use serde_json::json;

use super::*;

fn own_fields(schema: &Value) -> OwnFields {
    OwnFields::of(Schema::parse(schema.to_string().as_bytes()).unwrap())
}

/// Fields of the properties, of which these are required.
fn fields(properties: &Value, required: &[&str]) -> OwnFields {
    own_fields(&json!({"type": "object", "properties": properties, "required": required}))
}

fn object(value: Value) -> Map<String, Value> {
    value.as_object().unwrap().clone()
}

/// What is said of each wrong field.
fn told(result: Result<Profile, Vec<Violation>>) -> Vec<(String, Kind, String)> {
    let wrong = result.err().unwrap_or_default();
    wrong.into_iter().map(|one| (one.field.into_owned(), one.kind, one.description)).collect()
}

fn of_one(schema: Value, value: Value) -> Option<(String, Kind, String)> {
    let mut told =
        told(fields(&json!({ "x": schema }), &[]).create(Setter::Himself, object(json!({ "x": value }))));
    assert!(told.len() < 2, "{told:?}");
    told.pop()
}

#[test]
fn a_wrong_value_is_told_in_the_words_of_pydantic_and_never_shown() {
    for (schema, value, kind, words) in [
        (json!({"type": "string"}), json!(7), Kind::StringType, "Input should be a valid string"),
        (json!({"type": "integer"}), json!(1.5), Kind::IntType, "Input should be a valid integer"),
        (json!({"type": "number"}), json!("7"), Kind::FloatType, "Input should be a valid number"),
        (json!({"type": "boolean"}), json!(1), Kind::BoolType, "Input should be a valid boolean"),
        (json!({"type": "array"}), json!({}), Kind::ListType, "Input should be a valid list"),
        (json!({"type": "object"}), json!([]), Kind::DictType, "Input should be a valid dictionary"),
        (json!({"type": ["string", "null"]}), json!(7), Kind::StringType, "Input should be a valid string"),
        (
            json!({"minLength": 2}),
            json!("é"),
            Kind::StringTooShort,
            "String should have at least 2 characters",
        ),
        (json!({"minLength": 1}), json!(""), Kind::StringTooShort, "String should have at least 1 character"),
        (json!({"maxLength": 1}), json!("ab"), Kind::StringTooLong, "String should have at most 1 character"),
        (
            json!({"pattern": "^a+$"}),
            json!("b"),
            Kind::StringPatternMismatch,
            "String should match pattern '^a+$'",
        ),
        (
            json!({"minimum": 18}),
            json!(17),
            Kind::GreaterThanEqual,
            "Input should be greater than or equal to 18",
        ),
        (json!({"maximum": 1.5}), json!(2), Kind::LessThanEqual, "Input should be less than or equal to 1.5"),
        (json!({"exclusiveMinimum": 0}), json!(0), Kind::GreaterThan, "Input should be greater than 0"),
        (json!({"exclusiveMaximum": 0}), json!(0), Kind::LessThan, "Input should be less than 0"),
        (json!({"multipleOf": 5}), json!(7), Kind::MultipleOf, "Input should be a multiple of 5"),
        (json!({"minItems": 1}), json!([]), Kind::TooShort, "List should have at least 1 item"),
        (
            json!({"maxProperties": 1}),
            json!({"a": 1, "b": 2}),
            Kind::TooLong,
            "Dictionary should have at most 1 item",
        ),
        (json!({"enum": ["a", "b", 3]}), json!("guinevere"), Kind::Enum, "Input should be 'a', 'b' or 3"),
        (json!({"const": "a"}), json!("guinevere"), Kind::LiteralError, "Input should be 'a'"),
        (json!({"uniqueItems": true}), json!([1, 1]), Kind::ValueError, "List should have no item twice"),
        (json!(false), json!(1), Kind::ValueError, "Input is not permitted"),
    ] {
        assert_eq!(of_one(schema, value), Some(("profile.x".into(), kind, words.into())));
    }
}

#[test]
fn formats_are_checked() {
    for (format, good, bad, kind) in [
        (
            "date",
            vec!["2000-02-29"],
            vec!["1999-02-29", "2000-13-01", "29.02.2000", "", "2000-02-29T00:00:00Z"],
            Kind::DateParsing,
        ),
        (
            "date-time",
            vec!["2000-02-29T12:00:00Z", "2000-02-29T12:00:00.5+01:00"],
            vec!["2000-02-29", "2000-02-29T25:00:00Z", "2000-02-29T12:00:00", "é"],
            Kind::DatetimeParsing,
        ),
        (
            "email",
            vec!["a@b.com", "ключ@почта.рф"],
            vec!["a", "a@b", "A <a@b.com>", " a@b.com", ""],
            Kind::ValueError,
        ),
        (
            "uri",
            vec!["https://a.example/b?c#d", "urn:x:y"],
            vec!["a.example", "/b", "http://a b", ""],
            Kind::UrlParsing,
        ),
        ("uuid", vec!["01a21031-c949-713c-a0c5-a39a7d927455"], vec!["01a21031"], Kind::ValueError),
    ] {
        let schema = json!({"type": "string", "format": format});
        for value in good {
            assert_eq!(of_one(schema.clone(), json!(value)), None, "{format} {value}");
        }
        for value in bad {
            let told = of_one(schema.clone(), json!(value));
            assert!(told.as_ref().is_some_and(|(_, found, _)| *found == kind), "{format} {value}: {told:?}");
        }
    }
}

#[test]
fn all_that_is_wrong_is_told_at_once_in_the_order_of_the_schema_with_the_way_to_it() {
    let schema = fields(
        &json!({
            "z": {"type": "string"},
            "a.b": {"type": "integer"},
            "address": {
                "properties": {"street": {"minLength": 1}, "0": {"type": "null"}},
                "required": ["city"],
                "additionalProperties": false,
            },
            "tags": {"items": {"type": "string"}},
        }),
        &["a.b", "z"],
    );
    let given = json!({
        "tags": ["a", 1, "b", [2]],
        "address": {"street": "", "0": 1, "extra": 1},
        "a.b": "x",
        "unknown": "ignored",
    });
    let mut places: Vec<_> = told(schema.create(Setter::Himself, object(given)))
        .into_iter()
        .map(|(field, kind, _)| format!("{field} {}", kind.as_str()))
        .collect();
    places[2..6].sort();
    assert_eq!(
        places,
        [
            "profile.z MISSING",
            r#"profile["a.b"] INT_TYPE"#,
            "profile.address.0 NONE_REQUIRED",
            "profile.address.city MISSING",
            "profile.address.extra EXTRA_FORBIDDEN",
            "profile.address.street STRING_TOO_SHORT",
            "profile.tags[1] STRING_TYPE",
            "profile.tags[3] STRING_TYPE",
        ]
    );
}

#[test]
fn however_much_is_wrong_what_is_told_fits_into_a_header() {
    let long = "x".repeat(2_000);
    let properties: Map<_, _> =
        (0..60).map(|n| (format!("field{n}"), json!({"items": {"enum": [long]}}))).collect();
    let schema = fields(&properties.clone().into(), &[]);
    let given: Map<_, _> = properties.keys().map(|name| (name.clone(), json!([1, 2, 3, 4, 5, 6]))).collect();
    let told = told(schema.create(Setter::Himself, given));
    assert_eq!(told[3].0, "profile.field0[3]");
    assert_eq!(told[4].0, "profile.field1[0]");
    let length: usize = told.iter().map(|(field, _, words)| field.len() + words.len()).sum();
    assert!((3_000..4_096).contains(&length), "{length}");
    assert!(told[0].2.ends_with("xxx…"));
    let deep = json!({"x": {"properties": {"y": {"additionalProperties": false}}}});
    let nested = json!({"x": {"y": {long: 1}}});
    let wrong = fields(&deep, &[]).create(Setter::Himself, object(nested)).err().unwrap();
    assert_eq!(wrong[0].field, "profile.x.y");
}

#[test]
fn what_cannot_be_kept_as_it_is_is_refused_whatever_the_schema_says() {
    let any = || json!(true);
    for (value, place, words) in [
        (json!(9_007_199_254_740_992_u64), "profile.x", "less than or equal to 9007199254740991,"),
        (json!([1, {"a": -1e300}]), "profile.x[1].a", "greater than or equal to -9007199254740991,"),
        (json!(["a\0"]), "profile.x[0]", "no NUL"),
        (json!({"a\0": 1}), "profile.x", "no NUL in a name"),
        (
            (0..17).fold(json!(1), |inner, _| json!([inner])),
            "profile.x[0][0][0][0][0][0][0][0][0][0][0][0][0][0][0][0]",
            "at most 16 deep",
        ),
        (json!("x".repeat(16 * 1024)), "profile", "at most 16384 bytes"),
    ] {
        let (field, _, description) = of_one(any(), value).unwrap();
        assert!(field == place && description.contains(words), "{field} {description}");
    }
    for value in [
        json!(9_007_199_254_740_991_u64),
        json!(-0.1),
        (0..16).fold(json!(1), |inner, _| json!({ "y": inner })),
        json!("x".repeat(16 * 1024 - 8)),
    ] {
        assert_eq!(of_one(any(), value), None);
    }
}

#[test]
fn null_is_absent_and_what_a_user_may_not_set_or_nobody_knows_is_ignored() {
    let schema =
        fields(&json!({"a": {"type": ["string", "null"]}, "b": {}, "c": {"readOnly": true}}), &["a"]);
    let create = |setter, given| schema.create(setter, object(given)).map(|profile| profile.as_json());
    assert_eq!(create(Setter::Himself, json!({"a": "x", "b": null, "c": 1, "d": 2})), Ok(json!({"a": "x"})));
    assert_eq!(create(Setter::Superuser, json!({"a": "x", "c": 1})), Ok(json!({"a": "x", "c": 1})));
    for given in [json!({"b": 1}), json!({"a": null})] {
        let refused = told(schema.create(Setter::Himself, object(given)));
        assert_eq!(refused, [("profile.a".into(), Kind::Missing, "Field required".into())]);
    }
    assert!(OwnFields::default().create(Setter::Himself, object(json!({"a": 1}))) == Ok(Profile::default()));
}

#[test]
fn a_patch_leaves_a_profile_that_is_valid_as_a_whole() {
    let schema =
        fields(&json!({"a": {"type": "string"}, "b": {"type": "object"}, "c": {"readOnly": true}}), &["a"]);
    let patch = |before: Value, patch: Value| {
        let patch = schema.patch(Setter::Himself, object(patch)).unwrap();
        patch.applied_to(&Profile::from_json(before)).map(|profile| profile.as_json())
    };
    assert_eq!(
        patch(json!({"a": "x", "b": {"c": 1, "d": 2}, "gone": 7}), json!({"b": {"c": null, "e": 3}})),
        Ok(json!({"gone": 7, "a": "x", "b": {"d": 2, "e": 3}}))
    );
    assert_eq!(patch(json!({"a": "x", "b": {}}), json!({"b": null})), Ok(json!({"a": "x"})));
    for (before, change, field) in [
        (json!({"a": "x"}), json!({"a": null}), "profile.a"),
        (json!({}), json!({"b": {}}), "profile.a"),
        (json!({"a": 1}), json!({"b": {}}), "profile.a"),
        (json!({"a": "x"}), json!({"b": 1}), "profile.b"),
    ] {
        assert_eq!(patch(before, change).unwrap_err()[0].field, field);
    }
    for nothing in [json!({}), json!({"unknown": 1}), json!({"c": 1})] {
        assert!(schema.patch(Setter::Himself, object(nothing)).is_none());
    }
    assert!(schema.patch(Setter::Superuser, object(json!({"c": 1}))).is_some());
    assert!(OwnFields::default().patch(Setter::Superuser, object(json!({"a": 1}))).is_none());
}

#[test]
fn an_answer_shows_what_the_schema_names_and_does_not_keep_from_it() {
    let stored = Profile::from_json(json!({"a": 1, "pin": 2, "gone": 3}));
    let shown = fields(&json!({"pin": {"writeOnly": true}, "a": {}}), &[]).shown(&stored);
    assert_eq!(shown, Some(object(json!({"a": 1}))));
    assert_eq!(OwnFields::default().shown(&stored), None);
}

#[test]
fn no_pattern_takes_longer_than_its_text_is_long() {
    let started = std::time::Instant::now();
    let text = format!("{}!", "a".repeat(16_000));
    for pattern in ["^(a+)+$", "^(a|a)*$", "^(a|aa)+$", "(x+x+)+y"] {
        assert!(of_one(json!({ "pattern": pattern }), json!(text)).is_some(), "{pattern}");
    }
    assert!(started.elapsed() < std::time::Duration::from_secs(2), "{:?}", started.elapsed());
}

#[test]
fn debug_shows_no_value() {
    let schema = fields(&json!({"a": {}}), &[]);
    let patch = schema.patch(Setter::Himself, object(json!({"a": "guinevere"}))).unwrap();
    assert_eq!(format!("{patch:?}"), "Patch { .. }");
}
