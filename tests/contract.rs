//! The HTTP contract: statuses, bodies and headers of what succeeds and of what is refused. Every refusal changes
//! nothing.

use serde_json::{Value, json};

use crate::harness::{Answer, Http, PASSWORD, Stack};

const EMAIL: &str = "King.Arthur@camelot.bt";

/// A user's JSON, his id apart.
fn user(answer: &Answer) -> Value {
    let mut user = answer.json();
    let id = user.as_object_mut().expect("a user is an object").remove("id").expect("has an id");
    let id = uuid::Uuid::parse_str(id.as_str().unwrap()).expect("is a UUID");
    assert_eq!(id.get_version_num(), 7);
    user
}

fn arthur() -> Value {
    json!({"email": EMAIL, "is_active": true, "is_superuser": false, "is_verified": false})
}

#[tokio::test]
async fn a_registered_user_is_answered_as_five_fields_in_their_order() {
    let stack = Stack::start().await;
    let body =
        json!({"email": EMAIL, "password": PASSWORD, "is_superuser": true, "is_active": false, "x": 1});
    let answer = stack.http().json("POST", "/auth/register", "", body).await;
    assert_eq!((answer.status, user(&answer)), (201, arthur()));
    assert_eq!(answer.header("content-type"), "application/json");
    assert_eq!(answer.header("cache-control"), "no-store");
    let keys: Vec<_> = answer.json().as_object().unwrap().keys().cloned().collect();
    assert_eq!(keys, ["id", "email", "is_active", "is_superuser", "is_verified"]);
}

