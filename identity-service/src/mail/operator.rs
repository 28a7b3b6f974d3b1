//! What an operator does about mails from the command line.

use std::time::SystemTime;

use portcullis_proto::email::Email;

use super::failure::Failure;
use super::{MailConfig, store};
use crate::database::Database;
use crate::error::Result;

pub use super::model::Unsent;

/// How many mails are listed: who has more of them needs no longer list.
const LISTED: i64 = 1_000;

/// The mails that are not sent: they wait, fail, or were given up in the last week. The oldest first.
///
/// # Errors
/// [`Error::DatabaseUnavailable`](crate::error::Error::DatabaseUnavailable).
pub async fn list(database: &Database) -> Result<Vec<Unsent>> {
    database.read(async |connection| Ok(store::list_unsent(connection, LISTED).await?)).await
}

/// Sends a mail that says nothing to an address, at once and past the outbox.
///
/// # Errors
/// Why it was not taken.
pub async fn test(config: &MailConfig, address: &Email) -> Result<(), Failure> {
    config.office.test(SystemTime::now(), address.as_str()).await
}
