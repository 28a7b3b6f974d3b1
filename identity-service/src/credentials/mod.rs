//! Passwords: the rules for new ones, how they are stored, with which peppers, and who computes their hashes.

mod hasher;
mod password;
mod peppers;
mod scheme;
mod store;

use futures_util::FutureExt as _;
use tracing::{info, warn};

use crate::database::{Database, Transaction};
use crate::error::{Error, Result};

pub use hasher::{Hasher, Place, Verdict};
pub use password::{Password, PasswordRule, PasswordRules};
pub use peppers::{Peppers, VersionedPeppers};
pub use scheme::{Pepper, StoredPassword};

use peppers::Recognised;

/// Finds out which version each of these peppers is, and gives the next to one that the database does not know. Processes
/// that do so at once take turns, and so agree; of those that start first of all with different peppers, one wins.
///
/// # Errors
/// [`Error::DatabaseUnavailable`], [`Error::OutcomeUnknown`], and [`Error::Internal`] when passwords were hashed, and with
/// none of these peppers, so that nobody could log in: then nothing has been changed.
pub async fn register_peppers(database: &Database, peppers: &Peppers) -> Result<VersionedPeppers> {
    let given = peppers.clone();
    let Recognised { peppers, missing, .. } =
        database.transaction(move |connection| register(connection, given).boxed()).await?;
    info!(versions = ?peppers.versions(), "new passwords are hashed with the first of these peppers");
    if missing > 0 {
        warn!(
            missing,
            "peppers that passwords were hashed with are not given: who still has one cannot log in"
        );
    }
    Ok(peppers)
}

async fn register(connection: &mut Transaction, given: Peppers) -> Result<Recognised> {
    store::lock(connection).await?;
    let known = store::list(connection).await?;
    if known.is_empty() && given.has_others() && store::has_users(connection).await? {
        // All that is stored counts as hashed with the first pepper that is ever given.
        let cause = "this database has passwords and knows no pepper yet: start once with the one that they were hashed \
                     with alone, without PASSWORD_PEPPER_OTHER";
        return Err(Error::Internal(cause.into()));
    }
    let recognised = given.recognise(&known).ok_or_else(|| {
        let instead = "give that one too, as PASSWORD_PEPPER_OTHER, or nobody can log in";
        let cause = format!("PASSWORD_PEPPER is not the one that passwords were hashed with: {instead}");
        Error::Internal(cause.into())
    })?;
    for (version, fingerprint) in &recognised.new {
        store::insert(connection, *version, fingerprint).await?;
    }
    store::note_used(connection, recognised.peppers.primary().0).await?;
    Ok(recognised)
}
