//! identity-service owns users, credentials, sessions and signing keys in Postgres, and speaks gRPC.
//!
//! A slice is a folder: `grpc.rs` only translates, `mod.rs` acts, `model.rs` is the pure domain, `store.rs` has the
//! SQL.
//!
//! - [`config`], [`telemetry`], [`database`]: what a process needs before it does anything
//! - [`ids`]: one type of id an entity; [`secret`]: what tokens are made of
//! - [`error`]: why an action fails; [`status`]: what a caller is told of it; [`page`]: which part of a list he wants
//! - [`users`]: register, read, update, delete, list
//! - [`credentials`]: the rules for passwords, how they are stored, who hashes them
//! - [`sessions`]: log in, refresh, log out, and when each session was last seen
//! - [`recovery`]: a new password, and the proof of an e-mail address, by a token in a mail; [`mail`]: the outbox,
//!   and who sends what is in it
//! - [`trust`]: the signing keys and those that replicas share, who is believed, and the feed that tells verifiers which
//!   tokens have ended
//! - [`server`]: all of it behind one port
//! - [`commands`]: the command line

pub mod config;
pub mod telemetry;

pub mod database;
pub mod error;
pub mod ids;
pub mod page;
pub mod secret;
pub mod status;

pub mod credentials;
pub mod mail;
pub mod recovery;
pub mod sessions;
pub mod trust;
pub mod users;

pub mod server;

pub mod commands;
mod schema;

use std::sync::Arc;
use std::time::Duration;

use tokio::net::TcpSocket;
use tracing::{info, warn};

use config::{Config, CredentialsConfig, Migrations};
use credentials::Hasher;
use database::Database;
use error::{Error, Result};
use mail::Sending;
use recovery::Recovery;
use recovery::clerk::Clerk;
use sessions::Sessions;
use sessions::last_seen::LastSeen;
use trust::{Feed, Trust};
use users::Users;

/// How long to wait before the database is tried again at start.
const RETRY: Duration = Duration::from_millis(500);
/// How long mails that are being sent may take once all calls are answered.
const LAST_MAILS: Duration = Duration::from_secs(5);
/// How many connections may wait to be accepted.
const BACKLOG: u32 = 1024;

/// Everything that a running process has.
pub struct App {
    /// The database.
    pub database: Database,
    /// The signing keys.
    pub trust: Arc<Trust>,
    /// What tells verifiers which tokens have ended.
    pub feed: Feed,
    /// The users.
    pub users: Users,
    /// The sessions.
    pub sessions: Sessions,
    /// When each session was last seen.
    pub last_seen: LastSeen,
    /// What users prove by mailed tokens; none where no mail is sent.
    pub recovery: Option<Recovery>,
    /// Who sends the mails; nobody where none is sent.
    pub sending: Option<Sending>,
}

/// Prepares the database, and serves the gRPC API until `shutdown`, and after it for the configured delay, which `hurry` ends.
/// `socket` is bound, and listens only once there is
/// something to answer with: until then a caller is refused at once instead of waiting.
///
/// # Errors
/// [`Error::Internal`] when the database holds what this configuration cannot use, or the socket fails. A database
/// that is not there is waited for.
pub async fn serve(
    config: Config,
    socket: TcpSocket,
    shutdown: impl Future<Output = ()> + Send + 'static,
    hurry: impl Future<Output = ()> + Send + 'static,
) -> Result<()> {
    let mut shutdown = Box::pin(shutdown);
    let delay = config.shutdown_delay;
    let wait = async move {
        info!(seconds = delay.as_secs(), "not serving: told to stop; whoever calls nevertheless is answered");
        tokio::time::sleep(delay).await;
    };
    // In this order: whoever has read that may hurry us.
    let hurried = async move {
        tokio::select! { biased; () = hurry => {}, () = wait => {} }
    };
    let mut app = tokio::select! {
        app = start(config) => app?,
        () = &mut shutdown => return Ok(()),
    };
    let listener = socket.listen(BACKLOG).map_err(|error| Error::Internal(error.into()))?;
    info!("ready");
    let sending = app.sending.take();
    let served = server::run(app, listener, shutdown, hurried).await;
    if let Some(sending) = sending {
        sending.stop(LAST_MAILS).await;
    }
    served.map_err(|error| Error::Internal(error.into()))
}

async fn start(config: Config) -> Result<App> {
    let database = Database::new(config.database.servers, config.database.pool_size);
    match config.migrations {
        Migrations::Apply => until_available(|| migrate(&database)).await?,
        Migrations::Wait => {
            until_available(|| database.refuse_transaction_pooler()).await?;
            until_migrated(&database).await?;
        }
    }
    let kek = Arc::new(config.key_encryption_key);
    let load = || Trust::load(&database, Arc::clone(&kek), &config.issuer, config.key_rotation);
    let trust = Arc::new(until_available(load).await?);
    let CredentialsConfig { peppers, bcrypt_cost, hash_threads, rules } = config.credentials;
    let peppers = until_available(|| credentials::register_peppers(&database, &peppers)).await?;
    let hasher = Arc::new(Hasher::start(peppers, bcrypt_cost, hash_threads)?);
    let feed = Feed::new(database.clone());
    tokio::spawn(feed.clone().run(Arc::clone(&trust)));
    let (recovery, sending) = config
        .mail
        .map(|mail| {
            let languages = mail.languages();
            let clerk = Clerk {
                database: database.clone(),
                kek: Arc::clone(&kek),
                lifetimes: config.recovery_lifetimes,
                per_hour: mail.per_hour,
            };
            tokio::spawn(clerk.run());
            let sending = mail::start(database.clone(), Arc::clone(&kek), mail);
            let (hasher, feed, kek) = (hasher.clone(), feed.clone(), Arc::clone(&kek));
            (Recovery::new(database.clone(), hasher, feed, rules, kek, languages), sending)
        })
        .unzip();
    let (lifetimes, verification) = (config.lifetimes, config.verification);
    let (own_fields, users_feed) = (config.own_fields, feed.clone());
    let users = Users::new(database.clone(), hasher.clone(), users_feed, rules, own_fields, verification);
    let sessions =
        Sessions::new(database.clone(), hasher, trust.clone(), feed.clone(), lifetimes, verification);
    let last_seen = LastSeen::start(database.clone());
    Ok(App { database, trust, feed, users, sessions, last_seen, recovery, sending })
}

async fn migrate(database: &Database) -> Result<()> {
    for migration in database.migrate().await? {
        info!(migration, "migrated");
    }
    Ok(())
}

/// Waits until somebody else has brought the database up to date.
async fn until_migrated(database: &Database) -> Result<()> {
    let mut missing = Vec::new();
    loop {
        let lacks = until_available(|| database.missing_migrations()).await?;
        if lacks.is_empty() {
            return Ok(());
        }
        if lacks != missing {
            warn!(migrations = ?lacks, "waiting for `identity-service migrate`: the database lacks migrations");
            missing = lacks;
        }
        tokio::time::sleep(RETRY).await;
    }
}

/// Tries again until the database can be asked; what it then answers counts.
async fn until_available<T, F: Future<Output = Result<T>>>(action: impl Fn() -> F) -> Result<T> {
    loop {
        match action().await {
            Err(Error::DatabaseUnavailable(cause) | Error::OutcomeUnknown(cause)) => {
                warn!(%cause, "waiting for the database");
                tokio::time::sleep(RETRY).await;
            }
            outcome => return outcome,
        }
    }
}
