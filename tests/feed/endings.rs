//! F22: whatever happens to a user while he logs in again and again, nothing of before is left two seconds later, but for
//! what was to stay.

use std::time::{Duration, Instant};

use serde_json::{Value, json};

use super::{Door, LAW, Said, until_fresh};
use crate::harness::{Flaw, Fleet, Http, NaiveReplica, PASSWORD, Plan, Process, rounds};

/// How many rounds are played at a time.
const LANES: usize = 6;
/// For how long before and after a change somebody logs in.
const AROUND: Duration = Duration::from_millis(400);

/// What happens to a user.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Change {
    OwnPassword,
    OwnEmail,
    PasswordBySuperuser,
    Deactivation,
    /// And then a superuser sets a password, which brings nothing back.
    DeactivationAndPassword,
    Deletion,
    EndOfSessions,
    Demotion,
}

const CHANGES: [Change; 8] = [
    Change::OwnPassword,
    Change::OwnEmail,
    Change::PasswordBySuperuser,
    Change::Deactivation,
    Change::DeactivationAndPassword,
    Change::Deletion,
    Change::EndOfSessions,
    Change::Demotion,
];

/// A fleet and a superuser who changes others.
struct Scene {
    fleet: Fleet,
    doors: Vec<Door>,
    superuser: String,
}

/// A user who is changed.
struct Victim {
    id: String,
    email: String,
    /// The token with which he changes himself.
    token: String,
}

impl Scene {
    async fn set() -> Self {
        let fleet = Fleet::start(Plan::default()).await;
        let doors = fleet.gateways.iter().map(Door::of).collect();
        let http = &fleet.clients()[0];
        assert_eq!(http.register("merlin@camelot.bt", PASSWORD).await.status, 201);
        fleet.identities[0].command(&["user", "promote", "merlin@camelot.bt"]).unwrap();
        let superuser = http.token("merlin@camelot.bt", PASSWORD).await;
        Self { fleet, doors, superuser }
    }

    /// A gateway by chance.
    fn http(&self) -> Http {
        let clients = self.fleet.clients();
        clients[usize::from(uuid::Uuid::new_v4().as_bytes()[0]) % clients.len()].clone()
    }

    async fn victim(&self, change: Change) -> Victim {
        let email = format!("{}@camelot.bt", uuid::Uuid::new_v4());
        let registered = self.http().register(&email, PASSWORD).await;
        assert_eq!(registered.status, 201, "{registered:?}");
        if change == Change::Demotion {
            self.fleet.identities[0].command(&["user", "promote", &email]).unwrap();
        }
        let token = self.http().token(&email, PASSWORD).await;
        Victim { id: registered.text("id"), email, token }
    }

    async fn patch(&self, path: &str, token: &str, body: Value) {
        let answer = self.http().json("PATCH", path, token, body).await;
        assert_eq!(answer.status, 200, "{answer:?}");
    }

    async fn make(&self, change: Change, victim: &Victim) {
        let (path, superuser) = (format!("/users/{}", victim.id), &self.superuser);
        let delete = async |path: &str| {
            assert_eq!(self.http().bare("DELETE", path, superuser).await.status, 204);
        };
        match change {
            Change::OwnPassword => {
                self.patch("/users/me", &victim.token, json!({"password": "lancelot"})).await;
            }
            Change::OwnEmail => {
                let body = json!({"email": format!("new-{}", victim.email)});
                self.patch("/users/me", &victim.token, body).await;
            }
            Change::PasswordBySuperuser => {
                self.patch(&path, superuser, json!({"password": "lancelot"})).await;
            }
            Change::Deactivation => self.patch(&path, superuser, json!({"is_active": false})).await,
            Change::DeactivationAndPassword => {
                self.patch(&path, superuser, json!({"is_active": false})).await;
                self.patch(&path, superuser, json!({"password": "lancelot"})).await;
            }
            Change::Deletion => delete(&path).await,
            Change::EndOfSessions => delete(&format!("{path}/sessions")).await,
            Change::Demotion => self.patch(&path, superuser, json!({"is_superuser": false})).await,
        }
    }

