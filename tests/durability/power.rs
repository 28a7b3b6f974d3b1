//! F03: Postgres dies with all its processes at once, as when the power fails.

use std::time::{Duration, Instant};

use super::load::{Load, acked, assert_told_no_lie};
use super::random_time;
use crate::harness::{Acked, Cluster, Database, Fleet, PASSWORD, Plan, rounds, scan};

/// Makes every registration commit without waiting for the disk, which identity-service forbids its sessions: so a
/// trigger has to allow it to each transaction.
const CARELESS: &str = "
    CREATE FUNCTION careless() RETURNS trigger LANGUAGE plpgsql AS $$
    BEGIN PERFORM set_config('synchronous_commit', 'off', true); RETURN NEW; END $$;
    CREATE TRIGGER careless BEFORE INSERT ON users FOR EACH ROW EXECUTE FUNCTION careless()";

/// What has been committed so stays in memory for a while: but for full pages of the log, which are written out at
/// once, so that no more than must be goes there.
const CAREFREE: &str = "wal_writer_delay = 10s\nfull_page_writes = off";

/// Kills Postgres at a random moment, starts it again, and waits until a registration works.
async fn fail_and_recover(cluster: &Cluster, fleet: &Fleet) -> Acked {
    tokio::time::sleep(Duration::from_millis(300) + random_time(Duration::from_millis(1_200))).await;
    cluster.kill();
    let started = Instant::now();
    cluster.restart();
    let answers = started.elapsed();
    let http = &fleet.clients()[0];
    loop {
        let email = format!("{}@camelot.bt", uuid::Uuid::new_v4());
        let answer = http.register(&email, PASSWORD).await;
        assert!([201, 503, 504].contains(&answer.status), "{answer:?}");
        if answer.status == 201 {
            println!(
                "Postgres answers {answers:?} after the restart began, and writes work after {:?}",
                started.elapsed()
            );
            let bound = Duration::from_secs(rounds(20, 10));
            assert!(started.elapsed() < bound, "{:?}", started.elapsed());
            return Acked { id: answer.text("id"), email };
        }
        assert!(started.elapsed() < Duration::from_secs(30), "writes do not work again");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

#[tokio::test]
async fn f03_no_registration_is_lost_when_postgres_dies_and_writes_are_back_without_a_restart_of_ours() {
    let (cluster, url) = Cluster::start();
    let fleet = Fleet::over(Database::create_in(&url, "").await, Plan::default()).await;
    let load = Load::begin(&fleet);
    let mut afterwards = Vec::new();
    for _ in 0..rounds(2, 30) {
        afterwards.push(fail_and_recover(&cluster, &fleet).await);
    }
    let records = load.end();
    assert_told_no_lie(&records);
    let mut acked = acked(&records);
    println!("{} of {} registrations acknowledged", acked.len(), records.len());
    assert!(acked.len() >= rounds(5, 300), "too few to say anything: {}", acked.len());
    acked.extend(afterwards);
    fleet.invariants(&acked).await;
}

#[tokio::test]
async fn f03_control_the_same_with_commits_that_do_not_wait_for_the_disk_loses_what_was_acknowledged() {
    let (cluster, url) = Cluster::start_with(CAREFREE);
    let fleet = Fleet::over(Database::create_in(&url, "").await, Plan::default()).await;
    fleet.database.connect().await.batch_execute(CARELESS).await.unwrap();
    // A page of the log may be full, and written, just when Postgres is killed.
    for _ in 0..5 {
        let load = Load::begin(&fleet);
        fail_and_recover(&cluster, &fleet).await;
        let acked = acked(&load.end());
        fleet.until_ready().await;
        let found = scan(&fleet.database, &acked).await;
        println!("{} of {} acknowledged registrations are lost", found.len(), acked.len());
        if found.iter().any(|wrong| wrong.starts_with("lost: ")) {
            return;
        }
    }
    panic!("the scan sees nothing");
}
