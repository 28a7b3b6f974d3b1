//! What every test starts from: a database of its own, and real processes in front of it.

mod authority;
mod client;
mod clock;
mod cluster;
mod crowd;
mod database;
mod doors;
mod entrance;
mod fleet;
mod forge;
mod fuzz;
mod http;
mod link;
mod load;
mod logins;
mod mailbox;
mod naive_replica;
mod names;
mod pooler;
mod process;
mod raw;
mod recovery_token;
mod refusal;
mod rpc;
mod smtp_sink;
mod standby;
mod vigil;
mod wire;

pub use authority::Authority;
pub use client::{Client, Heard, exchange_on, request};
pub use clock::Clock;
pub use cluster::Cluster;
pub use crowd::{Ask, Crowd, Persona, Seen};
pub use database::Database;
pub use doors::Doors;
pub use entrance::{
    Entrance, LOGINS, MULTIPART, URLENCODED, mail_entrances, multipart, token_entrances, urlencoded,
};
pub use fleet::{Acked, Fleet, Plan, scan, with_port};
pub use forge::{Forge, claims, jws};
pub use fuzz::{any_bytes, fuzz, lossy, nearly};
pub use http::{Answer, Http, Transport};
pub use link::{Link, Verdict};
pub use load::{Sample, Spinners, offer, percentile, rate, repeat};
pub use logins::further_sessions;
pub use mailbox::{Mail, Mailbox};
pub use naive_replica::{Flaw, NaiveReplica};
pub use names::Names;
pub use pooler::Pooler;
pub use process::{GATEWAY, IDENTITY, Process, free_port, program, programs};
pub use raw::{RawAnswer, connect, exchange, exchange_all};
pub use refusal::{CANARY, assert_is_refused, bad_addresses, items};
pub use rpc::{Rpc, outcome, with_token};
pub use smtp_sink::SmtpSink;
pub use standby::Standby;
pub use vigil::Vigil;
pub use wire::{Reply, Wire, frame, framed};

use std::path::PathBuf;

/// The password of every user that a test registers without caring.
pub const PASSWORD: &str = "guinevere";

/// How much is done, or how strictly it is judged: `short` in `tests/run`, `full` in `tests/run --full`.
pub fn rounds<T>(short: T, full: T) -> T {
    if std::env::var("PORTCULLIS_TEST_ROUNDS").is_ok_and(|rounds| rounds == "full") { full } else { short }
}

/// The folder of the repository.
pub fn repository() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).parent().expect("tests/ is in the repository").to_owned()
}

/// One identity-service and one gateway in front of a database of their own.
pub struct Stack {
    pub gateway: Process,
    pub identity: Process,
    pub database: Database,
}

impl Stack {
    /// Starts both and waits until they are ready.
    pub async fn start() -> Self {
        Self::with(&[], &[]).await
    }

    /// The same with further variables for each.
    pub async fn with(identity: &[(&str, &str)], gateway: &[(&str, &str)]) -> Self {
        Self::over(Database::create().await, identity, gateway).await
    }

    /// The same in front of this database.
    pub async fn over(database: Database, identity: &[(&str, &str)], gateway: &[(&str, &str)]) -> Self {
        let identity = Process::identity(&database.url, identity);
        identity.until_serving().await;
        let gateway = Process::gateway(&identity, gateway);
        gateway.until_ready().await;
        Self { gateway, identity, database }
    }

    /// An HTTP client of the gateway.
    pub fn http(&self) -> Http {
        Http::new(self.gateway.port)
    }

    /// What identity-service has mailed.
    pub fn mailbox(&self) -> Mailbox {
        self.identity.mailbox()
    }

    /// A gRPC client of identity-service.
    pub async fn rpc(&self) -> Rpc {
        Rpc::connect(self.identity.port).await
    }

    /// Registers a user with [`PASSWORD`]; his id.
    pub async fn register(&self, email: &str) -> String {
        let answer = self.http().register(email, PASSWORD).await;
        assert_eq!(answer.status, 201, "{answer:?}");
        answer.text("id")
    }

    /// Registers a user and logs him in; his id and his token.
    pub async fn user(&self, email: &str) -> (String, String) {
        let id = self.register(email).await;
        (id, self.http().token(email, PASSWORD).await)
    }

    /// Registers a superuser and logs him in; his id and his token.
    pub async fn superuser(&self, email: &str) -> (String, String) {
        let user = self.user(email).await;
        self.identity.command(&["user", "promote", email]).expect("promotes");
        user
    }

    /// A shell command that makes the user named by a last argument a superuser.
    pub fn promotion(&self) -> String {
        let identity = programs().join("identity-service");
        format!("env DATABASE_URL='{}' '{}' user promote", self.database.url, identity.display())
    }
}
