//! A login that fails takes the same time whatever it fails of: who measures learns nothing about who has an account,
//! and in what state it is.

use super::likeness::{Likeness, Trials};
use crate::harness::{PASSWORD, Stack, request, rounds, urlencoded};

/// A kind of login that fails.
struct Kind {
    name: &'static str,
    email: String,
    password: &'static str,
}

impl Kind {
    /// A login of a user of his own, whose row is then changed in this way.
    async fn of_row(stack: &Stack, name: &'static str, assignments: &str, password: &'static str) -> Self {
        let email = format!("{}@camelot.bt", uuid::Uuid::new_v4());
        stack.register(&email).await;
        if !assignments.is_empty() {
            let sql = format!("UPDATE users SET {assignments} WHERE email_canonical = '{email}'");
            stack.database.connect().await.batch_execute(&sql).await.expect("the columns are there");
        }
        Self { name, email, password }
    }

    /// The login to which all others are compared.
    async fn wrong_password(stack: &Stack) -> Self {
        Self::of_row(stack, "a wrong password", "", "lancelot").await
    }

    fn unknown() -> Self {
        let email = format!("{}@camelot.bt", uuid::Uuid::new_v4());
        Self { name: "an unknown user", email, password: PASSWORD }
    }

    /// One whose hash is this.
    async fn of_hash(stack: &Stack, name: &'static str, hash: &str) -> Self {
        Self::of_row(stack, name, &format!("password_hash = '{hash}'"), PASSWORD).await
    }
}

/// The answer to all of them.
const REFUSED: (u16, &str) = (400, r#"{"detail":"LOGIN_BAD_CREDENTIALS"}"#);

fn trials(stack: &Stack, kinds: &[Kind]) -> Trials {
    let trial = |kind: &Kind| {
        let fields = [("username", kind.email.as_bytes()), ("password", kind.password.as_bytes())];
        (kind.name, request("POST", "/auth/jwt/login", "", &urlencoded(&fields)))
    };
    Trials { port: stack.gateway.port, answer: REFUSED, kinds: kinds.iter().map(trial).collect() }
}

async fn assert_alike(stack: &Stack, kinds: &[Kind], count: usize) {
    trials(stack, kinds).assert_alike(count).await;
}

#[tokio::test]
async fn t_an_unknown_and_an_inactive_user_take_as_long_as_a_wrong_password() {
    let stack = Stack::start().await;
    let wrong = Kind::wrong_password(&stack).await;
    let inactive = Kind::of_row(&stack, "an inactive user", "is_active = false", PASSWORD).await;
    assert_alike(&stack, &[wrong, Kind::unknown(), inactive], rounds(40, 400)).await;
}

#[tokio::test]
async fn t_a_malformed_hash_takes_as_long_as_a_wrong_password() {
    let stack = Stack::start().await;
    let good = bcrypt::hash("nobody's", 10).unwrap();
    let kinds = [
        Kind::wrong_password(&stack).await,
        Kind::of_hash(&stack, "no hash", "").await,
        Kind::of_hash(&stack, "a hash that was cut", &good[..59]).await,
        Kind::of_hash(&stack, "a hash of no base64", &format!("$2b$10${}", "!".repeat(53))).await,
        Kind::of_hash(&stack, "a hash of no cost", &good.replace("$10$", "$00$")).await,
    ];
    assert_alike(&stack, &kinds, rounds(40, 400)).await;
}

#[tokio::test]
async fn t_a_hash_with_an_earlier_or_an_unknown_pepper_takes_as_long_as_a_wrong_password() {
    let earlier = "YW4tZWFybGllci1wZXBwZXItdGhhdC1zdGlsbC12ZXJpZmllcw==";
    let stack = Stack::with(&[("PASSWORD_PEPPER_OTHER", earlier)], &[]).await;
    let kinds = [
        Kind::wrong_password(&stack).await,
        Kind::of_row(&stack, "an earlier pepper", "pepper_version = 2", PASSWORD).await,
        Kind::of_row(&stack, "a pepper that is not given", "pepper_version = 3", PASSWORD).await,
    ];
    assert_alike(&stack, &kinds, rounds(40, 400)).await;
}

#[tokio::test]
async fn t_a_hash_that_is_too_dear_to_compute_takes_as_long_as_a_wrong_password() {
    let stack = Stack::start().await;
    let good = bcrypt::hash("nobody's", 10).unwrap();
    let kinds = [
        Kind::wrong_password(&stack).await,
        Kind::of_hash(&stack, "a hash of cost 15", &good.replace("$10$", "$15$")).await,
        Kind::of_hash(&stack, "a hash of cost 31", &good.replace("$10$", "$31$")).await,
    ];
    assert_alike(&stack, &kinds, rounds(40, 400)).await;
}

#[tokio::test]
async fn t_a_hash_of_a_lower_cost_takes_as_long_as_a_wrong_password_and_as_an_unknown_user() {
    let stack = Stack::with(&[("BCRYPT_COST", rounds("11", "12"))], &[]).await;
    let kinds = [
        Kind::wrong_password(&stack).await,
        Kind::unknown(),
        Kind::of_hash(&stack, "a hash of cost 10", &bcrypt::hash("nobody's", 10).unwrap()).await,
    ];
    assert_alike(&stack, &kinds, rounds(30, 400)).await;
}

#[tokio::test]
async fn t_control_a_login_that_is_answered_without_a_hash_is_told_from_a_wrong_password() {
    let stack = Stack::start().await;
    let none = Kind { name: "no address", email: "camelot.bt".to_owned(), password: PASSWORD };
    let kinds = [Kind::wrong_password(&stack).await, none];
    let times = trials(&stack, &kinds).measure(rounds(40, 400)).await;
    let likeness = Likeness::of(&times[0], &times[1]);
    assert!(!likeness.is_indistinguishable(), "{likeness:?}");
}
