//! F10: a server that was the right one, and is no longer: the services must find its successor and write to no other.

use std::time::{Duration, Instant};

use tokio_postgres::{Client, NoTls};

use crate::harness::{
    Ask, Cluster, Crowd, Database, Http, PASSWORD, Persona, Process, Seen, Standby, rounds,
};

use super::{EMAIL, tally, until_well};

/// How soon after the promotion writes must work again.
const SWITCH: Duration = Duration::from_secs(5);
const CROWD: [Ask; 8] =
    [Ask::Me, Ask::Me, Ask::Change, Ask::Change, Ask::LogIn, Ask::Register, Ask::Register, Ask::Register];

/// An identity-service and a gateway with somebody who asks.
struct Services {
    persona: Persona,
    gateway: Process,
    identity: Process,
}

impl Services {
    async fn start(url: &str) -> Self {
        let identity = Process::identity(url, &[]);
        let gateway = Process::gateway(&identity, &[]);
        gateway.until_ready().await;
        let http = Http::new(gateway.port);
        assert_eq!(http.register(EMAIL, PASSWORD).await.status, 201);
        let token = http.token(EMAIL, PASSWORD).await;
        Self { persona: Persona { email: EMAIL.to_owned(), token, forged: String::new() }, gateway, identity }
    }

    fn crowd(&self) -> Crowd {
        Crowd::at(&[self.gateway.port], &self.persona, &CROWD)
    }

    /// Waits until a registration works, and fails long after it should.
    async fn until_written(&self) {
        let http = Http::new(self.gateway.port);
        let written = async || self.persona.ask(&http, Ask::Register).await.status == 201;
        self.identity.until("writing", 4 * SWITCH, written).await;
    }
}

async fn connect(url: &str) -> Client {
    let (client, connection) = tokio_postgres::connect(url, NoTls).await.unwrap();
    tokio::spawn(connection);
    client
}

async fn number(client: &Client, sql: &str) -> i64 {
    client.query_one(sql, &[]).await.unwrap().get(0)
}

