//! Who may do what: every route and every gRPC method with every kind of credential. A route or a method that is
//! not in the table fails the test.

use std::time::{Duration, Instant};

use gateway::routes::{Access, ROUTES, Route};
use portcullis_proto::v1::{
    CreateSessionRequest, CreateUserRequest, DeleteSessionRequest, DeleteSessionsRequest, DeleteUserRequest,
    EndSessionRequest, GetKeysRequest, GetSessionRequest, GetUserRequest, ListSessionsRequest,
    ListUsersRequest, RefreshSessionRequest, RequestPasswordResetRequest, RequestVerificationRequest,
    ResetPasswordRequest, UpdateUserRequest, User, VerifyEmailRequest, WatchRequest, WatchStart,
    watch_request::Request,
};
use prost_types::FieldMask;
use serde_json::json;

use crate::harness::{
    Answer, Forge, PASSWORD, Rpc, Stack, Transport, claims, outcome, repository, with_token,
};
use crate::refresh::offline;

/// What a caller shows.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Credential {
    None,
    Malformed,
    Expired,
    Forged,
    Ended,
    Deactivated,
    OtherUser,
    Superuser,
}

const CREDENTIALS: [Credential; 8] = [
    Credential::None,
    Credential::Malformed,
    Credential::Expired,
    Credential::Forged,
    Credential::Ended,
    Credential::Deactivated,
    Credential::OtherUser,
    Credential::Superuser,
];

/// A system with a user for each kind of credential, and a victim to act on.
struct Scene {
    stack: Stack,
    forge: Forge,
}

impl Scene {
    async fn set() -> Self {
        let stack = Stack::start().await;
        stack.superuser("superuser@camelot.bt").await;
        for name in ["other", "ended", "deactivated"] {
            stack.register(&format!("{name}@camelot.bt")).await;
        }
        let forge = Forge::with_the_real_key(&stack.database).await;
        Self { stack, forge }
    }

    /// A fresh token of this kind: an action may end it.
    async fn token(&self, credential: Credential) -> String {
        let log_in =
            async |name: &str| self.stack.http().token(&format!("{name}@camelot.bt"), PASSWORD).await;
        match credential {
            Credential::None => String::new(),
            Credential::Malformed => "not.a.token".to_owned(),
            Credential::Expired => {
                let token = log_in("superuser").await;
                let issued = claims(&token)["iat"].as_u64().expect("iat is a number");
                self.forge.with_claims(&token, json!({"iat": issued - 7200, "exp": issued - 3600}))
            }
            Credential::Forged => {
                let token = log_in("superuser").await;
                self.forge.with_another_key().with_claims(&token, json!({}))
            }
            Credential::Ended => {
                let token = log_in("ended").await;
                assert_eq!(self.stack.http().bare("POST", "/auth/jwt/logout", &token).await.status, 204);
                token
            }
            Credential::Deactivated => {
                let identity = &self.stack.identity;
                identity.command(&["user", "activate", "deactivated@camelot.bt"]).unwrap();
                let token = log_in("deactivated").await;
                identity.command(&["user", "deactivate", "deactivated@camelot.bt"]).unwrap();
                token
            }
            Credential::OtherUser => log_in("other").await,
            Credential::Superuser => log_in("superuser").await,
        }
    }

    /// A fresh refresh token of somebody: it takes the place of a credential, whatever else is shown.
    async fn refresh_token(&self) -> String {
        offline(&self.stack.http(), "other@camelot.bt", PASSWORD).await.refresh
    }

    /// Somebody to act on, who may be changed and deleted.
    async fn victim(&self) -> String {
        self.stack.register(&email()).await
    }

    /// A good token from a mail to somebody to act on.
    async fn recovery_token(&self, purpose: &str) -> String {
        self.stack.recovery_token(&self.victim().await, purpose).await
    }

    /// All that is stored of a user; `None` if he is not there.
    async fn row(&self, id: &str) -> Option<String> {
        let rows =
            self.stack.database.rows("SELECT users::text FROM users WHERE id::text = $1", &[&id]).await;
        rows.first().map(|row| row.get(0))
    }

