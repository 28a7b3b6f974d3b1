//! Users: register, read, update, delete, list.
//!
//! - [`profile`]: the operator's own fields of them

mod access;
pub mod grpc;
pub mod model;
pub mod operator;
pub mod profile;
pub(crate) mod recovered;
mod sessions_of;
mod store;

use std::sync::Arc;

use futures_util::FutureExt as _;
use portcullis_proto::email::Email;

use crate::credentials::{Hasher, Password, PasswordRules, Place, StoredPassword, Verdict};
use crate::database::{Database, PointConnection, Transaction};
use crate::error::{Error, Result};
use crate::ids::{SessionId, UserId};
use crate::page::Page;
use crate::recovery;
use crate::sessions::{self, model::Caller};
use crate::trust::Feed;
use access::authorise;
use model::{
    Changes, Ends, Listed, NewUser, Registered, Target, User, UserState, Verification, same_registration,
};
use profile::{OwnFields, Profile};

/// Acts on users.
#[derive(Clone)]
pub struct Users {
    database: Database,
    hasher: Arc<Hasher>,
    feed: Feed,
    rules: PasswordRules,
    own_fields: OwnFields,
    verification: Verification,
}

/// A registration.
pub struct Registration {
    /// The id of the new user.
    pub id: UserId,
    /// His address.
    pub email: Email,
    /// His password.
    pub password: Password,
    /// Whether he may act on other users; only the command line says so.
    pub is_superuser: bool,
    /// Whether his address counts as his; only the command line says so.
    pub is_verified: bool,
    /// His own fields.
    pub profile: Profile,
}

impl Users {
    /// Users of a database, whose new passwords follow `rules`, who have these fields of their own, and who act on users as
    /// `verification` allows.
    #[must_use]
    pub fn new(
        database: Database,
        hasher: Arc<Hasher>,
        feed: Feed,
        rules: PasswordRules,
        own_fields: OwnFields,
        verification: Verification,
    ) -> Self {
        Self { database, hasher, feed, rules, own_fields, verification }
    }

    /// Which own fields users have.
    #[must_use]
    pub fn own_fields(&self) -> &OwnFields {
        &self.own_fields
    }

    /// Registers a user. Answers after the commit, so that he can log in at once, through any replica.
    ///
    /// An answer can be lost, so the same registration may come again: with the same id, the same address and the
    /// password that its user has. Then it gets the same answer. Everything else that meets an id or an address in use
    /// is told no more than that.
    ///
    /// # Errors
    /// [`Error::PasswordRefused`], [`Error::EmailTaken`], [`Error::UserIdTaken`], [`Error::Overloaded`],
    /// [`Error::DatabaseUnavailable`], [`Error::OutcomeUnknown`].
    pub async fn register(&self, registration: Registration) -> Result<User> {
        let Registration { id, email, password, is_superuser, is_verified, profile } = registration;
        self.rules.check(&password, email.as_str()).map_err(Error::PasswordRefused)?;
        let place = self.hasher.place()?;
        if let Some(earlier) = self.find_earlier(id, &email).await? {
            return confirm(place, earlier, password).await;
        }
        let hashed = place.hash(password.clone()).await?;
        let user = NewUser { id, email: email.clone(), password: hashed, is_superuser, is_verified, profile };
        // A transaction, though it is one statement: a row that the database shows is not committed yet, and if it then
        // cannot be, nobody else would tell.
        let inserted = self
            .database
            .transaction(move |connection| async move { store::insert(connection, &user).await }.boxed());
        match inserted.await {
            // Perhaps by this very registration: it came twice, and the first was slower than it seemed.
            Err(taken @ (Error::UserIdTaken | Error::EmailTaken)) => {
                match self.find_earlier(id, &email).await? {
                    Some(earlier) => confirm(self.hasher.place()?, earlier, password).await,
                    None => Err(taken),
                }
            }
            outcome => outcome,
        }
    }

    /// The user whom the same registration made earlier, if it is the same. Spares the hash for an id or an address that
    /// is taken otherwise; whether it is, the unique indexes decide in the end.
    async fn find_earlier(&self, id: UserId, email: &Email) -> Result<Option<Registered>> {
        let email = email.canonical();
        let find =
            |connection: PointConnection| async move { store::find_registered(&connection, id, email).await };
        same_registration(self.database.point_read(find).await?, id, email)
    }

    /// Reads a user.
    ///
    /// # Errors
    /// [`Error::Unauthenticated`], [`Error::EmailNotVerified`], [`Error::SuperuserRequired`],
    /// [`Error::UserNotFound`], [`Error::DatabaseUnavailable`].
    pub async fn get(&self, caller: &Caller, target: Target) -> Result<User> {
        Ok(self.find(caller, target).await?.user)
    }

    async fn find(&self, caller: &Caller, target: Target) -> Result<UserState> {
        let find =
            |connection: PointConnection| async move { store::find(&connection, caller, target).await };
        authorise(self.verification, caller, target, self.database.point_read(find).await?)
    }

