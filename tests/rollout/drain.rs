//! A process that is asked to stop, and has SHUTDOWN_DELAY_SECONDS: it says at once that it is not ready, and goes on
//! serving until whoever sends requests has noticed.

use std::time::{Duration, Instant};

use super::rotation::Rotation;
use super::visitors::{Next, Visitors};
use crate::harness::{Fleet, PASSWORD, Plan, Process, Rpc, Stack, request, rounds};

/// How many clients keep a connection, and how often each sends a request.
const CLIENTS: usize = 100;
const PAUSE: Duration = Duration::from_millis(500);
/// How soon a process must have ended.
const END: Duration = Duration::from_secs(20);

const DELAY: (&str, &str) = ("SHUTDOWN_DELAY_SECONDS", "4");

#[tokio::test]
async fn a_gateway_that_stops_is_not_ready_at_once_and_answers_until_the_delay_is_over() {
    let mut stack = Stack::with(&[], &[DELAY]).await;
    let (_, token) = stack.user("king.arthur@camelot.bt").await;
    assert_eq!(stack.gateway.command(&["healthcheck"]), Ok("ready\n".to_owned()));
    let http = stack.http();
    assert_eq!(http.bare("GET", "/users/me", &token).await.header("connection"), "");

    stack.gateway.signal("TERM");
    let asked = Instant::now();
    let not_ready = async || stack.gateway.command(&["healthcheck"]).is_err();
    stack.gateway.until("not ready", Duration::from_secs(2), not_ready).await;
    assert_eq!(stack.gateway.command(&["healthcheck", "--live"]), Ok("live\n".to_owned()));
    while asked.elapsed() < Duration::from_secs(3) {
        for (path, token, status) in
            [("/users/me", token.as_str(), 200), ("/users/me", "", 401), ("/no", "", 404)]
        {
            let answer = stack.http().bare("GET", path, token).await;
            assert_eq!((answer.status, answer.header("connection")), (status, "close"), "{path}");
        }
    }
    let status = stack.gateway.wait(END).await.expect("it ends");
    assert!(status.success() && asked.elapsed() >= Duration::from_secs(4), "{status} {:?}", asked.elapsed());
    assert!(asked.elapsed() < Duration::from_secs(8), "it took {:?}", asked.elapsed());
}

#[tokio::test]
async fn an_identity_service_that_stops_does_not_serve_at_once_and_answers_until_the_delay_is_over() {
    let mut stack = Stack::with(&[DELAY], &[]).await;
    let (_, token) = stack.user("king.arthur@camelot.bt").await;
    assert_eq!(stack.identity.command(&["healthcheck"]), Ok("serving\n".to_owned()));

    stack.identity.signal("TERM");
    let asked = Instant::now();
    let not_serving = async || !Rpc::is_serving(stack.identity.port).await;
    stack.identity.until("not serving", Duration::from_secs(2), not_serving).await;
    let said = stack.identity.command(&["healthcheck"]).expect_err("it does not serve");
    assert!(said.contains("it does not serve"), "{said}");
    assert_eq!(stack.identity.command(&["healthcheck", "--live"]), Ok("live\n".to_owned()));
    while asked.elapsed() < Duration::from_secs(3) {
        // The gateway has no other to ask; and the feed goes on, so that it need not.
        assert_eq!(stack.http().bare("GET", "/users/me", &token).await.status, 200);
        assert_eq!(stack.http().bare("GET", "/auth/check", &token).await.status, 204);
    }
    assert!(!stack.gateway.log().contains("the trust feed is unknown"));
    let status = stack.identity.wait(END).await.expect("it ends");
    assert!(status.success() && asked.elapsed() >= Duration::from_secs(4), "{status} {:?}", asked.elapsed());
    assert!(stack.identity.log().contains("stopped: no call was cut off"));
}

#[tokio::test]
async fn whoever_asks_a_second_time_does_not_wait_for_the_delay() {
    let delay = [("SHUTDOWN_DELAY_SECONDS", "300")];
    let mut stack = Stack::with(&delay, &delay).await;
    for (process, words) in
        [(&mut stack.gateway, "still serving"), (&mut stack.identity, "not serving: told to stop")]
    {
        process.signal("INT");
        process.until(words, Duration::from_secs(5), async || process.log().contains(words)).await;
        process.signal("INT");
        assert!(process.wait(Duration::from_secs(5)).await.is_some_and(|status| status.success()), "{words}");
    }
}

/// Gateways with this delay, and clients of theirs.
async fn scene(delay: &str) -> (Fleet, Rotation, tokio::task::JoinSet<()>, Visitors) {
    let variables = [("SHUTDOWN_DELAY_SECONDS", delay)];
    let fleet =
        Fleet::start(Plan { identities: 1, gateways: 2, gateway: &variables, ..Plan::default() }).await;
    let ports: Vec<_> = fleet.gateways.iter().map(|gateway| gateway.port).collect();
    let http = &fleet.clients()[0];
    assert_eq!(http.register("king.arthur@camelot.bt", PASSWORD).await.status, 201);
    let read = request("GET", "/users/me", &http.token("king.arthur@camelot.bt", PASSWORD).await, "");
    let (rotation, tasks) = Rotation::of(&ports);
    let next = |_| {
        let read = read.clone();
        Box::new(move || (read.clone(), 200_u16)) as Next
    };
    let visitors = Visitors::start(&rotation, (0..CLIENTS).map(next).collect(), PAUSE);
    (fleet, rotation, tasks, visitors)
}

/// Asks a gateway to stop, and starts it again.
async fn round(gateway: &mut Process, rotation: &Rotation) {
    gateway.signal("TERM");
    let asked = Instant::now();
    let status = gateway.wait(END).await.expect("it ends when it is asked to");
    assert!(status.success(), "{status}");
    println!("it ended after {:?}", asked.elapsed());
    rotation.until(gateway.port, false).await;
    gateway.restart();
    rotation.until(gateway.port, true).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn f32_a_gateway_that_is_asked_to_stop_fails_no_request_of_those_who_keep_connections() {
    let (mut fleet, rotation, _tasks, visitors) = scene("5").await;
    for number in 0..rounds(2, 50) {
        round(&mut fleet.gateways[number % 2], &rotation).await;
    }
    let done = visitors.done();
    let failed = visitors.end().await;
    assert!(failed.is_empty(), "{} of {done}: {:#?}", failed.len(), &failed[..failed.len().min(10)]);
    assert!(done > 1_000, "only {done} requests were made");
    fleet.invariants(&[]).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn f32_control_one_that_does_not_wait_for_anybody_to_notice_is_found_out() {
    let (mut fleet, rotation, _tasks, visitors) = scene("0").await;
    round(&mut fleet.gateways[0], &rotation).await;
    let failed = visitors.end().await;
    assert!(failed.iter().any(|failure| failure.contains("is not reached")), "{failed:#?}");
}
