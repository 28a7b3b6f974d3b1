//! Rows that no process of ours has written: a login by one fails like any other, and whoever reads them is served.

use std::collections::BTreeSet;
use std::time::Duration;

use portcullis_proto::v1::ListUsersRequest;
use serde_json::json;

use crate::harness::{Answer, PASSWORD, Stack, with_token};

/// How long a login by a poisoned row may take, at the lowest cost.
const BOUND: Duration = Duration::from_secs(1);
const EMAIL: &str = "king.arthur@camelot.bt";

/// Status, body and headers of an answer, but for what differs between any two.
fn shape(answer: &Answer) -> (String, BTreeSet<(String, String)>) {
    let pairs =
        answer.headers.iter().map(|(name, value)| (name.to_string(), value.to_str().unwrap().to_owned()));
    (answer.short(), pairs.filter(|(name, _)| !["date", "x-request-id"].contains(&name.as_str())).collect())
}

/// Sets columns of the user's row; what the database says against it.
async fn poison(stack: &Stack, id: &str, assignments: &str) -> Result<(), String> {
    let sql = format!("UPDATE users SET {assignments} WHERE id = '{id}'");
    let outcome = stack.database.connect().await.batch_execute(&sql).await;
    outcome.map_err(|error| error.code().map_or(String::new(), |code| code.code().to_owned()))
}

/// A user in a system with a superuser, in which the row of the user is to be poisoned.
struct Scene {
    stack: Stack,
    superuser: String,
    id: String,
    token: String,
    /// What an honest failure looks like.
    failure: Answer,
}

