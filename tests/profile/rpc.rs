//! What a caller of identity-service itself sees of own fields.

use portcullis_proto::own_fields::{from_struct, to_struct};
use portcullis_proto::v1::{CreateUserRequest, GetUserRequest, UpdateUserRequest, User};
use prost_types::value::Kind;
use prost_types::{FieldMask, ListValue, Struct};
use serde_json::{Value, json};
use tonic_types::StatusExt as _;

use super::{EMAIL, knights, stack, stored};
use crate::harness::{PASSWORD, Rpc, Stack, outcome, with_token};

fn message(fields: &Value) -> Option<Struct> {
    Some(to_struct(fields.as_object().unwrap()))
}

fn shown(user: User) -> Value {
    from_struct(user.profile.unwrap()).into()
}

fn create(email: &str, profile: Option<Struct>) -> CreateUserRequest {
    CreateUserRequest { user_id: String::new(), email: email.into(), password: PASSWORD.into(), profile }
}

fn update(email: &str, patch: &Value) -> UpdateUserRequest {
    UpdateUserRequest {
        id: "me".into(),
        user: Some(User { email: email.into(), ..User::default() }),
        update_mask: Some(FieldMask { paths: vec!["email".into()] }),
        password: None,
        profile_patch: message(patch),
    }
}

/// Which fields are refused, and as what.
fn refused<T>(result: Result<T, tonic::Status>) -> Vec<String> {
    assert_eq!(outcome(&result), "InvalidArgument INVALID_REQUEST");
    let violations = result.err().unwrap().get_details_bad_request().unwrap().field_violations;
    violations.into_iter().map(|violation| format!("{} {}", violation.field, violation.reason)).collect()
}

#[tokio::test]
async fn own_fields_are_a_struct_and_what_is_wrong_is_told_with_all_else() {
    let schema = knights();
    let stack = stack(&schema).await;
    let Rpc { mut users, .. } = stack.rpc().await;
    let bad = message(&json!({"first_name": "A", "tags": ["a", 1], "address": {"street": ""}, "unknown": 1}));
    let all = CreateUserRequest { user_id: "x".into(), password: "short".into(), ..create("x", bad) };
    assert_eq!(
        refused(users.create_user(all).await),
        [
            "user_id VALUE_ERROR",
            "email VALUE_ERROR",
            "profile.first_name STRING_TOO_SHORT",
            "profile.address.street STRING_TOO_SHORT",
            "profile.tags[1] STRING_TYPE",
        ]
    );
    assert_eq!(refused(users.create_user(create(EMAIL, None)).await), ["profile.first_name MISSING"]);

    let arthur = message(&json!({"first_name": "Arthur", "age": 40, "rank": "knight", "pin": "1"}));
    let user = users.create_user(create(EMAIL, arthur)).await.unwrap().into_inner();
    assert_eq!(shown(user), json!({"first_name": "Arthur", "age": 40}));
    assert_eq!(stored(&stack).await, json!({"first_name": "Arthur", "age": 40, "pin": "1"}));

    let token = stack.http().token(EMAIL, PASSWORD).await;
    let mut change = async |request| users.update_user(with_token(request, &token)).await;
    assert_eq!(
        refused(change(update("x", &json!({"age": "old", "first_name": null}))).await),
        ["email VALUE_ERROR", "profile.first_name MISSING", "profile.age INT_TYPE"]
    );
    let changed = change(update(EMAIL, &json!({"age": null, "address": {"street": "x"}}))).await;
    assert_eq!(
        shown(changed.unwrap().into_inner()),
        json!({"first_name": "Arthur", "address": {"street": "x"}})
    );
    let read = users.get_user(with_token(GetUserRequest { id: "me".into() }, &token)).await.unwrap();
    assert_eq!(shown(read.into_inner()), json!({"first_name": "Arthur", "address": {"street": "x"}}));
}

#[tokio::test]
async fn what_json_cannot_say_is_refused_in_a_named_field_and_ignored_in_others() {
    let schema = knights();
    let stack = stack(&schema).await;
    let Rpc { mut users, .. } = stack.rpc().await;
    let with = |name: &str, kind: Option<Kind>| {
        let mut fields = message(&json!({"first_name": "Arthur"})).unwrap();
        fields.fields.insert(name.into(), prost_types::Value { kind });
        Some(fields)
    };
    let list = |length| {
        let values = vec![prost_types::Value { kind: Some(Kind::NumberValue(0.0)) }; length];
        Some(Kind::ListValue(ListValue { values }))
    };
    for (kind, words) in [
        (Some(Kind::NumberValue(f64::NAN)), "profile.anything LESS_THAN_EQUAL"),
        (Some(Kind::NumberValue(f64::NEG_INFINITY)), "profile.anything GREATER_THAN_EQUAL"),
        (Some(Kind::StringValue("\0".into())), "profile.anything VALUE_ERROR"),
        (list(9_000), "profile VALUE_ERROR"),
    ] {
        assert_eq!(refused(users.create_user(create(EMAIL, with("anything", kind.clone()))).await), [words]);
        let email = format!("{}@camelot.bt", uuid::Uuid::new_v4());
        assert_eq!(outcome(&users.create_user(create(&email, with("unknown", kind))).await), "OK");
    }
    // Nothing at all is null, and so nothing; more than the largest message is no message.
    assert_eq!(outcome(&users.create_user(create(EMAIL, with("anything", None))).await), "OK");
    let large = create("b@camelot.bt", with("unknown", list(12_000)));
    let error = users.create_user(large).await;
    assert_eq!(outcome(&error), "InvalidArgument INVALID_REQUEST");
    assert!(error.err().unwrap().get_details_bad_request().is_none());
}

#[tokio::test]
async fn without_a_schema_there_are_no_own_fields() {
    let stack = Stack::start().await;
    let Rpc { mut users, .. } = stack.rpc().await;
    let user = users.create_user(create(EMAIL, message(&json!({"first_name": 1})))).await.unwrap();
    assert_eq!(user.into_inner().profile, None);
    let token = stack.http().token(EMAIL, PASSWORD).await;
    let changed = users.update_user(with_token(update(EMAIL, &json!({"first_name": 1})), &token)).await;
    assert_eq!(changed.unwrap().into_inner().profile, None);
    assert_eq!(stored(&stack).await, json!({}));
}
