//! F16: a refresh token that is used many times at once, through all replicas.

use std::time::Duration;

use super::{EMAIL, REFUSED, Tokens, an_hour_later, chain, digest, offline, parts, refresh, works};
use crate::harness::{Fleet, Http, PASSWORD, Plan, rounds};

/// How often a token is used at once.
const USES: usize = 64;

async fn fleet() -> Fleet {
    // On a busy machine 64 answers take a while.
    let fleet = Fleet::start(Plan { identity: &[("REFRESH_GRACE_SECONDS", "60")], ..Plan::default() }).await;
    assert_eq!(fleet.clients()[0].register(EMAIL, PASSWORD).await.status, 201);
    fleet
}

/// Uses a token; once more when there was too much to do, as an honest client does.
async fn patiently(http: &Http, token: &str) -> Result<Tokens, String> {
    for _ in 0..20 {
        let answer = refresh(http, token).await;
        match answer.status {
            200 => return Ok(super::tokens(&answer)),
            503 | 504 => tokio::time::sleep(Duration::from_millis(100)).await,
            _ => return Err(answer.short()),
        }
    }
    Err("it never answered".to_owned())
}

/// Plays a round: a login, then one token used 64 times at once, then again after the window. What is wrong, in words.
async fn round(fleet: &Fleet, clients: &[Http]) -> Vec<String> {
    let first = offline(&clients[0], EMAIL, PASSWORD).await;
    let uses = (0..USES).map(|number| patiently(&clients[number % clients.len()], &first.refresh));
    let answers = futures_util::future::join_all(uses).await;
    let mut wrong = Vec::new();
    let given: Vec<_> = answers.iter().filter_map(|answer| answer.as_ref().ok()).collect();
    let refused: Vec<_> = answers.iter().filter_map(|answer| answer.as_ref().err()).collect();
    if !refused.is_empty() {
        wrong.push(format!("{} of {USES} are refused: {}", refused.len(), refused[0]));
    }
    let Some(next) = given.first().map(|tokens| tokens.refresh.clone()) else { return wrong };
    if given.iter().any(|tokens| tokens.refresh != next) {
        wrong.push("not all get the same successor".to_owned());
    }
    for tokens in given.iter().take(2) {
        if !works(&clients[1], &tokens.access).await {
            wrong.push("an access token names nobody".to_owned());
        }
    }
    let expected = Some((digest(&parts(&next)[1]), 1));
    if chain(&fleet.database, &next).await != expected {
        wrong.push("the chain did not advance once".to_owned());
    }
    an_hour_later(&fleet.database, &first.refresh).await;
    let again = refresh(&clients[1], &first.refresh).await.short();
    if again != REFUSED {
        wrong.push(format!("reuse after the window is not caught: {again:.40}"));
    }
    if chain(&fleet.database, &first.refresh).await.is_some() {
        wrong.push("reuse after the window does not end the session".to_owned());
    }
    let last = refresh(&clients[0], &next).await.short();
    if last != REFUSED {
        wrong.push(format!("the newest token outlives the session: {last:.40}"));
    }
    wrong
}

#[tokio::test]
async fn f16_a_refresh_token_that_is_used_64_times_at_once_is_followed_by_one() {
    let fleet = fleet().await;
    let clients = fleet.clients();
    for number in 0..rounds(3, 100) {
        let wrong = round(&fleet, &clients).await;
        assert!(wrong.is_empty(), "round {number}: {wrong:#?}");
    }
    let replicas = fleet.identities.iter().filter(|identity| identity.log().contains("came again")).count();
    println!("{replicas} of 3 replicas have caught a token that came again");
}

/// What the judge says of a database that changes what is written of a refresh.
async fn with_flaw(flaw: &str) -> Vec<String> {
    let fleet = fleet().await;
    let sql = format!(
        "CREATE FUNCTION flaw() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN {flaw}; RETURN NEW; END $$;
         CREATE TRIGGER flaw BEFORE UPDATE OF refresh_digest ON sessions FOR EACH ROW
         WHEN (OLD.refresh_digest IS NOT NULL) EXECUTE FUNCTION flaw()"
    );
    fleet.database.connect().await.batch_execute(&sql).await.unwrap();
    round(&fleet, &fleet.clients()).await
}

#[tokio::test]
async fn f16_control_a_database_that_forgets_uses_is_found_out() {
    let wrong = with_flaw("NEW.refresh_uses := '{}'").await;
    assert!(wrong[0].contains("are refused"), "{wrong:#?}");
}

#[tokio::test]
async fn f16_control_a_database_that_keeps_the_old_token_is_found_out() {
    let wrong = with_flaw("NEW.refresh_digest := OLD.refresh_digest").await;
    let is_said = |words: &str| wrong.iter().any(|line| line.contains(words));
    assert!(is_said("did not advance once") && is_said("is not caught"), "{wrong:#?}");
}
