//! F08: a Postgres that is there and does not answer.

use std::time::{Duration, Instant};

use crate::harness::{Ask, Cluster, Crowd, Database, Http, Process, Seen, free_port, rounds};

use super::{Scene, assert_nothing_is_lost, tally, until_well};

const CROWD: [Ask; 14] = [
    Ask::Me,
    Ask::Me,
    Ask::Me,
    Ask::Me,
    Ask::Me,
    Ask::Change,
    Ask::Change,
    Ask::Change,
    Ask::LogIn,
    Ask::LogIn,
    Ask::Register,
    Ask::Register,
    Ask::Forged,
    Ask::Forged,
];
/// How much a process may grow, in bytes.
const GROWTH: u64 = 20 * 1024 * 1024;
/// How soon the world must hear that a replica is not ready, and that it is again.
const NOTICE: Duration = Duration::from_secs(5);

/// What is wrong with these answers, when the database hung between the two moments: one that is late, and one that
/// cannot be true.
fn faults(seen: &[Seen], from: Instant, to: Instant) -> Vec<String> {
    // A busy machine is late by itself.
    let slack = rounds(Duration::from_secs(1), Duration::from_millis(200));
    let mut faults = Vec::new();
    for one in seen {
        let within = one.is_within(from, to);
        let honest = match (one.ask.needs_the_database(), within) {
            (false, _) => one.status == 401,
            (true, true) => [503, 504].contains(&one.status),
            (true, false) => one.status != 0,
        };
        // What was under way when the hang began had its hash to wait for too, in its own deadline.
        let late = one.took > one.ask.deadline() + slack;
        if late || !honest {
            faults.push(format!(
                "{one:?}, {:?} after the hang began",
                one.began.saturating_duration_since(from)
            ));
        }
    }
    faults
}

/// Lets Postgres hang under load; what was seen, and from when to when it hung.
async fn play(scene: &Scene, hang: Duration) -> (Vec<Seen>, Instant, Instant) {
    let (gateway, http) = (&scene.stack.gateway, scene.http());
    let crowd = Crowd::at(&[gateway.port], &scene.persona, &CROWD);
    tokio::time::sleep(Duration::from_secs(2)).await;
    let memory = || scene.processes().map(Process::memory);
    let before = memory();

    let paused = scene.cluster.hang();
    // A statement that was under way may still have been answered.
    let from = Instant::now() + Duration::from_millis(50);
    let is_ready = async || http.try_get("/health/ready").await.is_some_and(|answer| answer.status == 200);
    gateway.until("not ready", NOTICE, async || !is_ready().await).await;
    tokio::time::sleep(hang.saturating_sub(from.elapsed())).await;
    assert_eq!(http.bare("GET", "/health/live", "").await.status, 200);
    assert!(!is_ready().await, "ready without a database");
    let to = Instant::now();
    drop(paused);

    gateway.until("ready", NOTICE, is_ready).await;
    until_well(gateway, &http, &scene.persona, &[Ask::Me, Ask::Change, Ask::LogIn, Ask::Register], NOTICE)
        .await;
    let seen = crowd.end().await;
    for (before, after) in before.into_iter().zip(memory()) {
        assert!(after <= before + GROWTH, "a process grew from {before} to {after} bytes");
    }
    (seen, from, to)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn f08_a_postgres_that_hangs_costs_each_request_its_deadline_at_most_and_nothing_restarts() {
    let scene = Scene::set().await;
    let (seen, from, to) = play(&scene, rounds(Duration::from_secs(6), Duration::from_secs(30))).await;
    println!("{}", tally(&seen));
    let during = seen.iter().filter(|seen| seen.is_within(from, to)).count();
    assert!(during > 20, "only {during} requests met the hang");
    let faults = faults(&seen, from, to);
    assert!(faults.is_empty(), "{} of {}: {faults:#?}", faults.len(), seen.len());
    assert_nothing_is_lost(&scene.stack.database, &seen).await;
    for process in scene.processes() {
        assert!(!process.log().contains("panicked"), "{}", process.log());
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn f08_control_a_process_that_hangs_too_is_seen_as_late_answers() {
    let scene = Scene::set().await;
    let crowd = Crowd::at(&[scene.stack.gateway.port], &scene.persona, &CROWD);
    tokio::time::sleep(Duration::from_millis(500)).await;
    let from = Instant::now();
    scene.stack.gateway.signal("STOP");
    tokio::time::sleep(Duration::from_secs(4)).await;
    scene.stack.gateway.signal("CONT");
    let seen = crowd.end().await;
    let faults = faults(&seen, from, Instant::now());
    let late = faults.iter().filter(|fault| fault.contains("ask: Me")).count();
    assert!(late >= 5, "each client that asked who he is was kept waiting: {faults:#?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn f08_a_start_waits_for_a_postgres_that_hangs_or_is_absent_and_can_be_stopped_meanwhile() {
    let (cluster, url) = Cluster::start();
    let database = Database::create_in(&url, "").await;
    let absent = format!("postgres://u:p@127.0.0.1:{}/db", free_port());
    let paused = cluster.hang();
    for url in [&absent, &database.url] {
        let mut waiting = Process::identity(url, &[]);
        let says = async || waiting.log().contains("waiting for the database");
        waiting.until("waiting", NOTICE, says).await;
        // So that whoever asks is refused at once.
        assert!(std::net::TcpStream::connect(("127.0.0.1", waiting.port)).is_err());
        let gateway = Process::gateway(&waiting, &[]);
        let http = Http::new(gateway.port);
        let live = async || http.try_get("/health/live").await.is_some_and(|answer| answer.status == 200);
        gateway.until("alive", NOTICE, live).await;
        let refused = http.bare("GET", "/health/ready", "").await;
        assert!(refused.status == 503 && refused.took < Duration::from_secs(2), "{refused:?}");
        waiting.signal("TERM");
        let status = waiting.wait(Duration::from_secs(2)).await.expect("stops when it is asked to");
        assert!(status.success(), "{status}");
    }
    let identity = Process::identity(&database.url, &[]);
    tokio::time::sleep(Duration::from_secs(3)).await;
    drop(paused);
    let serving = async || crate::harness::Rpc::is_serving(identity.port).await;
    identity.until("serving", NOTICE, serving).await;
}
