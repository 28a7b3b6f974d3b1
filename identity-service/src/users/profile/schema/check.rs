//! What a file must be beyond a JSON Schema, so that users can be registered by it.

use jsonschema::Draft;
use portcullis_proto::own_fields::BUILT_IN;
use serde_json::{Map, Value};

use super::{Field, options};

const DRAFT: &str = "https://json-schema.org/draft/2020-12/schema";
/// The longest name of a field, in bytes.
const MAX_NAME: usize = 100;

/// Keywords whose value is a schema.
const ONE: [&str; 11] = [
    "additionalProperties",
    "items",
    "contains",
    "not",
    "if",
    "then",
    "else",
    "propertyNames",
    "unevaluatedItems",
    "unevaluatedProperties",
    "contentSchema",
];
/// Keywords whose value is a list of schemas.
const LISTS: [&str; 4] = ["allOf", "anyOf", "oneOf", "prefixItems"];
/// Keywords whose value has a schema for each of some names.
const MAPS: [&str; 5] = ["properties", "patternProperties", "$defs", "definitions", "dependentSchemas"];

/// The own fields that a schema has.
///
/// # Errors
/// The first thing that is wrong, with its place: a JSON pointer.
pub(super) fn check(schema: &Value) -> Result<Vec<Field>, String> {
    let Value::Object(root) = schema else {
        return Err("/: a schema of own fields is an object".to_owned());
    };
    if let Some(draft) = root.get("$schema").filter(|draft| !is_ours(draft)) {
        return Err(format!("/$schema: {draft} is not {DRAFT}"));
    }
    jsonschema::draft202012::meta::validate(schema).map_err(|error| {
        let place = error.instance_path().as_str();
        let problem: String = error.to_string().split_whitespace().collect::<Vec<_>>().join(" ");
        let problem: String = problem.chars().take(300).collect();
        format!("{}: not a schema: {problem}", if place.is_empty() { "/" } else { place })
    })?;
    if root.get("type") != Some(&Value::from("object")) {
        return Err("/type: it is not \"object\"".to_owned());
    }
    let none = Map::new();
    let properties = root.get("properties").and_then(Value::as_object).unwrap_or(&none);
    if properties.is_empty() {
        return Err("/properties: there are none".to_owned());
    }
    let required: Vec<_> = root
        .get("required")
        .and_then(Value::as_array)
        .into_iter()
        .flatten()
        .filter_map(Value::as_str)
        .collect();
    if let Some((index, name)) =
        required.iter().enumerate().find(|(_, name)| !properties.contains_key(**name))
    {
        return Err(format!(
            "/required/{index}: {name:?} is not one of the properties, so nobody could register"
        ));
    }
    let fields = properties.iter().map(|(name, field)| check_field(name, field, &required));
    let fields = fields.collect::<Result<_, _>>()?;
    check_below(schema, schema, "", 0)?;
    Ok(fields)
}

fn is_ours(draft: &Value) -> bool {
    draft.as_str().is_some_and(|draft| draft.strip_suffix('#').unwrap_or(draft) == DRAFT)
}

fn check_field(name: &str, field: &Value, required: &[&str]) -> Result<Field, String> {
    let refuse = |problem: &str| Err(format!("{}: {problem}", step("/properties", name)));
    let says = |keyword| field.get(keyword) == Some(&Value::Bool(true));
    if BUILT_IN.contains(&name) {
        return refuse("users have a field of this name already");
    }
    if name.is_empty() || name.len() > MAX_NAME || name.contains(char::is_control) {
        return refuse(&format!(
            "the name is empty, longer than {MAX_NAME} bytes, or has a control character"
        ));
    }
    if says("readOnly") && required.contains(&name) {
        return refuse("it is both readOnly and required, so nobody could register");
    }
    Ok(Field { name: name.to_owned(), read_only: says("readOnly"), write_only: says("writeOnly") })
}

/// Checks what stands in a schema, and in those inside it; a property of users is one step deep.
fn check_below(root: &Value, schema: &Value, place: &str, depth: usize) -> Result<(), String> {
    let Value::Object(keywords) = schema else {
        return Ok(());
    };
    check_keywords(root, keywords, place)?;
    let is_property = depth == 1 && place.starts_with("/properties/");
    let mark = ["readOnly", "writeOnly"].into_iter().find(|mark| keywords.contains_key(*mark));
    if let Some(mark) = mark.filter(|_| !is_property) {
        return Err(format!("{place}/{mark}: it has an effect only where a property begins"));
    }
    for (keyword, value) in keywords {
        let place = step(place, keyword);
        let name = keyword.as_str();
        if ONE.contains(&name) {
            check_below(root, value, &place, depth + 1)?;
        }
        let in_list = value.as_array().filter(|_| LISTS.contains(&name)).into_iter().flatten().enumerate();
        for (index, inner) in in_list {
            check_below(root, inner, &format!("{place}/{index}"), depth + 1)?;
        }
        for (name, inner) in value.as_object().filter(|_| MAPS.contains(&name)).into_iter().flatten() {
            check_below(root, inner, &step(&place, name), depth + 1)?;
        }
    }
    Ok(())
}

/// Checks the keywords that a meta-schema leaves open.
fn check_keywords(root: &Value, keywords: &Map<String, Value>, place: &str) -> Result<(), String> {
    for keyword in ["$ref", "$dynamicRef"] {
        let Some(target) = keywords.get(keyword).and_then(Value::as_str) else { continue };
        let problem = match target.strip_prefix('#') {
            None => "it leads out of this file",
            Some(pointer) if is_plain(pointer) && root.pointer(pointer).is_none() => "it leads nowhere",
            Some(_) => continue,
        };
        return Err(format!("{place}/{keyword}: {target:?}: {problem}"));
    }
    let format = keywords.get("format").and_then(Value::as_str);
    if let Some(format) = format.filter(|format| !options().is_known_format(Draft::Draft202012, format)) {
        return Err(format!("{place}/format: {format:?} is no format that can be checked"));
    }
    if let Some(draft) = keywords.get("$schema").filter(|draft| !is_ours(draft)) {
        return Err(format!("{place}/$schema: {draft} is not {DRAFT}"));
    }
    Ok(())
}

/// Whether a fragment is a JSON pointer as it stands; in others there are escapes of URLs, or names of anchors.
fn is_plain(fragment: &str) -> bool {
    fragment.starts_with('/') && !fragment.contains('%')
}

/// A JSON pointer, one step further (RFC 6901 section 3).
fn step(place: &str, name: &str) -> String {
    format!("{place}/{}", name.replace('~', "~0").replace('/', "~1"))
}
