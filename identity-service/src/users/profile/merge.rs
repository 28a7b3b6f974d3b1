//! JSON merge patch.

use serde_json::{Map, Value};

/// Changes an object as a patch says (RFC 7396 section 2): null removes a member, an object changes one member by member,
/// anything else takes its place.
pub(super) fn merge(object: &mut Map<String, Value>, patch: &Map<String, Value>) {
    for (name, value) in patch {
        match value {
            Value::Null => {
                object.shift_remove(name);
            }
            Value::Object(patch) => {
                let member = object.entry(name.as_str()).or_insert_with(|| Map::new().into());
                if !member.is_object() {
                    *member = Map::new().into();
                }
                merge(member.as_object_mut().expect("it was made one"), patch);
            }
            Value::Bool(_) | Value::Number(_) | Value::String(_) | Value::Array(_) => {
                object.insert(name.clone(), value.clone());
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use serde_json::json;

    fn merged(target: &Value, patch: &Value) -> Value {
        let mut object = target.as_object().unwrap().clone();
        merge(&mut object, patch.as_object().unwrap());
        object.into()
    }

    /// RFC 7396 appendix A, but for the lines whose patch or target is no object: they stand here one level down.
    #[test]
    fn the_examples_of_rfc_7396_come_out_as_they_stand_there() {
        for (target, patch, result) in [
            (json!({"a": "b"}), json!({"a": "c"}), json!({"a": "c"})),
            (json!({"a": "b"}), json!({"b": "c"}), json!({"a": "b", "b": "c"})),
            (json!({"a": "b"}), json!({"a": null}), json!({})),
            (json!({"a": "b", "b": "c"}), json!({"a": null}), json!({"b": "c"})),
            (json!({"a": ["b"]}), json!({"a": "c"}), json!({"a": "c"})),
            (json!({"a": "c"}), json!({"a": ["b"]}), json!({"a": ["b"]})),
            (json!({"a": {"b": "c"}}), json!({"a": {"b": "d", "c": null}}), json!({"a": {"b": "d"}})),
            (json!({"a": [{"b": "c"}]}), json!({"a": [1]}), json!({"a": [1]})),
            (json!({"x": ["a", "b"]}), json!({"x": ["c", "d"]}), json!({"x": ["c", "d"]})),
            (json!({"x": {"a": "b"}}), json!({"x": ["c"]}), json!({"x": ["c"]})),
            (json!({"x": {"a": "foo"}}), json!({"x": null}), json!({})),
            (json!({"x": {"a": "foo"}}), json!({"x": "bar"}), json!({"x": "bar"})),
            (json!({"e": null}), json!({"a": 1}), json!({"e": null, "a": 1})),
            (json!({"x": [1, 2]}), json!({"x": {"a": "b", "c": null}}), json!({"x": {"a": "b"}})),
            (json!({}), json!({"a": {"bb": {"ccc": null}}}), json!({"a": {"bb": {}}})),
        ] {
            assert_eq!(merged(&target, &patch), result, "{target} {patch}");
        }
    }

    /// The rule as RFC 7396 section 2 writes it down.
    fn by_the_book(target: Value, patch: &Value) -> Value {
        let Value::Object(patch) = patch else { return patch.clone() };
        let mut target = target.as_object().cloned().unwrap_or_default();
        for (name, value) in patch {
            if value.is_null() {
                target.shift_remove(name);
            } else {
                let member = target.get(name).cloned().unwrap_or_default();
                target.insert(name.clone(), by_the_book(member, value));
            }
        }
        target.into()
    }

    fn objects() -> impl Strategy<Value = Value> {
        let leaf = prop_oneof![
            Just(Value::Null),
            Just(json!(1)),
            Just(json!("x")),
            Just(json!([null, {"a": null}]))
        ];
        let value = leaf.prop_recursive(3, 20, 3, |inner| members(inner).prop_map(Value::from));
        members(value).prop_map(Value::from)
    }

    fn members(value: impl Strategy<Value = Value>) -> impl Strategy<Value = Map<String, Value>> {
        proptest::collection::btree_map("[abc]", value, 0..3)
            .prop_map(|members| members.into_iter().collect())
    }

    proptest! {
        #[test]
        fn a_merge_is_that_of_the_book_and_a_second_one_changes_nothing(target in objects(), patch in objects()) {
            let once = merged(&target, &patch);
            prop_assert_eq!(&once, &by_the_book(target, &patch));
            prop_assert_eq!(merged(&once, &patch), once);
        }
    }
}
