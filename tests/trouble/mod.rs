//! A database in trouble (the catalogue's F08, F10, F12, F13 and F15), one that is spoken to over TLS, and one behind a
//! pooler.

mod commit;
mod crowded;
mod exhausted;
mod hang;
mod lock;
mod pooler;
mod role;
mod tls;

use std::time::{Duration, Instant};

use serde_json::json;

use crate::harness::{Ask, Cluster, Database, Forge, Http, Persona, Process, Seen, Stack};

const EMAIL: &str = "king.arthur@camelot.bt";
/// The most connections of a pool, by default.
const POOL: i64 = 8;
/// The most of a service: beside its pool it has one for point reads, and one that hears of revocations.
const CONNECTIONS_OF_ONE: i64 = POOL + 2;
/// The most of both services.
const CONNECTIONS: i64 = 2 * CONNECTIONS_OF_ONE;

/// A gateway and two of identity-service before a cluster of their own, and somebody who asks.
struct Scene {
    persona: Persona,
    stack: Stack,
    second: Process,
    cluster: Cluster,
}

impl Scene {
    async fn set() -> Self {
        let (cluster, url) = Cluster::start();
        let database = Database::create_in(&url, "").await;
        let (identity, second) =
            (Process::identity(&database.url, &[]), Process::identity(&database.url, &[]));
        identity.until_serving().await;
        second.until_serving().await;
        let both = format!("http://127.0.0.1:{},http://127.0.0.1:{}", identity.port, second.port);
        let gateway = Process::gateway(&identity, &[("IDENTITY_SERVICE_URL", &both)]);
        gateway.until_ready().await;
        let stack = Stack { gateway, identity, database };
        let persona = persona(&stack).await;
        Self { persona, stack, second, cluster }
    }

    fn processes(&self) -> [&Process; 3] {
        [&self.stack.gateway, &self.stack.identity, &self.second]
    }

    fn http(&self) -> Http {
        self.stack.http()
    }
}

/// Registers somebody and makes him ask.
async fn persona(stack: &Stack) -> Persona {
    let (_, token) = stack.user(EMAIL).await;
    let thief = Forge::with_the_real_key(&stack.database).await.with_another_key();
    Persona { email: EMAIL.to_owned(), forged: thief.with_claims(&token, json!({})), token }
}

/// Waits until each of these is answered as it should be, and fails after `limit`; how long that took.
async fn until_well(
    process: &Process,
    http: &Http,
    persona: &Persona,
    asks: &[Ask],
    limit: Duration,
) -> Duration {
    let started = Instant::now();
    let well = async || {
        for ask in asks {
            if !persona.ask(http, *ask).await.succeeded() {
                return false;
            }
        }
        true
    };
    process.until("well", limit, well).await;
    started.elapsed()
}

/// What must hold after any trouble: whoever was told that he is registered is, no transaction is left open, and the
/// service has no more connections than it may.
async fn assert_nothing_is_lost(database: &Database, seen: &[Seen]) {
    let emails: Vec<_> = database.rows("SELECT email FROM users", &[]).await;
    let emails: Vec<String> = emails.iter().map(|row| row.get(0)).collect();
    let acked: Vec<_> = seen.iter().filter(|seen| (seen.ask, seen.status) == (Ask::Register, 201)).collect();
    let lost: Vec<_> = acked.iter().filter(|seen| !emails.contains(&seen.email)).collect();
    assert!(lost.is_empty(), "{} of {} registrations are lost: {lost:?}", lost.len(), acked.len());
    let ours =
        "FROM pg_stat_activity WHERE application_name = 'identity-service' AND datname = current_database()";
    let open = format!(
        "SELECT count(*) {ours} AND state LIKE 'idle in transaction%' AND state_change < now() - interval '1 s'"
    );
    assert_eq!(database.number(&open).await, 0, "transactions are left open");
    let connections = database.number(&format!("SELECT count(*) {ours}")).await;
    assert!(connections <= CONNECTIONS, "{connections} connections");
}

/// How many of these requests had which status, for a message.
fn tally(seen: &[Seen]) -> String {
    let mut counts = std::collections::BTreeMap::<(String, u16), usize>::new();
    for one in seen {
        *counts.entry((format!("{:?}", one.ask), one.status)).or_default() += 1;
    }
    let counts = counts.into_iter().map(|((ask, status), count)| format!("{ask} {status}: {count}"));
    counts.collect::<Vec<_>>().join(", ")
}
