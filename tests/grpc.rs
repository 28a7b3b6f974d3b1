//! identity-service repeats every validation of the gateway: what the gateway refuses is refused by a call straight to
//! it, field by field in the same words, and changes nothing.

use std::collections::BTreeSet;

use portcullis_proto::email::Email;
use portcullis_proto::v1::{
    CreateSessionRequest, CreateUserRequest, DeleteSessionRequest, DeleteUserRequest, GetUserRequest,
    ListUsersRequest, UpdateUserRequest, User,
};
use prost_types::FieldMask;
use serde_json::{Value, json};
use tonic::{Response, Status};
use tonic_types::StatusExt as _;
use uuid::{NoContext, Timestamp, Uuid};

use crate::harness::{Answer, PASSWORD, Rpc, Stack, bad_addresses, outcome, repository, with_token};

/// Reason and field violations of a refusal, in order; the reason is empty where it is HTTP's.
type Refusal = (String, Vec<(String, String)>);

/// A system with a superuser, through whom a caller may try everything.
struct Scene {
    stack: Stack,
    rpc: Rpc,
    id: String,
    token: String,
}

impl Scene {
    async fn set() -> Self {
        let stack = Stack::start().await;
        let (id, token) = stack.superuser("king.arthur@camelot.bt").await;
        Self { rpc: stack.rpc().await, stack, id, token }
    }

    async fn create(&self, user_id: &str, email: &str, password: &str) -> Result<Response<User>, Status> {
        let (user_id, email, password) = (user_id.into(), email.into(), password.into());
        self.rpc
            .users
            .clone()
            .create_user(CreateUserRequest { user_id, email, password, profile: None })
            .await
    }

    async fn update(
        &self,
        id: &str,
        user: Option<User>,
        mask: &[&str],
        password: Option<&str>,
    ) -> Result<Response<User>, Status> {
        let update_mask = Some(FieldMask { paths: mask.iter().map(ToString::to_string).collect() });
        let request = UpdateUserRequest {
            id: id.into(),
            user,
            update_mask,
            password: password.map(Into::into),
            profile_patch: None,
        };
        self.rpc.users.clone().update_user(with_token(request, &self.token)).await
    }

    /// The refusals of an address by every call and every route that takes one, each pair being the same question.
    async fn with_email(&self, email: &str) -> Vec<(Refusal, Refusal)> {
        let user = || Some(User { email: email.into(), ..User::default() });
        let mut pairs = Vec::new();
        let answer = self.stack.http().register(email, PASSWORD).await;
        pairs.push((refusal(self.create("", email, PASSWORD).await), unprocessable(&answer)));
        for id in ["me", &self.id] {
            let changes = json!({ "email": email });
            let answer = self.stack.http().json("PATCH", &format!("/users/{id}"), &self.token, changes).await;
            pairs.push((refusal(self.update(id, user(), &["email"], None).await), unprocessable(&answer)));
        }
        pairs
    }

    /// The same for a password.
    async fn with_password(&self, email: &str, password: &str) -> Vec<(Refusal, Refusal)> {
        let mut pairs = Vec::new();
        let answer = self.stack.http().register(email, password).await;
        pairs.push((refusal(self.create("", email, password).await), bad_password(&answer)));
        for id in ["me", &self.id] {
            let changes = json!({ "password": password });
            let answer = self.stack.http().json("PATCH", &format!("/users/{id}"), &self.token, changes).await;
            pairs.push((refusal(self.update(id, None, &[], Some(password)).await), bad_password(&answer)));
        }
        pairs
    }
}

/// What a caller of identity-service is told; every refusal of a value is INVALID_ARGUMENT.
fn refusal<T>(result: Result<T, Status>) -> Refusal {
    let outcome = outcome(&result);
    let reason = outcome.strip_prefix("InvalidArgument ").unwrap_or_else(|| panic!("{outcome}")).to_owned();
    let details = result.err().expect("is refused").get_details_bad_request().expect("has a BadRequest");
    let violations = details.field_violations.into_iter();
    (reason, violations.map(|violation| (violation.field, violation.description)).collect())
}

/// What a client of the gateway is told by a 422.
fn unprocessable(answer: &Answer) -> Refusal {
    assert_eq!(answer.status, 422, "{answer:?}");
    let text = |value: &Value| value.as_str().unwrap_or_else(|| panic!("{answer:?}")).to_owned();
    let body = answer.json();
    let items = body["detail"].as_array().unwrap().iter();
    let pairs = items
        .map(|item| (text(item["loc"].as_array().unwrap().last().unwrap()), text(&item["ctx"]["reason"])));
    ("INVALID_REQUEST".to_owned(), pairs.collect())
}

/// What a client of the gateway is told by the 400 for a password.
fn bad_password(answer: &Answer) -> Refusal {
    let detail = &answer.json()["detail"];
    let code = detail["code"].as_str().unwrap_or_default();
    assert!(answer.status == 400 && code.ends_with("_INVALID_PASSWORD"), "{answer:?}");
    let reason = detail["reason"].as_str().unwrap().to_owned();
    ("PASSWORD_REFUSED".to_owned(), vec![("password".to_owned(), reason)])
}

