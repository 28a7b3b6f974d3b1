//! A registration, changes of a password, an address or a flag, and a deletion, each torn at each step by each fault.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::{Value, json};

use super::judge::{Change, Left, judge};
use super::trap::{FAULTS, Step, tear};
use crate::harness::{Answer, Http, PASSWORD, Stack, claims, rounds};

const NEW_PASSWORD: &str = "lancelot-du-lac";

const REGISTRATION: [Step; 3] =
    [Step("BEFORE INSERT", "users"), Step("AFTER INSERT", "users"), Step("INSERT AT COMMIT", "users")];
const PASSWORD_CHANGE: [Step; 8] = [
    Step("BEFORE DELETE", "sessions"),
    Step("AFTER DELETE", "sessions"),
    Step("DELETE AT COMMIT", "sessions"),
    Step("BEFORE INSERT", "revocations"),
    Step("INSERT AT COMMIT", "revocations"),
    Step("BEFORE UPDATE", "users"),
    Step("AFTER UPDATE", "users"),
    Step("UPDATE AT COMMIT", "users"),
];
const RESET: [Step; 13] = [
    Step("BEFORE DELETE", "recovery_tokens"),
    Step("AFTER DELETE", "recovery_tokens"),
    Step("DELETE AT COMMIT", "recovery_tokens"),
    Step("BEFORE DELETE", "sessions"),
    Step("DELETE AT COMMIT", "sessions"),
    Step("BEFORE INSERT", "revocations"),
    Step("INSERT AT COMMIT", "revocations"),
    Step("BEFORE UPDATE", "users"),
    Step("AFTER UPDATE", "users"),
    Step("UPDATE AT COMMIT", "users"),
    Step("BEFORE INSERT", "mails"),
    Step("AFTER INSERT", "mails"),
    Step("INSERT AT COMMIT", "mails"),
];
const EMAIL_CHANGE: [Step; 8] = [
    Step("BEFORE DELETE", "sessions"),
    Step("DELETE AT COMMIT", "sessions"),
    Step("BEFORE INSERT", "revocations"),
    Step("INSERT AT COMMIT", "revocations"),
    Step("BEFORE UPDATE", "users"),
    Step("UPDATE AT COMMIT", "users"),
    Step("BEFORE DELETE", "recovery_tokens"),
    Step("DELETE AT COMMIT", "recovery_tokens"),
];
const DEACTIVATION: [Step; 6] = [
    Step("BEFORE DELETE", "sessions"),
    Step("DELETE AT COMMIT", "sessions"),
    Step("BEFORE INSERT", "revocations"),
    Step("INSERT AT COMMIT", "revocations"),
    Step("BEFORE UPDATE", "users"),
    Step("UPDATE AT COMMIT", "users"),
];
const DELETION: [Step; 8] = [
    Step("BEFORE INSERT", "revocations"),
    Step("INSERT AT COMMIT", "revocations"),
    Step("BEFORE DELETE", "users"),
    Step("AFTER DELETE", "users"),
    Step("BEFORE DELETE", "sessions"),
    Step("AFTER DELETE", "sessions"),
    Step("DELETE AT COMMIT", "sessions"),
    Step("DELETE AT COMMIT", "users"),
];

/// Which of the changes.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Flow {
    Registration,
    OwnPassword,
    PasswordBySuperuser,
    Reset,
    OwnEmail,
    Deactivation,
    Deletion,
}

/// A change that is about to be made.
struct Case {
    change: Change,
    email: String,
    id: String,
    before: Left,
    request: Request,
}

/// A request that can be sent from a task of its own.
struct Request {
    http: Http,
    method: &'static str,
    path: String,
    token: String,
    body: Option<Value>,
    key: String,
}

impl Request {
    async fn send(self) -> Answer {
        let request = self.http.request(self.method, &self.path).bearer_auth(self.token);
        let request = request.header("idempotency-key", self.key);
        let request = if let Some(body) = self.body { request.json(&body) } else { request };
        self.http.send(request).await
    }
}

