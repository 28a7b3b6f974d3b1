//! The pepper is exchanged while users log in, and nobody notices. What could lock them out is refused or told.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use serde_json::json;
use tokio::task::JoinHandle;

use crate::harness::{
    Client, Database, Fleet, Http, IDENTITY, PASSWORD, Plan, Process, Rpc, request, urlencoded,
};

const OLD: &str = IDENTITY[1].1;
const NEW: &str = "YW5vdGhlci1wZXBwZXItdGhhdC1pcy1uZXctYW5kLWhvdA==";
const STRANGE: &str = "c3RyYW5nZS1wZXBwZXItdGhhdC1ub2JvZHktZXZlci1oYWQ=";
const EMAIL: &str = "king.arthur@camelot.bt";
/// How many users log in during an exchange.
const USERS: usize = 12;
/// How many of them at a time.
const LANES: usize = 3;
/// How long a gateway may take to notice that a replica is back.
const NOTICE: Duration = Duration::from_secs(1);

/// Starts a replica again, with these peppers, as an operator does it: it is asked to stop.
async fn give(identity: &mut Process, pepper: &str, other: &str) {
    identity.set("PASSWORD_PEPPER", pepper);
    identity.set("PASSWORD_PEPPER_OTHER", other);
    identity.signal("TERM");
    let status = identity.wait(Duration::from_secs(10)).await;
    assert!(status.expect("it ends").success());
    identity.restart();
    identity.until_serving().await;
    tokio::time::sleep(NOTICE).await;
}

fn email(user: usize) -> String {
    format!("knight{user}@camelot.bt")
}

/// Logins of all users, one after the other and again, until they are ended.
struct Logins {
    over: Arc<AtomicBool>,
    lanes: Vec<JoinHandle<Vec<u16>>>,
}

impl Logins {
    fn begin(gateway: u16) -> Self {
        let (over, client) = (Arc::new(AtomicBool::new(false)), Client::new(&[gateway]));
        let lane = |lane: usize| {
            let (over, client) = (Arc::clone(&over), client.clone());
            tokio::spawn(async move {
                let mut statuses = Vec::new();
                for user in (lane..USERS).step_by(LANES).cycle() {
                    if over.load(Ordering::Relaxed) {
                        break;
                    }
                    let email = email(user);
                    let fields = [("username", email.as_bytes()), ("password", PASSWORD.as_bytes())];
                    let login = request("POST", "/auth/jwt/login", "", &urlencoded(&fields));
                    statuses.push(client.send(&login).await.map_or(0, |heard| heard.status));
                }
                statuses
            })
        };
        let lanes = (0..LANES).map(lane).collect();
        Self { over, lanes }
    }

    /// The status of each.
    async fn end(self) -> Vec<u16> {
        self.over.store(true, Ordering::Relaxed);
        let mut statuses = Vec::new();
        for lane in self.lanes {
            statuses.extend(lane.await.unwrap());
        }
        statuses
    }
}

async fn of_version(database: &Database, version: i32) -> i64 {
    database.number(&format!("SELECT count(*) FROM users WHERE pepper_version = {version}")).await
}