fn violations(reason: &str, pairs: &[(&str, &str)]) -> Refusal {
    (reason.to_owned(), pairs.iter().map(|(field, why)| ((*field).to_owned(), (*why).to_owned())).collect())
}

#[tokio::test]
async fn an_address_is_refused_by_both_services_in_the_same_words() {
    let scene = Scene::set().await;
    let before = scene.stack.database.contents().await;
    let addresses = bad_addresses();
    let source = std::fs::read_to_string(repository().join("proto/src/email.rs")).unwrap();
    let reasons: BTreeSet<_> = addresses.iter().map(|(error, _)| error.to_string()).collect();
    assert_eq!(reasons.len(), source.matches("#[error(").count(), "an address for each EmailError");
    for (error, email) in addresses {
        assert_eq!(Email::parse(&email).err(), Some(error), "{email}");
        let expected = violations("INVALID_REQUEST", &[("email", &error.to_string())]);
        for (direct, through_gateway) in scene.with_email(&email).await {
            assert_eq!((&direct, &through_gateway), (&expected, &expected), "{email}");
        }
    }
    assert_eq!(scene.stack.database.contents().await, before);
}

#[tokio::test]
async fn a_password_is_refused_by_both_services_in_the_same_words() {
    let scene = Scene::set().await;
    let before = scene.stack.database.contents().await;
    let (short, long) = ("Password should be at least 8 characters", "Password should be at most 1024 bytes");
    let own = "Password should not contain e-mail";
    for (password, rule) in [
        (String::new(), short),
        ("1234567".into(), short),
        ("🏰".repeat(7), short),
        ("x".repeat(1025), long),
        ("é".repeat(513), long),
        ("king.arthur@camelot.bt".into(), own),
        ("my KING.Arthur@Camelot.BT!".into(), own),
    ] {
        let expected = violations("PASSWORD_REFUSED", &[("password", rule)]);
        // Decided before whether the address is taken, so that his own will do for a registration.
        for (direct, through_gateway) in scene.with_password("king.arthur@camelot.bt", &password).await {
            assert_eq!((&direct, &through_gateway), (&expected, &expected), "{password}");
        }
    }
    assert_eq!(scene.stack.database.contents().await, before);
}

#[tokio::test]
async fn what_only_a_grpc_caller_can_say_is_refused_field_by_field() {
    let scene = Scene::set().await;
    let before = scene.stack.database.contents().await;
    let refused = |refusal: Refusal, pairs: &[(&str, &str)]| {
        assert_eq!(refusal, violations("INVALID_REQUEST", pairs));
    };
    let made = |seconds: i64| {
        let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap();
        let seconds = now.as_secs().checked_add_signed(seconds).unwrap();
        Uuid::new_v7(Timestamp::from_unix(NoContext, seconds, 0)).to_string()
    };
    let (malformed, far) =
        ("Input should be a UUIDv7", "The time of the UUIDv7 should be within 5 minutes from now");
    for (id, why) in [
        ("me".to_owned(), malformed),
        ("x".repeat(10_000), malformed),
        (Uuid::new_v4().to_string(), malformed),
        (Uuid::nil().to_string(), malformed),
        (Uuid::max().to_string(), malformed),
        (made(0).replace('-', ""), malformed),
        (format!("{{{}}}", made(0)), malformed),
        (format!("urn:uuid:{}", made(0)), malformed),
        (format!("{} ", made(0)), malformed),
        (made(-310), far),
        (made(310), far),
    ] {
        refused(refusal(scene.create(&id, "lancelot@camelot.bt", PASSWORD).await), &[("user_id", why)]);
    }
    let no_address = ("email", "An email address must have an @-sign.");
    refused(refusal(scene.create("me", "", &"x".repeat(1025)).await), &[("user_id", malformed), no_address]);

    let user = || Some(User::default());
    let (own, all) = (
        ("update_mask", "Input should name nothing but email"),
        ("update_mask", "Input should name nothing but email, is_active, is_superuser, is_verified"),
    );
    for mask in ["*", "", "id", "password", "user.email", "Email", "email,is_active", "create_time"] {
        refused(refusal(scene.update(&scene.id, user(), &[mask], None).await), &[all]);
        refused(refusal(scene.update("me", user(), &["is_active", mask], None).await), &[own]);
    }
    refused(refusal(scene.update(&scene.id, user(), &["*", "email"], None).await), &[all, no_address]);
    let no_values = ("user", "Field required");
    refused(refusal(scene.update(&scene.id, None, &["is_active"], None).await), &[no_values]);
    refused(refusal(scene.update("me", None, &["email", "*"], Some("")).await), &[no_values, own]);

    let list = async |page_size, page_token: &str| {
        let request = ListUsersRequest { page_size, page_token: page_token.into() };
        scene.rpc.users.clone().list_users(with_token(request, &scene.token)).await
    };
    let size = ("page_size", "Input should not be negative");
    let token = ("page_token", "Input should be the next_page_token of the page before");
    refused(refusal(list(-1, "").await), &[size]);
    refused(refusal(list(i32::MIN, "x").await), &[size, token]);
    for garbage in [" ", "me", "0", &"x".repeat(10_000), "{00000000-0000-0000-0000-000000000000}"] {
        refused(refusal(list(0, garbage).await), &[token]);
    }
    assert_eq!(list(i32::MAX, "").await.unwrap().into_inner().users.len(), 1, "it is 200 then");
    assert_eq!(scene.stack.database.contents().await, before);
}

