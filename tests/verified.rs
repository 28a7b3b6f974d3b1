//! `REQUIRE_VERIFIED`: whoever has not verified his e-mail address neither logs in nor acts on users, and can leave.

use gateway::routes::{Access, ROUTES};
use portcullis_proto::v1::{
    CreateSessionRequest, DeleteSessionRequest, DeleteSessionsRequest, DeleteUserRequest, EndSessionRequest,
    GetSessionRequest, GetUserRequest, ListSessionsRequest, ListUsersRequest, RefreshSessionRequest,
    UpdateUserRequest,
};
use serde_json::json;

use crate::access::methods;
use crate::harness::{Http, PASSWORD, Rpc, Stack, Transport, claims, outcome, with_token};
use crate::refresh::{offline, refresh, tokens};

const EMAIL: &str = "king.arthur@camelot.bt";
const FORBIDDEN: &str = r#"403 {"detail":"Forbidden"}"#;
const UNAUTHORIZED: &str = r#"401 {"detail":"Unauthorized"}"#;
const NOT_VERIFIED: &str = r#"400 {"detail":"LOGIN_USER_NOT_VERIFIED"}"#;
const BAD_CREDENTIALS: &str = r#"400 {"detail":"LOGIN_BAD_CREDENTIALS"}"#;
/// What a gRPC caller is told.
const REFUSED: &str = "PermissionDenied EMAIL_NOT_VERIFIED";
/// Routes for users that do not ask whether he is verified: by them he leaves, and the token alone decides.
const OPEN: [(&str, &str); 3] =
    [("POST", "/auth/jwt/logout"), ("DELETE", "/users/me/sessions/{id}"), ("GET", "/auth/check")];

async fn strict() -> Stack {
    Stack::with(&[("REQUIRE_VERIFIED", "true")], &[]).await
}

/// Sets the flag of a user, behind the back of the system.
async fn set_verified(stack: &Stack, email: &str, is_verified: bool) {
    let sql = "UPDATE users SET is_verified = $2 WHERE email = $1 RETURNING id";
    assert_eq!(stack.database.rows(sql, &[&email, &is_verified]).await.len(), 1);
}

/// Registers a user who is verified.
async fn verified(stack: &Stack, email: &str) {
    stack.register(email).await;
    set_verified(stack, email, true).await;
}

/// The token of a user who was verified when he logged in, and is not any more.
async fn no_longer_verified(stack: &Stack, email: &str) -> String {
    verified(stack, email).await;
    let token = stack.http().token(email, PASSWORD).await;
    set_verified(stack, email, false).await;
    token
}

/// How both logins of the gateway and that of identity-service refuse.
async fn log_in_everywhere(stack: &Stack, rpc: &mut Rpc, email: &str, password: &str) -> [String; 3] {
    let http = stack.http();
    let message =
        CreateSessionRequest { email: email.into(), password: password.into(), ..Default::default() };
    let [bearer, cookie] =
        [http.log_in(email, password).await, http.log_in_for_cookie(email, password).await];
    assert_eq!(cookie.header("set-cookie"), "", "{cookie:?}");
    [bearer.short(), cookie.short(), outcome(&rpc.sessions.create_session(message).await)]
}

#[tokio::test]
async fn only_the_right_password_of_an_active_user_is_told_that_he_is_not_verified() {
    let stack = strict().await;
    let mut rpc = stack.rpc().await;
    stack.register(EMAIL).await;
    let bad = [BAD_CREDENTIALS, BAD_CREDENTIALS, "Unauthenticated BAD_CREDENTIALS"];
    let not_verified = [NOT_VERIFIED, NOT_VERIFIED, REFUSED];
    assert_eq!(log_in_everywhere(&stack, &mut rpc, EMAIL, PASSWORD).await, not_verified);
    assert_eq!(log_in_everywhere(&stack, &mut rpc, EMAIL, "lancelot").await, bad);
    assert_eq!(log_in_everywhere(&stack, &mut rpc, "mordred@camelot.bt", PASSWORD).await, bad);
    stack.identity.command(&["user", "deactivate", EMAIL]).unwrap();
    assert_eq!(log_in_everywhere(&stack, &mut rpc, EMAIL, PASSWORD).await, bad);
    assert_eq!(stack.database.number("SELECT count(*) FROM sessions").await, 0);
    stack.identity.command(&["user", "activate", EMAIL]).unwrap();
    set_verified(&stack, EMAIL, true).await;
    stack.http().token(EMAIL, PASSWORD).await;
    assert_eq!(stack.http().log_in_for_cookie(EMAIL, PASSWORD).await.status, 204);
}

