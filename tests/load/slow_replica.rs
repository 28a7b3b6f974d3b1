//! One of three replicas of identity-service stands still, or is far away: the others do its work.

use std::time::Duration;

use super::traffic::Traffic;
use crate::harness::{Fleet, Plan, Sample, offer, percentile, repeat, rounds};

/// How many reads there are a second, and how many clients log in.
const READS: f64 = 50.0;
const CLIENTS: usize = 4;
/// For how long nothing is wrong yet.
const LEAD: Duration = Duration::from_secs(1);
/// Within which time a replica that stands still is left out.
const EJECTED: Duration = Duration::from_secs(3);
/// How long reads may take: all but one of a hundred, and each.
const READ: Duration = Duration::from_secs(1);
const READ_DEADLINE: Duration = Duration::from_millis(2_200);
/// How long a login may take.
const LOGIN_DEADLINE: Duration = Duration::from_millis(5_200);

/// What clients saw.
struct Seen {
    reads: Vec<Sample>,
    logins: Vec<Sample>,
}

impl Seen {
    /// What is not as it must be when a replica became slow after [`LEAD`]. A login that it was computing then is lost;
    /// `EJECTED` later nobody is sent to it any more.
    fn complaints(&self) -> Vec<String> {
        let mut complaints = Vec::new();
        let mut complain = |is_well: bool, otherwise: String| {
            if !is_well {
                complaints.push(otherwise);
            }
        };
        let unserved: Vec<_> = self.reads.iter().filter(|read| !read.is(200)).collect();
        complain(
            unserved.is_empty(),
            format!("reads: {} are not served: {:?}", unserved.len(), unserved.first()),
        );
        let slowest = percentile(99, &self.reads);
        complain(slowest <= READ, format!("reads: the p99 is {slowest:?}"));
        for (samples, deadline) in [(&self.reads, READ_DEADLINE), (&self.logins, LOGIN_DEADLINE)] {
            let late = samples.iter().find(|sample| sample.took > deadline);
            complain(late.is_none(), format!("deadline: {late:?}"));
        }
        let astray = self.logins.iter().find(|login| login.due > LEAD + EJECTED && !login.is(200));
        complain(astray.is_none(), format!("ejection: {astray:?}"));
        complaints
    }

    fn summary(&self) -> String {
        let failed = self.logins.iter().filter(|login| !login.is(200)).count();
        let (half, most) = (percentile(50, &self.reads), percentile(99, &self.reads));
        let count = self.logins.len();
        format!("{} reads: p50 {half:?}, p99 {most:?}; of {count} logins {failed} failed", self.reads.len())
    }
}

/// Three replicas behind a gateway, each over a link, and users; or so many.
async fn fleet(identities: usize) -> (Fleet, Traffic) {
    let plan = Plan { identities, gateways: 1, grpc_links: true, ..Plan::default() };
    let fleet = Fleet::start(plan).await;
    let traffic = Traffic::to(&[fleet.gateways[0].port]).await;
    (fleet, traffic)
}

/// Does something after [`LEAD`], while clients read and log in, and undoes it after `lasting`.
async fn meanwhile(traffic: &Traffic, lasting: Duration, begin: impl FnOnce(), end: impl FnOnce()) -> Seen {
    let trouble = async {
        tokio::time::sleep(LEAD).await;
        begin();
        tokio::time::sleep(lasting).await;
        end();
    };
    let (reads, logins, ()) = tokio::join!(
        offer(&traffic.client, &traffic.read, READS, LEAD + lasting),
        repeat(&traffic.client, &traffic.login, CLIENTS, LEAD + lasting),
        trouble,
    );
    Seen { reads, logins }
}

#[tokio::test]
async fn f38_a_replica_that_stands_still_is_left_out_within_three_seconds() {
    let (fleet, traffic) = fleet(3).await;
    for number in 0..rounds(1, 3) {
        let replica = &fleet.identities[number];
        let lasting = rounds(Duration::from_secs(6), Duration::from_secs(20));
        let seen = meanwhile(&traffic, lasting, || replica.signal("STOP"), || replica.signal("CONT")).await;
        println!("{}", seen.summary());
        assert!(seen.complaints().is_empty(), "{:#?}\n{}", seen.complaints(), seen.summary());
        fleet.until_ready().await;
    }
}

#[tokio::test]
async fn f38_a_replica_that_is_far_away_slows_nobody_down() {
    let (fleet, traffic) = fleet(3).await;
    for number in 0..rounds(1, 3) {
        let link = &fleet.grpc_links[0][number];
        let lasting = rounds(Duration::from_secs(6), Duration::from_secs(20));
        let (far, near) = (Duration::from_millis(400), Duration::ZERO);
        let seen = meanwhile(&traffic, lasting, || link.delay(far, near), || link.delay(near, near)).await;
        println!("{}", seen.summary());
        assert!(seen.complaints().is_empty(), "{:#?}\n{}", seen.complaints(), seen.summary());
        let failed = seen.logins.iter().find(|login| !login.is(200));
        assert!(failed.is_none(), "it is slow, not dead: {failed:?}");
    }
}

#[tokio::test]
async fn f38_control_a_gateway_that_has_only_the_replica_that_stands_still_is_found_out() {
    let (fleet, traffic) = fleet(1).await;
    let replica = &fleet.identities[0];
    let lasting = Duration::from_secs(5);
    let seen = meanwhile(&traffic, lasting, || replica.signal("STOP"), || replica.signal("CONT")).await;
    let complaints = seen.complaints();
    for about in ["reads: ", "ejection: "] {
        let said = complaints.iter().any(|complaint| complaint.starts_with(about));
        assert!(said, "nothing is said of {about}: {complaints:#?}\n{}", seen.summary());
    }
}
