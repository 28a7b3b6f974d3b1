//! What an operator does from the command line, on the machine of identity-service and with no caller.

use futures_util::FutureExt as _;
use portcullis_proto::access_token::Refusal;
use portcullis_proto::email::Email;

use super::access::identify;
use super::model::{Changes, Target, User};
use super::store;
use crate::database::{Database, Transaction};
use crate::error::{Error, Result};
use crate::ids::UserId;
use crate::sessions::model::Caller;
use crate::trust;

/// Changes the flags of the user with this address; what it ends is what a superuser's change would.
///
/// # Errors
/// [`Error::UserNotFound`], [`Error::DatabaseUnavailable`].
pub async fn update(database: &Database, email: Email, changes: Changes) -> Result<User> {
    let updated = database
        .transaction(move |connection| {
            async move {
                let found = store::lock_by_email(connection, email.canonical()).await?;
                let before = found.ok_or(Error::UserNotFound)?;
                super::apply(connection, &before, &changes, None, None).await
            }
            .boxed()
        })
        .await;
    trust::announce(database).await;
    updated
}

/// Deletes the user with this address.
///
/// # Errors
/// [`Error::UserNotFound`], [`Error::DatabaseUnavailable`].
pub async fn delete(database: &Database, email: Email) -> Result<User> {
    let deleted = database
        .transaction(move |connection| {
            async move {
                let found = store::lock_by_email(connection, email.canonical()).await?;
                let user = found.ok_or(Error::UserNotFound)?.user;
                super::delete(connection, user.id).await?;
                Ok(user)
            }
            .boxed()
        })
        .await;
    trust::announce(database).await;
    deleted
}

/// Why a genuine token names nobody; nothing if it names its user.
///
/// # Errors
/// [`Error::DatabaseUnavailable`].
pub async fn find_refusal(database: &Database, caller: &Caller) -> Result<Option<Refusal>> {
    let find = async |connection: &mut Transaction| Ok(store::find(connection, caller, Target::Me).await?);
    let found = database.read(find).await?;
    Ok(identify(caller, found.caller, found.session_is_live).err())
}

/// At most `limit` users after the one with the id `after`, in the order of their ids.
///
/// # Errors
/// [`Error::DatabaseUnavailable`].
pub async fn list(database: &Database, after: Option<UserId>, limit: usize) -> Result<Vec<User>> {
    database.read(async |connection| Ok(store::list(connection, after, limit).await?)).await
}