#[tokio::test]
async fn a_refused_cookie_login_leaves_the_session_that_it_would_replace() {
    let stack = strict().await;
    let http = stack.http();
    verified(&stack, EMAIL).await;
    stack.register("lancelot@camelot.bt").await;
    let token = http.token(EMAIL, PASSWORD).await;
    let form = [("username", "lancelot@camelot.bt"), ("password", PASSWORD)];
    let login = Transport::Cookie.send(http.request("POST", "/auth/cookie/login"), &token).form(&form);
    assert_eq!(http.send(login).await.short(), NOT_VERIFIED);
    assert_eq!(http.bare("GET", "/users/me", &token).await.status, 200);
}

/// How the gateway answers on a route, with an id that is none and a body that is no JSON.
async fn ask(http: &Http, method: &str, path: &str, transport: Transport, token: &str) -> String {
    let request = transport.send(http.request(method, &path.replace("{id}", "nonsense")), token);
    let request = if method == "PATCH" { request.body("{") } else { request };
    http.send(request).await.short()
}

#[tokio::test]
async fn whoever_is_not_verified_is_refused_before_anything_else_is_looked_at() {
    let stack = strict().await;
    let (user, superuser) = (EMAIL, "merlin@camelot.bt");
    let tokens = [no_longer_verified(&stack, user).await, no_longer_verified(&stack, superuser).await];
    stack.identity.command(&["user", "promote", superuser]).unwrap();
    let before = stack.database.contents().await;
    let http = stack.http();
    let is_open = |method, path| OPEN.contains(&(method, path));
    let mut asked = 0;
    for route in ROUTES.iter().filter(|route| route.access != Access::Public) {
        let (method, path) = (route.method.as_str(), route.path);
        for token in tokens.iter().filter(|_| !is_open(method, path)) {
            for transport in [Transport::Bearer, Transport::Cookie] {
                asked += 1;
                let answer = ask(&http, method, path, transport, token).await;
                assert_eq!(answer, FORBIDDEN, "{method} {path} {transport:?}");
            }
        }
    }
    assert!(asked >= 9 * 4, "{asked}");
    // Users who are there, himself among them, are nothing else.
    for id in [&tokens[0], &tokens[1]].map(|token| claims(token)["sub"].as_str().unwrap().to_owned()) {
        for method in ["GET", "DELETE"] {
            let answer = http.bare(method, &format!("/users/{id}"), &tokens[1]).await;
            assert_eq!(answer.short(), FORBIDDEN, "{method}");
        }
    }
    assert_eq!(stack.database.contents().await, before);
}

#[tokio::test]
async fn over_grpc_too_whoever_is_not_verified_is_refused_before_anything_else_is_looked_at() {
    let stack = strict().await;
    let mut rpc = stack.rpc().await;
    let token = no_longer_verified(&stack, EMAIL).await;
    stack.identity.command(&["user", "promote", EMAIL]).unwrap();
    let before = stack.database.contents().await;
    for (service, method) in methods() {
        for id in ["me", "nonsense"].map(str::to_owned) {
            let user_id = id.clone();
            let (page_token, page_size) = ("nonsense".to_owned(), -1);
            let outcome = match method.as_str() {
                "GetUser" => outcome(&rpc.users.get_user(with_token(GetUserRequest { id }, &token)).await),
                "UpdateUser" => {
                    let message = UpdateUserRequest { id, password: Some("x".into()), ..Default::default() };
                    outcome(&rpc.users.update_user(with_token(message, &token)).await)
                }
                "DeleteUser" => {
                    outcome(&rpc.users.delete_user(with_token(DeleteUserRequest { id }, &token)).await)
                }
                "ListUsers" => {
                    let message = ListUsersRequest { page_size, page_token };
                    outcome(&rpc.users.list_users(with_token(message, &token)).await)
                }
                "ListSessions" => {
                    let message = ListSessionsRequest { user_id, page_size, page_token };
                    outcome(&rpc.sessions.list_sessions(with_token(message, &token)).await)
                }
                "DeleteSessions" => {
                    let message = DeleteSessionsRequest { user_id };
                    outcome(&rpc.sessions.delete_sessions(with_token(message, &token)).await)
                }
                // They carry no token, or end or read one session of the caller's own.
                "CreateUser" | "CreateSession" | "RefreshSession" | "EndSession" | "GetSession"
                | "DeleteSession" => continue,
                _ if ["TrustService", "RecoveryService"].contains(&service.as_str()) => continue,
                other => panic!("{other} is not in this test: say here whether it asks for verification"),
            };
            assert_eq!(outcome, REFUSED, "{method}");
        }
    }
    assert_eq!(stack.database.contents().await, before);
}

