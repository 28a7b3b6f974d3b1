//! F22 for refresh tokens: whatever happens to a user while his sessions are refreshed again and again, once it is
//! answered nothing is refreshed any more, and no token that came out of it is believed for longer than the law allows.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use super::{REFUSED, Tokens, offline, refresh};
use crate::harness::{Fleet, Http, PASSWORD, Plan, rounds};

/// How long an ended token may still be believed: law 3 of the design.
const LAW: Duration = Duration::from_secs(2);
/// How many rounds are played at a time, and how many sessions of the user are refreshed in each.
const LANES: usize = 4;
const SESSIONS: usize = 3;

/// What happens to a user.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Change {
    OwnPassword,
    OwnEmail,
    LogoutElsewhere,
    PasswordBySuperuser,
    Deactivation,
    Deletion,
    EndOfSessions,
    Logout,
}

const CHANGES: [Change; 8] = [
    Change::OwnPassword,
    Change::OwnEmail,
    Change::LogoutElsewhere,
    Change::PasswordBySuperuser,
    Change::Deactivation,
    Change::Deletion,
    Change::EndOfSessions,
    Change::Logout,
];

struct Scene {
    fleet: Fleet,
    superuser: String,
}

/// What came out of refreshing a session until it was refused or the time was up.
struct Refreshed {
    access: Vec<String>,
    /// The newest refresh token.
    newest: String,
    /// When the last use began that succeeded.
    last: Instant,
}

impl Scene {
    async fn set() -> Self {
        let fleet = Fleet::start(Plan::default()).await;
        let http = &fleet.clients()[0];
        assert_eq!(http.register("merlin@camelot.bt", PASSWORD).await.status, 201);
        fleet.identities[0].command(&["user", "promote", "merlin@camelot.bt"]).unwrap();
        let superuser = http.token("merlin@camelot.bt", PASSWORD).await;
        Self { fleet, superuser }
    }

    /// A gateway by chance.
    fn http(&self) -> Http {
        let clients = self.fleet.clients();
        clients[usize::from(uuid::Uuid::new_v4().as_bytes()[0]) % clients.len()].clone()
    }

    async fn make(&self, change: Change, id: &str, own: &Tokens) {
        let path = format!("/users/{id}");
        let http = self.http();
        let patch = async |path: &str, token: &str, body: Value| http.json("PATCH", path, token, body).await;
        let answer = match change {
            Change::OwnPassword => patch("/users/me", &own.access, json!({"password": "lancelot"})).await,
            Change::OwnEmail => {
                let other = format!("{}@camelot.bt", uuid::Uuid::new_v4());
                patch("/users/me", &own.access, json!({"email": other})).await
            }
            Change::LogoutElsewhere => http.bare("DELETE", "/users/me/sessions", &own.access).await,
            Change::PasswordBySuperuser => {
                patch(&path, &self.superuser, json!({"password": "lancelot"})).await
            }
            Change::Deactivation => patch(&path, &self.superuser, json!({"is_active": false})).await,
            Change::Deletion => http.bare("DELETE", &path, &self.superuser).await,
            Change::EndOfSessions => http.bare("DELETE", &format!("{path}/sessions"), &self.superuser).await,
            Change::Logout => http.bare("POST", "/auth/jwt/logout", &own.access).await,
        };
        assert!([200, 204].contains(&answer.status), "{change:?}: {answer:?}");
    }

    /// Refreshes a session again and again, from all gateways, until it is over.
    async fn keep_refreshing(&self, first: Tokens, is_over: &AtomicBool) -> Refreshed {
        let mut told = Refreshed { access: vec![first.access], newest: first.refresh, last: Instant::now() };
        while !is_over.load(Ordering::Relaxed) {
            let began = Instant::now();
            let answer = refresh(&self.http(), &told.newest).await;
            match answer.status {
                200 => {
                    let tokens = super::tokens(&answer);
                    told.access.push(tokens.access);
                    (told.newest, told.last) = (tokens.refresh, began);
                }
                // When too many transactions wait for the user's row.
                503 | 504 => tokio::time::sleep(Duration::from_millis(20)).await,
                _ => {
                    assert_eq!(answer.short(), REFUSED);
                    break;
                }
            }
        }
        told
    }

