//! F13: more connections are wanted than Postgres has.

use std::time::{Duration, Instant};

use tokio_postgres::{Client, NoTls};

use crate::harness::{
    Ask, Cluster, Crowd, Database, Http, Link, PASSWORD, Persona, Process, Seen, rounds, with_port,
};

use super::{EMAIL, tally, until_well};

/// The most attempts to connect within a second, of all replicas.
const ATTEMPTS: usize = 20;
/// The shortest pause of a replica after an attempt that failed; a busy machine measures a little less.
const PAUSE: Duration = Duration::from_millis(90);
const CROWD: [Ask; 12] = [
    Ask::Me,
    Ask::Me,
    Ask::Me,
    Ask::Me,
    Ask::Change,
    Ask::Change,
    Ask::Change,
    Ask::Change,
    Ask::Change,
    Ask::Change,
    Ask::LogIn,
    Ask::Register,
];

/// A replica whose connections are counted, and its gateway.
struct Replica {
    gateway: Process,
    identity: Process,
    link: Link,
}

impl Replica {
    fn start(cluster: &Cluster, database: &Database) -> Self {
        let link = Link::to(cluster.port());
        let identity = Process::identity(&with_port(&database.url, link.port), &[]);
        let gateway = Process::gateway(&identity, &[]);
        Self { gateway, identity, link }
    }

    fn http(&self) -> Http {
        Http::new(self.gateway.port)
    }
}

/// Takes every connection that is left.
async fn take_the_rest(url: &str) -> Vec<Client> {
    let mut taken = Vec::new();
    while let Ok((client, connection)) = tokio_postgres::connect(url, NoTls).await {
        tokio::spawn(connection);
        taken.push(client);
        assert!(taken.len() < 100, "there is no end of connections");
    }
    taken
}

async fn somebody(http: &Http) -> Persona {
    assert_eq!(http.register(EMAIL, PASSWORD).await.status, 201);
    let token = http.token(EMAIL, PASSWORD).await;
    Persona { email: EMAIL.to_owned(), token, forged: String::new() }
}

/// The most of these moments within any second.
fn most_in_a_second(times: &[Instant]) -> usize {
    let mut times = times.to_vec();
    times.sort_unstable();
    let second = Duration::from_secs(1);
    let from =
        |first: &Instant| times.iter().filter(|time| (*first..*first + second).contains(*time)).count();
    times.iter().map(from).max().unwrap_or_default()
}

/// What such a request may be answered: it works, or it is refused.
fn is_honest(seen: &Seen) -> bool {
    seen.status == 503 || seen.succeeded()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn f13_replicas_that_want_more_connections_than_there_are_start_serve_and_do_not_storm() {
    let (cluster, url) = Cluster::start_with("max_connections = 12");
    let database = Database::create_in(&url, "").await;
    let mut replicas = Vec::new();
    for _ in 0..3 {
        replicas.push(Replica::start(&cluster, &database));
    }
    for replica in &replicas {
        replica.gateway.until_ready().await;
    }
    let persona = somebody(&replicas[0].http()).await;
    let rest = take_the_rest(&database.url).await;

    let start = Instant::now();
    let gateways: Vec<_> = replicas.iter().map(|replica| replica.gateway.port).collect();
    let crowd = Crowd::at(&gateways, &persona, &CROWD);
    tokio::time::sleep(rounds(Duration::from_secs(5), Duration::from_secs(20))).await;
    let seen = crowd.end().await;
    let attempts: Vec<_> = replicas.iter().flat_map(|replica| replica.link.accepted_since(start)).collect();
    println!(
        "{}; {} attempts, {} within a second",
        tally(&seen),
        attempts.len(),
        most_in_a_second(&attempts)
    );
    let untrue: Vec<_> = seen.iter().filter(|seen| !is_honest(seen)).collect();
    assert!(untrue.is_empty(), "{} of {}: {untrue:#?}", untrue.len(), seen.len());
    // Whoever has a connection goes on with it.
    let served = seen.iter().filter(|seen| seen.status == 200).count();
    assert!(served * 2 > seen.len(), "{}", tally(&seen));
    assert!(most_in_a_second(&attempts) <= ATTEMPTS, "{} within a second", most_in_a_second(&attempts));

    drop(rest);
    for replica in &replicas {
        let asks = [Ask::Me, Ask::Change, Ask::LogIn];
        until_well(&replica.identity, &replica.http(), &persona, &asks, Duration::from_secs(5)).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn f13_a_replica_rests_between_attempts_and_comes_back_soon_after_the_database() {
    let (cluster, url) = Cluster::start();
    let database = Database::create_in(&url, "").await;
    let replica = Replica::start(&cluster, &database);
    replica.gateway.until_ready().await;
    let persona = somebody(&replica.http()).await;
    let crowd = Crowd::at(&[replica.gateway.port], &persona, &CROWD);
    cluster.crash();
    // What was being opened at that moment is none of ours.
    let start = Instant::now() + Duration::from_millis(100);
    tokio::time::sleep(rounds(Duration::from_secs(4), Duration::from_secs(15))).await;
    let attempts = replica.link.accepted_since(start);
    cluster.restart();
    let back =
        until_well(&replica.identity, &replica.http(), &persona, &[Ask::Me], Duration::from_secs(5)).await;
    let seen = crowd.end().await;
    let pauses: Vec<_> = attempts.windows(2).map(|pair| pair[1] - pair[0]).collect();
    println!("{}; pauses {pauses:?}; back after {back:?}", tally(&seen));
    assert!(pauses.len() >= 2, "it does not try again: {pauses:?}");
    assert!(pauses.iter().all(|pause| *pause >= PAUSE), "{pauses:?}");
    assert!(seen.iter().all(is_honest), "{}", tally(&seen));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn f13_a_server_that_accepts_and_says_nothing_is_not_asked_more_often_than_one_that_refuses() {
    let (cluster, url) = Cluster::start();
    let database = Database::create_in(&url, "").await;
    let replica = Replica::start(&cluster, &database);
    replica.gateway.until_ready().await;
    let persona = somebody(&replica.http()).await;
    let hanging = cluster.hang();
    let start = Instant::now();
    let crowd = Crowd::at(&[replica.gateway.port], &persona, &[CROWD, CROWD, CROWD].concat());
    tokio::time::sleep(rounds(Duration::from_secs(6), Duration::from_secs(20))).await;
    let attempts = replica.link.accepted_since(start);
    drop(hanging);
    let seen = crowd.end().await;
    println!(
        "{}; {} attempts, {} within a second",
        tally(&seen),
        attempts.len(),
        most_in_a_second(&attempts)
    );
    // The share of one of three.
    assert!(most_in_a_second(&attempts) <= ATTEMPTS / 3, "{}", most_in_a_second(&attempts));
    assert!(attempts.windows(2).all(|pair| pair[1] - pair[0] >= PAUSE), "{attempts:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn f13_control_a_client_that_tries_again_at_once_is_seen_as_a_storm() {
    let link = Link::to(crate::harness::free_port());
    let start = Instant::now();
    let url = format!("postgres://u:p@127.0.0.1:{}/db", link.port);
    while start.elapsed() < Duration::from_secs(1) {
        assert!(tokio_postgres::connect(&url, NoTls).await.is_err());
    }
    let attempts = link.accepted_since(start);
    assert!(most_in_a_second(&attempts) > ATTEMPTS, "{} attempts", attempts.len());
    assert!(attempts.windows(2).any(|pair| pair[1] - pair[0] < PAUSE));
}