    /// Sends a request that succeeds on this route, with this status, when the caller may use it. Whoever it acts on
    /// is changed then, and only then.
    async fn request(&self, route: &Route, transport: Transport, token: &str) -> (Answer, u16) {
        let http = self.stack.http();
        let request = |path: &str| transport.send(http.request(route.method.as_str(), path), token);
        let (request, success) = match (route.method.as_str(), route.path) {
            ("POST", path @ "/auth/register") => {
                (request(path).json(&json!({"email": email(), "password": PASSWORD})), 201)
            }
            ("POST", path @ ("/auth/jwt/login" | "/auth/cookie/login")) => {
                let form = [("username", "other@camelot.bt"), ("password", PASSWORD)];
                (request(path).form(&form), if path == "/auth/jwt/login" { 200 } else { 204 })
            }
            ("POST", path @ "/auth/jwt/refresh") => {
                let refresh_token = self.refresh_token().await;
                let form = [("grant_type", "refresh_token"), ("refresh_token", &refresh_token)];
                (request(path).form(&form), 200)
            }
            ("POST", path @ "/auth/cookie/refresh") => {
                let cookie = format!("fastapiusersrefresh={}", self.refresh_token().await);
                (request(path).header("cookie", cookie), 204)
            }
            ("POST", path @ ("/auth/jwt/logout" | "/auth/cookie/logout")) => (request(path), 204),
            ("POST", path @ ("/auth/forgot-password" | "/auth/request-verify-token")) => {
                (request(path).json(&json!({"email": "other@camelot.bt"})), 202)
            }
            ("POST", path @ "/auth/reset-password") => {
                let token = self.recovery_token("reset").await;
                (request(path).json(&json!({"token": token, "password": "excalibur"})), 200)
            }
            ("POST", path @ "/auth/verify") => {
                (request(path).json(&json!({"token": self.recovery_token("verify").await})), 200)
            }
            ("GET", path @ ("/users/me" | "/health/live" | "/health/ready")) => (request(path), 200),
            ("GET", path @ ("/.well-known/openid-configuration" | "/.well-known/jwks.json")) => {
                (request(path), 200)
            }
            ("GET", path @ "/auth/check") => (request(path), 204),
            ("PATCH", path @ "/users/me") => (request(path).json(&json!({})), 200),
            ("GET", path @ "/users/me/sessions") => (request(path), 200),
            ("DELETE", path @ "/users/me/sessions") => (request(path), 204),
            ("DELETE", "/users/me/sessions/{id}") => {
                let own = if token.starts_with("ey") { claims(token)["sid"].clone() } else { json!("none") };
                (request(&format!("/users/me/sessions/{}", own.as_str().expect("is a text"))), 204)
            }
            (method @ ("GET" | "DELETE"), "/users/{id}/sessions") => {
                let (id, victim) = self.stack.user(&email()).await;
                let answer = http.send(request(&format!("/users/{id}/sessions"))).await;
                let success = if method == "GET" { 200 } else { 204 };
                let has_ended = http.bare("GET", "/users/me", &victim).await.status == 401;
                assert_eq!(has_ended, method == "DELETE" && answer.status == success, "{method}: {answer:?}");
                return (answer, success);
            }
            (method @ ("GET" | "PATCH" | "DELETE"), "/users/{id}") => {
                let id = self.victim().await;
                let before = self.row(&id).await;
                let request = request(&format!("/users/{id}"));
                let (request, success) = match method {
                    "PATCH" => (request.json(&json!({"email": email()})), 200),
                    "DELETE" => (request, 204),
                    _ => (request, 200),
                };
                let answer = http.send(request).await;
                let may_change = method != "GET" && answer.status == success;
                assert_eq!(self.row(&id).await != before, may_change, "{method}: {answer:?}");
                return (answer, success);
            }
            (method, path) => panic!("{method} {path} is not in the access test: add a request for it here"),
        };
        (http.send(request).await, success)
    }
}

/// An address that nobody has.
fn email() -> String {
    format!("{}@camelot.bt", uuid::Uuid::new_v4())
}

fn expected(access: Access, credential: Credential, success: u16) -> u16 {
    match (access, credential) {
        (Access::Public, _)
        | (Access::User, Credential::OtherUser | Credential::Superuser)
        | (Access::Superuser, Credential::Superuser) => success,
        (Access::Superuser, Credential::OtherUser) => 403,
        (Access::User | Access::Superuser, _) => 401,
    }
}