#[tokio::test]
async fn a_session_that_has_ended_and_an_inactive_user_stay_401() {
    let stack = strict().await;
    let http = stack.http();
    let ended = no_longer_verified(&stack, EMAIL).await;
    let inactive = no_longer_verified(&stack, "lancelot@camelot.bt").await;
    assert_eq!(http.bare("POST", "/auth/jwt/logout", &ended).await.status, 204);
    stack.identity.command(&["user", "deactivate", "lancelot@camelot.bt"]).unwrap();
    for token in [ended, inactive] {
        for path in ["/users/me", "/users/nonsense", "/users/me/sessions"] {
            assert_eq!(http.bare("GET", path, &token).await.short(), UNAUTHORIZED, "{path}");
        }
    }
}

#[tokio::test]
async fn a_refused_refresh_uses_nothing_up_and_one_with_a_copied_token_still_ends_the_session() {
    let stack = Stack::with(&[("REQUIRE_VERIFIED", "true"), ("REFRESH_GRACE_SECONDS", "1")], &[]).await;
    let http = stack.http();
    verified(&stack, EMAIL).await;
    let given = offline(&http, EMAIL, PASSWORD).await;
    set_verified(&stack, EMAIL, false).await;
    let before = stack.database.contents().await;
    assert_eq!(refresh(&http, &given.refresh).await.short(), FORBIDDEN);
    let cookie = format!("fastapiusersrefresh={}", given.refresh);
    let by_cookie = http.send(http.request("POST", "/auth/cookie/refresh").header("cookie", cookie)).await;
    assert_eq!((by_cookie.short().as_str(), by_cookie.header("set-cookie")), (FORBIDDEN, ""));
    let message = RefreshSessionRequest { refresh_token: given.refresh.clone() };
    assert_eq!(outcome(&stack.rpc().await.sessions.refresh_session(message).await), REFUSED);
    assert_eq!(stack.database.contents().await, before);
    // It is good again afterwards, and only then it is used.
    set_verified(&stack, EMAIL, true).await;
    let next = tokens(&refresh(&http, &given.refresh).await);
    assert_eq!(http.bare("GET", "/users/me", &next.access).await.status, 200);
    set_verified(&stack, EMAIL, false).await;
    tokio::time::sleep(std::time::Duration::from_millis(1100)).await;
    assert_eq!(refresh(&http, &given.refresh).await.short(), crate::refresh::REFUSED);
    set_verified(&stack, EMAIL, true).await;
    assert_eq!(http.bare("GET", "/users/me", &next.access).await.short(), UNAUTHORIZED);
}

#[tokio::test]
async fn whoever_is_not_verified_can_leave_in_every_way() {
    let stack = strict().await;
    let (http, mut rpc) = (stack.http(), stack.rpc().await);
    verified(&stack, EMAIL).await;
    let mut left = Vec::new();
    for way in ["bearer", "cookie", "by id", "grpc", "grpc by id", "end token"] {
        let login = CreateSessionRequest {
            email: EMAIL.into(),
            password: PASSWORD.into(),
            offline_access: true,
            ..Default::default()
        };
        let begun = rpc.sessions.create_session(login).await.unwrap().into_inner();
        let (token, id) = (begun.access_token, begun.session.unwrap().id);
        set_verified(&stack, EMAIL, false).await;
        assert_eq!(http.bare("GET", "/users/me", &token).await.short(), FORBIDDEN);
        let current = GetSessionRequest { id: "current".into() };
        assert_eq!(outcome(&rpc.sessions.get_session(with_token(current.clone(), &token)).await), "OK");
        let ended = match way {
            "bearer" => http.bare("POST", "/auth/jwt/logout", &token).await.status == 204,
            "cookie" => {
                let request = http.request("POST", "/auth/cookie/logout");
                http.send(Transport::Cookie.send(request, &token)).await.status == 204
            }
            "by id" => http.bare("DELETE", &format!("/users/me/sessions/{id}"), &token).await.status == 204,
            "end token" => {
                let message = EndSessionRequest { end_token: begun.end_token };
                rpc.sessions.end_session(message).await.is_ok()
            }
            way => {
                let id = if way == "grpc" { "current".to_owned() } else { id };
                rpc.sessions.delete_session(with_token(DeleteSessionRequest { id }, &token)).await.is_ok()
            }
        };
        assert!(ended, "{way}");
        // Not only refused for the other reason.
        set_verified(&stack, EMAIL, true).await;
        left.push((way, token, begun.refresh_token));
    }
    for (way, token, refresh_token) in left {
        assert_eq!(http.bare("GET", "/users/me", &token).await.short(), UNAUTHORIZED, "{way}");
        assert_eq!(refresh(&http, &refresh_token).await.short(), crate::refresh::REFUSED, "{way}");
    }
}

