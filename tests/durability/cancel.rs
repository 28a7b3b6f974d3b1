//! F37: clients hang up at any moment, over HTTP and over gRPC, and nothing is lost, left open or used up.

use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use futures_util::future::join_all;
use portcullis_proto::v1::{
    CreateSessionRequest, CreateUserRequest, GetUserRequest, UpdateUserRequest, User,
};
use serde_json::json;

use super::{random, random_time};
use crate::harness::{Acked, Fleet, Http, Link, PASSWORD, Plan, Rpc, rounds, with_token};

/// How many clients are there at once.
const CLIENTS: usize = 16;
/// The longest that one stays.
const PATIENCE: Duration = Duration::from_millis(500);
/// One hash at a time: a permit that is not given back would be the end.
const ONE_HASH: [(&str, &str); 1] = [("HASH_THREADS", "1")];

/// What the clients share.
struct Storm<'a> {
    fleet: &'a Fleet,
    http: Vec<Http>,
    rpc: Vec<Rpc>,
    /// A user each client, with his address and his token: they do not wait for one another's row.
    users: Vec<(String, String)>,
    acked: Mutex<Vec<Acked>>,
    hung_up: AtomicUsize,
}

impl<'a> Storm<'a> {
    async fn over(fleet: &'a Fleet) -> Self {
        let http = fleet.clients();
        let mut users = Vec::new();
        for number in 0..CLIENTS {
            let email = format!("knight{number}@camelot.bt");
            assert_eq!(http[0].register(&email, PASSWORD).await.status, 201);
            let token = http[0].token(&email, PASSWORD).await;
            users.push((email, token));
        }
        let rpc = join_all(fleet.identities.iter().map(|identity| Rpc::connect(identity.port))).await;
        Self { fleet, http, rpc, users, acked: Mutex::default(), hung_up: AtomicUsize::new(0) }
    }

    /// A client who does something and waits for the answer no longer than he likes.
    async fn client(&self, number: usize) {
        let (action, user) = (random(12), &self.users[number]);
        let answered = async {
            match action {
                // On a connection of its own, which is closed, and on one that others use too.
                0..4 => {
                    let identity = &self.fleet.identities[random(self.rpc.len())];
                    self.call(&mut Rpc::connect(identity.port).await, user).await;
                }
                4..6 => self.call(&mut self.rpc[random(self.rpc.len())].clone(), user).await,
                _ => self.request(&self.http[random(self.http.len())], user).await,
            }
        };
        // One of many is patient: what he was told must be so.
        let patience = if random(20) == 0 { Duration::from_secs(20) } else { random_time(PATIENCE) };
        let answered = tokio::time::timeout(patience, answered).await;
        self.hung_up.fetch_add(usize::from(answered.is_err()), Ordering::Relaxed);
    }

    async fn request(&self, http: &Http, (own, token): &(String, String)) {
        let email = format!("{}@camelot.bt", uuid::Uuid::new_v4());
        match random(12) {
            0 => {
                let answer = http.register(&email, PASSWORD).await;
                if answer.status == 201 {
                    self.acknowledge(answer.text("id"), email);
                }
            }
            1 => drop(http.log_in(own, PASSWORD).await),
            2..6 => {
                drop(http.json("PATCH", "/users/me", token, json!({"email": spelling(own)})).await);
            }
            _ => drop(http.bare("GET", "/users/me", token).await),
        }
    }