#[tokio::test]
async fn every_route_answers_every_credential_as_the_table_of_routes_says() {
    let scene = Scene::set().await;
    let mut wrong = Vec::new();
    for route in ROUTES {
        for credential in CREDENTIALS {
            // As a header, and where it matters as a cookie.
            for transport in [Transport::Bearer, Transport::Cookie] {
                if transport == Transport::Cookie && route.access == Access::Public {
                    continue;
                }
                let token = scene.token(credential).await;
                let (mut answer, success) = scene.request(route, transport, &token).await;
                // That a session has ended gets to where nobody is asked a little later.
                let asked = Instant::now();
                while route.path == "/auth/check"
                    && answer.status != expected(route.access, credential, success)
                    && asked.elapsed() < Duration::from_secs(2)
                {
                    answer = scene.request(route, transport, &token).await.0;
                }
                if answer.status != expected(route.access, credential, success) {
                    let cell = format!("{} {} {credential:?} {transport:?}", route.method, route.path);
                    wrong.push(format!("{cell}: {}", answer.short()));
                }
                if answer.status == 401 {
                    assert_eq!(
                        (answer.body.as_str(), answer.header("www-authenticate")),
                        (r#"{"detail":"Unauthorized"}"#, "Bearer")
                    );
                }
            }
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}

/// The outcome of a method for a caller whose token is `token`.
async fn call(rpc: &mut Rpc, scene: &Scene, method: &str, token: &str) -> String {
    match method {
        "CreateUser" => {
            let message =
                CreateUserRequest { email: email(), password: PASSWORD.into(), ..Default::default() };
            outcome(&rpc.users.create_user(with_token(message, token)).await)
        }
        "GetUser" => {
            let message = GetUserRequest { id: scene.victim().await };
            outcome(&rpc.users.get_user(with_token(message, token)).await)
        }
        "UpdateUser" | "DeleteUser" => {
            let id = scene.victim().await;
            let before = scene.row(&id).await;
            let outcome = if method == "UpdateUser" {
                let message = UpdateUserRequest {
                    id: id.clone(),
                    user: Some(User { email: email(), ..Default::default() }),
                    update_mask: Some(FieldMask { paths: vec!["email".into()] }),
                    password: None,
                    profile_patch: None,
                };
                outcome(&rpc.users.update_user(with_token(message, token)).await)
            } else {
                outcome(&rpc.users.delete_user(with_token(DeleteUserRequest { id: id.clone() }, token)).await)
            };
            assert_eq!(scene.row(&id).await != before, outcome == "OK", "{method}: {outcome}");
            outcome
        }
        "ListUsers" => outcome(&rpc.users.list_users(with_token(ListUsersRequest::default(), token)).await),
        "CreateSession" => {
            let message = CreateSessionRequest {
                email: "other@camelot.bt".into(),
                password: PASSWORD.into(),
                ..Default::default()
            };
            outcome(&rpc.sessions.create_session(with_token(message, token)).await)
        }
        "RefreshSession" => {
            let message = RefreshSessionRequest { refresh_token: scene.refresh_token().await };
            outcome(&rpc.sessions.refresh_session(with_token(message, token)).await)
        }
        "EndSession" => {
            let login = CreateSessionRequest {
                email: "other@camelot.bt".into(),
                password: PASSWORD.into(),
                offline_access: true,
                ..Default::default()
            };
            let end_token = rpc.sessions.create_session(login).await.unwrap().into_inner().end_token;
            outcome(&rpc.sessions.end_session(with_token(EndSessionRequest { end_token }, token)).await)
        }
        "ListSessions" => {
            let message = ListSessionsRequest { user_id: scene.victim().await, ..Default::default() };
            outcome(&rpc.sessions.list_sessions(with_token(message, token)).await)
        }
        "DeleteSessions" => {
            let (user_id, victim) = scene.stack.user(&email()).await;
            let message = DeleteSessionsRequest { user_id };
            let outcome = outcome(&rpc.sessions.delete_sessions(with_token(message, token)).await);
            let has_ended = scene.stack.http().bare("GET", "/users/me", &victim).await.status == 401;
            assert_eq!(has_ended, outcome == "OK", "{outcome}");
            outcome
        }
        "DeleteSession" => {
            let message = DeleteSessionRequest { id: "current".into() };
            outcome(&rpc.sessions.delete_session(with_token(message, token)).await)
        }
        "GetSession" => {
            let message = GetSessionRequest { id: "current".into() };
            outcome(&rpc.sessions.get_session(with_token(message, token)).await)
        }
        "RequestPasswordReset" => {
            let message =
                RequestPasswordResetRequest { email: "other@camelot.bt".into(), ..Default::default() };
            outcome(&rpc.recovery.request_password_reset(with_token(message, token)).await)
        }
        "ResetPassword" => {
            let good = scene.recovery_token("reset").await;
            let message = ResetPasswordRequest { token: good, password: "excalibur".into() };
            outcome(&rpc.recovery.reset_password(with_token(message, token)).await)
        }
        "RequestVerification" => {
            let message =
                RequestVerificationRequest { email: "other@camelot.bt".into(), ..Default::default() };
            outcome(&rpc.recovery.request_verification(with_token(message, token)).await)
        }
        "VerifyEmail" => {
            let message = VerifyEmailRequest { token: scene.recovery_token("verify").await };
            outcome(&rpc.recovery.verify_email(with_token(message, token)).await)
        }
        "Watch" => {
            let start = WatchRequest { request: Some(Request::Start(WatchStart::default())) };
            let start = futures_util::stream::iter([start]);
            outcome(&rpc.trust.watch(with_token(start, token)).await)
        }
        "GetKeys" => outcome(&rpc.trust.get_keys(with_token(GetKeysRequest {}, token)).await),
        other => panic!("{other} is not in the access test: add a call for it here"),
    }
}

/// The methods that anybody may call: who has a password or a token of his own shows it in the message.
pub const PUBLIC: [&str; 10] = [
    "CreateUser",
    "CreateSession",
    "RefreshSession",
    "EndSession",
    "RequestPasswordReset",
    "ResetPassword",
    "RequestVerification",
    "VerifyEmail",
    "GetKeys",
    "Watch",
];

/// Every service with each of its methods, as the .proto files list them.
pub fn methods() -> Vec<(String, String)> {
    let folder = repository().join("proto/portcullis/identity/v1");
    let mut methods = Vec::new();
    for entry in std::fs::read_dir(folder).unwrap() {
        let file = std::fs::read_to_string(entry.unwrap().path()).unwrap();
        let mut service = "";
        for line in file.lines().map(str::trim) {
            if let Some(rest) = line.strip_prefix("service ") {
                service = rest.trim_end_matches(" {");
            } else if let Some((method, _)) = line.strip_prefix("rpc ").and_then(|rest| rest.split_once('('))
            {
                methods.push((service.to_owned(), method.to_owned()));
            }
        }
    }
    methods
}

#[tokio::test]
async fn every_grpc_method_answers_every_credential_without_a_gateway_in_front() {
    let scene = Scene::set().await;
    let mut rpc = scene.stack.rpc().await;
    let methods = methods();
    assert!(methods.len() >= 8, "the .proto files were not read: {methods:?}");
    let mut wrong = Vec::new();
    for (_, method) in methods {
        for credential in CREDENTIALS {
            let token = scene.token(credential).await;
            let public = PUBLIC.contains(&method.as_str());
            let expected = match credential {
                _ if public => "OK",
                Credential::Superuser => "OK",
                Credential::OtherUser if ["GetSession", "DeleteSession"].contains(&method.as_str()) => "OK",
                Credential::OtherUser => "PermissionDenied SUPERUSER_REQUIRED",
                _ => "Unauthenticated UNAUTHENTICATED",
            };
            let outcome = call(&mut rpc, &scene, &method, &token).await;
            if outcome != expected {
                wrong.push(format!("{method} {credential:?}: {outcome}"));
            }
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}

#[tokio::test]
async fn a_user_may_read_and_change_himself_over_grpc_and_nobody_else() {
    let scene = Scene::set().await;
    let mut rpc = scene.stack.rpc().await;
    let token = scene.token(Credential::OtherUser).await;
    let me = GetUserRequest { id: "me".into() };
    let user = rpc.users.get_user(with_token(me, &token)).await.unwrap().into_inner();
    assert_eq!(user.email, "other@camelot.bt");
    // His own id is an id like any other: for superusers.
    let own = GetUserRequest { id: user.id.clone() };
    let own = outcome(&rpc.users.get_user(with_token(own, &token)).await);
    assert_eq!(own, "PermissionDenied SUPERUSER_REQUIRED");
    let flags = UpdateUserRequest {
        id: "me".into(),
        user: Some(User { is_superuser: true, ..Default::default() }),
        update_mask: Some(FieldMask { paths: vec!["is_superuser".into()] }),
        password: None,
        profile_patch: None,
    };
    let promoted = outcome(&rpc.users.update_user(with_token(flags, &token)).await);
    assert_eq!(promoted, "InvalidArgument INVALID_REQUEST");
}
