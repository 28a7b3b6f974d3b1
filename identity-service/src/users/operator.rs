//! What an operator does from the command line, on the machine of identity-service and with no caller.

use futures_util::FutureExt as _;
use portcullis_proto::email::Email;

use super::model::{Changes, User};
use super::store;
use crate::database::Database;
use crate::error::{Error, Result};
use crate::ids::UserId;

/// Changes the flags of the user with this address; what it ends is what a superuser's change would.
///
/// # Errors
/// [`Error::UserNotFound`], [`Error::DatabaseUnavailable`].
pub async fn update(database: &Database, email: Email, changes: Changes) -> Result<User> {
    database
        .transaction(move |connection| {
            async move {
                let found = store::lock_by_email(connection, email.canonical()).await?;
                let before = found.ok_or(Error::UserNotFound)?;
                super::apply(connection, &before, &changes, None, None).await
            }
            .boxed()
        })
        .await
}

/// Deletes the user with this address.
///
/// # Errors
/// [`Error::UserNotFound`], [`Error::DatabaseUnavailable`].
pub async fn delete(database: &Database, email: Email) -> Result<User> {
    database
        .transaction(move |connection| {
            async move {
                let found = store::lock_by_email(connection, email.canonical()).await?;
                let user = found.ok_or(Error::UserNotFound)?.user;
                store::delete(connection, user.id).await?;
                Ok(user)
            }
            .boxed()
        })
        .await
}

/// At most `limit` users after the one with the id `after`, in the order of their ids.
///
/// # Errors
/// [`Error::DatabaseUnavailable`].
pub async fn list(database: &Database, after: Option<UserId>, limit: usize) -> Result<Vec<User>> {
    database.read(async |connection| Ok(store::list(connection, after, limit).await?)).await
}
