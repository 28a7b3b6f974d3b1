//! F12: all connections of the pool are busy, and more come than there is room for.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use crate::harness::{
    Ask, Cluster, Crowd, Database, Http, Link, Persona, Process, Seen, Stack, rounds, with_port,
};

use super::{EMAIL, POOL, persona, tally, until_well};

const CLIENTS: usize = 200;
/// How long a request waits for a connection, and what it may be off.
const WAIT: Duration = Duration::from_millis(500);
const OFF: Duration = Duration::from_millis(200);

/// One of each before a cluster of their own, and somebody who asks.
struct Scene {
    persona: Persona,
    stack: Stack,
    _cluster: Cluster,
}

impl Scene {
    async fn with(identity: &[(&str, &str)]) -> Self {
        let (cluster, url) = Cluster::start();
        let stack = Stack::over(Database::create_in(&url, "").await, identity, &[]).await;
        Self { persona: persona(&stack).await, stack, _cluster: cluster }
    }

    fn http(&self) -> Http {
        self.stack.http()
    }
}

/// What one round showed.
struct Round {
    /// The requests of the crowd.
    crowd: Vec<Seen>,
    /// The slowest answer about health meanwhile.
    health: Duration,
    /// How soon after the release all was well.
    recovery: Duration,
}

/// As many clients, each with a connection that is open already.
async fn clients(port: u16, number: usize) -> Vec<Http> {
    let open = (0..number).map(|_| async move {
        let http = Http::new(port);
        assert_eq!(http.bare("GET", "/health/live", "").await.status, 200);
        http
    });
    futures_util::future::join_all(open).await
}

/// All at once.
async fn ask_together(clients: &[Http], persona: &Persona, ask: Ask) -> Vec<Seen> {
    let asks = clients.iter().map(|http| {
        let (http, persona) = (http.clone(), persona.clone());
        tokio::spawn(async move { persona.ask(&http, ask).await })
    });
    let asks: Vec<_> = asks.collect();
    let mut seen = Vec::new();
    for ask in asks {
        seen.push(ask.await.unwrap());
    }
    seen
}

/// Opens all connections of the pool: what opens one after the other would not be held at the same time.
async fn open_the_pool(scene: &Scene) {
    let started = Instant::now();
    let ours = "SELECT count(*) FROM pg_stat_activity WHERE application_name = 'identity-service'";
    while scene.stack.database.number(ours).await <= POOL {
        assert!(started.elapsed() < Duration::from_secs(20), "the pool is never full");
        let clients: Vec<_> = (0..3 * POOL).map(|_| scene.http()).collect();
        ask_together(&clients, &scene.persona, Ask::Change).await;
    }
}

/// How many of the service's transactions wait for a lock.
async fn waiting(client: &tokio_postgres::Client) -> i64 {
    let sql = "SELECT count(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND datname = current_database()";
    client.query_one(sql, &[]).await.unwrap().get(0)
}

/// Holds so many connections of the pool by a locked row, and sends the crowd.
async fn play(scene: &Scene, clients: &[Http]) -> Round {
    open_the_pool(scene).await;
    let (database, gateway) = (&scene.stack.database, &scene.stack.gateway);
    let (blocker, observer) = (database.connect().await, database.connect().await);
    blocker.batch_execute("BEGIN").await.unwrap();
    blocker.query("SELECT FROM users WHERE email_canonical = $1 FOR UPDATE", &[&EMAIL]).await.unwrap();
    let holders = (0..POOL).map(|_| {
        let (persona, http) = (scene.persona.clone(), scene.http());
        tokio::spawn(async move { persona.ask(&http, Ask::Change).await })
    });
    let holders: Vec<_> = holders.collect();
    gateway
        .until("waiting for locks", Duration::from_secs(1), async || waiting(&observer).await >= POOL)
        .await;

    let over = Arc::new(AtomicBool::new(false));
    let health = tokio::spawn(watch_health(scene.http(), Arc::clone(&over)));
    let crowd = ask_together(clients, &scene.persona, Ask::Change).await;
    over.store(true, Ordering::Relaxed);
    let health = health.await.unwrap();

    let released = Instant::now();
    blocker.batch_execute("ROLLBACK").await.unwrap();
    until_well(gateway, &scene.http(), &scene.persona, &[Ask::Me, Ask::Change], Duration::from_secs(5)).await;
    let recovery = released.elapsed();
    for holder in holders {
        // Refused once it had waited for the lock for a second, or in luck.
        let seen = holder.await.unwrap();
        assert!([200, 503].contains(&seen.status), "{seen:?}");
    }
    Round { crowd, health, recovery }
}

