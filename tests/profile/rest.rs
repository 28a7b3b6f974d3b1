//! What a client of the HTTP API sees of own fields.

use serde_json::{Map, Value, json};

use super::{EMAIL, knights, own, patch, register, stack, stored, wrong};
use crate::harness::{PASSWORD, Stack, repository};

#[tokio::test]
async fn own_fields_stand_beside_the_others_in_requests_and_in_every_answer() {
    let schema = knights();
    let stack = stack(&schema).await;
    let given = json!({
        "first_name": "Артур", "birthdate": "0482-02-28", "age": 40.0, "pin": "1234", "rank": "knight",
        "address": {"street": "Tor 1"}, "tags": [], "unknown": {"a": [1]}, "id": "x", "hashed_password": "y",
        "anything": [0.1, 0.300_000_000_000_000_04, -2.5e-300, 9_007_199_254_740_991_u64, null, true],
    });
    let registered = register(&stack, EMAIL, given).await;
    let shown = json!({
        "address": {"street": "Tor 1"}, "age": 40, "birthdate": "0482-02-28", "first_name": "Артур", "tags": [],
        "anything": [0.1, 0.300_000_000_000_000_04, -2.5e-300, 9_007_199_254_740_991_u64, null, true],
    });
    assert_eq!((registered.status, own(&registered)), (201, shown.clone()));
    let beginning = format!(
        r#"{{"id":"{}","email":"{EMAIL}","is_active":true,"is_superuser":false,"is_verified":false,"address":"#,
        registered.text("id")
    );
    assert!(
        registered.body.starts_with(&beginning) && registered.body.contains(r#""age":40,"#),
        "{registered:?}"
    );
    let mut in_row = shown.clone();
    in_row["pin"] = json!("1234");
    assert_eq!(stored(&stack).await, in_row);

    let token = stack.http().token(EMAIL, PASSWORD).await;
    assert_eq!(own(&stack.http().bare("GET", "/users/me", &token).await), shown);
    stack.identity.command(&["user", "promote", EMAIL]).unwrap();
    let path = format!("/users/{}", registered.text("id"));
    assert_eq!(own(&stack.http().bare("GET", &path, &token).await), shown);
    assert_eq!(own(&patch(&stack, "/users/me", &token, json!({"is_active": true})).await), shown);
}

#[tokio::test]
async fn all_that_is_wrong_is_a_422_as_fastapi_has_it_and_nobody_is_registered() {
    let schema = knights();
    let stack = stack(&schema).await;
    let missing = register(&stack, EMAIL, json!({})).await;
    let item =
        json!({"type": "missing", "loc": ["body", "first_name"], "msg": "Field required", "input": null});
    assert_eq!((missing.status, missing.json()), (422, json!({ "detail": [item] })));
    let everything = json!({
        "first_name": "A", "birthdate": "28.02.482", "age": -1, "address": {"city": 7, "planet": "x"},
        "tags": ["a", 2], "rank": "king", "anything": "a\u{0}b",
    });
    // The gateway says itself what no field may hold.
    assert_eq!(wrong(&register(&stack, EMAIL, everything.clone()).await), [r#"["body"] value_error"#]);
    let mut everything = everything;
    everything["anything"] = json!(9_007_199_254_740_992_u64);
    let mut said = wrong(&register(&stack, EMAIL, everything).await);
    said[3..6].sort();
    let places = [
        r#"["body","first_name"] string_too_short"#,
        r#"["body","birthdate"] date_parsing"#,
        r#"["body","age"] greater_than_equal"#,
        r#"["body","address","city"] string_type"#,
        r#"["body","address","planet"] extra_forbidden"#,
        r#"["body","address","street"] missing"#,
        r#"["body","tags",1] string_type"#,
        r#"["body","anything"] less_than_equal"#,
    ];
    assert_eq!(said, places);
    for (value, message) in [
        (json!("A"), "String should have at least 2 characters"),
        (json!(null), "Field required"),
        (json!(7), "Input should be a valid string"),
    ] {
        let answer = register(&stack, EMAIL, json!({ "first_name": value })).await;
        assert_eq!(answer.json()["detail"][0]["msg"], message);
    }
    // Own fields come before the rules for passwords, and whether the address is taken after both.
    let body = json!({"email": EMAIL, "password": "short", "first_name": 1});
    let answer = stack.http().json("POST", "/auth/register", "", body).await;
    assert_eq!(wrong(&answer), [r#"["body","first_name"] string_type"#]);
    assert_eq!(stack.database.number("SELECT count(*) FROM users").await, 0);
}

#[tokio::test]
async fn a_patch_is_merged_and_null_removes_what_is_not_required() {
    let schema = knights();
    let stack = stack(&schema).await;
    let address = json!({"street": "Tor 1", "city": "Camelot"});
    let given = json!({"first_name": "Arthur", "age": 40, "address": address, "tags": ["a", "b"]});
    assert_eq!(register(&stack, EMAIL, given).await.status, 201);
    let token = stack.http().token(EMAIL, PASSWORD).await;
    let change = async |changes| patch(&stack, "/users/me", &token, changes).await;
    for (changes, expected) in [
        (
            json!({"address": {"city": null}, "tags": ["c"], "age": null}),
            json!({"first_name": "Arthur", "address": {"street": "Tor 1"}, "tags": ["c"]}),
        ),
        (
            json!({"unknown": 1, "rank": "knight", "address": {}}),
            json!({"first_name": "Arthur", "address": {"street": "Tor 1"}, "tags": ["c"]}),
        ),
        (json!({"address": null, "tags": null, "first_name": "Art"}), json!({"first_name": "Art"})),
    ] {
        assert_eq!(own(&change(changes).await), expected);
        assert_eq!(stored(&stack).await, expected);
    }
    let before = stack.database.contents().await;
    for (changes, place) in [
        (json!({"first_name": null, "password": "lancelot"}), r#"["body","first_name"] missing"#),
        (json!({"age": "old", "email": "lancelot@camelot.bt"}), r#"["body","age"] int_type"#),
        (json!({"address": {"city": "x"}}), r#"["body","address","street"] missing"#),
        (json!({"anything": "x".repeat(16_360)}), r#"["body"] value_error"#),
    ] {
        assert_eq!(wrong(&change(changes).await), [place]);
    }
    // An address is refused by identity-service and the gateway alike, but by the gateway first.
    assert_eq!(
        wrong(&change(json!({"email": "x", "age": "old"})).await),
        [r#"["body","email"] value_error"#]
    );
    assert_eq!(stack.database.contents().await, before);
}

#[tokio::test]
async fn changes_at_the_same_time_are_merged_one_after_the_other() {
    let schema = knights();
    let stack = stack(&schema).await;
    assert_eq!(register(&stack, EMAIL, json!({"first_name": "Arthur"})).await.status, 201);
    let token = stack.http().token(EMAIL, PASSWORD).await;
    let changes = (0..16).map(|number| json!({"anything": {format!("x{number}"): number}}));
    let patches = changes.clone().map(|change| patch(&stack, "/users/me", &token, change));
    let answers = futures_util::future::join_all(patches).await;
    assert!(answers.iter().all(|answer| answer.status == 200), "{answers:?}");
    let all: Map<_, _> = changes.flat_map(|change| change["anything"].as_object().unwrap().clone()).collect();
    assert_eq!(stored(&stack).await["anything"], Value::from(all));
}

#[tokio::test]
async fn what_is_read_only_a_superuser_sets_for_a_user_by_his_id() {
    let schema = knights();
    let stack = stack(&schema).await;
    let arthur = register(&stack, EMAIL, json!({"first_name": "Arthur", "rank": "king"})).await;
    assert_eq!(own(&arthur), json!({"first_name": "Arthur"}));
    let token = stack.http().token(EMAIL, PASSWORD).await;
    let path = format!("/users/{}", arthur.text("id"));
    assert_eq!(patch(&stack, &path, &token, json!({"rank": 7})).await.status, 403);
    stack.identity.command(&["user", "promote", EMAIL]).unwrap();
    assert_eq!(own(&patch(&stack, "/users/me", &token, json!({"rank": "king"})).await), own(&arthur));
    assert_eq!(
        wrong(&patch(&stack, &path, &token, json!({"rank": "king"})).await),
        [r#"["body","rank"] enum"#]
    );
    let raised = own(&patch(&stack, &path, &token, json!({"rank": "knight"})).await);
    assert_eq!(raised, json!({"first_name": "Arthur", "rank": "knight"}));
    assert_eq!(own(&patch(&stack, "/users/me", &token, json!({"rank": null})).await), raised);
}

#[tokio::test]
async fn a_field_is_nested_as_deep_as_is_allowed_and_no_name_or_size_confuses() {
    let odd = json!({"a.b": {}, "[0]": {}, "\"": {}, "__proto__": {}, "anything": {}});
    let schema = super::schema(&odd, &[]);
    let stack = stack(&schema).await;
    let nested = |depth| {
        (0..depth)
            .fold(json!(1), |inner, level| if level % 2 == 0 { json!([inner]) } else { json!({"0": inner}) })
    };
    let given = json!({"a.b": 1, "[0]": {"": [], "toString": 2}, "\"": "", "__proto__": {"x": null}, "anything": nested(16)});
    assert_eq!(own(&register(&stack, EMAIL, given.clone()).await), given);
    for depth in [17, 24, 25, 60, 120] {
        let answer = register(
            &stack,
            "lancelot@camelot.bt",
            json!({"anything": nested(depth), "unknown": nested(120)}),
        )
        .await;
        let said = wrong(&answer);
        assert!(said.len() == 1 && said[0].starts_with(r#"["body","anything","#), "{depth}: {said:?}");
    }
    let numbers: Vec<Value> = vec![json!(0); 8_000];
    assert_eq!(
        own(&register(&stack, "b@camelot.bt", json!({ "anything": numbers })).await)["anything"],
        json!(numbers)
    );
    let many: Map<_, _> = (0..1_200).map(|n| (format!("x{n}"), json!([0]))).collect();
    assert_eq!(register(&stack, "c@camelot.bt", many.into()).await.status, 201);
    let bad = json!({"a.b": [9e99], "\"": -9e99});
    let places = [r#"["body","a.b",0] less_than_equal"#, r#"["body","\""] greater_than_equal"#];
    assert_eq!(wrong(&register(&stack, "d@camelot.bt", bad).await), places);
}

#[tokio::test]
async fn the_example_of_the_local_runner_works() {
    let example = repository().join("deploy/local/user-schema.json");
    let stack = Stack::with(&[("USER_SCHEMA", example.to_str().unwrap())], &[]).await;
    let refused = register(&stack, EMAIL, json!({"first_name": "", "birthdate": "yesterday"})).await;
    let places = [
        r#"["body","first_name"] string_too_short"#,
        r#"["body","last_name"] missing"#,
        r#"["body","birthdate"] date_parsing"#,
    ];
    assert_eq!(wrong(&refused), places);
    let arthur = json!({"first_name": "Arthur", "last_name": "Pendragon", "birthdate": "0482-02-28"});
    assert_eq!(own(&register(&stack, EMAIL, arthur.clone()).await), {
        json!({"birthdate": "0482-02-28", "first_name": "Arthur", "last_name": "Pendragon"})
    });
    assert_eq!(stored(&stack).await, arthur);
}
