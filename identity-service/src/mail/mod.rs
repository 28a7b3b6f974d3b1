//! Mail: an outbox in the database, and a worker that sends what is in it.
//!
//! A mail is written by the transaction that it is about: it is sent if that commits, and not if it does not. Any replica
//! sends it, at least once.
//!
//! - `languages`, `link`, `templates`: what mails say; `message`: how that is put
//! - `transport`: how they leave; `failure`: why they do not
//! - `office`: all of these together; `worker`: who uses them
//! - `operator`: what an operator asks

pub mod failure;
mod languages;
mod link;
mod message;
mod model;
mod office;
pub mod operator;
mod store;
mod templates;
mod transport;
mod worker;

use std::sync::Arc;
use std::time::Duration;

use aws_lc_rs::digest::{SHA256, digest};
use secrecy::ExposeSecret as _;
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio::time::timeout;
use tracing::warn;

use crate::database::{Database, Transaction};
use crate::error::Result;
use crate::ids::MailId;
use crate::trust::{KeyEncryptionKey, no_randomness};

pub use languages::Languages;
pub use link::Link;
pub use message::Sender;
pub use model::{Kind, Letter};
pub use office::Office;
pub use templates::Templates;
pub use transport::Transport;

/// How mails are made and sent. A clone is another handle of the same.
#[derive(Clone)]
pub struct MailConfig {
    /// At most how many mails with a token an address gets in an hour; `None`: as many as are asked for.
    pub per_hour: Option<u32>,
    office: Arc<Office>,
}

impl MailConfig {
    /// Of what the operator says.
    #[must_use]
    pub fn new(office: Office, per_hour: Option<u32>) -> Self {
        Self { per_hour, office: Arc::new(office) }
    }

    /// The languages that mails can be written in.
    #[must_use]
    pub fn languages(&self) -> Languages {
        self.office.languages.clone()
    }
}

/// Writes a mail into the outbox, in the transaction that it is about.
///
/// # Errors
/// [`Error::DatabaseUnavailable`](crate::error::Error::DatabaseUnavailable).
pub async fn post(connection: &mut Transaction, kek: &KeyEncryptionKey, letter: Letter) -> Result<()> {
    let id = MailId::new();
    let sealed = match &letter.token {
        None => None,
        Some(token) => {
            let token = token.expose_secret().as_bytes();
            Some(kek.seal(&id.as_uuid().to_string(), token).map_err(no_randomness)?)
        }
    };
    let address = address_digest(&letter.email_canonical);
    store::insert(connection, id, &letter, &address, sealed).await?;
    Ok(())
}

/// How many mails with tokens an address has got, or is to get, in the last hour. One that could not be sent counts too:
/// who asks again and again for mails to an address that nobody has must come to an end.
///
/// # Errors
/// [`Error::DatabaseUnavailable`](crate::error::Error::DatabaseUnavailable).
pub async fn lately(connection: &mut Transaction, email_canonical: &str) -> Result<i64> {
    Ok(store::count_lately(connection, &address_digest(email_canonical)).await?)
}

fn address_digest(email_canonical: &str) -> Vec<u8> {
    digest(&SHA256, email_canonical.as_bytes()).as_ref().to_vec()
}

/// Who sends what is in the outbox, in this process.
pub struct Sending {
    stop: watch::Sender<bool>,
    worker: JoinHandle<()>,
}

/// Sends what is in the outbox. Any replica can run one.
#[must_use]
pub fn start(database: Database, kek: Arc<KeyEncryptionKey>, config: MailConfig) -> Sending {
    let (stop, is_stopping) = watch::channel(false);
    let worker = worker::Worker::new(database, kek, config.office).run(is_stopping);
    Sending { stop, worker: tokio::spawn(worker) }
}

impl Sending {
    /// Begins no more, and waits so long for the mails that are being sent. One that takes longer is sent again by
    /// another replica.
    pub async fn stop(self, limit: Duration) {
        self.stop.send_replace(true);
        if timeout(limit, self.worker).await.is_err() {
            warn!("stopped while mails were being sent: they may be sent twice");
        }
    }
}

/// Seals all tokens that are to be mailed anew with the key-encryption key. One that does not open is left as it is: its mail
/// is given up when it expires.
///
/// # Errors
/// [`Error::DatabaseUnavailable`](crate::error::Error::DatabaseUnavailable).
pub(crate) async fn reseal(connection: &mut Transaction, kek: &KeyEncryptionKey) -> Result<()> {
    for (id, sealed) in store::lock_tokens(connection).await? {
        let name = id.to_string();
        if let Some(token) = kek.open(&name, &sealed) {
            let anew = kek.seal(&name, &token).map_err(no_randomness)?;
            store::reseal(connection, id, &anew).await?;
        }
    }
    Ok(())
}
