//! What a recovery does to a user. What it may do is decided in [`crate::recovery`].

use super::model::{Changes, User, UserState};
use super::{apply, store};
use crate::credentials::{Password, StoredPassword};
use crate::database::Transaction;
use crate::error::Result;
use crate::ids::UserId;

/// The user with this id, whom nobody can change until the transaction ends.
///
/// # Errors
/// [`crate::error::Error::DatabaseUnavailable`].
pub(crate) async fn lock(connection: &mut Transaction, id: UserId) -> Result<Option<UserState>> {
    Ok(store::lock_by_id(connection, id).await?)
}

/// The user with this address, as [`lock`] does.
///
/// # Errors
/// [`crate::error::Error::DatabaseUnavailable`].
pub(crate) async fn lock_by_email(
    connection: &mut Transaction,
    email_canonical: &str,
) -> Result<Option<UserState>> {
    Ok(store::lock_by_email(connection, email_canonical).await?)
}

/// Sets a new password, as a superuser's change would: every session and every token of the user ends.
///
/// # Errors
/// [`crate::error::Error::DatabaseUnavailable`].
pub(crate) async fn set_password(
    connection: &mut Transaction,
    before: &UserState,
    password: Password,
    hashed: &StoredPassword,
) -> Result<()> {
    let changes = Changes { password: Some(password), ..Changes::default() };
    apply(connection, before, &changes, Some(hashed), None).await?;
    Ok(())
}

/// Notes that the address is the user's.
///
/// # Errors
/// [`crate::error::Error::DatabaseUnavailable`].
pub(crate) async fn set_verified(connection: &mut Transaction, before: &UserState) -> Result<User> {
    let changes = Changes { is_verified: Some(true), ..Changes::default() };
    apply(connection, before, &changes, None, None).await
}