    async fn call(&self, rpc: &mut Rpc, (own, token): &(String, String)) {
        let email = format!("{}@camelot.bt", uuid::Uuid::new_v4());
        match random(12) {
            0 => {
                let user_id = uuid::Uuid::now_v7().to_string();
                let message = CreateUserRequest {
                    user_id,
                    email: email.clone(),
                    password: PASSWORD.to_owned(),
                    profile: None,
                };
                if let Ok(user) = rpc.users.create_user(message).await {
                    self.acknowledge(user.into_inner().id, email);
                }
            }
            1 => {
                let message = CreateSessionRequest {
                    email: own.clone(),
                    password: PASSWORD.to_owned(),
                    ..Default::default()
                };
                drop(rpc.sessions.create_session(message).await);
            }
            2..6 => {
                let user = User { email: spelling(own), ..User::default() };
                let update_mask = Some(prost_types::FieldMask { paths: vec!["email".to_owned()] });
                let message = UpdateUserRequest {
                    id: "me".to_owned(),
                    user: Some(user),
                    update_mask,
                    password: None,
                    profile_patch: None,
                };
                drop(rpc.users.update_user(with_token(message, token)).await);
            }
            _ => {
                let message = GetUserRequest { id: "me".to_owned() };
                drop(rpc.users.get_user(with_token(message, token)).await);
            }
        }
    }

    fn acknowledge(&self, id: String, email: String) {
        self.acked.lock().expect("nobody fails with it").push(Acked { id, email });
    }

    /// So many requests, by clients beside each other.
    async fn blow(&self, requests: usize) {
        let left = AtomicUsize::new(requests);
        let take =
            || left.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |left| left.checked_sub(1)).is_ok();
        join_all((0..CLIENTS).map(async |number| {
            while take() {
                self.client(number).await;
            }
        }))
        .await;
    }
}

/// The same address in capitals or not: a change that ends nothing.
fn spelling(email: &str) -> String {
    if random(2) == 0 { email.to_ascii_uppercase() } else { email.to_owned() }
}

/// How many connections to Postgres were ever opened and are no longer there.
async fn replaced(fleet: &Fleet) -> usize {
    let sql = "SELECT count(*) FROM pg_stat_activity
               WHERE datname = current_database() AND application_name = 'identity-service'";
    let there = usize::try_from(fleet.database.number(sql).await).unwrap();
    let opened: usize = fleet.database_links.iter().map(Link::accepted).sum();
    opened - there
}

async fn fleet() -> Fleet {
    Fleet::start(Plan { identities: 2, database_links: true, identity: &ONE_HASH, ..Plan::default() }).await
}

#[tokio::test]
async fn f37_clients_who_hang_up_at_any_moment_lose_nothing_that_was_acknowledged_and_use_nothing_up() {
    let fleet = fleet().await;
    let storm = Storm::over(&fleet).await;
    let before = replaced(&fleet).await;
    let requests = rounds(1_000, 20_000);
    storm.blow(requests).await;
    // Whoever waited for a hash has gone: one at most is still being computed, and its permit comes back.
    for rpc in &storm.rpc {
        let message = CreateSessionRequest {
            email: storm.users[0].0.clone(),
            password: PASSWORD.to_owned(),
            ..Default::default()
        };
        let login = rpc.clone().sessions.create_session(message).await;
        assert!(login.is_ok(), "hash permits are missing: {:?}", login.err());
    }
    let acked = std::mem::take(&mut *storm.acked.lock().unwrap());
    fleet.invariants(&acked).await;
    let (replaced, hung_up) = (replaced(&fleet).await - before, storm.hung_up.load(Ordering::Relaxed));
    println!(
        "{hung_up} of {requests} hung up, {} registrations acknowledged, {replaced} connections replaced",
        acked.len()
    );
    assert!(hung_up > requests / 10 && !acked.is_empty(), "that was no storm");
    assert!(replaced <= requests / 100, "{replaced} connections were replaced");
}

#[tokio::test]
async fn f37_control_connections_that_are_replaced_are_counted() {
    let fleet = fleet().await;
    let storm = Storm::over(&fleet).await;
    storm.blow(100).await;
    let before = replaced(&fleet).await;
    let sql = "SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity
               WHERE datname = current_database() AND application_name = 'identity-service'";
    let ended = usize::try_from(fleet.database.number(sql).await).unwrap();
    fleet.until_ready().await;
    storm.blow(100).await;
    let replaced = replaced(&fleet).await - before;
    assert!(ended >= 2 && replaced >= ended, "{ended} were ended, {replaced} counted as replaced");
}
