//! F25: a gateway that is not told, or too late, knows that it does not know. Then it asks, and believes nothing if it
//! cannot.

use std::time::{Duration, Instant};

use super::{Door, EMAIL, LAW, Said, until_fresh};
use crate::harness::{
    Client, Cluster, Database, Flaw, Fleet, Link, NaiveReplica, PASSWORD, Plan, Process, further_sessions,
    request, rounds,
};

/// How soon after all is well again a gateway knows it.
const HEALING: Duration = Duration::from_secs(3);
const POLL: Duration = Duration::from_millis(20);

/// A fleet of which the first gateway is to be cut off, and somebody who is logged in twice.
struct Scene {
    fleet: Fleet,
    good: String,
    ending: String,
}

impl Scene {
    async fn set(database: Database, plan: Plan<'_>) -> Self {
        let fleet = Fleet::over(database, plan).await;
        let http = &fleet.clients()[1];
        assert_eq!(http.register(EMAIL, PASSWORD).await.status, 201);
        let good = http.token(EMAIL, PASSWORD).await;
        let ending = further_sessions(&fleet.database, &good, 1).await.remove(0);
        let scene = Self { fleet, good, ending };
        for token in [&scene.good, &scene.ending] {
            assert_eq!(scene.door().check(token).await, Said::Good);
        }
        scene
    }

    async fn with_links() -> Self {
        Self::set(Database::create().await, Plan { grpc_links: true, ..Plan::default() }).await
    }

    fn door(&self) -> Door {
        Door::of(&self.fleet.gateways[0])
    }

    /// Logs out through the gateway that is not cut off.
    async fn log_out(&self) {
        let other = Client::new(&[self.fleet.gateways[1].port]);
        let answer = other.send(&request("POST", "/auth/jwt/logout", &self.ending, "")).await;
        assert_eq!(answer.unwrap().status, 204);
    }

    /// What is wrong with what a door says of both tokens, from the moment at which it was cut off, for so long: nothing
    /// may be believed that nobody can know.
    async fn complaints(&self, door: &Door, cut_off: Instant, lasting: Duration) -> Vec<String> {
        let mut complaints = Vec::new();
        while cut_off.elapsed() < lasting {
            for (name, token) in [("good", &self.good), ("ended", &self.ending)] {
                let asked = cut_off.elapsed();
                let said = door.check(token).await;
                if asked > LAW && said == Said::Good {
                    complaints.push(format!("the {name} token is believed {asked:?} after the cut"));
                }
                if name == "good" && said == Said::Refused {
                    complaints.push(format!("the good token is refused {asked:?} after the cut"));
                }
            }
            tokio::time::sleep(POLL).await;
        }
        complaints
    }

    /// Fails unless the door soon knows both tokens for what they are.
    async fn heals(&self, door: &Door) {
        let healed = Instant::now();
        loop {
            let said = (door.check(&self.good).await, door.check(&self.ending).await);
            if said == (Said::Good, Said::Refused) {
                return;
            }
            assert!(healed.elapsed() < HEALING, "{said:?} is said {:?} after all is well", healed.elapsed());
            tokio::time::sleep(POLL).await;
        }
    }

    /// Does this to all links of the first gateway, and later the other thing.
    async fn play(&self, cut: impl Fn(&Link), heal: impl Fn(&Link)) {
        let links = &self.fleet.grpc_links[0];
        let cut_off = Instant::now();
        links.iter().for_each(cut);
        self.log_out().await;
        let lasting = rounds(Duration::from_secs(5), Duration::from_secs(60));
        let complaints = self.complaints(&self.door(), cut_off, lasting).await;
        assert!(complaints.is_empty(), "{complaints:#?}");
        links.iter().for_each(heal);
        self.heals(&self.door()).await;
    }
}

#[tokio::test]
async fn f25_a_gateway_whose_links_are_cut_believes_nothing_and_heals() {
    Scene::with_links().await.play(Link::close, Link::open).await;
}

#[tokio::test]
async fn f25_a_gateway_whose_links_swallow_everything_believes_nothing_and_heals() {
    Scene::with_links().await.play(Link::hold, Link::release).await;
}

#[tokio::test]
async fn f25_a_gateway_that_is_heard_and_hears_nothing_believes_nothing_and_heals() {
    Scene::with_links().await.play(Link::halve, Link::release).await;
}

#[tokio::test]
async fn f25_a_gateway_whose_links_are_late_believes_nothing_and_heals() {
    let late = Duration::from_secs(3);
    let scene = Scene::with_links().await;
    // What is under way when the link is quick again would still be late: so its connections end too.
    scene
        .play(
            |link| link.delay(late, late),
            |link| {
                link.delay(Duration::ZERO, Duration::ZERO);
                link.cut();
            },
        )
        .await;
}

