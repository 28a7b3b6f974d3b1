//! F21: a logout reaches all gateways, also while as many log in as can.

use std::time::{Duration, Instant};

use tokio::task::JoinSet;

use super::{Door, EMAIL, Fate, Said, until_fresh, watch};
use crate::harness::{
    Client, Flaw, Fleet, NaiveReplica, PASSWORD, Plan, Process, further_sessions, repeat, request, rounds,
};

/// How often each gateway is asked.
const POLL: Duration = Duration::from_millis(50);
/// How many logouts there are a second.
const PER_SECOND: u32 = 20;

/// A fleet with somebody who is logged in many times.
struct Scene {
    fleet: Fleet,
    /// His tokens that are to end.
    ending: Vec<String>,
    /// One that goes on.
    kept: String,
}

impl Scene {
    async fn set(count: usize) -> Self {
        let fleet = Fleet::start(Plan::default()).await;
        let http = &fleet.clients()[0];
        assert_eq!(http.register(EMAIL, PASSWORD).await.status, 201);
        let kept = http.token(EMAIL, PASSWORD).await;
        let ending = further_sessions(&fleet.database, &kept, count).await;
        Self { fleet, ending, kept }
    }

    /// Logs all out through the gateways in turn, and watches each at all doors.
    async fn log_out_all(&self, doors: &[Door], lasting: Duration) -> Vec<Fate> {
        let ports: Vec<_> = self.fleet.gateways.iter().map(|gateway| gateway.port).collect();
        let mut watched = JoinSet::new();
        let mut ticks = tokio::time::interval(Duration::from_secs(1) / PER_SECOND);
        for (number, token) in self.ending.iter().enumerate() {
            ticks.tick().await;
            let (token, doors) = (token.clone(), doors.to_vec());
            let gateway = Client::new(&[ports[number % ports.len()]]);
            watched.spawn(async move {
                for door in &doors {
                    assert_eq!(door.check(&token).await, Said::Good, "it was to be good until now");
                }
                let answer = gateway.send(&request("POST", "/auth/jwt/logout", &token, "")).await;
                assert_eq!(answer.expect("the gateway lives").status, 204);
                let ended = Instant::now();
                let fates = doors.iter().map(|door| watch(door, &token, ended, POLL, lasting));
                futures_util::future::join_all(fates).await
            });
        }
        watched.join_all().await.concat()
    }

    fn doors(&self) -> Vec<Door> {
        self.fleet.gateways.iter().map(Door::of).collect()
    }
}

/// The times after which ended tokens were first refused, in their order.
fn refusals(fates: &[Fate]) -> Vec<Duration> {
    let mut times: Vec<_> = fates.iter().filter_map(|fate| fate.refused).collect();
    times.sort_unstable();
    times
}

#[tokio::test]
async fn f21_a_logout_is_true_at_all_gateways_within_two_seconds_and_for_good() {
    let scene = Scene::set(rounds(60, 1_000)).await;
    let lasting = rounds(Duration::from_secs(4), Duration::from_secs(60));
    let fates = scene.log_out_all(&scene.doors(), lasting).await;
    let wrong: Vec<_> = fates.iter().filter_map(Fate::complaint).collect();
    assert!(wrong.is_empty(), "{wrong:#?}");
    for door in scene.doors() {
        assert_eq!(door.check(&scene.kept).await, Said::Good, "it has not ended");
    }
    let times = refusals(&fates);
    println!("refused after {:?}, 99 % within {:?}", times[times.len() / 2], times[times.len() * 99 / 100]);
    // Each gateway is asked every 50 ms only.
    let bound = Duration::from_millis(100) + POLL;
    assert!(times[times.len() * 99 / 100] <= bound, "{:?}", &times[times.len() * 9 / 10..]);
}

#[tokio::test]
async fn f21_a_logout_is_true_also_while_as_many_log_in_as_can() {
    let scene = Scene::set(rounds(60, 1_000)).await;
    let ports: Vec<_> = scene.fleet.gateways.iter().map(|gateway| gateway.port).collect();
    let lasting = rounds(Duration::from_secs(4), Duration::from_secs(60));
    let under_way =
        Duration::from_secs(1) * u32::try_from(scene.ending.len()).unwrap() / PER_SECOND + lasting;
    let form = format!("username={}&password={PASSWORD}", EMAIL.replace('@', "%40"));
    let login = [request("POST", "/auth/jwt/login", "", &form)];
    let crowd = Client::new(&ports);
    let doors = scene.doors();
    let crowd = repeat(&crowd, &login, 200, under_way);
    let (logins, fates) = tokio::join!(crowd, scene.log_out_all(&doors, lasting));
    let wrong: Vec<_> = fates.iter().filter_map(Fate::complaint).collect();
    assert!(wrong.is_empty(), "{wrong:#?}");
    let count = |status| logins.iter().filter(|login| login.is(status)).count();
    println!(
        "{} logins, {} refused; logouts known after {:?} at the latest",
        count(200),
        count(503),
        refusals(&fates).last()
    );
    assert!(count(200) > 0 && count(503) > 0, "that was no flood: {} and {}", count(200), count(503));
}

#[tokio::test]
async fn f21_control_a_gateway_that_is_not_told_is_found_out() {
    let scene = Scene::set(5).await;
    let naive =
        NaiveReplica::start(Flaw::IgnoresRevocations, &scene.fleet.database, scene.fleet.identities[0].port)
            .await;
    let gateway = Process::gateway_to(naive.port, &[]);
    gateway.until_ready().await;
    until_fresh(&gateway).await;
    let fates = scene.log_out_all(&[Door::of(&gateway)], Duration::from_secs(4)).await;
    let found = fates.iter().filter_map(Fate::complaint).count();
    assert_eq!(found, 5, "{fates:#?}");
}
