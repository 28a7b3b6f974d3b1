//! F18: a connection is cut after it has carried the message that commits, or the one before it, and before the answer.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use serde_json::json;

use super::torn::{Change, Left, judge};
use crate::harness::{Acked, Answer, Fleet, Link, PASSWORD, Plan, Verdict, claims, rounds};

/// Long enough for what was asked to be done; for a registration, with its hash.
const DONE: [Duration; 2] = [Duration::from_millis(100), Duration::from_millis(600)];
/// What the message that inserts a user holds: a hash of the cost of these tests.
const INSERT: &[u8] = b"$2b$10$";
/// What a transaction ends with.
const COMMIT: &[u8] = b"COMMIT";

/// Cuts whichever of its links carries the next message that holds certain bytes.
struct Scissors(Arc<Mutex<Armed>>);

/// What the messages to come hold, the next last, and what becomes of their links.
type Armed = Vec<(Vec<u8>, Verdict)>;

impl Scissors {
    fn on<'a>(links: impl IntoIterator<Item = &'a Link>) -> Self {
        let armed: Arc<Mutex<Armed>> = Arc::default();
        for link in links {
            let armed = Arc::clone(&armed);
            link.watch(move |said| {
                let mut armed = armed.lock().expect("nobody fails with it");
                let is_meant = |what: &[u8]| said.windows(what.len()).any(|window| window == what);
                armed.pop_if(|(what, _)| is_meant(what)).map_or(Verdict::Pass, |(_, verdict)| verdict)
            });
        }
        Self(armed)
    }

    /// The next messages with these bytes are cut off, one for each verdict.
    fn arm(&self, what: &[u8], verdicts: &[Verdict]) {
        *self.armed() = verdicts.iter().map(|verdict| (what.to_vec(), *verdict)).collect();
    }

    /// How many cuts have not been made; none will be made any more.
    fn disarm(&self) -> usize {
        std::mem::take(&mut *self.armed()).len()
    }

    fn armed(&self) -> std::sync::MutexGuard<'_, Armed> {
        self.0.lock().expect("nobody fails with it")
    }
}

/// Which link is cut, and what the cuts came to.
#[derive(Debug, Default)]
struct Tally {
    /// The client was told 201 all the same.
    healed: usize,
    /// He was told that nobody knows, and the user was there.
    lost: usize,
    /// He was told that nobody knows, and the user was not there.
    undone: usize,
}

impl Tally {
    /// One registration that is cut off; then its client sends it again.
    async fn round(
        &mut self,
        fleet: &Fleet,
        scissors: &Scissors,
        what: Option<&[u8]>,
        verdicts: &[Verdict],
    ) -> Acked {
        let (email, id) = (format!("{}@camelot.bt", uuid::Uuid::new_v4()), uuid::Uuid::now_v7().to_string());
        scissors.arm(what.unwrap_or(email.as_bytes()), verdicts);
        let answer = register(fleet, &email, &id).await;
        // A repetition need not send all that the first try has sent.
        assert!(scissors.disarm() < verdicts.len(), "it was not cut off: {answer:?}");
        let rows = "SELECT id::text FROM users WHERE email_canonical = $1";
        let rows = fleet.database.rows(rows, &[&email]).await;
        let ids: Vec<String> = rows.iter().map(|row| row.get(0)).collect();
        match (answer.status, ids.len()) {
            (201, 1) => self.healed += 1,
            // Without a commit there is nothing.
            (503 | 504, 1) if what != Some(INSERT) => self.lost += 1,
            (503 | 504, 0) => self.undone += 1,
            // A second row, a 201 without one, and a 400 to the owner himself.
            _ => panic!("{answer:?}, and there are {ids:?}"),
        }
        assert!(ids.iter().all(|there| *there == id), "{ids:?}");
        let again = register(fleet, &email, &id).await;
        assert_eq!((again.status, again.text("id")), (201, id.clone()), "sent again: {again:?}");
        Acked { id, email }
    }
}

async fn register(fleet: &Fleet, email: &str, id: &str) -> Answer {
    let http = &fleet.clients()[0];
    let body = json!({"email": email, "password": PASSWORD});
    http.send(http.request("POST", "/auth/register").header("idempotency-key", id).json(&body)).await
}

