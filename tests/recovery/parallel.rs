//! F16: a token of a mail that is used many times at once, through all replicas.

use std::time::Duration;

use futures_util::future::join_all;

use super::{ALREADY_VERIFIED, BAD_RESET, BAD_VERIFY, EMAIL, Purpose, reset, verify};
use crate::harness::{Answer, Fleet, Http, Mailbox, PASSWORD, Plan, rounds};

/// How often a token is used at once.
const USES: usize = 64;

/// Three identity-services with one mailbox, and two gateways.
async fn fleet(mails: &Mailbox) -> Fleet {
    let mailbox = mails.url();
    let identity = [("MAIL", mailbox.as_str()), ("MAILS_PER_HOUR", "0")];
    let fleet = Fleet::start(Plan { identity: &identity, ..Plan::default() }).await;
    assert_eq!(fleet.clients()[0].register(EMAIL, PASSWORD).await.status, 201);
    fleet
}

/// The token of a new mail.
async fn token(purpose: Purpose, http: &Http, mails: &Mailbox) -> String {
    let before = mails.tokens(EMAIL).len();
    purpose.ask(http, EMAIL).await;
    mails.wait_for_tokens(EMAIL, before + 1).await.pop().expect("there is one")
}

/// Asks again as long as there was too much to do, as an honest client does.
async fn patiently(ask: impl AsyncFn() -> Answer) -> String {
    for _ in 0..100 {
        let answer = ask().await;
        if ![503, 504].contains(&answer.status) {
            return answer.short();
        }
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
    "it never answered".to_owned()
}

/// How often each answer came.
fn count(answers: &[String], answer: &str) -> usize {
    answers.iter().filter(|other| *other == answer).count()
}

/// Uses a token for a new password 64 times at once, each time for another password. What is wrong, in words.
async fn reset_round(clients: &[Http], mails: &Mailbox, number: usize) -> Vec<String> {
    let older = token(Purpose::Reset, &clients[0], mails).await;
    let newer = token(Purpose::Reset, &clients[1], mails).await;
    let password = |user: usize| format!("excalibur-{number}-{user}");
    let uses = (0..USES).map(|user| {
        let (http, token, password) = (&clients[user % clients.len()], &newer, password(user));
        patiently(async move || reset(http, token, &password).await)
    });
    let answers = join_all(uses).await;
    let mut wrong = Vec::new();
    if (count(&answers, "200 null"), count(&answers, BAD_RESET)) != (1, USES - 1) {
        wrong.push(format!("not one success and {} refusals: {answers:?}", USES - 1));
    }
    for (user, answer) in
        answers.iter().enumerate().filter(|(user, answer)| *answer == "200 null" || *user < 2)
    {
        let login = clients[1].log_in(EMAIL, &password(user)).await.status;
        if (login == 200) != (answer == "200 null") {
            wrong.push(format!("{answer} for a password that a login answers with {login}"));
        }
    }
    for (name, token) in [("used", newer), ("replaced", older)] {
        let again = reset(&clients[0], &token, "lancelot-du-lac").await.short();
        if again != BAD_RESET {
            wrong.push(format!("one that was {name}: {again}"));
        }
    }
    wrong
}

/// Uses a token for an address 64 times at once. What is wrong, in words.
async fn verify_round(fleet: &Fleet, clients: &[Http], mails: &Mailbox) -> Vec<String> {
    fleet.database.rows("UPDATE users SET is_verified = false", &[]).await;
    let token = token(Purpose::Verify, &clients[0], mails).await;
    let uses = (0..USES).map(|user| {
        let (http, token) = (&clients[user % clients.len()], &token);
        patiently(async move || verify(http, token).await)
    });
    let answers = join_all(uses).await;
    let mut wrong = Vec::new();
    let successes = answers.iter().filter(|answer| answer.starts_with("200 ")).count();
    if (successes, count(&answers, ALREADY_VERIFIED)) != (1, USES - 1) {
        wrong.push(format!("not one success and {} refusals: {answers:?}", USES - 1));
    }
    fleet.database.rows("UPDATE users SET is_verified = false", &[]).await;
    let again = verify(&clients[1], &token).await.short();
    if again != BAD_VERIFY {
        wrong.push(format!("one that was used: {again}"));
    }
    wrong
}

#[tokio::test]
async fn f16_of_64_uses_of_a_reset_token_at_once_one_sets_the_password() {
    let mails = Mailbox::new();
    let fleet = fleet(&mails).await;
    let clients = fleet.clients();
    for number in 0..rounds(2, 100) {
        let wrong = reset_round(&clients, &mails, number).await;
        assert!(wrong.is_empty(), "round {number}: {wrong:#?}");
    }
}

#[tokio::test]
async fn f16_of_64_uses_of_a_verify_token_at_once_one_verifies_the_address() {
    let mails = Mailbox::new();
    let fleet = fleet(&mails).await;
    let clients = fleet.clients();
    for number in 0..rounds(3, 100) {
        let wrong = verify_round(&fleet, &clients, &mails).await;
        assert!(wrong.is_empty(), "round {number}: {wrong:#?}");
    }
}

/// What the judge says of a database in which this happens when a token is used.
async fn with_flaw(purpose: Purpose, event: &str, flaw: &str) -> Vec<String> {
    let mails = Mailbox::new();
    let fleet = fleet(&mails).await;
    let sql = format!(
        "CREATE FUNCTION flaw() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN {flaw} RETURN NULL; END $$;
         CREATE TRIGGER flaw AFTER {event} ON recovery_tokens FOR EACH ROW EXECUTE FUNCTION flaw()"
    );
    fleet.database.connect().await.batch_execute(&sql).await.unwrap();
    match purpose {
        Purpose::Reset => reset_round(&fleet.clients(), &mails, 0).await,
        Purpose::Verify => verify_round(&fleet, &fleet.clients(), &mails).await,
    }
}

#[tokio::test]
async fn f16_control_a_database_that_keeps_used_tokens_is_found_out() {
    // The token that comes back is for whatever the password is by then. One that a newer replaces is not looked for by
    // its password.
    let keeps = "IF current_query() LIKE '%password_version%' THEN
            OLD.password_version = OLD.password_version + 1;
            INSERT INTO recovery_tokens SELECT OLD.*;
        END IF;";
    let reset = with_flaw(Purpose::Reset, "DELETE", keeps).await;
    assert!(reset.iter().any(|line| line.contains("not one success")), "{reset:#?}");
    let forgets =
        "UPDATE recovery_tokens SET used_at = NULL WHERE digest = NEW.digest AND used_at IS NOT NULL;";
    let verify = with_flaw(Purpose::Verify, "UPDATE", forgets).await;
    assert!(verify.iter().any(|line| line.contains("one that was used")), "{verify:#?}");
}
