//! The set-up "S3" of the catalogue: several identity-services in front of one database, several gateways in front of
//! them all, a link of ours in between where it is wanted, and what must hold after whatever happened to them.

use std::collections::HashMap;
use std::path::Path;
use std::time::{Duration, Instant};

use portcullis_proto::email::Email;

use super::{Database, Http, Link, Process, programs};

/// What a fleet consists of. By default it is what the catalogue says, without links.
pub struct Plan<'a> {
    /// How many identity-services.
    pub identities: usize,
    /// How many gateways.
    pub gateways: usize,
    /// Further variables of each identity-service.
    pub identity: &'a [(&'a str, &'a str)],
    /// Further variables of each gateway.
    pub gateway: &'a [(&'a str, &'a str)],
    /// Whether each identity-service reaches Postgres through a link of its own.
    pub database_links: bool,
    /// Whether each gateway reaches each identity-service through a link of its own.
    pub grpc_links: bool,
    /// The folder of the programs, if they are of another version.
    pub programs: Option<&'a Path>,
}

impl Default for Plan<'_> {
    fn default() -> Self {
        Self {
            identities: 3,
            gateways: 2,
            identity: &[],
            gateway: &[],
            database_links: false,
            grpc_links: false,
            programs: None,
        }
    }
}

/// A running fleet. The fields end in this order: nobody is cut off by a link that went first.
pub struct Fleet {
    pub gateways: Vec<Process>,
    pub identities: Vec<Process>,
    /// `grpc_links[gateway][identity]`, if the plan has them.
    pub grpc_links: Vec<Vec<Link>>,
    /// One an identity-service, if the plan has them.
    pub database_links: Vec<Link>,
    pub database: Database,
}

/// A write that was acknowledged: the client has read 201.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Acked {
    pub id: String,
    pub email: String,
}

impl Fleet {
    /// Starts a fleet on a database of its own, and waits until it is ready.
    pub async fn start(plan: Plan<'_>) -> Self {
        Self::over(Database::create().await, plan).await
    }

    /// The same in front of this database.
    pub async fn over(database: Database, plan: Plan<'_>) -> Self {
        let port = port_of(&database.url);
        let programs = plan.programs.map_or_else(programs, Path::to_owned);
        let links = if plan.database_links { plan.identities } else { 0 };
        let database_links: Vec<_> = (0..links).map(|_| Link::to(port)).collect();
        let identity = |number: usize| {
            let port = database_links.get(number).map_or(port, |link| link.port);
            Process::identity_from(&programs, &with_port(&database.url, port), plan.identity)
        };
        let identities: Vec<_> = (0..plan.identities).map(identity).collect();
        for identity in &identities {
            identity.until_serving().await;
        }
        let grpc_links: Vec<Vec<_>> = (0..if plan.grpc_links { plan.gateways } else { 0 })
            .map(|_| identities.iter().map(|identity| Link::to(identity.port)).collect())
            .collect();
        let gateway = |number: usize| {
            let ports: Vec<_> = match grpc_links.get(number) {
                Some(links) => links.iter().map(|link| link.port).collect(),
                None => identities.iter().map(|identity| identity.port).collect(),
            };
            let urls: Vec<_> = ports.iter().map(|port| format!("http://127.0.0.1:{port}")).collect();
            let all = urls.join(",");
            let variables = [&[("IDENTITY_SERVICE_URL", all.as_str())], plan.gateway].concat();
            Process::gateway_from(&programs, ports[0], &variables)
        };
        let gateways: Vec<_> = (0..plan.gateways).map(gateway).collect();
        let fleet = Self { gateways, identities, grpc_links, database_links, database };
        for gateway in &fleet.gateways {
            gateway.until_ready().await;
        }
        fleet
    }

    /// An HTTP client of each gateway.
    pub fn clients(&self) -> Vec<Http> {
        self.gateways.iter().map(|gateway| Http::new(gateway.port)).collect()
    }

    /// Waits until every process is ready, and fails after ten seconds.
    pub async fn until_ready(&self) {
        let started = Instant::now();
        for identity in &self.identities {
            identity.until_serving().await;
        }
        for gateway in &self.gateways {
            gateway.until_ready().await;
        }
        assert!(started.elapsed() < Duration::from_secs(10), "ready after {:?} only", started.elapsed());
    }

    /// Scan I of the catalogue: fails unless all replicas are ready again within ten seconds and [`scan`] finds
    /// nothing. To be called when no request is under way.
    pub async fn invariants(&self, acked: &[Acked]) {
        self.until_ready().await;
        let found = scan(&self.database, acked).await;
        assert!(found.is_empty(), "after all that: {found:#?}");
    }
}

/// What is wrong with a database, in words: a write that was acknowledged and is not there, two rows for one address, a
/// user without a credential, a transaction that nobody ends.
pub async fn scan(database: &Database, acked: &[Acked]) -> Vec<String> {
    let mut wrong = Vec::new();
    let users = "SELECT id::text, email, email_canonical, password_hash LIKE '$2b$%' FROM users";
    let (mut by_id, mut by_address) = (HashMap::new(), HashMap::new());
    for row in database.rows(users, &[]).await {
        let (id, email, canonical): (String, String, String) = (row.get(0), row.get(1), row.get(2));
        // By our own reading of the address, not by the index that is to be shown to work.
        let address = Email::parse(&email).map(|email| email.canonical().to_owned()).unwrap_or_default();
        if address != canonical {
            wrong.push(format!("{email} is stored as {canonical}"));
        }
        if !row.get::<_, bool>(3) {
            wrong.push(format!("{email} has no credential"));
        }
        if let Some(other) = by_address.insert(address, id.clone()) {
            wrong.push(format!("{email} belongs to {other} and to {id}"));
        }
        by_id.insert(id, canonical);
    }
    for Acked { id, email } in acked {
        let address = Email::parse(email).expect("was acknowledged").canonical().to_owned();
        if by_id.get(id) != Some(&address) {
            wrong.push(format!("lost: {email} with the id {id}"));
        }
    }
    wrong.extend(idle_in_transaction(database).await);
    wrong
}

/// The transactions that have been idle for a while.
async fn idle_in_transaction(database: &Database) -> Vec<String> {
    let sql = "SELECT query FROM pg_stat_activity WHERE datname = current_database()
               AND state LIKE 'idle in transaction%' AND state_change < clock_timestamp() - interval '300 ms'";
    // What is left open stays so for five seconds, until the server's limit; a health check is over much sooner.
    tokio::time::sleep(Duration::from_millis(400)).await;
    let idle = database.rows(sql, &[]).await;
    idle.iter().map(|row| format!("idle in a transaction: {}", row.get::<_, String>(0))).collect()
}

/// The port in the URL of a database.
fn port_of(url: &str) -> u16 {
    let (_, place) = url.rsplit_once('@').expect("a URL names a user");
    let (_, port) = place.split_once('/').and_then(|(host, _)| host.split_once(':')).expect("and a port");
    port.parse().expect("is a number")
}

/// The same URL with another port, as that of a link.
pub fn with_port(url: &str, port: u16) -> String {
    let (user, place) = url.rsplit_once('@').expect("a URL names a user");
    let (host, database) = place.split_once('/').expect("and a database");
    let (host, _) = host.split_once(':').expect("and a port");
    format!("{user}@{host}:{port}/{database}")
}