#[tokio::test]
async fn a_changed_address_locks_its_user_out_at_once_and_a_superuser_lets_him_in_again() {
    let stack = strict().await;
    let http = stack.http();
    for email in [EMAIL, "merlin@camelot.bt"] {
        verified(&stack, email).await;
    }
    stack.identity.command(&["user", "promote", "merlin@camelot.bt"]).unwrap();
    let superuser = http.token("merlin@camelot.bt", PASSWORD).await;
    let token = http.token(EMAIL, PASSWORD).await;
    let moved = http.json("PATCH", "/users/me", &token, json!({"email": "arthur@camelot.bt"})).await;
    assert_eq!((moved.status, &moved.json()["is_verified"]), (200, &json!(false)));
    assert_eq!(http.bare("GET", "/users/me", &token).await.short(), FORBIDDEN);
    let back = http.json("PATCH", "/users/me", &token, json!({"email": EMAIL})).await;
    assert_eq!(back.short(), FORBIDDEN);
    assert_eq!(http.log_in("arthur@camelot.bt", PASSWORD).await.short(), NOT_VERIFIED);
    // The token says who he is, and that is all that this is asked.
    assert_eq!(http.bare("GET", "/auth/check", &token).await.status, 204);
    let path = format!("/users/{}", moved.text("id"));
    let vouched = http.json("PATCH", &path, &superuser, json!({"is_verified": true})).await;
    assert_eq!(vouched.status, 200, "{vouched:?}");
    assert_eq!(http.bare("GET", "/users/me", &token).await.status, 200);
    http.token("arthur@camelot.bt", PASSWORD).await;
    // And the other way round: of a superuser, too.
    let own = format!("/users/{}", claims(&superuser)["sub"].as_str().unwrap());
    let doubted = http.json("PATCH", &own, &superuser, json!({"is_verified": false})).await;
    assert_eq!(doubted.status, 200, "{doubted:?}");
    assert_eq!(http.bare("GET", &path, &superuser).await.short(), FORBIDDEN);
}

#[tokio::test]
async fn a_bearer_token_of_who_is_not_verified_decides_whatever_cookie_stands_beside_it() {
    let stack = strict().await;
    let http = stack.http();
    let bearer = no_longer_verified(&stack, EMAIL).await;
    verified(&stack, "lancelot@camelot.bt").await;
    let cookie = http.token("lancelot@camelot.bt", PASSWORD).await;
    let request = Transport::Bearer.send(http.request("GET", "/users/me"), &bearer);
    assert_eq!(http.send(Transport::Cookie.send(request, &cookie)).await.short(), FORBIDDEN);
    let request = Transport::Bearer.send(http.request("GET", "/users/me"), &cookie);
    assert_eq!(http.send(Transport::Cookie.send(request, &bearer)).await.status, 200);
}

#[tokio::test]
async fn by_default_nobody_needs_to_be_verified() {
    let stack = Stack::start().await;
    let http = stack.http();
    stack.register(EMAIL).await;
    let given = offline(&http, EMAIL, PASSWORD).await;
    let next = tokens(&refresh(&http, &given.refresh).await);
    let me = http.bare("GET", "/users/me", &next.access).await;
    assert_eq!((me.status, &me.json()["is_verified"]), (200, &json!(false)));
    assert_eq!(http.json("PATCH", "/users/me", &next.access, json!({})).await.status, 200);
    assert_eq!(http.bare("DELETE", "/users/me/sessions", &next.access).await.status, 204);
    stack.identity.command(&["user", "promote", EMAIL]).unwrap();
    let path = format!("/users/{}", me.text("id"));
    assert_eq!(http.bare("GET", &path, &next.access).await.status, 200);
}
