//! A login hashes for a long time. Whatever happens to its user meanwhile, no usable session comes of it that should
//! not: changes are made at random moments while the hash is computed.

use std::time::Duration;

use serde_json::{Value, json};

use crate::harness::{PASSWORD, Stack, claims, rounds};

/// How many rounds run at a time.
const LANES: usize = 4;

/// What happens to a user while he logs in.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Change {
    OwnPassword,
    OwnEmail,
    PasswordBySuperuser,
    Deactivation,
    Deletion,
}

/// How long a login takes while the other lanes log in too.
async fn login_time(stack: &Stack) -> Duration {
    let http = stack.http();
    let log_in = async || http.log_in("merlin@camelot.bt", PASSWORD).await.took;
    let mut lots = Vec::new();
    for _ in 0..3 {
        let (a, b, c, d) = tokio::join!(log_in(), log_in(), log_in(), log_in());
        lots.push(a.max(b).max(c).max(d));
    }
    lots.sort();
    lots[1]
}

/// Plays one round, in which the change begins `lead` milliseconds before the login, or the login `-lead` before the
/// change; what the login answered, and whether its token works after both.
async fn round(stack: &Stack, superuser: &str, change: Change, lead: i64) -> (u16, bool) {
    let email = format!("{}@camelot.bt", uuid::Uuid::new_v4());
    let (id, token) = stack.user(&email).await;
    let http = stack.http();
    let log_in = tokio::spawn({
        let (http, email) = (http.clone(), email.clone());
        async move {
            tokio::time::sleep(Duration::from_millis(lead.max(0).unsigned_abs())).await;
            http.log_in(&email, PASSWORD).await
        }
    });
    tokio::time::sleep(Duration::from_millis(lead.min(0).unsigned_abs())).await;
    let path = format!("/users/{id}");
    let patch = async |path: &str, token: &str, body: Value| http.json("PATCH", path, token, body).await;
    let changed = match change {
        Change::OwnPassword => patch("/users/me", &token, json!({"password": "lancelot"})).await,
        Change::OwnEmail => patch("/users/me", &token, json!({"email": format!("new-{email}")})).await,
        Change::PasswordBySuperuser => patch(&path, superuser, json!({"password": "lancelot"})).await,
        Change::Deactivation => patch(&path, superuser, json!({"is_active": false})).await,
        Change::Deletion => http.bare("DELETE", &path, superuser).await,
    };
    assert!([200, 204].contains(&changed.status), "{changed:?}");
    let log_in = log_in.await.unwrap();
    let works = match log_in.status {
        200 => http.bare("GET", "/users/me", &log_in.text("access_token")).await.status == 200,
        400 => false,
        _ => panic!("{log_in:?}"),
    };
    let mut kept = Vec::new();
    if [Change::OwnPassword, Change::OwnEmail].contains(&change) {
        let me = http.bare("GET", "/users/me", &token).await;
        assert_eq!(me.status, 200, "the session of the change goes on: {me:?}");
        kept.push(claims(&token)["sid"].as_str().unwrap().to_owned());
    }
    // The epoch of the tokens alone must not be what saves us.
    let sql = "SELECT id::text FROM sessions WHERE user_id::text = $1";
    let sessions: Vec<String> = stack.database.rows(sql, &[&id]).await.iter().map(|row| row.get(0)).collect();
    assert_eq!(sessions, kept, "what is left after the {change:?}; the login: {log_in:?}");
    (log_in.status, works)
}

async fn no_login_survives(change: Change) {
    let rounds = rounds(40, 200);
    let stack = Stack::start().await;
    let (_, superuser) = stack.superuser("merlin@camelot.bt").await;
    let login = i64::try_from(login_time(&stack).await.as_millis()).unwrap();
    let mut refused = 0;
    for first in (0..rounds).step_by(LANES) {
        let lane = |number: usize| {
            // From the login first to the change first. A change of a password hashes too.
            let percent = i64::try_from(number * 37 % 220).unwrap() - 150;
            round(&stack, &superuser, change, login * percent / 100)
        };
        let (a, b, c, d) = tokio::join!(lane(first), lane(first + 1), lane(first + 2), lane(first + 3));
        for (status, works) in [a, b, c, d] {
            assert!(!works, "a login outlived the {change:?}");
            refused += usize::from(status == 400);
        }
    }
    println!(
        "{change:?}: a login takes {login} ms, {refused} of {rounds} logins were refused, the others were ended"
    );
    assert!((1..rounds).contains(&refused), "one of the two was always first: the race was not played");
}

#[tokio::test]
async fn a_login_overtaken_by_the_users_own_password_change_leads_to_nothing() {
    no_login_survives(Change::OwnPassword).await;
}

#[tokio::test]
async fn a_login_overtaken_by_the_users_own_change_of_address_leads_to_nothing() {
    no_login_survives(Change::OwnEmail).await;
}

#[tokio::test]
async fn a_login_overtaken_by_a_superusers_password_leads_to_nothing() {
    no_login_survives(Change::PasswordBySuperuser).await;
}

#[tokio::test]
async fn a_login_overtaken_by_a_deactivation_leads_to_nothing() {
    no_login_survives(Change::Deactivation).await;
}

#[tokio::test]
async fn a_login_overtaken_by_a_deletion_leads_to_nothing() {
    no_login_survives(Change::Deletion).await;
}
