//! F07: one e-mail address, many clients at once, and all of them are told one story.

use std::sync::{Mutex, MutexGuard};
use std::time::{Duration, Instant};

use futures_util::future::join_all;

use super::history::{Event, Operation, is_linearizable};
use super::random_time;
use crate::harness::{Answer, Fleet, Http, PASSWORD, Plan, rounds};

/// How many clients want one address, and in how many spellings.
const CLIENTS: usize = 24;
const SPELLINGS: usize = 16;
/// How often one is refused for want of room before the test gives up.
const PATIENCE: usize = 100;
/// How long a client waits before he asks again.
const PAUSE: Duration = Duration::from_millis(50);

/// One round: an address, and what has happened to it so far.
struct Round<'a> {
    gateways: &'a [Http],
    superuser: &'a str,
    name: String,
    began: Instant,
    history: Mutex<Vec<Event>>,
}

impl<'a> Round<'a> {
    fn new(gateways: &'a [Http], superuser: &'a str) -> Self {
        let name = format!("a{}", &uuid::Uuid::new_v4().simple().to_string()[..12]);
        let (began, history) = (Instant::now(), Mutex::default());
        Self { gateways, superuser, name, began, history }
    }

    /// One of the spellings: which letters are capitals is the number in binary.
    fn spelling(&self, number: usize) -> String {
        let domain = ["camelot", "Camelot"][number & 1];
        let top = ["bt", "bT"][number >> 1 & 1];
        let first = if number >> 2 & 1 == 1 { "ARTHUR" } else { "arthur" };
        let name = if number >> 3 & 1 == 1 { self.name.to_ascii_uppercase() } else { self.name.clone() };
        format!("{first}.{name}@{domain}.{top}")
    }

    /// Does something, and remembers what it came to and when; whether somebody knows what came of it.
    async fn play(&self, action: impl Future<Output = Option<Operation>>) -> bool {
        let now = || u64::try_from(self.began.elapsed().as_nanos()).expect("is short");
        let start = now();
        let operation = action.await;
        let end = now();
        self.events().extend(operation.map(|operation| Event { operation, start, end }));
        operation.is_some_and(|operation| !matches!(operation, Operation::MayHaveRegistered(_)))
    }

    /// Registers until somebody knows what came of it; the user's id if it was this client.
    async fn register(&self, client: usize) -> Option<String> {
        let http = &self.gateways[client % self.gateways.len()];
        // The retries say that they are the same registration.
        let id = uuid::Uuid::now_v7();
        for _ in 0..PATIENCE {
            let body =
                serde_json::json!({"email": self.spelling(client % SPELLINGS), "password": password(client)});
            let request =
                http.request("POST", "/auth/register").header("idempotency-key", id.to_string()).json(&body);
            let mut registered = None;
            let attempt = async {
                let answer = http.send(request).await;
                registered = (answer.status == 201).then(|| answer.text("id"));
                match answer.short().as_str() {
                    _ if registered.is_some() => Some(Operation::Registered(client)),
                    r#"400 {"detail":"REGISTER_USER_ALREADY_EXISTS"}"# => Some(Operation::Refused),
                    _ if is_away(&answer) => Some(Operation::MayHaveRegistered(client)),
                    _ => panic!("{answer:?}"),
                }
            };
            if self.play(attempt).await {
                return registered;
            }
            tokio::time::sleep(PAUSE).await;
        }
        panic!("503 for ever");
    }

    /// Logs in through another gateway than the one that has registered the client, in another spelling.
    async fn log_in(&self, client: usize) {
        let http = &self.gateways[(client + 1) % self.gateways.len()];
        for _ in 0..PATIENCE {
            let attempt = async {
                let answer = http.log_in(&self.spelling((client + 7) % SPELLINGS), &password(client)).await;
                match answer.status {
                    200 => Some(Operation::LoggedIn(client)),
                    400 => Some(Operation::NotLoggedIn(client)),
                    _ if is_away(&answer) => None,
                    _ => panic!("{answer:?}"),
                }
            };
            if self.play(attempt).await {
                return;
            }
            tokio::time::sleep(PAUSE).await;
        }
        panic!("503 for ever");
    }

