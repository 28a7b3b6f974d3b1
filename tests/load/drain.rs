//! A process that is asked to stop, in the middle of everything: whoever has asked it something gets his answer, and
//! whoever asks now is served by another.

use std::time::{Duration, Instant};

use super::traffic::Traffic;
use crate::harness::{Fleet, Plan, Process, Sample, offer, repeat, rounds};

/// How long there are requests in a round, and when in it a process is asked to stop.
const ROUND: Duration = Duration::from_secs(5);
const STOP: Duration = Duration::from_millis(1200);
/// How soon it must have ended.
const END: Duration = Duration::from_secs(10);
/// How long after it serves again the others may take to notice.
const NOTICE: Duration = Duration::from_secs(1);
/// How many clients log in, so that there is always a hash under way; and how many reads and writes there are a second.
const CLIENTS: usize = 4;
const READS: f64 = 50.0;
const WRITES: f64 = 10.0;

/// How a process is ended.
#[derive(Debug, Clone, Copy, PartialEq)]
enum End {
    Asked,
    Killed,
}

/// A fleet, and users who are known to it.
async fn fleet(identities: usize, gateways: usize) -> (Fleet, Traffic) {
    let fleet = Fleet::start(Plan { identities, gateways, ..Plan::default() }).await;
    let ports: Vec<_> = fleet.gateways.iter().map(|gateway| gateway.port).collect();
    let traffic = Traffic::to(&ports).await;
    (fleet, traffic)
}

/// Ends a process while there are requests of all kinds, and starts it again. The requests that failed.
async fn round(
    traffic: &Traffic,
    process: &mut Process,
    end: End,
    ready: impl AsyncFn(&Process),
) -> Vec<Sample> {
    let client = &traffic.client;
    let stop = async {
        tokio::time::sleep(STOP).await;
        match end {
            End::Asked => {
                process.signal("TERM");
                let asked = Instant::now();
                let status = process.wait(END).await.expect("it ends when it is asked to");
                assert!(status.success(), "{status}");
                println!("it ended after {:?}", asked.elapsed());
            }
            End::Killed => process.kill(),
        }
        tokio::time::sleep(Duration::from_millis(300)).await;
        process.restart();
        ready(process).await;
        tokio::time::sleep(NOTICE).await;
    };
    let (logins, reads, writes, ()) = tokio::join!(
        repeat(client, &traffic.login, CLIENTS, ROUND),
        offer(client, &traffic.read, READS, ROUND),
        offer(client, &traffic.write, WRITES, ROUND),
        stop,
    );
    let met = logins.iter().filter(|login| login.due < STOP && login.ended() > STOP).count();
    assert!(met > 0, "no hash was under way when the process was to end");
    [logins, reads, writes].concat().into_iter().filter(|sample| !sample.is(200)).collect()
}

async fn identity_is_ready(process: &Process) {
    process.until_serving().await;
}

async fn gateway_is_ready(process: &Process) {
    process.until_ready().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn f33_an_identity_service_that_is_asked_to_stop_fails_no_request() {
    let (mut fleet, traffic) = fleet(2, 1).await;
    for number in 0..rounds(2, 20) {
        let process = &mut fleet.identities[number % 2];
        let failed = round(&traffic, process, End::Asked, identity_is_ready).await;
        assert!(failed.is_empty(), "round {number}: {failed:#?}");
    }
    fleet.invariants(&[]).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn f33_a_gateway_that_is_asked_to_stop_fails_no_request() {
    let (mut fleet, traffic) = fleet(1, 2).await;
    for number in 0..rounds(2, 20) {
        let process = &mut fleet.gateways[number % 2];
        let failed = round(&traffic, process, End::Asked, gateway_is_ready).await;
        assert!(failed.is_empty(), "round {number}: {failed:#?}");
    }
    fleet.invariants(&[]).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn f33_control_a_process_that_is_killed_fails_requests_and_so_does_the_only_one() {
    let (mut fleet, traffic) = fleet(2, 2).await;
    let failed = round(&traffic, &mut fleet.identities[0], End::Killed, identity_is_ready).await;
    assert!(!failed.is_empty(), "hashes were lost, and no client has noticed");
    let failed = round(&traffic, &mut fleet.gateways[0], End::Killed, gateway_is_ready).await;
    assert!(!failed.is_empty(), "requests were lost, and no client has noticed");

    let (mut alone, traffic) = self::fleet(1, 1).await;
    let failed = round(&traffic, &mut alone.identities[0], End::Asked, identity_is_ready).await;
    assert!(!failed.is_empty(), "nobody was there, and no client has noticed");
}