#[tokio::test]
async fn f25_a_gateway_goes_on_with_the_next_replica_before_it_has_to_ask() {
    let scene = Scene::with_links().await;
    let door = scene.door();
    for (number, link) in scene.fleet.grpc_links[0].iter().enumerate().take(2) {
        // One ends, the other hangs; the third goes on.
        if number == 0 {
            link.close();
        } else {
            link.hold();
        }
        let began = Instant::now();
        while began.elapsed() < Duration::from_secs(4) {
            assert_eq!(door.check(&scene.good).await, Said::Good, "{:?} after the loss", began.elapsed());
            tokio::time::sleep(POLL).await;
        }
    }
    // It did not have to ask for that.
    let log = scene.fleet.gateways[0].log();
    assert!(!log.contains("the trust feed is unknown"), "{log}");
    scene.log_out().await;
    scene.heals(&door).await;
}

/// So late that no answer proves much, and not so late that the replica is given up.
const ALMOST_LATE: Duration = Duration::from_millis(600);

#[tokio::test]
async fn f25_what_comes_late_proves_no_more_than_it_did_when_it_was_asked_for() {
    let scene = Scene::with_links().await;
    let links = &scene.fleet.grpc_links[0];
    links.iter().for_each(|link| link.delay(Duration::ZERO, ALMOST_LATE));
    tokio::time::sleep(LAW).await;
    // What it is told now arrives only once the links are closed for good.
    let ended = Instant::now();
    scene.log_out().await;
    links.iter().for_each(|link| link.delay(Duration::ZERO, Duration::from_secs(60)));
    let complaints = scene.complaints(&scene.door(), ended, Duration::from_secs(4)).await;
    assert!(complaints.is_empty(), "{complaints:#?}");
    links.iter().for_each(|link| {
        link.delay(Duration::ZERO, Duration::ZERO);
        link.cut();
    });
    scene.heals(&scene.door()).await;
}

#[tokio::test]
async fn f25_a_stalled_database_is_unknown_and_heals() {
    let (cluster, url) = Cluster::start();
    let scene = Scene::set(Database::create_in(&url, "").await, Plan::default()).await;
    scene.log_out().await;
    let cut_off = Instant::now();
    let hang = cluster.hang();
    let complaints = scene.complaints(&scene.door(), cut_off, Duration::from_secs(6)).await;
    assert!(complaints.is_empty(), "{complaints:#?}");
    drop(hang);
    scene.heals(&scene.door()).await;
}

#[tokio::test]
async fn f25_when_only_the_feed_is_lost_identity_service_is_asked() {
    let scene = Scene::set(Database::create().await, Plan::default()).await;
    let (door, client) = (scene.door(), scene.fleet.database.connect().await);
    client.batch_execute("ALTER TABLE revocation_feeds RENAME TO gone").await.unwrap();
    tokio::time::sleep(LAW).await;
    assert!(scene.fleet.gateways[0].log().contains("the trust feed is unknown"), "it has noticed nothing");
    assert_eq!(door.check(&scene.good).await, Said::Good);
    scene.log_out().await;
    // Asked, it is told at once.
    assert_eq!(door.check(&scene.ending).await, Said::Refused);
    assert_eq!(door.check(&scene.good).await, Said::Good);
    client.batch_execute("ALTER TABLE gone RENAME TO revocation_feeds").await.unwrap();
    scene.heals(&door).await;
    let is_fresh = async || scene.fleet.gateways[0].log().matches("the trust feed is fresh").count() == 2;
    scene.fleet.gateways[0].until("fresh again", HEALING, is_fresh).await;
}

#[tokio::test]
async fn f25_control_a_replica_that_answers_without_a_look_is_found_out() {
    let (cluster, url) = Cluster::start();
    let scene = Scene::set(Database::create_in(&url, "").await, Plan::default()).await;
    let real = scene.fleet.identities[0].port;
    let naive = NaiveReplica::start(Flaw::AnswersUnread, &scene.fleet.database, real).await;
    let gateway = Process::gateway_to(naive.port, &[]);
    gateway.until_ready().await;
    until_fresh(&gateway).await;
    let cut_off = Instant::now();
    let hang = cluster.hang();
    let complaints = scene.complaints(&Door::of(&gateway), cut_off, Duration::from_secs(4)).await;
    assert!(!complaints.is_empty(), "nobody notices");
    drop(hang);
}