    /// Logs in again and again, until then; the tokens, and when each login began.
    async fn keep_logging_in(&self, email: &str, until: Instant) -> Vec<(String, Instant)> {
        let mut tokens = Vec::new();
        while Instant::now() < until {
            let began = Instant::now();
            let answer = self.http().log_in(email, PASSWORD).await;
            match answer.status {
                200 => tokens.push((answer.text("access_token"), began)),
                // When more log in than can be hashed for, or the user is no more what he was.
                400 | 503 => tokio::time::sleep(Duration::from_millis(20)).await,
                _ => panic!("{answer:?}"),
            }
        }
        tokens
    }

    /// Plays one round; what is wrong after it, in words.
    async fn round(&self, change: Change, doors: &[Door]) -> Vec<String> {
        let victim = self.victim(change).await;
        let began = Instant::now();
        let chance = Duration::from_millis(u64::from(uuid::Uuid::new_v4().as_bytes()[0]));
        let changed = async {
            tokio::time::sleep(chance).await;
            self.make(change, &victim).await;
            let changed = Instant::now();
            // A lost right is gone at once, at all gateways.
            let path = format!("/users/{}", victim.id);
            for http in self.fleet.clients().iter().filter(|_| change == Change::Demotion) {
                assert_eq!(http.bare("GET", &path, &victim.token).await.status, 403);
            }
            changed
        };
        let logins = self.keep_logging_in(&victim.email, began + 2 * AROUND);
        let (changed, minted) = tokio::join!(changed, logins);
        tokio::time::sleep((changed + LAW).saturating_duration_since(Instant::now())).await;
        let keeps = [Change::OwnPassword, Change::OwnEmail, Change::Demotion].contains(&change);
        let mut expected = vec![(victim.token.clone(), keeps, "the one of the change")];
        for (token, login_began) in minted {
            // Only a demotion ends nothing. An end of all sessions does not keep the user from logging in again.
            let is_new = change == Change::EndOfSessions && login_began > changed;
            // What began before may have come out before or after.
            if change == Change::EndOfSessions && !is_new {
                continue;
            }
            expected.push((token, is_new || change == Change::Demotion, "one of a login"));
        }
        let mut wrong = Vec::new();
        for (number, door) in doors.iter().enumerate() {
            for (token, is_good, which) in &expected {
                let said = door.check(token).await;
                if said != if *is_good { Said::Good } else { Said::Refused } {
                    wrong.push(format!("{change:?}: door {number} says {said:?} of {which}"));
                }
            }
        }
        if change == Change::DeactivationAndPassword {
            let answer = self.http().log_in(&victim.email, "lancelot").await;
            assert_eq!(answer.status, 400, "an inactive user logs in: {answer:?}");
        }
        wrong
    }
}

#[tokio::test]
async fn f22_nothing_of_before_a_change_is_left_two_seconds_later() {
    let scene = Scene::set().await;
    let count = rounds(3 * CHANGES.len(), 500);
    let all: Vec<_> = CHANGES.iter().copied().cycle().take(count).collect();
    let mut wrong = Vec::new();
    for lanes in all.chunks(LANES) {
        let played = lanes.iter().map(|change| scene.round(*change, &scene.doors));
        wrong.extend(futures_util::future::join_all(played).await.concat());
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}

#[tokio::test]
async fn f22_control_a_gateway_that_does_not_compare_epochs_is_found_out() {
    let scene = Scene::set().await;
    let real = scene.fleet.identities[0].port;
    let naive = NaiveReplica::start(Flaw::IgnoresEpochs, &scene.fleet.database, real).await;
    let gateway = Process::gateway_to(naive.port, &[]);
    gateway.until_ready().await;
    until_fresh(&gateway).await;
    for change in [Change::Deactivation, Change::PasswordBySuperuser, Change::Deletion] {
        let wrong = scene.round(change, &[Door::of(&gateway)]).await;
        assert!(!wrong.is_empty(), "nobody notices what a {change:?} has ended");
    }
}