    /// Changes a user, all or nothing. `changes` is read only once the caller may do so, so that a caller who may
    /// not learns nothing else; it is shown the user as he is.
    ///
    /// # Errors
    /// Those of [`Users::get`], those of `changes`, then [`Error::PasswordRefused`], [`Error::EmailTaken`],
    /// [`Error::Overloaded`], [`Error::OutcomeUnknown`].
    pub async fn update(
        &self,
        caller: Caller,
        target: Target,
        changes: impl FnOnce(&UserState) -> Result<Changes>,
    ) -> Result<User> {
        let before = self.find(&caller, target).await?;
        let changes = changes(&before)?;
        if changes.is_empty() {
            return Ok(before.user);
        }
        let password = self.hash_new_password(&before, &changes).await?;
        let verification = self.verification;
        self.feed
            .end(move |connection| {
                async move {
                    let found = store::lock(connection, &caller, target).await?;
                    let before = authorise(verification, &caller, target, found)?;
                    let own_session = (before.user.id == caller.user).then_some(caller.session);
                    apply(connection, &before, &changes, password.as_ref(), own_session).await
                }
                .boxed()
            })
            .await
    }

    /// Checks and hashes the new password, if there is one. The rules see the user as he was.
    async fn hash_new_password(
        &self,
        before: &UserState,
        changes: &Changes,
    ) -> Result<Option<StoredPassword>> {
        let Some(password) = &changes.password else {
            return Ok(None);
        };
        self.rules.check(password, &before.user.email).map_err(Error::PasswordRefused)?;
        let place = self.hasher.place()?;
        if let Some(email) = &changes.email {
            self.refuse_if_taken(email, Some(before.user.id)).await?;
        }
        Ok(Some(place.hash(password.clone()).await?))
    }

    /// Spares the hash for an address that is taken already. Whether it is, the unique index decides in the end.
    async fn refuse_if_taken(&self, email: &Email, but: Option<UserId>) -> Result<()> {
        let email = email.canonical();
        let look =
            |connection: PointConnection| async move { store::is_taken(&connection, email, but).await };
        if self.database.point_read(look).await? { Err(Error::EmailTaken) } else { Ok(()) }
    }

    /// Deletes a user with all that belongs to him.
    ///
    /// # Errors
    /// Those of [`Users::get`], [`Error::OutcomeUnknown`].
    pub async fn delete(&self, caller: Caller, id: Option<UserId>) -> Result<()> {
        let (target, verification) = (Target::Id(id), self.verification);
        self.feed
            .end(move |connection| {
                async move {
                    let found = store::lock(connection, &caller, target).await?;
                    let user = authorise(verification, &caller, target, found)?.user;
                    delete(connection, user.id).await
                }
                .boxed()
            })
            .await
    }

    /// Lists a page of users in the order of their ids. For superusers. `page` is read only once the caller may.
    ///
    /// # Errors
    /// Those of [`Users::get`], and those of `page`.
    pub async fn list(
        &self,
        caller: &Caller,
        page: impl FnOnce() -> Result<Page<UserId>> + Send,
    ) -> Result<Listed> {
        let action = async |connection: &mut Transaction| {
            let list = async |connection: &mut Transaction| -> Result<Listed> {
                let own = Target::Id(Some(caller.user));
                let found = store::find(connection, caller, own).await?;
                authorise(self.verification, caller, own, found)?;
                let page = page()?;
                let found = store::list(connection, page.after, page.enough()).await?;
                let (users, next) = page.cut(found, |user| user.id);
                Ok(Listed { users, next })
            };
            connection.build_transaction().repeatable_read().read_only().run(list).await
        };
        self.database.read(action).await
    }
}

/// The original answer to a registration that came again, if its password is that of its user.
async fn confirm(place: Place<'_>, earlier: Registered, password: Password) -> Result<User> {
    match place.verify(password, Some(earlier.password)).await? {
        Verdict::Match { .. } => Ok(earlier.user),
        Verdict::Mismatch => Err(Error::EmailTaken),
    }
}

/// Applies changes to a user whom the transaction has locked, and ends what they end. `own_session` is that of a user
/// who changes himself.
async fn apply(
    connection: &mut Transaction,
    before: &UserState,
    changes: &Changes,
    password: Option<&StoredPassword>,
    own_session: Option<SessionId>,
) -> Result<User> {
    let id = before.user.id;
    let epoch = match (changes.ends(before, own_session.is_some()), own_session) {
        (Ends::Nothing, _) => None,
        (Ends::OtherSessions, Some(own_session)) => {
            sessions::end_others(connection, id, own_session).await?;
            None
        }
        (Ends::Everything, _) | (Ends::OtherSessions, None) => {
            Some(sessions::end_everything(connection, id).await?)
        }
    };
    let user = store::update(connection, before, changes, password, epoch).await?;
    if changes.moves(before) {
        recovery::forget_address(connection, id).await?;
    }
    if let (Some(own_session), true) = (own_session, password.is_some()) {
        sessions::follow_password(connection, id, own_session).await?;
    }
    Ok(user)
}

/// Deletes a user whom the transaction has locked. His tokens have ended, also for those who do not know that he is gone.
async fn delete(connection: &mut Transaction, id: UserId) -> Result<()> {
    sessions::end_everything(connection, id).await?;
    store::delete(connection, id).await?;
    Ok(())
}
