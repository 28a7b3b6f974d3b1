//! Who may do what: every route and every gRPC method with every kind of credential. A route or a method that is
//! not in the table fails the test.

use gateway::routes::{Access, ROUTES, Route};
use portcullis_proto::v1::{
    CreateSessionRequest, CreateUserRequest, DeleteSessionRequest, DeleteUserRequest, GetKeysRequest,
    GetUserRequest, ListUsersRequest, UpdateUserRequest,
};
use serde_json::json;

use crate::harness::{Answer, Forge, PASSWORD, Rpc, Stack, claims, outcome, repository, with_token};

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

    /// Somebody to act on, who may be changed and deleted.
    async fn victim(&self) -> String {
        self.stack.register(&format!("{}@camelot.bt", uuid::Uuid::new_v4())).await
    }

    /// A request that succeeds on this route when the caller may use it.
    async fn request(&self, route: &Route, token: &str) -> Answer {
        let http = self.stack.http();
        let victim = || async { format!("/users/{}", self.victim().await) };
        match (route.method.as_str(), route.path) {
            ("POST", path @ "/auth/register") => {
                let email = format!("{}@camelot.bt", uuid::Uuid::new_v4());
                http.json("POST", path, token, json!({"email": email, "password": PASSWORD})).await
            }
            ("POST", path @ ("/auth/jwt/login" | "/auth/cookie/login")) => {
                let form = [("username", "other@camelot.bt"), ("password", PASSWORD)];
                http.send(http.request("POST", path).bearer_auth(token).form(&form)).await
            }
            ("PATCH", path @ "/users/me") => http.json("PATCH", path, token, json!({})).await,
            ("PATCH", "/users/{id}") => http.json("PATCH", &victim().await, token, json!({})).await,
            (method @ ("GET" | "DELETE"), "/users/{id}") => http.bare(method, &victim().await, token).await,
            (
                method,
                path @ ("/auth/jwt/logout"
                | "/auth/cookie/logout"
                | "/users/me"
                | "/.well-known/jwks.json"
                | "/health/live"
                | "/health/ready"),
            ) => http.bare(method, path, token).await,
            (method, path) => panic!("{method} {path} is not in the access test: add a request for it here"),
        }
    }
}

fn expected(access: Access, credential: Credential) -> &'static [u16] {
    match (access, credential) {
        (Access::Public, _)
        | (Access::User, Credential::OtherUser | Credential::Superuser)
        | (Access::Superuser, Credential::Superuser) => &[200, 201, 204],
        (Access::Superuser, Credential::OtherUser) => &[403],
        (Access::User | Access::Superuser, _) => &[401],
    }
}

#[tokio::test]
async fn every_route_answers_every_credential_as_the_table_of_routes_says() {
    let scene = Scene::set().await;
    let mut wrong = Vec::new();
    for route in ROUTES {
        for credential in CREDENTIALS {
            let token = scene.token(credential).await;
            let answer = scene.request(route, &token).await;
            if !expected(route.access, credential).contains(&answer.status) {
                wrong.push(format!("{} {} {credential:?}: {}", route.method, route.path, answer.short()));
            }
            if answer.status == 401 {
                assert_eq!(
                    (answer.body.as_str(), answer.header("www-authenticate")),
                    (r#"{"detail":"Unauthorized"}"#, "Bearer")
                );
            }
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}

/// The outcome of a method for a caller whose token is `token`.
async fn call(rpc: &mut Rpc, scene: &Scene, method: &str, token: &str) -> String {
    let email = || format!("{}@camelot.bt", uuid::Uuid::new_v4());
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
        "UpdateUser" => {
            let message = UpdateUserRequest { id: scene.victim().await, ..Default::default() };
            outcome(&rpc.users.update_user(with_token(message, token)).await)
        }
        "DeleteUser" => {
            let message = DeleteUserRequest { id: scene.victim().await };
            outcome(&rpc.users.delete_user(with_token(message, token)).await)
        }
        "ListUsers" => outcome(&rpc.users.list_users(with_token(ListUsersRequest::default(), token)).await),
        "CreateSession" => {
            let message =
                CreateSessionRequest { email: "other@camelot.bt".into(), password: PASSWORD.into() };
            outcome(&rpc.sessions.create_session(with_token(message, token)).await)
        }
        "DeleteSession" => {
            let message = DeleteSessionRequest { id: "current".into() };
            outcome(&rpc.sessions.delete_session(with_token(message, token)).await)
        }
        "GetKeys" => outcome(&rpc.trust.get_keys(with_token(GetKeysRequest {}, token)).await),
        other => panic!("{other} is not in the access test: add a call for it here"),
    }
}

/// The methods of all services, as the .proto files list them.
fn methods() -> Vec<String> {
    let folder = repository().join("proto/portcullis/identity/v1");
    let files = std::fs::read_dir(folder)
        .unwrap()
        .map(|entry| std::fs::read_to_string(entry.unwrap().path()).unwrap());
    let method = |line: &str| Some(line.trim().strip_prefix("rpc ")?.split('(').next()?.to_owned());
    files.flat_map(|file| file.lines().filter_map(method).collect::<Vec<_>>()).collect()
}

#[tokio::test]
async fn every_grpc_method_answers_every_credential_without_a_gateway_in_front() {
    let scene = Scene::set().await;
    let mut rpc = scene.stack.rpc().await;
    let methods = methods();
    assert!(methods.len() >= 8, "the .proto files were not read: {methods:?}");
    let mut wrong = Vec::new();
    for method in methods {
        for credential in CREDENTIALS {
            let token = scene.token(credential).await;
            let public = ["CreateUser", "CreateSession", "GetKeys"].contains(&method.as_str());
            let expected = match credential {
                _ if public => "OK",
                Credential::Superuser => "OK",
                Credential::OtherUser if method == "DeleteSession" => "OK",
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
        user: Some(portcullis_proto::v1::User { is_superuser: true, ..Default::default() }),
        update_mask: Some(prost_types::FieldMask { paths: vec!["is_superuser".into()] }),
        password: None,
    };
    let promoted = outcome(&rpc.users.update_user(with_token(flags, &token)).await);
    assert_eq!(promoted, "InvalidArgument INVALID_REQUEST");
}