/// Waits until the standby has all that the primary will ever have.
async fn until_caught_up(primary: &Client, standby: &Client) {
    let started = Instant::now();
    let writing = "SELECT count(*) FROM pg_stat_activity WHERE backend_xid IS NOT NULL";
    while number(primary, writing).await > 0 {
        assert!(started.elapsed() < Duration::from_secs(10), "a transaction does not end");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    let end: String = primary.query_one("SELECT pg_current_wal_lsn()::text", &[]).await.unwrap().get(0);
    let behind = format!("SELECT pg_wal_lsn_diff('{end}', pg_last_wal_replay_lsn())::bigint");
    while number(standby, &behind).await > 0 {
        assert!(started.elapsed() < Duration::from_secs(10), "the standby does not catch up");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

/// How long after a moment the first write was acknowledged that began after it.
fn first_write(seen: &[Seen], since: Instant) -> Duration {
    let is_write =
        |seen: &&Seen| matches!((seen.ask, seen.status), (Ask::Register, 201) | (Ask::Change, 200));
    let writes = seen.iter().filter(is_write).filter(|seen| seen.began >= since);
    writes.map(|seen| seen.began + seen.took - since).min().expect("something was written")
}

/// Who was registered, and is not at this server.
async fn lost(seen: &[Seen], server: &str) -> Vec<String> {
    let rows = connect(server).await.query("SELECT email FROM users", &[]).await.unwrap();
    let there: Vec<String> = rows.iter().map(|row| row.get(0)).collect();
    let acked = seen.iter().filter(|seen| (seen.ask, seen.status) == (Ask::Register, 201));
    acked.map(|seen| seen.email.clone()).filter(|email| !there.contains(email)).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn f10_after_a_switch_that_closes_no_connection_the_old_primary_gets_nothing_and_the_new_one_all() {
    for _ in 0..rounds(1, 5) {
        let (cluster, url) = Cluster::start();
        let standby = Standby::of(&cluster);
        let database = Database::create_in(&url, "").await;
        let services = Services::start(&standby.beside_primary(&database.url)).await;
        let new = standby.instead_of_primary(&database.url);
        let (old, following) = (connect(&cluster.superuser_url()).await, connect(&new).await);
        let crowd = services.crowd();
        tokio::time::sleep(Duration::from_secs(1)).await;

        // Demoted as an operator does who must not break its readers: connections stay, new transactions only read.
        old.batch_execute("ALTER SYSTEM SET default_transaction_read_only = on").await.unwrap();
        old.batch_execute("SELECT pg_reload_conf()").await.unwrap();
        tokio::time::sleep(Duration::from_millis(300)).await;
        until_caught_up(&old, &following).await;
        let before = database.number("SELECT count(*) FROM users").await;
        standby.promote();
        let promoted = Instant::now();
        services.until_written().await;
        let written = Instant::now();
        tokio::time::sleep(Duration::from_secs(1)).await;
        let seen = crowd.end().await;

        let took = first_write(&seen, promoted);
        let after: Vec<_> = seen.iter().filter(|seen| seen.began > written).cloned().collect();
        println!("written again after {took:?}; {}; then {}", tally(&seen), tally(&after));
        assert_eq!(database.number("SELECT count(*) FROM users").await, before, "the old one was written to");
        assert_eq!(lost(&seen, &new).await, Vec::<String>::new());
        assert!(took <= SWITCH, "{took:?}");
        assert!(
            after.len() > 8 && after.iter().all(|seen| [200, 201].contains(&seen.status)),
            "{}",
            tally(&after)
        );
        let left = "SELECT count(*) FROM pg_stat_activity WHERE application_name = 'identity-service'";
        assert_eq!(number(&old, left).await, 0, "connections to the old one are left");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn f10_a_first_host_that_hangs_does_not_hide_the_second() {
    let (cluster, url) = Cluster::start();
    let standby = Standby::of(&cluster);
    let database = Database::create_in(&url, "").await;
    let services = Services::start(&standby.beside_primary(&database.url)).await;
    let new = standby.instead_of_primary(&database.url);
    until_caught_up(&connect(&cluster.superuser_url()).await, &connect(&new).await).await;
    let crowd = services.crowd();
    let hanging = cluster.hang();
    standby.promote();
    let promoted = Instant::now();
    services.until_written().await;
    // So that the crowd, too, has written.
    tokio::time::sleep(Duration::from_secs(1)).await;
    let seen = crowd.end().await;
    let took = first_write(&seen, promoted);
    // Reads too, over whichever connection.
    let asks = [Ask::Me, Ask::Change, Ask::LogIn, Ask::Me, Ask::Me];
    let http = Http::new(services.gateway.port);
    until_well(&services.identity, &http, &services.persona, &asks, SWITCH).await;
    println!("written again after {took:?}; {}", tally(&seen));
    // Two pings of a second each must be missed before the silent one is left.
    assert!(took <= SWITCH + Duration::from_secs(2), "{took:?}");
    drop(hanging);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn f10_a_server_that_cannot_be_written_to_is_waited_for() {
    let (cluster, url) = Cluster::start();
    let standby = Standby::of(&cluster);
    let database = Database::create_in(&url, "").await;
    let only = standby.instead_of_primary(&database.url);
    until_caught_up(
        &connect(&cluster.superuser_url()).await,
        &connect(&standby.instead_of_primary(&url)).await,
    )
    .await;
    for url in [format!("{only}?target_session_attrs=read-write"), only] {
        let mut identity = Process::identity(&url, &[]);
        assert!(identity.wait(Duration::from_secs(3)).await.is_none(), "{}", identity.log());
        assert!(identity.log().contains("waiting for the database"), "{}", identity.log());
        if url.ends_with("read-write") {
            continue;
        }
        standby.promote();
        identity.until_serving().await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn f10_control_an_old_primary_that_nobody_has_demoted_is_seen_to_take_what_the_new_one_lacks() {
    let (cluster, url) = Cluster::start();
    let standby = Standby::of(&cluster);
    let database = Database::create_in(&url, "").await;
    let services = Services::start(&database.url).await;
    let new = standby.instead_of_primary(&database.url);
    until_caught_up(&connect(&cluster.superuser_url()).await, &connect(&new).await).await;
    standby.promote();
    let seen = [services.persona.ask(&Http::new(services.gateway.port), Ask::Register).await];
    assert_eq!(seen[0].status, 201);
    assert_eq!(lost(&seen, &new).await, [seen[0].email.clone()]);
}