impl Scene {
    async fn set() -> Self {
        let stack = Stack::start().await;
        let (_, superuser) = stack.superuser("merlin@camelot.bt").await;
        let (id, token) = stack.user(EMAIL).await;
        let failure = stack.http().log_in("merlin@camelot.bt", "not his").await;
        assert_eq!(failure.short(), r#"400 {"detail":"LOGIN_BAD_CREDENTIALS"}"#);
        Self { stack, superuser, id, token, failure }
    }

    async fn a_login_fails_as_any_other(&self, what: &str) {
        let http = self.stack.http();
        for for_cookie in [false, true] {
            let log_in = async || {
                let answer = match for_cookie {
                    true => http.log_in_for_cookie(EMAIL, PASSWORD).await,
                    false => http.log_in(EMAIL, PASSWORD).await,
                };
                assert_eq!(shape(&answer), shape(&self.failure), "{what}");
                answer.took
            };
            // Too slow is what is so twice: once may be the machine.
            let is_quick = log_in().await <= BOUND || log_in().await <= BOUND;
            assert!(is_quick, "{what}: slower than {BOUND:?}, twice");
        }
    }

    /// Everybody who may read the row can, everywhere.
    async fn the_row_is_shown(&self, what: &str) {
        let http = self.stack.http();
        let own = http.bare("GET", "/users/me", &self.token).await;
        let by_id = http.bare("GET", &format!("/users/{}", self.id), &self.superuser).await;
        assert_eq!((own.status, &own.body), (200, &by_id.body), "{what}: {by_id:?}");
        let list = with_token(ListUsersRequest::default(), &self.superuser);
        let users = self.stack.rpc().await.users.list_users(list).await.unwrap().into_inner().users;
        let shown = users.into_iter().find(|user| user.id == self.id).map(|user| user.email);
        assert_eq!(shown, Some(own.text("email")), "{what}");
        assert!(self.stack.identity.command(&["user", "list"]).unwrap().contains(&self.id), "{what}");
    }
}

#[tokio::test]
async fn h27_a_hash_that_cannot_be_one_fails_like_a_wrong_password() {
    let scene = Scene::set().await;
    let sql = "SELECT password_hash FROM users WHERE id::text = $1";
    let good: String = scene.stack.database.rows(sql, &[&scene.id]).await[0].get(0);
    let with_cost = |cost: &str| format!("{}{cost}{}", &good[..4], &good[6..]);
    for (scheme, hash) in [
        ("v1", String::new()),
        ("v1", good[..59].to_owned()),
        ("v1", good[..29].to_owned()),
        ("v1", format!("{good} ")),
        ("v1", "é".repeat(30)),
        ("v1", "🏰".repeat(15)),
        ("v1", format!("{}é", &good[..58])),
        ("v1", with_cost("99")),
        ("v1", with_cost("31")),
        ("v1", with_cost("15")),
        ("v1", with_cost("00")),
        ("v1", with_cost("-1")),
        ("v1", good.replace("$2b$", "$9z$")),
        ("v1", "$".repeat(60)),
        ("v1", "x".repeat(1_000_000)),
        ("", good.clone()),
        ("V1", good.clone()),
        ("rot13", PASSWORD.to_owned()),
        ("argon2id", "$argon2id$v=19$m=4294967295,t=4294967295,p=1$c2FsdHNhbHQ$aGFzaGhhc2g".to_owned()),
    ] {
        let what = format!("{scheme} {hash:.70}");
        poison(&scene.stack, &scene.id, &format!("password_scheme = '{scheme}', password_hash = '{hash}'"))
            .await
            .unwrap();
        scene.a_login_fails_as_any_other(&what).await;
        scene.the_row_is_shown(&what).await;
    }
    // A new password heals the row.
    let (http, path) = (scene.stack.http(), format!("/users/{}", scene.id));
    let healed = http.json("PATCH", &path, &scene.superuser, json!({"password": "lancelot"})).await;
    assert_eq!(healed.status, 200, "{healed:?}");
    assert_eq!(http.log_in(EMAIL, "lancelot").await.status, 200);
}

#[tokio::test]
async fn h27_a_hash_with_a_pepper_that_nobody_has_fails_like_a_wrong_password() {
    let scene = Scene::set().await;
    for version in [0, 2, -1, i32::MAX, i32::MIN] {
        let assignment = format!("pepper_version = {version}");
        poison(&scene.stack, &scene.id, &assignment).await.unwrap();
        scene.a_login_fails_as_any_other(&assignment).await;
        scene.the_row_is_shown(&assignment).await;
    }
    poison(&scene.stack, &scene.id, "pepper_version = 1").await.unwrap();
    assert_eq!(scene.stack.http().log_in(EMAIL, PASSWORD).await.status, 200);
}

#[tokio::test]
async fn h27_an_address_that_is_not_in_its_canonical_form_is_nobodys_and_harms_nobody() {
    let scene = Scene::set().await;
    let long = "x".repeat(100_000);
    for (email, canonical) in [
        (EMAIL, "King.Arthur@camelot.bt"),
        (EMAIL, "somebody.else@camelot.bt"),
        (EMAIL, ""),
        (EMAIL, "no address"),
        ("", "no address"),
        ("no address", "king.arthur@CAMELOT.bt"),
        ("king\r\n\u{1b}[31m\u{2028}@camelot.bt", " king.arthur@camelot.bt"),
        (&long, "king.arthur@camelot.bt "),
    ] {
        let what = format!("{email:.70} {canonical}");
        poison(&scene.stack, &scene.id, &format!("email = '{email}', email_canonical = '{canonical}'"))
            .await
            .unwrap();
        scene.a_login_fails_as_any_other(&what).await;
        scene.the_row_is_shown(&what).await;
    }
}

#[tokio::test]
async fn h27_what_must_be_there_cannot_be_taken_away() {
    let scene = Scene::set().await;
    let sql = "SELECT column_name::text FROM information_schema.columns WHERE table_name = 'users'";
    let columns = scene.stack.database.rows(sql, &[]).await;
    assert!(columns.len() >= 12, "the columns were not read");
    for column in columns.iter().map(|row| row.get::<_, String>(0)) {
        let refused = poison(&scene.stack, &scene.id, &format!("{column} = NULL")).await;
        assert_eq!(refused.unwrap_err(), "23502", "{column}: not_null_violation");
    }
    scene.the_row_is_shown("untouched").await;
    assert_eq!(scene.stack.http().log_in(EMAIL, PASSWORD).await.status, 200);
}