async fn registered(plan: Plan<'_>) -> (Fleet, Http) {
    let fleet = Fleet::start(plan).await;
    let http = fleet.clients().remove(0);
    for user in 0..USERS {
        assert_eq!(http.register(&email(user), PASSWORD).await.status, 201);
    }
    (fleet, http)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn f24_a_pepper_is_exchanged_without_one_failed_login_and_then_the_old_one_may_go() {
    let (mut fleet, http) = registered(Plan { identities: 2, gateways: 1, ..Plan::default() }).await;
    let logins = Logins::begin(fleet.gateways[0].port);
    for identity in &mut fleet.identities {
        give(identity, OLD, NEW).await;
    }
    assert_eq!(of_version(&fleet.database, 1).await, USERS as i64, "the new one only verifies");
    for identity in &mut fleet.identities {
        give(identity, NEW, OLD).await;
    }
    let sql = "SELECT password_hash FROM users WHERE pepper_version = 1";
    let all_are_rehashed = async || fleet.database.rows(sql, &[]).await.is_empty();
    fleet.identities[0].until("done with rehashing", Duration::from_secs(30), all_are_rehashed).await;
    for identity in &mut fleet.identities {
        give(identity, NEW, "").await;
    }
    let statuses = logins.end().await;
    let failed = statuses.iter().filter(|status| **status != 200).count();
    println!("{} logins during the exchange, {failed} failed", statuses.len());
    assert!(failed == 0 && statuses.len() > 3 * USERS, "{failed} of {}", statuses.len());
    assert_eq!(of_version(&fleet.database, 2).await, USERS as i64);
    for user in 0..USERS {
        assert_eq!(http.log_in(&email(user), PASSWORD).await.status, 200);
        assert_eq!(http.log_in(&email(user), "lancelot").await.status, 400);
    }
    fleet.invariants(&[]).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn f24_control_without_the_first_step_a_replica_refuses_whom_another_has_rehashed() {
    let (mut fleet, http) = registered(Plan { identities: 2, gateways: 1, ..Plan::default() }).await;
    give(&mut fleet.identities[0], NEW, OLD).await;
    let log_in = async || http.log_in(&email(0), PASSWORD).await.status;
    let is_refused = async || {
        // At once, so that each replica has one.
        let (one, other) = tokio::join!(log_in(), log_in());
        one == 400 || other == 400
    };
    fleet.identities[1].until("refusing him", Duration::from_secs(30), is_refused).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn whatever_writes_a_password_does_it_with_the_new_pepper() {
    let (mut fleet, http) = registered(Plan { identities: 1, gateways: 1, ..Plan::default() }).await;
    let id = uuid::Uuid::now_v7().to_string();
    let register = async || {
        let request = http.request("POST", "/auth/register").header("idempotency-key", &id);
        http.send(request.json(&json!({"email": EMAIL, "password": PASSWORD}))).await
    };
    assert_eq!(register().await.status, 201);
    let token = http.token(&email(0), PASSWORD).await;
    give(&mut fleet.identities[0], NEW, OLD).await;
    fleet.until_ready().await;
    // A registration that comes again is compared with the hash as it was.
    assert_eq!(register().await.status, 201);
    assert_eq!(of_version(&fleet.database, 2).await, 0);
    let changed = http.json("PATCH", "/users/me", &token, json!({"password": "lancelot"})).await;
    assert_eq!(changed.status, 200, "{changed:?}");
    assert_eq!(http.register("merlin@camelot.bt", PASSWORD).await.status, 201);
    let create = ["user", "create", "morgana@camelot.bt"];
    fleet.identities[0].command_with_input(&create, "guinevere\n").unwrap();
    assert_eq!(of_version(&fleet.database, 2).await, 3);
    for (email, password) in
        [(&*email(0), "lancelot"), ("merlin@camelot.bt", PASSWORD), ("morgana@camelot.bt", PASSWORD)]
    {
        assert_eq!(http.log_in(email, password).await.status, 200, "{email}");
    }
    assert_eq!(of_version(&fleet.database, 2).await, 3, "nobody else has logged in");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn p08_a_hash_verifies_under_its_own_pepper_and_no_other_that_is_given() {
    let (mut fleet, http) = registered(Plan { identities: 1, gateways: 1, ..Plan::default() }).await;
    give(&mut fleet.identities[0], OLD, NEW).await;
    fleet.until_ready().await;
    for (version, status) in [(2, 400), (1, 200)] {
        let sql = format!("UPDATE users SET pepper_version = {version}");
        fleet.database.connect().await.batch_execute(&sql).await.unwrap();
        assert_eq!(http.log_in(&email(0), PASSWORD).await.status, status, "{version}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_pepper_that_is_dropped_too_early_is_told_and_its_users_come_back_with_it() {
    let (mut fleet, http) = registered(Plan { identities: 1, gateways: 1, ..Plan::default() }).await;
    give(&mut fleet.identities[0], NEW, OLD).await;
    fleet.until_ready().await;
    let warning = "peppers that passwords were hashed with are not given";
    assert!(!fleet.identities[0].log().contains(warning));
    assert_eq!(http.register(EMAIL, PASSWORD).await.status, 201);
    give(&mut fleet.identities[0], NEW, "").await;
    fleet.until_ready().await;
    let log = fleet.identities[0].log();
    let told: Vec<_> = log.lines().filter(|line| line.contains(warning)).collect();
    assert!(told.len() == 1 && told[0].contains("WARN") && told[0].contains("missing=1"), "{log}");
    let left = http.log_in(&email(0), PASSWORD).await;
    let wrong = http.log_in(EMAIL, "lancelot").await;
    assert_eq!(left.short(), r#"400 {"detail":"LOGIN_BAD_CREDENTIALS"}"#);
    assert_eq!(left.short(), wrong.short());
    assert_eq!(http.log_in(EMAIL, PASSWORD).await.status, 200);
    give(&mut fleet.identities[0], NEW, OLD).await;
    fleet.until_ready().await;
    assert_eq!(http.log_in(&email(0), PASSWORD).await.status, 200);
}

/// What a start says that must be refused.
async fn refusal(identity: &mut Process) -> String {
    let status = identity.wait(Duration::from_secs(10)).await.expect("it ends");
    let log = identity.log();
    assert_eq!(status.code(), Some(1), "{log}");
    log.lines().last().unwrap_or_default().to_owned()
}

/// Whether it starts to serve, or ends.
async fn serves(identity: &mut Process) -> bool {
    while identity.wait(Duration::from_millis(20)).await.is_none() {
        if Rpc::is_serving(identity.port).await {
            return true;
        }
    }
    false
}

const REFUSAL: &str = "identity-service: PASSWORD_PEPPER is not the one that passwords were hashed with: \
    give that one too, as PASSWORD_PEPPER_OTHER, or nobody can log in";

#[tokio::test]
async fn a_start_with_peppers_that_passwords_never_were_hashed_with_is_refused_and_changes_nothing() {
    let database = Database::create().await;
    let mut identity = Process::identity(&database.url, &[("PASSWORD_PEPPER_OTHER", NEW)]);
    identity.until_serving().await;
    identity.command_with_input(&["user", "create", EMAIL], "guinevere\n").unwrap();
    identity.kill();
    let before = database.contents().await;
    // The second is known, but it has only ever verified.
    for (pepper, other) in [(STRANGE, ""), (NEW, ""), (STRANGE, NEW)] {
        identity.set("PASSWORD_PEPPER", pepper);
        identity.set("PASSWORD_PEPPER_OTHER", other);
        identity.restart();
        assert_eq!(refusal(&mut identity).await, REFUSAL);
        let create = ["user", "create", "merlin@camelot.bt"];
        let said = identity.command_with_input(&create, "guinevere\n").unwrap_err();
        assert_eq!(said, format!("{REFUSAL}\n"));
        assert_eq!(database.contents().await, before);
    }
    identity.set("PASSWORD_PEPPER_OTHER", OLD);
    identity.restart();
    identity.until_serving().await;
}

#[tokio::test]
async fn of_replicas_that_start_first_of_all_with_different_peppers_one_wins() {
    for _ in 0..10 {
        let database = Database::create().await;
        // All tables are there, so that they meet where they register their peppers.
        Process::identity(&database.url, &[]).until_serving().await;
        database.connect().await.batch_execute("DELETE FROM peppers").await.unwrap();
        let mut replicas = [OLD, NEW, STRANGE]
            .map(|pepper| Process::identity(&database.url, &[("PASSWORD_PEPPER", pepper)]));
        let mut serving = 0;
        for replica in &mut replicas {
            match serves(replica).await {
                true => serving += 1,
                false => assert_eq!(refusal(replica).await, REFUSAL),
            }
        }
        assert_eq!(serving, 1);
        assert_eq!(database.number("SELECT count(*) FROM peppers WHERE version = 1").await, 1);
        assert_eq!(database.number("SELECT count(*) FROM peppers").await, 1);
    }
}

#[tokio::test]
async fn a_database_of_before_there_were_versions_is_not_given_two_peppers_at_once() {
    let database = Database::create().await;
    let mut identity = Process::identity(&database.url, &[]);
    identity.until_serving().await;
    identity.command_with_input(&["user", "create", EMAIL], "guinevere\n").unwrap();
    identity.kill();
    // As an older version leaves it.
    database.connect().await.batch_execute("DELETE FROM peppers").await.unwrap();
    identity.set("PASSWORD_PEPPER", NEW);
    identity.set("PASSWORD_PEPPER_OTHER", OLD);
    identity.restart();
    let said = refusal(&mut identity).await;
    assert!(said.contains("start once with the one that they were hashed with alone"), "{said}");
    assert_eq!(database.number("SELECT count(*) FROM peppers").await, 0);
    // It was the wrong one alone: what README says mends it.
    identity.set("PASSWORD_PEPPER_OTHER", "");
    identity.restart();
    identity.until_serving().await;
    identity.kill();
    database.connect().await.batch_execute("DELETE FROM peppers").await.unwrap();
    identity.set("PASSWORD_PEPPER", OLD);
    identity.restart();
    identity.until_serving().await;
    let gateway = Process::gateway(&identity, &[]);
    gateway.until_ready().await;
    assert_eq!(Http::new(gateway.port).log_in(EMAIL, PASSWORD).await.status, 200);
}
