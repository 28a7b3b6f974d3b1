//! Recovery: what a user proves by a token that was mailed to him: that he may set a new password, or that an e-mail
//! address is his.
//!
//! Whoever asks for a token is answered after one insert, which is the same for every address: so nobody learns who is a
//! user. The clerk looks for the user afterwards, makes the token, and posts the mail.

pub mod clerk;
pub mod grpc;
pub mod model;
mod store;
pub mod token;

use std::sync::Arc;
use std::time::Duration;

use futures_util::FutureExt as _;
use portcullis_proto::email::Email;
use uuid::Uuid;

use crate::credentials::{Hasher, Password, PasswordRules, StoredPassword};
use crate::database::{Database, PointConnection, Transaction};
use crate::error::{Error, Result};
use crate::ids::UserId;
use crate::mail::{self, Kind, Languages, Letter};
use crate::trust::{Feed, KeyEncryptionKey};
use crate::users::model::{User, UserState};
use crate::users::recovered;
use model::Purpose;

/// For how long it is tried to tell a user that his password was changed.
const NOTICE: Duration = Duration::from_secs(24 * 60 * 60);

/// Gives tokens, and takes them.
#[derive(Clone)]
pub struct Recovery {
    database: Database,
    hasher: Arc<Hasher>,
    feed: Feed,
    rules: PasswordRules,
    kek: Arc<KeyEncryptionKey>,
    languages: Languages,
}

impl Recovery {
    /// For the users of a database, whose new passwords follow `rules`, with mails in these languages.
    #[must_use]
    pub fn new(
        database: Database,
        hasher: Arc<Hasher>,
        feed: Feed,
        rules: PasswordRules,
        kek: Arc<KeyEncryptionKey>,
        languages: Languages,
    ) -> Self {
        Self { database, hasher, feed, rules, kek, languages }
    }

    /// Notes that a token is asked for the user with this address, in one of the wanted languages. Whether there is such a
    /// user is looked at afterwards.
    ///
    /// # Errors
    /// [`Error::DatabaseUnavailable`], [`Error::OutcomeUnknown`].
    pub async fn request(&self, purpose: Purpose, email: &Email, wanted: &[String]) -> Result<()> {
        let request = store::Request {
            id: Uuid::now_v7(),
            purpose,
            email_canonical: email.canonical().to_owned(),
            language: self.languages.choose(wanted),
        };
        self.database
            .transaction(move |connection| {
                async move { Ok(store::insert_request(connection, &request).await?) }.boxed()
            })
            .await?;
        Ok(())
    }

    /// Sets a new password, and ends all that the user's old one has begun. The token is looked at first, so that who has
    /// none learns nothing of the rules; it is used up in the transaction that sets the password, so that it is used if
    /// and only if that is set.
    ///
    /// # Errors
    /// [`Error::RecoveryTokenRefused`], [`Error::PasswordRefused`], [`Error::Overloaded`],
    /// [`Error::DatabaseUnavailable`], [`Error::OutcomeUnknown`].
    pub async fn reset_password(&self, token: &str, password: String) -> Result<()> {
        let digest = digest(token)?;
        let wanted = digest.as_slice();
        let find =
            |connection: PointConnection| async move { store::find_resettable(&connection, wanted).await };
        let found = self.database.point_read(find).await?;
        let (user, email) = found.ok_or_else(refused)?;
        let password = Password::new(password).map_err(Error::PasswordRefused)?;
        self.rules.check(&password, &email).map_err(Error::PasswordRefused)?;
        let hashed = self.hasher.place()?.hash(password.clone()).await?;
        let kek = Arc::clone(&self.kek);
        self.feed
            .end(move |connection| {
                async move { reset(connection, &kek, user, &digest, password, &hashed).await }.boxed()
            })
            .await
    }

    /// Notes that the address of a user is his.
    ///
    /// # Errors
    /// [`Error::RecoveryTokenRefused`], [`Error::AlreadyVerified`], [`Error::DatabaseUnavailable`],
    /// [`Error::OutcomeUnknown`].
    pub async fn verify_email(&self, token: &str) -> Result<User> {
        let digest = digest(token)?;
        self.database
            .transaction(move |connection| async move { verify(connection, &digest).await }.boxed())
            .await
    }
}

/// Forgets what was to show that a user's former address is his: should it become his again, that is to be shown anew.
/// The transaction has locked him.
///
/// # Errors
/// [`Error::DatabaseUnavailable`].
pub(crate) async fn forget_address(connection: &mut Transaction, user: UserId) -> Result<()> {
    store::remove_tokens(connection, user, Purpose::Verify).await?;
    Ok(())
}

async fn reset(
    connection: &mut Transaction,
    kek: &KeyEncryptionKey,
    user: UserId,
    digest: &[u8],
    password: Password,
    hashed: &StoredPassword,
) -> Result<()> {
    let found = recovered::lock(connection, user).await?;
    let before = found.filter(|found| found.user.is_active).ok_or_else(refused)?;
    let consumed = store::consume_reset(connection, user, digest).await?.ok_or_else(refused)?;
    recovered::set_password(connection, &before, password, hashed).await?;
    let notice = Letter {
        user,
        kind: Kind::PasswordChanged,
        language: consumed.language,
        recipient: before.user.email,
        email_canonical: before.email_canonical,
        token: None,
        expires_at: consumed.now + NOTICE,
    };
    mail::post(connection, kek, notice).await
}

async fn verify(connection: &mut Transaction, digest: &[u8]) -> Result<User> {
    let made = store::find_token(connection, digest, Purpose::Verify).await?.ok_or_else(refused)?;
    let found = recovered::lock(connection, made.user).await?;
    let has_the_address = |user: &UserState| user.email_canonical == made.email_canonical;
    let before = found.filter(|user| user.user.is_active).filter(has_the_address).ok_or_else(refused)?;
    if before.user.is_verified {
        return Err(Error::AlreadyVerified);
    }
    if store::use_verify(connection, digest).await? {
        recovered::set_verified(connection, &before).await
    } else {
        Err(refused())
    }
}

fn digest(token: &str) -> Result<Vec<u8>> {
    let secret = token::read(token).ok_or(Error::RecoveryTokenRefused("it is no token"))?;
    Ok(secret.digest())
}

fn refused() -> Error {
    Error::RecoveryTokenRefused("it is unknown, expired or used, or its user is not as he was")
}
