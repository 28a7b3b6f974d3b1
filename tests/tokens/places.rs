//! Good tokens where none counts: in another place than the header and the cookie, beside another user's, and after
//! their user was deleted, whoever has his address or his id now.

use portcullis_proto::v1::GetUserRequest;
use serde_json::{Value, json};

use crate::harness::{Doors, Http, PASSWORD, Transport, claims, outcome, with_token};

const REFUSED: &str = r#"401 {"detail":"Unauthorized"}"#;

#[tokio::test]
async fn j13_a_token_counts_in_one_header_and_in_our_cookie_only() {
    let (stack, mut doors, token, _) = Doors::with_forge().await;
    let http = stack.http();
    let me = || http.request("GET", "/users/me");
    let url = |name: &str| http.request("GET", &format!("/users/me?{name}={token}"));
    let patch = || http.request("PATCH", "/users/me");
    let logout = || http.request("POST", "/auth/jwt/logout");
    let form = [("access_token", &token), ("token", &token)];
    let fields = json!({"access_token": token, "token": token, "authorization": format!("Bearer {token}")});
    for (name, request) in [
        ("access_token in the URL", url("access_token")),
        ("token in the URL", url("token")),
        ("authorization in the URL", url("authorization")),
        ("the cookie in the URL", url("fastapiusersauth")),
        ("a form", logout().form(&form)),
        ("JSON", patch().json(&fields)),
        ("a bare header", me().header("authorization", &token)),
        ("another scheme", me().header("authorization", format!("Token {token}"))),
        ("a password", me().basic_auth(Doors::EMAIL, Some(&token))),
        ("a proxy's header", me().header("proxy-authorization", format!("Bearer {token}"))),
        ("a header of its own", me().header("x-access-token", &token)),
        ("another cookie", me().header("cookie", format!("access_token={token}"))),
    ] {
        assert_eq!(http.send(request).await.short(), REFUSED, "{name}");
    }
    for first in [format!("Bearer {token}"), "Bearer x".into(), "Basic x".into(), String::new()] {
        for (first, second) in [(&first, &format!("Bearer {token}")), (&format!("Bearer {token}"), &first)] {
            let two = me().header("authorization", first).header("authorization", second);
            assert_eq!(http.send(two).await.short(), r#"400 {"detail":"Bad Request"}"#, "{first:?}");
        }
    }
    let cookie = format!("fastapiusersauth={token}");
    let two_cookies = me().header("cookie", format!("{cookie}; {cookie}"));
    assert_eq!(http.send(two_cookies).await.short(), r#"400 {"detail":"Bad Request"}"#);
    // Over gRPC there is the header alone, and once.
    let call = || with_token(GetUserRequest { id: "me".into() }, &token);
    let mut twice = call();
    twice.metadata_mut().append("authorization", format!("Bearer {token}").parse().unwrap());
    let mut elsewhere = with_token(GetUserRequest { id: "me".into() }, "");
    elsewhere.metadata_mut().append("cookie", cookie.parse().unwrap());
    elsewhere.metadata_mut().append("access_token", token.parse().unwrap());
    for request in [twice, elsewhere] {
        let said = outcome(&doors.rpc.users.get_user(request).await);
        assert_eq!(said, "Unauthenticated UNAUTHENTICATED");
    }
    assert!(doors.believe(&token).await);
    assert_eq!(http.send(Transport::Cookie.send(me(), &token)).await.status, 200);
}

/// A request with two credentials.
async fn both(http: &Http, method: &str, path: &str, tokens: [&str; 2], body: Option<Value>) -> (u16, Value) {
    let [bearer, cookie] = tokens;
    let request = Transport::Cookie.send(http.request(method, path), cookie);
    let request = Transport::Bearer.send(request, bearer);
    let answer = http.send(if let Some(body) = body { request.json(&body) } else { request }).await;
    (answer.status, serde_json::from_str(&answer.body).unwrap_or_default())
}

#[tokio::test]
async fn j13_of_a_bearer_and_a_cookie_of_two_users_the_bearer_decides_alone() {
    let (stack, mut doors, arthur, _) = Doors::with_forge().await;
    let (id, lancelot) = stack.user("lancelot@camelot.bt").await;
    let (_, merlin) = stack.superuser("merlin@camelot.bt").await;
    let http = stack.http();
    let email = async |tokens| both(&http, "GET", "/users/me", tokens, None).await.1["email"].clone();
    assert_eq!(email([&arthur, &lancelot]).await, Doors::EMAIL);
    assert_eq!(email([&lancelot, &arthur]).await, "lancelot@camelot.bt");
    // A change is that of the bearer's user.
    let change = Some(json!({"email": "arthur@camelot.bt"}));
    assert_eq!(both(&http, "PATCH", "/users/me", [&arthur, &lancelot], change).await.0, 200);
    assert_eq!(email([&arthur, ""]).await, "arthur@camelot.bt");
    assert_eq!(email([&lancelot, ""]).await, "lancelot@camelot.bt");
    // The rights of one are not lent to the other.
    let path = format!("/users/{id}");
    for (method, body) in [("GET", None), ("PATCH", Some(json!({"is_superuser": true}))), ("DELETE", None)] {
        assert_eq!(both(&http, method, &path, [&arthur, &merlin], body).await.0, 403, "{method}");
    }
    assert_eq!(both(&http, "GET", &path, [&merlin, &arthur], None).await.0, 200);
    // A logout ends the bearer's session; then the bearer names nobody, and the cookie decides.
    assert_eq!(both(&http, "POST", "/auth/jwt/logout", [&arthur, &lancelot], None).await.0, 204);
    assert!(!doors.believe(&arthur).await);
    assert!(doors.believe(&lancelot).await);
    for bearer in [arthur.as_str(), "nonsense"] {
        assert_eq!(email([bearer, &lancelot]).await, "lancelot@camelot.bt");
    }
}

#[tokio::test]
async fn j14_a_token_of_a_deleted_user_stays_dead_when_his_address_or_id_is_created_again() {
    let (stack, mut doors, token, _) = Doors::with_forge().await;
    let said = claims(&token);
    let text = |name: &str| said[name].as_str().unwrap().to_owned();
    let (id, session) = (text("sub"), text("sid"));
    let sql = async |text: String| stack.database.connect().await.batch_execute(&text).await.unwrap();
    assert!(doors.believe(&token).await);
    stack.identity.command(&["user", "delete", Doors::EMAIL]).unwrap();
    assert!(!doors.believe(&token).await);
    let (_, again) = stack.user(Doors::EMAIL).await;
    doors.believe_only(&again, [("his address again", token.clone())]).await;
    assert!(doors.http.register(Doors::EMAIL, PASSWORD).await.status == 400);

    sql(format!(
        "INSERT INTO users (id, email, email_canonical, password_scheme, password_hash)
         VALUES ('{id}', 'b@camelot.bt', 'b@camelot.bt', 'v1', '')"
    ))
    .await;
    doors.believe_only(&again, [("his id again", token.clone())]).await;
    // Even with the old session back, as from a backup: the epoch of the new user is higher.
    sql(format!("INSERT INTO sessions VALUES ('{session}', '{id}', now(), now() + interval '1 hour')")).await;
    doors.believe_only(&again, [("his id and his session again", token.clone())]).await;
    // That it is the epoch which refuses him is seen by taking it away. The gateway has been told, and does not forget.
    sql(format!("UPDATE users SET epoch = {} WHERE id = '{id}'", said["epoch"])).await;
    assert_eq!(doors.say(&token).await, [false, true]);
}