/// A fleet with links, where they are wanted, and no other traffic.
async fn fleet(is_grpc: bool) -> (Fleet, Scissors) {
    let plan =
        Plan { identities: 2, gateways: 1, grpc_links: is_grpc, database_links: !is_grpc, ..Plan::default() };
    let fleet = Fleet::start(plan).await;
    let scissors = Scissors::on(fleet.grpc_links.iter().flatten().chain(&fleet.database_links));
    (fleet, scissors)
}

/// Cuts registrations off in turn: at once, after they are done, and both that and the repetition by the gateway. At a
/// message that holds one of these in turn, or the address.
async fn cut_registrations(is_grpc: bool, whats: &[Option<&[u8]>]) -> Tally {
    let (fleet, scissors) = fleet(is_grpc).await;
    let (mut tally, mut acked) = (Tally::default(), Vec::new());
    let done = Verdict::CutAfter(DONE[usize::from(is_grpc)]);
    let turns = [&[Verdict::Cut][..], &[done], &[done, Verdict::Cut], &[done, done]];
    for number in 0..rounds(8, 200) {
        let (what, turn) = (whats[number % whats.len()], turns[number / whats.len() % turns.len()]);
        acked.push(tally.round(&fleet, &scissors, what, turn).await);
    }
    fleet.invariants(&acked).await;
    println!("{tally:?}");
    tally
}

#[tokio::test]
async fn f18_a_registration_cut_off_from_postgres_at_its_commit_is_repeated_and_makes_one_user() {
    let tally = cut_registrations(false, &[Some(COMMIT), Some(INSERT)]).await;
    assert!(tally.healed > 0, "the gateway never repeated anything: {tally:?}");
}

#[tokio::test]
async fn f18_a_registration_cut_off_from_identity_service_is_repeated_and_makes_one_user() {
    let tally = cut_registrations(true, &[None]).await;
    assert!(tally.healed > 0, "the gateway never repeated anything: {tally:?}");
    assert!(tally.lost > 0, "no answer of a registration that was carried out was lost: {tally:?}");
}

#[tokio::test]
async fn f18_control_a_registration_whose_answer_was_lost_is_refused_under_another_id() {
    let (fleet, scissors) = fleet(true).await;
    let email = "king.arthur@camelot.bt";
    scissors.arm(email.as_bytes(), &[Verdict::CutAfter(DONE[1]); 2]);
    let lost = register(&fleet, email, &uuid::Uuid::now_v7().to_string()).await;
    assert!([503, 504].contains(&lost.status), "{lost:?}");
    let again = register(&fleet, email, &uuid::Uuid::now_v7().to_string()).await;
    assert_eq!(again.short(), r#"400 {"detail":"REGISTER_USER_ALREADY_EXISTS"}"#);
}

#[tokio::test]
async fn f18_a_password_change_cut_off_at_its_commit_is_done_or_not_and_200_only_if_it_is() {
    let (fleet, scissors) = fleet(false).await;
    let http = &fleet.clients()[0];
    let email = "king.arthur@camelot.bt";
    let id = http.register(email, PASSWORD).await.text("id");
    let (mut password, mut done) = (PASSWORD.to_owned(), 0);
    let rounds = rounds(6, 200);
    for number in 0..rounds {
        let token = http.token(email, &password).await;
        let change = Change::OwnPassword(claims(&token)["sid"].as_str().unwrap().to_owned());
        let before = Left::of(&fleet.database, &id).await;
        let new = format!("lancelot-{number}");
        scissors.arm(COMMIT, &[[Verdict::Cut, Verdict::CutAfter(DONE[0])][number % 2]]);
        let answer = http.json("PATCH", "/users/me", &token, json!({"password": new})).await;
        assert_eq!(scissors.disarm(), 0, "it was not cut off: {answer:?}");
        assert!([503, 504].contains(&answer.status), "{answer:?}");
        // What Postgres has been told it does, also when nobody waits for it any more.
        tokio::time::sleep(DONE[0]).await;
        let after = Left::of(&fleet.database, &id).await;
        let happened =
            judge(&change, &before, &after, answer.status).unwrap_or_else(|wrong| panic!("{wrong}"));
        let (works, other) = if happened { (&new, &password) } else { (&password, &new) };
        assert_eq!(http.log_in(email, works).await.status, 200);
        assert_eq!(http.log_in(email, other).await.status, 400);
        if happened {
            (password, done) = (new, done + 1);
        }
    }
    println!("{done} of {rounds} changes were done, and nobody was told");
    assert!(done > 0, "no commit got through: nothing was lost");
    fleet.invariants(&[]).await;
}