#[tokio::test]
async fn a_mask_may_be_empty_or_name_a_field_twice() {
    let scene = Scene::set().await;
    let before = scene.stack.database.contents().await;
    let nothing = scene.update("me", None, &[], None).await.unwrap().into_inner();
    assert_eq!(
        (nothing.email.as_str(), scene.stack.database.contents().await),
        ("king.arthur@camelot.bt", before)
    );
    let user = Some(User { email: "arthur@camelot.bt".into(), ..User::default() });
    let twice = scene.update("me", user, &["email", "email"], None).await.unwrap().into_inner();
    assert_eq!((twice.email.as_str(), twice.is_active), ("arthur@camelot.bt", true));
}

#[tokio::test]
async fn a_login_that_lacks_a_field_is_malformed_and_any_other_is_wrong() {
    let scene = Scene::set().await;
    let before = scene.stack.database.contents().await;
    let log_in = async |email: &str, password: &str| {
        let request =
            CreateSessionRequest { email: email.into(), password: password.into(), ..Default::default() };
        scene.rpc.sessions.clone().create_session(request).await
    };
    for (email, password, missing) in [
        ("", "", &["email", "password"][..]),
        ("king.arthur@camelot.bt", "", &["password"]),
        ("", PASSWORD, &["email"]),
    ] {
        let answer = scene.stack.http().log_in(email, password).await;
        let body = answer.json();
        let items = body["detail"].as_array().unwrap().iter();
        // In the form the address is called `username`.
        let through_gateway = items.map(|item| {
            (
                item["loc"][1].as_str().unwrap().replace("username", "email"),
                item["msg"].as_str().unwrap().to_owned(),
            )
        });
        let expected = violations(
            "INVALID_REQUEST",
            &missing.iter().map(|field| (*field, "Field required")).collect::<Vec<_>>(),
        );
        assert_eq!(
            (refusal(log_in(email, password).await), through_gateway.collect()),
            (expected.clone(), expected.1)
        );
    }
    let long = "x".repeat(1025);
    let addresses = bad_addresses()
        .into_iter()
        .map(|(_, email)| (email, PASSWORD))
        .filter(|(email, _)| !email.is_empty());
    for (email, password) in addresses.chain([("king.arthur@camelot.bt".to_owned(), long.as_str())]) {
        assert_eq!(outcome(&log_in(&email, password).await), "Unauthenticated BAD_CREDENTIALS", "{email}");
        let answer = scene.stack.http().log_in(&email, password).await;
        assert_eq!(answer.short(), r#"400 {"detail":"LOGIN_BAD_CREDENTIALS"}"#, "{email}");
    }
    assert_eq!(scene.stack.database.contents().await, before);
}

#[tokio::test]
async fn an_id_in_any_other_spelling_names_nobody() {
    let scene = Scene::set().await;
    let before = scene.stack.database.contents().await;
    let Scene { id, token, .. } = &scene;
    let session =
        scene.stack.database.rows("SELECT id::text FROM sessions", &[]).await[0].get::<_, String>(0);
    let spellings = |id: &str| {
        let id = id.to_owned();
        let odd = [
            id.replace('-', ""),
            format!("{{{id}}}"),
            format!("urn:uuid:{id}"),
            format!("{id} "),
            format!(" {id}"),
        ];
        let none =
            ["", "Me", "CURRENT", "\0", "0", "00000000-0000-0000-0000-000000000000"].map(str::to_owned);
        odd.into_iter().chain(none).chain([Uuid::now_v7().to_string(), "x".repeat(10_000)])
    };
    for id in spellings(id).chain([session.clone()]) {
        let get = GetUserRequest { id: id.clone() };
        let delete = DeleteUserRequest { id: id.clone() };
        let outcomes = [
            outcome(&scene.rpc.users.clone().get_user(with_token(get, token)).await),
            outcome(&scene.update(&id, None, &[], None).await),
            outcome(&scene.update(&id, None, &["nonsense"], Some("")).await),
            outcome(&scene.rpc.users.clone().delete_user(with_token(delete, token)).await),
        ];
        assert_eq!(outcomes, ["NotFound USER_NOT_FOUND"; 4], "{id}");
    }
    for id in spellings(&session).chain(["me".to_owned(), id.clone()]) {
        let request = with_token(DeleteSessionRequest { id: id.clone() }, token);
        let outcome = outcome(&scene.rpc.sessions.clone().delete_session(request).await);
        assert_eq!(outcome, "NotFound SESSION_NOT_FOUND", "{id}");
    }
    assert_eq!(scene.stack.database.contents().await, before);
}