    /// Plays one round; what is wrong after it, in words.
    async fn round(&self, change: Change) -> Vec<String> {
        let (http, email) = (self.http(), format!("{}@camelot.bt", uuid::Uuid::new_v4()));
        let id = http.register(&email, PASSWORD).await.text("id");
        let mut sessions = Vec::new();
        for _ in 0..SESSIONS {
            sessions.push(offline(&http, &email, PASSWORD).await);
        }
        let (own, is_over) = (sessions[0].clone(), AtomicBool::new(false));
        let chance = Duration::from_millis(u64::from(uuid::Uuid::new_v4().as_bytes()[0]));
        let changed = async {
            tokio::time::sleep(chance).await;
            self.make(change, &id, &own).await;
            let changed = Instant::now();
            tokio::time::sleep(Duration::from_millis(100)).await;
            is_over.store(true, Ordering::Relaxed);
            changed
        };
        let refreshing = sessions.into_iter().map(|first| self.keep_refreshing(first, &is_over));
        let (changed, told) = tokio::join!(changed, futures_util::future::join_all(refreshing));
        tokio::time::sleep((changed + LAW).saturating_duration_since(Instant::now())).await;
        let mut wrong = Vec::new();
        for (number, session) in told.iter().enumerate() {
            // That of the change goes on after one's own password, and a logout ends no other.
            let goes_on = match change {
                Change::OwnPassword | Change::OwnEmail | Change::LogoutElsewhere => number == 0,
                Change::Logout => number != 0,
                _ => false,
            };
            let mut note = |what: &str| wrong.push(format!("{change:?}, session {number}: {what}"));
            if !goes_on && session.last > changed {
                note("it was refreshed after the change");
            }
            let status = refresh(&self.http(), &session.newest).await.status;
            if status != if goes_on { 200 } else { 401 } {
                note(&format!("refreshing it is answered with {status}"));
            }
            for client in self.fleet.clients() {
                for access in &session.access {
                    let status = client.bare("GET", "/auth/check", access).await.status;
                    if status != if goes_on { 204 } else { 401 } {
                        note(&format!("a token of it is answered with {status}"));
                    }
                }
            }
        }
        wrong
    }
}

#[tokio::test]
async fn f22_no_session_is_refreshed_after_what_ends_it() {
    let scene = Scene::set().await;
    let count = rounds(2 * CHANGES.len(), 300);
    let all: Vec<_> = CHANGES.iter().copied().cycle().take(count).collect();
    let mut wrong = Vec::new();
    for lanes in all.chunks(LANES) {
        let played = lanes.iter().map(|change| scene.round(*change));
        wrong.extend(futures_util::future::join_all(played).await.concat());
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}

#[tokio::test]
async fn f22_control_a_database_that_brings_a_session_back_is_found_out() {
    let scene = Scene::set().await;
    // Nothing is deleted, and nobody is told.
    let sql = "CREATE FUNCTION flaw() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RETURN NULL; END $$;
               CREATE TRIGGER kept BEFORE DELETE ON sessions FOR EACH ROW EXECUTE FUNCTION flaw();
               CREATE TRIGGER untold BEFORE INSERT ON revocations FOR EACH ROW EXECUTE FUNCTION flaw()";
    scene.fleet.database.connect().await.batch_execute(sql).await.unwrap();
    for change in [Change::EndOfSessions, Change::PasswordBySuperuser] {
        let wrong = scene.round(change).await;
        assert!(wrong.iter().any(|line| line.contains("a token of it")), "{change:?}: {wrong:#?}");
    }
}
