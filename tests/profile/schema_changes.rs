//! What becomes of users when the operator changes the schema.

use serde_json::{Value, json};

use super::{EMAIL, own, patch, register, schema, stack, stored, wrong};
use crate::harness::{PASSWORD, Stack};

/// Starts identity-service again with another schema, or with none.
async fn exchange(stack: &mut Stack, schema: &str) {
    stack.identity.kill();
    stack.identity.restart_with(&[("USER_SCHEMA", schema)]);
    stack.identity.until_serving().await;
    let gateway = &stack.gateway;
    gateway.until_ready().await;
}

#[tokio::test]
async fn a_tightened_schema_locks_nobody_out_and_the_next_change_of_an_own_field_repairs() {
    let loose = schema(&json!({"name": {"type": "string"}, "age": {}, "old": {}}), &[]);
    let mut stack = stack(&loose).await;
    let before = register(&stack, EMAIL, json!({"name": "A", "age": "forty", "old": {"x": 1}})).await;
    assert_eq!(before.status, 201);
    let first = stack.http().token(EMAIL, PASSWORD).await;

    let properties = json!({"name": {"type": "string", "minLength": 2}, "age": {"type": "integer"}, "title": {"type": "string"}});
    let tight = schema(&properties, &["title"]);
    exchange(&mut stack, tight.path().to_str().unwrap()).await;
    let shown = json!({"age": "forty", "name": "A"});
    assert_eq!(own(&stack.http().bare("GET", "/users/me", &first).await), shown);
    let token = stack.http().token(EMAIL, PASSWORD).await;
    let change = async |changes: Value| patch(&stack, "/users/me", &token, changes).await;
    assert_eq!(own(&change(json!({"password": "lancelot"})).await), shown);
    assert_eq!(own(&change(json!({"unknown": 1, "old": null})).await), shown);
    assert_eq!(stack.http().log_in(EMAIL, "lancelot").await.status, 200);
    assert_eq!(
        wrong(&change(json!({"title": "King"})).await),
        [r#"["body","name"] string_too_short"#, r#"["body","age"] int_type"#]
    );
    let repaired = change(json!({"title": "King", "name": "Arthur", "age": null})).await;
    assert_eq!(own(&repaired), json!({"name": "Arthur", "title": "King"}));
    assert_eq!(stored(&stack).await, json!({"name": "Arthur", "title": "King", "old": {"x": 1}}));

    // What is not named any more is kept and not shown, and comes back when it is named again.
    exchange(&mut stack, "").await;
    assert_eq!(own(&stack.http().bare("GET", "/users/me", &token).await), json!({}));
    assert_eq!(own(&patch(&stack, "/users/me", &token, json!({"name": 7})).await), json!({}));
    exchange(&mut stack, loose.path().to_str().unwrap()).await;
    let back = own(&stack.http().bare("GET", "/users/me", &token).await);
    assert_eq!(back, json!({"name": "Arthur", "old": {"x": 1}}));
}

#[tokio::test]
async fn what_only_a_superuser_sets_keeps_nobody_from_changing_his_own() {
    let properties =
        |ranks: Value| json!({"name": {"type": "string"}, "rank": {"enum": ranks, "readOnly": true}});
    let loose = schema(&properties(json!(["knight", "page"])), &[]);
    let mut stack = stack(&loose).await;
    let (_, superuser) = stack.superuser("merlin@camelot.bt").await;
    assert_eq!(register(&stack, EMAIL, json!({"name": "Kay"})).await.status, 201);
    let token = stack.http().token(EMAIL, PASSWORD).await;
    let path = format!("/users/{}", stack.http().bare("GET", "/users/me", &token).await.text("id"));
    assert_eq!(own(&patch(&stack, &path, &superuser, json!({"rank": "page"})).await)["rank"], "page");

    let tight = schema(&properties(json!(["knight"])), &[]);
    exchange(&mut stack, tight.path().to_str().unwrap()).await;
    let changed = patch(&stack, "/users/me", &token, json!({"name": "Sir Kay"})).await;
    assert_eq!(own(&changed), json!({"name": "Sir Kay", "rank": "page"}));
    let by_superuser = patch(&stack, &path, &superuser, json!({"name": "Kay"})).await;
    assert_eq!(wrong(&by_superuser), [r#"["body","rank"] enum"#]);
    assert_eq!(patch(&stack, &path, &superuser, json!({"rank": "knight"})).await.status, 200);
}

#[tokio::test]
async fn an_operator_creates_users_with_own_fields_or_without() {
    let file = schema(
        &json!({"name": {"type": "string"}, "rank": {"enum": ["knight"], "readOnly": true}}),
        &["name"],
    );
    let stack = stack(&file).await;
    let create = |email: &str, profile: &[&str]| {
        let arguments = [&["user", "create", email], profile].concat();
        stack.identity.command_with_input(&arguments, "guinevere\n")
    };
    for (profile, words) in [
        ("{", "--profile: no JSON object: "),
        ("[]", "--profile: no JSON object: "),
        (r#"{"name": "A", "nmae": 1}"#, "--profile: USER_SCHEMA names no field \"nmae\""),
        (
            r#"{"rank": "king"}"#,
            "--profile: profile.name: Field required; profile.rank: Input should be 'knight'",
        ),
    ] {
        let said = create(EMAIL, &["--profile", profile]).unwrap_err();
        assert!(said.contains(words) && said.trim_end().lines().count() == 1, "{said}");
    }
    create(EMAIL, &["--profile", r#"{"name": "Arthur", "rank": "knight"}"#]).unwrap();
    assert_eq!(stored(&stack).await, json!({"name": "Arthur", "rank": "knight"}));
    create("lancelot@camelot.bt", &[]).unwrap();
    let token = stack.http().token("lancelot@camelot.bt", PASSWORD).await;
    assert_eq!(own(&stack.http().bare("GET", "/users/me", &token).await), json!({}));
    let named = patch(&stack, "/users/me", &token, json!({"name": "Lancelot"})).await;
    assert_eq!(own(&named), json!({"name": "Lancelot"}));
}