impl Flow {
    /// A new user with two sessions and a mailed token of each kind, or with no more than an address, and what is to be
    /// done to him.
    async fn case(self, stack: &Stack, superuser: &str) -> Case {
        let (http, email) = (stack.http(), format!("{}@camelot.bt", uuid::Uuid::new_v4()));
        let key = uuid::Uuid::now_v7().to_string();
        let (mut id, mut token, mut change) = (key.clone(), String::new(), Change::Registration);
        if self != Self::Registration {
            (id, token) = stack.user(&email).await;
            http.token(&email, PASSWORD).await;
        }
        let reset = mailed_tokens(stack, &id).await;
        let session = || claims(&token)["sid"].as_str().expect("is text").to_owned();
        let password = json!({"password": NEW_PASSWORD});
        let (method, path, token, body) = match self {
            Self::Registration => {
                let body = json!({"email": email, "password": PASSWORD});
                ("POST", "/auth/register".to_owned(), token, Some(body))
            }
            Self::OwnPassword => {
                change = Change::OwnPassword(session());
                ("PATCH", "/users/me".to_owned(), token, Some(password))
            }
            Self::OwnEmail => {
                change = Change::OwnEmail(session());
                ("PATCH", "/users/me".to_owned(), token, Some(json!({"email": format!("new.{email}")})))
            }
            Self::Reset => {
                change = Change::Reset;
                let body = json!({"token": reset, "password": NEW_PASSWORD});
                ("POST", "/auth/reset-password".to_owned(), token, Some(body))
            }
            Self::Deactivation => {
                change = Change::Deactivation;
                ("PATCH", format!("/users/{id}"), superuser.to_owned(), Some(json!({"is_active": false})))
            }
            Self::PasswordBySuperuser => {
                change = Change::PasswordBySuperuser;
                ("PATCH", format!("/users/{id}"), superuser.to_owned(), Some(password))
            }
            Self::Deletion => {
                change = Change::Deletion;
                ("DELETE", format!("/users/{id}"), superuser.to_owned(), None)
            }
        };
        let before = Left::of(&stack.database, &id).await;
        Case { change, email, id, before, request: Request { http, method, path, token, body, key } }
    }

    /// Which passwords must work now: the old one, the new one.
    fn passwords(self, happened: bool) -> [bool; 2] {
        match self {
            Self::Registration => [happened, false],
            Self::Deletion | Self::Deactivation | Self::OwnEmail => [!happened, false],
            Self::OwnPassword | Self::PasswordBySuperuser | Self::Reset => [!happened, happened],
        }
    }
}

/// Stores a token of each kind for a user, as if they had been mailed to him; the one for a new password.
async fn mailed_tokens(stack: &Stack, id: &str) -> String {
    let mut reset = String::new();
    for (purpose, lifetime) in [("verify", "1 day"), ("reset", "1 hour")] {
        let secret =
            aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, format!("{purpose} {id}").as_bytes());
        let digest = aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, secret.as_ref());
        let sql = format!(
            "INSERT INTO recovery_tokens
                 (digest, user_id, purpose, language, email_canonical, password_version, expires_at)
             SELECT $1, id, '{purpose}', 'en', email_canonical, password_version, now() + interval '{lifetime}'
             FROM users WHERE id::text = $2"
        );
        stack.database.rows(&sql, &[&digest.as_ref(), &id]).await;
        reset = URL_SAFE_NO_PAD.encode(secret);
    }
    reset
}

/// Plays a flow with each fault at each step so often; in the short tier with every so manieth fault, another at each
/// step.
async fn torn(flow: Flow, steps: &[Step], every: usize, times: usize) {
    let mut stack = Stack::start().await;
    let (_, superuser) = stack.superuser("merlin@camelot.bt").await;
    let (mut done, mut undone) = (0, 0);
    let (every, times) = rounds((every, 1), (1, times));
    let numbers = (0..steps.len() * times).flat_map(|step| (0..FAULTS.len()).map(move |fault| (step, fault)));
    for (step, fault) in numbers.filter(|(step, fault)| (step + fault) % every == 0) {
        let (step, fault) = (steps[step % steps.len()], FAULTS[fault]);
        let Case { change, email, id, before, request } = flow.case(&stack, &superuser).await;
        let answer = tear(&mut stack, step, fault, request.send()).await;
        let what = format!("{fault:?} at {step:?}: {answer:?}");
        assert!([200, 201, 204, 503, 504].contains(&answer.status), "{what}");
        let after = Left::of(&stack.database, &id).await;
        let happened =
            judge(&change, &before, &after, answer.status).unwrap_or_else(|wrong| panic!("{wrong}; {what}"));
        for (password, works) in [PASSWORD, NEW_PASSWORD].into_iter().zip(flow.passwords(happened)) {
            let login = stack.http().log_in(&email, password).await;
            assert_eq!(login.status, if works { 200 } else { 400 }, "{what}; {login:?}");
        }
        *(if happened { &mut done } else { &mut undone }) += 1;
    }
    println!("{flow:?}: {done} times done, {undone} times not");
    assert!(undone > 0, "nothing was torn");
}