#[tokio::test]
async fn registrations_are_refused_in_the_contracts_words_and_leave_no_user() {
    let stack = Stack::start().await;
    let post = async |body: &str| {
        let http = stack.http();
        let request = http.request("POST", "/auth/register").header("content-type", "application/json");
        http.send(request.body(body.to_owned())).await.short()
    };
    insta::assert_snapshot!(post(r#"{"email":"a@camelot.bt","password":"short"}"#).await, @r#"400 {"detail":{"code":"REGISTER_INVALID_PASSWORD","reason":"Password should be at least 8 characters"}}"#);
    insta::assert_snapshot!(post(r#"{"email":"a@camelot.bt","password":"my A@camelot.bt"}"#).await, @r#"400 {"detail":{"code":"REGISTER_INVALID_PASSWORD","reason":"Password should not contain e-mail"}}"#);
    insta::assert_snapshot!(post(&format!(r#"{{"email":"a@camelot.bt","password":"{}"}}"#, "x".repeat(1025))).await, @r#"400 {"detail":{"code":"REGISTER_INVALID_PASSWORD","reason":"Password should be at most 1024 bytes"}}"#);
    insta::assert_snapshot!(post(r#"{"email":"nobody","password":7,"is_active":"banana"}"#).await, @r#"422 {"detail":[{"type":"value_error","loc":["body","email"],"msg":"value is not a valid email address: An email address must have an @-sign.","input":null,"ctx":{"reason":"An email address must have an @-sign."}},{"type":"string_type","loc":["body","password"],"msg":"Input should be a valid string","input":null},{"type":"bool_parsing","loc":["body","is_active"],"msg":"Input should be a valid boolean, unable to interpret input","input":null}]}"#);
    insta::assert_snapshot!(post(r#"{"password":"guinevere"}"#).await, @r#"422 {"detail":[{"type":"missing","loc":["body","email"],"msg":"Field required","input":null}]}"#);
    insta::assert_snapshot!(post("").await, @r#"422 {"detail":[{"type":"missing","loc":["body"],"msg":"Field required","input":null}]}"#);
    insta::assert_snapshot!(post("[]").await, @r#"422 {"detail":[{"type":"model_attributes_type","loc":["body"],"msg":"Input should be a valid dictionary or object to extract fields from","input":null}]}"#);
    insta::assert_snapshot!(post(r#"{"email": }"#).await, @r#"422 {"detail":[{"type":"json_invalid","loc":["body",10],"msg":"JSON decode error","input":{},"ctx":{"error":"Expecting value"}}]}"#);
    insta::assert_snapshot!(post(r#"{"email":"a@camelot.bt","email":"b@camelot.bt","password":"guinevere"}"#).await, @r#"422 {"detail":[{"type":"json_invalid","loc":["body",32],"msg":"JSON decode error","input":{},"ctx":{"error":"Duplicate name"}}]}"#);
    insta::assert_snapshot!(post(&format!(r#"{{"email":"{}"}}"#, "x".repeat(17_000))).await, @r#"413 {"detail":"Request Entity Too Large"}"#);
    assert_eq!(stack.database.number("SELECT count(*) FROM users").await, 0);
}

#[tokio::test]
async fn an_address_is_taken_in_every_case_and_a_weak_password_is_told_first() {
    let stack = Stack::start().await;
    stack.register(EMAIL).await;
    let http = stack.http();
    let taken = http.register("KING.ARTHUR@CAMELOT.BT", PASSWORD).await;
    assert_eq!(taken.short(), r#"400 {"detail":"REGISTER_USER_ALREADY_EXISTS"}"#);
    let weak = http.register(EMAIL, "short").await;
    assert_eq!(weak.json()["detail"]["code"], "REGISTER_INVALID_PASSWORD");
    assert_eq!(stack.database.number("SELECT count(*) FROM users").await, 1);
}

async fn log_in_with(http: &Http, path: &str, form: &[(&str, &str)]) -> Answer {
    http.send(http.request("POST", path).form(form)).await
}

#[tokio::test]
async fn both_logins_take_both_forms_and_answer_as_documented() {
    let stack = Stack::start().await;
    stack.register(EMAIL).await;
    let http = stack.http();
    let form = [("username", "king.arthur@CAMELOT.bt"), ("password", PASSWORD), ("grant_type", "password")];
    for bearer in [http.log_in(EMAIL, PASSWORD).await, log_in_with(&http, "/auth/jwt/login", &form).await] {
        assert_eq!((bearer.status, bearer.text("token_type").as_str()), (200, "bearer"));
        assert_eq!(bearer.header("cache-control"), "no-store");
        let keys: Vec<_> = bearer.json().as_object().unwrap().keys().cloned().collect();
        assert_eq!(keys, ["access_token", "token_type"]);
    }
    for cookie in
        [http.log_in_for_cookie(EMAIL, PASSWORD).await, log_in_with(&http, "/auth/cookie/login", &form).await]
    {
        assert_eq!((cookie.status, cookie.body.as_str(), cookie.header("content-type")), (204, "", ""));
        let (name, rest) = cookie.header("set-cookie").split_once('=').expect("a cookie is set");
        let (token, attributes) = rest.split_once(';').expect("with attributes");
        assert_eq!(
            (name, attributes),
            ("fastapiusersauth", " HttpOnly; Max-Age=3600; Path=/; SameSite=lax; Secure")
        );
        assert_eq!(http.bare("GET", "/users/me", token).await.status, 200);
    }
}

#[tokio::test]
async fn logins_are_refused_in_the_contracts_words_and_begin_no_session() {
    let stack = Stack::start().await;
    stack.register(EMAIL).await;
    stack.register("gone@camelot.bt").await;
    stack.identity.command(&["user", "deactivate", "gone@camelot.bt"]).unwrap();
    let http = stack.http();
    for path in ["/auth/jwt/login", "/auth/cookie/login"] {
        let form = async |form: &[(&str, &str)]| log_in_with(&http, path, form).await;
        for (username, password) in [
            (EMAIL, "lancelot"),
            ("nobody@camelot.bt", PASSWORD),
            ("gone@camelot.bt", PASSWORD),
            ("no address", PASSWORD),
            (EMAIL, "guinevere\0"),
            (EMAIL, &"x".repeat(2000)),
        ] {
            let answer = form(&[("username", username), ("password", password)]).await;
            assert_eq!(answer.short(), r#"400 {"detail":"LOGIN_BAD_CREDENTIALS"}"#, "{username} {password}");
            assert_eq!(answer.header("set-cookie"), "");
        }
        let missing = form(&[("username", EMAIL), ("password", "")]).await;
        assert_eq!(
            (missing.status, &missing.json()["detail"][0]["loc"]),
            (422, &json!(["body", "password"]))
        );
        let grant = form(&[("username", EMAIL), ("password", PASSWORD), ("grant_type", "code")]).await;
        assert_eq!(
            (grant.status, &grant.json()["detail"][0]["type"]),
            (422, &json!("string_pattern_mismatch"))
        );
        let body = json!({"username": EMAIL, "password": PASSWORD});
        let wrong_type = http.json("POST", path, "", body).await;
        assert_eq!((wrong_type.status, wrong_type.json()["detail"].as_array().unwrap().len()), (422, 2));
    }
    assert_eq!(stack.database.number("SELECT count(*) FROM sessions").await, 0);
}

#[tokio::test]
async fn a_token_of_one_backend_works_in_the_other_transport() {
    let stack = Stack::start().await;
    let (_, token) = stack.user(EMAIL).await;
    let http = stack.http();
    let as_cookie = http.request("GET", "/users/me").header("cookie", format!("fastapiusersauth={token}"));
    let answer = http.send(as_cookie).await;
    assert_eq!((answer.status, user(&answer)), (200, arthur()));
}

#[tokio::test]
async fn a_user_changes_his_address_and_password_and_nothing_else() {
    let stack = Stack::start().await;
    let (_, token) = stack.user("arthur@camelot.bt").await;
    let http = stack.http();
    let patch = async |body: Value| http.json("PATCH", "/users/me", &token, body).await;
    assert_eq!(patch(json!({})).await.status, 200);
    assert_eq!(patch(json!({"email": null, "password": null})).await.status, 200);
    let changed =
        patch(json!({"email": EMAIL, "password": "lancelot", "is_superuser": true, "id": "x"})).await;
    assert_eq!((changed.status, user(&changed)), (200, arthur()));
    assert_eq!(http.log_in(EMAIL, "lancelot").await.status, 200);
    assert_eq!(http.log_in("arthur@camelot.bt", "lancelot").await.status, 400);
    // One's own address in another case is a new spelling.
    let spelling = patch(json!({"email": "KING.ARTHUR@camelot.bt"})).await;
    assert_eq!((spelling.status, spelling.text("email").as_str()), (200, "KING.ARTHUR@camelot.bt"));
}

#[tokio::test]
async fn a_refused_change_changes_nothing_at_all() {
    let stack = Stack::start().await;
    stack.register("lancelot@camelot.bt").await;
    let (_, token) = stack.user(EMAIL).await;
    let http = stack.http();
    let patch = async |body: Value| http.json("PATCH", "/users/me", &token, body).await;
    let taken = patch(json!({"email": "Lancelot@camelot.bt", "password": "excalibur"})).await;
    assert_eq!(taken.short(), r#"400 {"detail":"UPDATE_USER_EMAIL_ALREADY_EXISTS"}"#);
    let weak = patch(json!({"email": "new@camelot.bt", "password": "short"})).await;
    assert_eq!(
        weak.short(),
        r#"400 {"detail":{"code":"UPDATE_USER_INVALID_PASSWORD","reason":"Password should be at least 8 characters"}}"#
    );
    let bad = patch(json!({"email": "nobody", "password": "excalibur"})).await;
    assert_eq!((bad.status, &bad.json()["detail"][0]["loc"]), (422, &json!(["body", "email"])));
    let wrong_flag = patch(json!({"email": "new@camelot.bt", "is_verified": "banana"})).await;
    assert_eq!((wrong_flag.status, &wrong_flag.json()["detail"][0]["type"]), (422, &json!("bool_parsing")));
    assert_eq!(user(&http.bare("GET", "/users/me", &token).await), arthur());
    assert_eq!(http.log_in(EMAIL, PASSWORD).await.status, 200);
}

#[tokio::test]
async fn a_superuser_reads_changes_and_deletes_anybody() {
    let stack = Stack::start().await;
    let id = stack.register(EMAIL).await;
    let (own, token) = stack.superuser("merlin@camelot.bt").await;
    let http = stack.http();
    let path = format!("/users/{}", id.to_uppercase());
    assert_eq!(user(&http.bare("GET", &path, &token).await), arthur());
    let verified =
        http.json("PATCH", &path, &token, json!({"email": "a@camelot.bt", "is_verified": true})).await;
    assert_eq!((verified.status, &verified.json()["is_verified"]), (200, &json!(true)));
    let moved = http.json("PATCH", &path, &token, json!({"email": EMAIL, "is_active": null})).await;
    assert_eq!((moved.status, user(&moved)), (200, arthur()));
    let deleted = http.bare("DELETE", &path, &token).await;
    assert_eq!((deleted.short().as_str(), deleted.header("content-type")), ("204 ", ""));
    assert_eq!(http.bare("DELETE", &path, &token).await.short(), r#"404 {"detail":"Not Found"}"#);
    // He may delete himself, and then is nobody.
    assert_eq!(http.bare("DELETE", &format!("/users/{own}"), &token).await.status, 204);
    assert_eq!(http.bare("GET", "/users/me", &token).await.status, 401);
}

#[tokio::test]
async fn credential_right_existence_and_body_are_checked_in_this_order() {
    let stack = Stack::start().await;
    let id = stack.register(EMAIL).await;
    let (_, user) = stack.user("lancelot@camelot.bt").await;
    let (_, superuser) = stack.superuser("merlin@camelot.bt").await;
    let http = stack.http();
    let patch = async |path: &str, token: &str, body: &str| {
        let request =
            http.request("PATCH", path).header("content-type", "application/json").body(body.to_owned());
        let request = if token.is_empty() { request } else { request.bearer_auth(token) };
        http.send(request).await.status
    };
    let known = format!("/users/{id}");
    let unknown = format!("/users/{}", uuid::Uuid::now_v7());
    for (path, token, status) in [
        ("/users/me", "", 401),
        (known.as_str(), "", 401),
        (&known, &user, 403),
        (&unknown, &user, 403),
        ("/users/nonsense", &user, 403),
        (&unknown, &superuser, 404),
        ("/users/nonsense", &superuser, 404),
        (&known, &superuser, 422),
        ("/users/me", &user, 422),
    ] {
        for body in ["{", r#"{"email":7}"#, r#"{"email":"nobody"}"#] {
            assert_eq!(patch(path, token, body).await, status, "{path} {body}");
        }
    }
    for (token, status) in [("", 401), (user.as_str(), 403), (&superuser, 404)] {
        assert_eq!(http.bare("DELETE", "/users/me", token).await.status, status);
        for form in [id.replace('-', ""), format!("%7B{id}%7D"), format!("urn:uuid:{id}")] {
            assert_eq!(http.bare("GET", &format!("/users/{form}"), token).await.status, status, "{form}");
        }
    }
}

#[tokio::test]
async fn logout_answers_as_documented_and_a_dead_cookie_can_be_cleared() {
    let stack = Stack::start().await;
    let (_, token) = stack.user(EMAIL).await;
    let http = stack.http();
    let bearer = http.bare("POST", "/auth/jwt/logout", &token).await;
    assert_eq!((bearer.short().as_str(), bearer.header("set-cookie")), ("204 ", ""));
    assert_eq!(
        http.bare("POST", "/auth/jwt/logout", &token).await.short(),
        r#"401 {"detail":"Unauthorized"}"#
    );
    for cookie in ["", "nonsense", &token] {
        let request = http
            .request("POST", "/auth/cookie/logout")
            .header("cookie", format!("fastapiusersauth={cookie}"));
        let answer = http.send(request).await;
        assert_eq!(answer.short(), "204 ");
        let cleared = r#"fastapiusersauth=""; HttpOnly; Max-Age=0; Path=/; SameSite=lax; Secure"#;
        assert_eq!(answer.header("set-cookie"), cleared);
    }
}

#[tokio::test]
async fn what_is_not_there_and_what_a_path_cannot_do_are_told_apart() {
    let stack = Stack::start().await;
    let http = stack.http();
    for path in ["/", "/users", "/users/me/", "/auth/register/", "/auth%2Fregister", "/docs"] {
        assert_eq!(http.bare("GET", path, "").await.short(), r#"404 {"detail":"Not Found"}"#, "{path}");
    }
    let register = http.bare("GET", "/auth/register", "").await;
    assert_eq!(
        (register.short().as_str(), register.header("allow")),
        (r#"405 {"detail":"Method Not Allowed"}"#, "POST")
    );
    let me = http.bare("PUT", "/users/me", "").await;
    assert_eq!((me.status, me.header("allow")), (405, "GET, PATCH, DELETE"));
}

#[tokio::test]
async fn the_public_keys_are_a_jwk_set_that_holds_the_key_of_every_token() {
    let stack = Stack::start().await;
    let answer = stack.http().bare("GET", "/.well-known/jwks.json", "").await;
    let keys = answer.json()["keys"].as_array().unwrap().clone();
    // The one that signs, and the one that will.
    assert_eq!((answer.status, keys.len()), (200, 2));
    for key in &keys {
        assert!(key["d"].is_null(), "a private key is published");
        let kind = (&key["kty"], &key["crv"], &key["alg"]);
        assert_eq!(kind, (&json!("OKP"), &json!("Ed25519"), &json!("EdDSA")));
    }
    let listed = stack.identity.command(&["key", "list"]).unwrap();
    assert!(listed.starts_with(keys[0]["kid"].as_str().unwrap()) && listed.contains("current"));
}

#[tokio::test]
async fn only_listed_origins_may_read_answers_and_none_is_listed_by_default() {
    let preflight = async |stack: &Stack, origin: &str| {
        let http = stack.http();
        let request = http.request("OPTIONS", "/users/me").header("origin", origin);
        let request = request.header("access-control-request-method", "GET");
        let request = request.header("access-control-request-headers", "authorization");
        http.send(request).await.header("access-control-allow-origin").to_owned()
    };
    let listed = Stack::with(&[], &[("CORS_ALLOWED_ORIGINS", "https://app.example")]).await;
    assert_eq!(preflight(&listed, "https://app.example").await, "https://app.example");
    assert_eq!(preflight(&listed, "https://app.example.evil.example").await, "");
    let default = Stack::start().await;
    assert_eq!(preflight(&default, "https://app.example").await, "");
}