/// The slowest answer about health until `over`.
async fn watch_health(http: Http, over: Arc<AtomicBool>) -> Duration {
    let mut slowest = Duration::ZERO;
    while !over.load(Ordering::Relaxed) {
        let live = http.bare("GET", "/health/live", "").await;
        assert_eq!(live.status, 200, "{live:?}");
        let ready = http.bare("GET", "/health/ready", "").await;
        slowest = slowest.max(live.took).max(ready.took);
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    slowest
}

/// What is wrong with the answers of a crowd that met a full pool, when as many answers take `overhead` by themselves.
/// Each connection that a holder gives back before the crowd has gone is given to one of them, who waits for the lock as
/// the holder did.
fn faults(crowd: &[Seen], overhead: Duration) -> Vec<&Seen> {
    let bounds = WAIT - OFF..=WAIT + OFF + overhead;
    let untimely = crowd.iter().filter(|seen| seen.status != 503 || !bounds.contains(&seen.took));
    let is_successor = |seen: &&Seen| [503, 504].contains(&seen.status) && seen.took > *bounds.end();
    let (successors, mut faults): (Vec<_>, Vec<_>) = untimely.partition(is_successor);
    if successors.len() > usize::try_from(POOL).unwrap() {
        faults.extend(successors);
    }
    faults
}

/// How long the slowest of as many answers takes that go the same way and wait for nothing.
async fn overhead(scene: &Scene, clients: &[Http]) -> Duration {
    let seen = ask_together(clients, &scene.persona, Ask::Me).await;
    let slowest = seen.iter().map(|seen| seen.took).max().unwrap();
    slowest + rounds(Duration::from_millis(200), Duration::ZERO)
}

async fn deadlocks(database: &Database) -> i64 {
    database.number("SELECT deadlocks FROM pg_stat_database WHERE datname = current_database()").await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn f12_who_finds_every_connection_busy_is_refused_after_half_a_second_and_nobody_after_the_release() {
    let scene = Scene::with(&[]).await;
    let clients = clients(scene.stack.gateway.port, CLIENTS).await;
    for _ in 0..rounds(2, 10) {
        let overhead = overhead(&scene, &clients).await;
        let round = play(&scene, &clients).await;
        let slowest = round.crowd.iter().map(|seen| seen.took).max().unwrap();
        println!(
            "{}: slowest {slowest:?} (overhead {overhead:?}), health {:?}, well after {:?}",
            tally(&round.crowd),
            round.health,
            round.recovery
        );
        let faults = faults(&round.crowd, overhead);
        assert!(faults.is_empty(), "{} of {CLIENTS}: {faults:#?}", faults.len());
        assert!(
            round.health <= rounds(Duration::from_secs(1), Duration::from_millis(50)),
            "{:?}",
            round.health
        );
        assert!(round.recovery <= Duration::from_secs(1), "well only {:?} after the release", round.recovery);
    }
    assert_eq!(deadlocks(&scene.stack.database).await, 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn f12_a_row_that_many_wait_for_makes_nobody_think_that_the_database_is_away() {
    let scene = Scene::with(&[]).await;
    let (gateway, blocker) = (&scene.stack.gateway, scene.stack.database.connect().await);
    open_the_pool(&scene).await;
    blocker.batch_execute("BEGIN").await.unwrap();
    blocker.query("SELECT FROM users WHERE email_canonical = $1 FOR UPDATE", &[&EMAIL]).await.unwrap();
    let crowd = Crowd::at(&[gateway.port], &scene.persona, &[Ask::Change; 24]);
    let (http, started) = (scene.http(), Instant::now());
    while started.elapsed() < rounds(Duration::from_secs(6), Duration::from_secs(30)) {
        let ready = http.bare("GET", "/health/ready", "").await;
        assert_eq!(ready.status, 200, "after {:?}: {ready:?}", started.elapsed());
        let read = scene.persona.ask(&http, Ask::Me).await;
        assert!(read.succeeded(), "after {:?}: {read:?}", started.elapsed());
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    assert_eq!(waiting(&scene.stack.database.connect().await).await, POOL, "the pool was never full");
    let seen = crowd.end().await;
    assert!(seen.iter().all(|seen| seen.status == 503), "{}", tally(&seen));
    blocker.batch_execute("ROLLBACK").await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn f12_a_transaction_that_its_deadline_cuts_off_is_ended_with_its_locks() {
    let (cluster, url) = Cluster::start();
    let database = Database::create_in(&url, "").await;
    let link = Link::to(cluster.port());
    let identity = Process::identity(&with_port(&database.url, link.port), &[]);
    identity.until_serving().await;
    let gateway = Process::gateway(&identity, &[]);
    gateway.until_ready().await;
    let stack = Stack { gateway, identity, database };
    let scene = Scene { persona: persona(&stack).await, stack, _cluster: cluster };
    // Among as many others nobody would take this connection for a while, and find out.
    open_the_pool(&scene).await;
    let open = "SELECT count(*) FROM pg_stat_activity
                WHERE application_name = 'identity-service' AND state LIKE 'idle in transaction%'";
    let observer = scene.stack.database.connect().await;
    let is_open = async || observer.query_one(open, &[]).await.unwrap().get::<_, i64>(0) > 0;
    // Three answers, for the beginning, the lock and the session, take longer than the whole may.
    link.delay(Duration::ZERO, Duration::from_millis(700));
    let (http, asking) = (scene.http(), scene.persona.clone());
    let asked = tokio::spawn(async move { asking.ask(&http, Ask::Change).await });
    scene.stack.gateway.until("in a transaction", Duration::from_secs(2), is_open).await;
    let seen = asked.await.unwrap();
    assert!([503, 504].contains(&seen.status), "{seen:?}");
    // The gateway waits for two seconds; by then the transaction has begun later than the request, by a read.
    tokio::time::sleep(Duration::from_millis(1_000)).await;
    assert!(!is_open().await, "a second after the answer the transaction is still open");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn f12_control_a_pool_that_is_larger_than_the_crowd_is_seen_as_answers_that_wait_for_the_lock() {
    let scene = Scene::with(&[("DATABASE_POOL_SIZE", "40")]).await;
    let clients = clients(scene.stack.gateway.port, 20).await;
    let overhead = overhead(&scene, &clients).await;
    let round = play(&scene, &clients).await;
    assert!(!faults(&round.crowd, overhead).is_empty(), "{}, overhead {overhead:?}", tally(&round.crowd));
}
