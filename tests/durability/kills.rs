//! F01, F02: a process dies in the middle of its work, again and again.

use std::time::{Duration, Instant};

use super::load::{Load, Record, acked, assert_told_no_lie};
use super::{random, random_time};
use crate::harness::{Fleet, Plan, Process, rounds};

/// From when to when a process was being killed.
type Kill = (Instant, Instant);

/// Kills one of the processes at a random moment, and starts it again.
async fn kill_one(processes: &mut [Process], back: impl AsyncFn(&Process)) -> (usize, Kill) {
    tokio::time::sleep(random_time(Duration::from_secs(2))).await;
    let number = random(processes.len());
    let before = Instant::now();
    processes[number].kill();
    let kill = (before, Instant::now());
    processes[number].restart();
    back(&processes[number]).await;
    (number, kill)
}

/// Whether there have been too few kills, or, up to three times as many, too few registrations.
fn goes_on(load: &Load, kills: usize) -> bool {
    let (enough, most) = (rounds(6, 200), rounds(18, 600));
    let is_busy = load.acked() >= rounds(30, 2_000);
    assert!(is_busy || kills < most, "too few registrations to say anything: {}", load.acked());
    kills < enough || !is_busy
}

/// Whether a request was under way while a process was being killed.
fn is_excused(record: &Record, kills: &[Kill]) -> bool {
    kills.iter().any(|(from, to)| record.started <= *to && record.ended >= *from)
}

/// The share of requests that failed without excuse, in thousandths.
fn failures_per_mille(records: &[Record], kills: &[Kill]) -> usize {
    let failed = records.iter().filter(|record| record.status != Some(201) && !is_excused(record, kills));
    failed.count() * 1000 / records.len()
}

#[tokio::test]
async fn f01_no_registration_is_lost_or_doubled_when_an_identity_service_is_killed_at_any_moment() {
    let mut fleet = Fleet::start(Plan::default()).await;
    let load = Load::begin(&fleet);
    let mut kills = Vec::new();
    while goes_on(&load, kills.len()) {
        kills.push(kill_one(&mut fleet.identities, Process::until_serving).await.1);
    }
    let records = load.end();
    assert_told_no_lie(&records);
    let acked = acked(&records);
    fleet.invariants(&acked).await;
    let failed = failures_per_mille(&records, &kills);
    let excused = records.iter().filter(|record| record.status != Some(201) && is_excused(record, &kills));
    println!(
        "{} kills: {} of {} registrations acknowledged, {} cut off in the middle, {failed} of 1000 failed else",
        kills.len(),
        acked.len(),
        records.len(),
        excused.count()
    );
    assert!(failed <= 10, "{failed} of 1000 requests failed though nobody died under them");
}

#[tokio::test]
async fn f02_no_registration_is_lost_when_a_gateway_is_killed_and_clients_of_the_others_do_not_notice() {
    let mut fleet = Fleet::start(Plan::default()).await;
    let load = Load::begin(&fleet);
    let mut kills = Vec::new();
    while goes_on(&load, kills.len()) {
        let from = Instant::now();
        let (victim, _) = kill_one(&mut fleet.gateways, Process::until_ready).await;
        // Its own clients find nobody until it is back.
        kills.push((victim, (from, Instant::now())));
    }
    let records = load.end();
    assert_told_no_lie(&records);
    let acked = acked(&records);
    fleet.invariants(&acked).await;
    for record in records.iter().filter(|record| record.status != Some(201)) {
        let own = kills.iter().filter(|(victim, _)| *victim == record.gateway).map(|(_, kill)| *kill);
        assert!(is_excused(record, &own.collect::<Vec<_>>()), "a client of another gateway: {record:?}");
    }
    println!("{} kills: {} of {} registrations acknowledged", kills.len(), acked.len(), records.len());
}