#[tokio::test]
async fn f05_a_registration_torn_at_any_step_is_done_or_not_and_201_only_if_it_is() {
    torn(Flow::Registration, &REGISTRATION, 2, 20).await;
}

#[tokio::test]
async fn f06_a_users_own_password_change_torn_at_any_step_is_done_with_all_that_belongs_to_it_or_not_at_all()
{
    torn(Flow::OwnPassword, &PASSWORD_CHANGE, 4, 5).await;
}

#[tokio::test]
async fn f06_a_superusers_password_change_torn_at_any_step_is_done_with_all_that_belongs_to_it_or_not_at_all()
{
    torn(Flow::PasswordBySuperuser, &PASSWORD_CHANGE, 4, 5).await;
}

#[tokio::test]
async fn f06_a_deletion_torn_at_any_step_takes_the_user_and_his_sessions_or_neither() {
    torn(Flow::Deletion, &DELETION, 4, 5).await;
}

#[tokio::test]
async fn f06_a_reset_torn_at_any_step_uses_its_token_if_and_only_if_the_password_is_set() {
    torn(Flow::Reset, &RESET, 4, 5).await;
}

#[tokio::test]
async fn f06_a_change_of_address_torn_at_any_step_is_done_with_all_that_belongs_to_it_or_not_at_all() {
    torn(Flow::OwnEmail, &EMAIL_CHANGE, 4, 5).await;
}

#[tokio::test]
async fn f06_a_deactivation_torn_at_any_step_ends_all_sessions_or_leaves_the_user_active() {
    torn(Flow::Deactivation, &DEACTIVATION, 4, 5).await;
}

#[tokio::test]
async fn f05_control_a_change_done_by_halves_or_acknowledged_and_not_done_is_seen() {
    let stack = Stack::start().await;
    let (_, superuser) = stack.superuser("merlin@camelot.bt").await;
    let database = stack.database.connect().await;
    for (flow, step, sabotage, wrong) in [
        (Flow::OwnPassword, Step("BEFORE DELETE", "sessions"), "RETURN NULL;", "by halves"),
        (Flow::PasswordBySuperuser, Step("BEFORE DELETE", "sessions"), "RETURN NULL;", "by halves"),
        (
            Flow::OwnPassword,
            Step("BEFORE UPDATE", "users"),
            "NEW.password_version = 1; RETURN NEW;",
            "by halves",
        ),
        (
            Flow::PasswordBySuperuser,
            Step("BEFORE UPDATE", "users"),
            "NEW.epoch = OLD.epoch; RETURN NEW;",
            "by halves",
        ),
        (Flow::Deletion, Step("BEFORE DELETE", "users"), "RETURN NULL;", "by halves"),
        (Flow::OwnEmail, Step("BEFORE DELETE", "recovery_tokens"), "RETURN NULL;", "by halves"),
        (Flow::Deactivation, Step("BEFORE DELETE", "sessions"), "RETURN NULL;", "by halves"),
        (
            Flow::Reset,
            Step("AFTER DELETE", "recovery_tokens"),
            "INSERT INTO recovery_tokens SELECT OLD.*; RETURN NULL;",
            "by halves",
        ),
        (Flow::Reset, Step("BEFORE INSERT", "mails"), "RETURN NULL;", "by halves"),
        (
            Flow::Registration,
            Step("AFTER INSERT", "users"),
            "DELETE FROM users WHERE id = NEW.id; RETURN NULL;",
            "was acknowledged",
        ),
    ] {
        let Case { change, id, before, request, .. } = flow.case(&stack, &superuser).await;
        step.set(&database, sabotage).await;
        let answer = request.send().await;
        step.clear(&database).await;
        let after = Left::of(&stack.database, &id).await;
        let judged = judge(&change, &before, &after, answer.status);
        assert!(judged.as_ref().is_err_and(|said| said.contains(wrong)), "{flow:?}: {answer:?}: {judged:?}");
    }
}