    /// A superuser deletes the user of a client.
    async fn delete(&self, client: usize, id: &str) {
        let http = &self.gateways[(client + 1) % self.gateways.len()];
        let attempt = async {
            let answer = http.bare("DELETE", &format!("/users/{id}"), self.superuser).await;
            match answer.status {
                204 => Some(Operation::Deleted(client)),
                404 => Some(Operation::NotDeleted(client)),
                _ => panic!("{answer:?}"),
            }
        };
        self.play(attempt).await;
    }

    /// A client who wants the address; if he gets it he logs in at once, and later is deleted if `may_end`.
    async fn client(&self, client: usize, may_end: bool) -> bool {
        let Some(id) = self.register(client).await else { return false };
        self.log_in(client).await;
        if may_end {
            tokio::time::sleep(random_time(PAUSE)).await;
            self.delete(client, &id).await;
            self.log_in(client).await;
        }
        true
    }

    /// All clients at once; with `deletes`, every third who is refused tries again, and others go meanwhile.
    async fn all(&self, deletes: bool) {
        let client = async |client| {
            if !self.client(client, deletes).await && deletes && client % 3 == 0 {
                tokio::time::sleep(random_time(2 * PAUSE)).await;
                if !self.client(CLIENTS + client, client % 2 == 0).await && client % 2 == 1 {
                    self.log_in(client).await;
                }
            }
        };
        join_all((0..CLIENTS).map(client)).await;
    }

    fn count(&self, is_meant: fn(&Operation) -> bool) -> usize {
        self.events().iter().filter(|event| is_meant(&event.operation)).count()
    }

    fn events(&self) -> MutexGuard<'_, Vec<Event>> {
        self.history.lock().expect("nobody fails with it")
    }
}

fn password(client: usize) -> String {
    format!("lancelot-{client}")
}

fn is_away(answer: &Answer) -> bool {
    [503, 504].contains(&answer.status)
}

/// A fleet, its gateways and the token of a superuser.
async fn fleet() -> (Fleet, Vec<Http>, String) {
    let fleet = Fleet::start(Plan::default()).await;
    let gateways = fleet.clients();
    assert_eq!(gateways[0].register("merlin@camelot.bt", PASSWORD).await.status, 201);
    fleet.identities[0].command(&["user", "promote", "merlin@camelot.bt"]).expect("promotes");
    let superuser = gateways[0].token("merlin@camelot.bt", PASSWORD).await;
    (fleet, gateways, superuser)
}

#[tokio::test]
async fn f07_of_24_clients_who_want_one_address_one_gets_it_and_all_are_told_one_story() {
    let (fleet, gateways, superuser) = fleet().await;
    let (mut periods, mut unknown) = (0, 0);
    for number in 0..rounds(6, 500) {
        let (round, deletes) = (Round::new(&gateways, &superuser), number % 2 == 1);
        round.all(deletes).await;
        assert!(is_linearizable(&round.events()), "{:#?}", round.events());
        let registered = round.count(|operation| matches!(operation, Operation::Registered(_)));
        let refused = round.count(|operation| *operation == Operation::Refused);
        let deleted = round.count(|operation| matches!(operation, Operation::Deleted(_)));
        let sql = format!("SELECT count(*) FROM users WHERE email_canonical = '{}'", round.spelling(0));
        let left = usize::try_from(fleet.database.number(&sql).await).unwrap();
        assert_eq!(registered, deleted + left, "not one 201 a live period: {:#?}", round.events());
        assert!(deletes || (registered, refused) == (1, CLIENTS - 1), "{registered} and {refused}");
        periods += registered;
        unknown += round.count(|operation| matches!(operation, Operation::MayHaveRegistered(_)));
    }
    println!("{periods} live periods; {unknown} registrations were asked again");
    fleet.invariants(&[]).await;
}

#[tokio::test]
async fn f07_control_without_the_unique_index_the_story_is_seen_to_be_false() {
    let (fleet, gateways, superuser) = fleet().await;
    let sabotage = "ALTER TABLE users DROP CONSTRAINT users_email_canonical_key";
    fleet.database.connect().await.batch_execute(sabotage).await.unwrap();
    let round = Round::new(&gateways, &superuser);
    round.all(false).await;
    assert!(!is_linearizable(&round.events()), "{:#?}", round.events());
}
