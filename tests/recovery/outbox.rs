//! F39: a mail server that is dead or slow, and a worker that dies: every mail is sent, at least once.

use std::collections::HashMap;
use std::time::{Duration, Instant};

use super::{NEW_PASSWORD, Purpose};
use crate::harness::{Fleet, Mail, Plan, SmtpSink, rounds};

/// Nothing is left to be sent.
const WAITING: &str = "SELECT count(*) FROM mails WHERE sent_at IS NULL AND gave_up_at IS NULL";
const REQUESTS: &str = "SELECT count(*) FROM recovery_requests";

async fn until(what: &str, limit: Duration, mut condition: impl AsyncFnMut() -> bool) {
    let started = Instant::now();
    while !condition().await {
        assert!(started.elapsed() < limit, "not {what} after {limit:?}");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

/// How often each mail to an address came, in the order in which each came first.
fn arrivals(mails: &[Mail]) -> Vec<(String, usize)> {
    let mut order: Vec<(String, usize)> = Vec::new();
    for mail in mails {
        let id = mail.message_id();
        match order.iter_mut().find(|(known, _)| *known == id) {
            Some((_, count)) => *count += 1,
            None => order.push((id, 1)),
        }
    }
    order
}

#[tokio::test]
async fn f39_while_the_mail_server_is_dead_or_slow_and_workers_die_every_mail_is_sent_in_order() {
    let mut sink = SmtpSink::start(&[]);
    let url = sink.url();
    let mut fleet = Fleet::start(Plan { identity: &[("MAIL", &url)], ..Plan::default() }).await;
    let clients = fleet.clients();
    let emails: Vec<_> = (0..6).map(|number| format!("knight.{number}@camelot.bt")).collect();
    for email in &emails {
        assert_eq!(clients[0].register(email, NEW_PASSWORD).await.status, 201);
    }
    let mut asked: HashMap<&str, usize> = HashMap::new();
    let mut kills = 0;
    let (dead, slow) = rounds((4, 2), (60, 10));
    for phase in ["dead", "slow", "well"] {
        match phase {
            "dead" => sink.does("refuse"),
            "slow" => sink.does(&format!("delay {slow}")),
            _ => sink.does("accept"),
        }
        let began = Instant::now();
        let lasting = if phase == "dead" { dead } else { rounds(4, 30) };
        let mut number = 0;
        while began.elapsed() < Duration::from_secs(lasting) {
            let email = &emails[number % emails.len()];
            let before = sink.mails.all().len();
            let started = Instant::now();
            Purpose::BOTH[number / emails.len() % 2].ask(&clients[number % 2], email).await;
            assert!(started.elapsed() < Duration::from_secs(2), "{phase}: the answer waits for the mail");
            *asked.entry(email).or_default() += 1;
            number += 1;
            tokio::time::sleep(Duration::from_millis(rounds(150, 500))).await;
            // The server has the mail and has not said so: whoever handed it over dies now.
            if phase == "slow" && number % 8 == 4 {
                until("mailed", Duration::from_secs(30), async || sink.mails.all().len() > before).await;
                let replica = kills % fleet.identities.len();
                fleet.identities[replica].kill();
                fleet.identities[replica].restart();
                fleet.until_ready().await;
                kills += 1;
            }
        }
    }
    assert!(kills > 0);
    let left = Duration::from_secs(rounds(100, 600));
    until("worked off", left, async || fleet.database.number(REQUESTS).await == 0).await;
    until("sent", left, async || fleet.database.number(WAITING).await == 0).await;
    assert_eq!(fleet.database.number("SELECT count(*) FROM mails WHERE gave_up_at IS NOT NULL").await, 0);
    let mut duplicates = 0;
    for (email, count) in asked {
        let arrived = arrivals(&sink.mails.to(email));
        assert_eq!(arrived.len(), count, "{email}: each request is mailed");
        assert!(arrived.is_sorted_by_key(|(id, _)| id.clone()), "{email}: out of order: {arrived:?}");
        duplicates += arrived.iter().map(|(_, times)| times - 1).sum::<usize>();
    }
    println!("{kills} kills, {duplicates} duplicates");
    // A replica hands over at most 16 mails at a time.
    assert!(duplicates <= kills * emails.len(), "{duplicates} duplicates after {kills} kills");
    let logs: Vec<_> = fleet.identities.iter().chain(&fleet.gateways).map(|process| process.log()).collect();
    for mail in sink.mails.all() {
        let (token, to) = (mail.token(), mail.recipients().remove(0));
        assert!(!logs.iter().any(|log| log.contains(&token) || log.contains(&to)), "a log tells");
    }
    let left = "SELECT count(*) FROM mails WHERE sealed_token IS NOT NULL OR recipient IS NOT NULL";
    assert_eq!(fleet.database.number(left).await, 0, "what was sent is erased");
}
