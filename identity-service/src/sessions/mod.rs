//! Sessions: log in, refresh and log out. Which sessions of whom a caller may see or end is decided in [`crate::users`].

pub mod client;
pub mod grpc;
pub mod last_seen;
mod log_in;
pub mod model;
pub mod refresh;
mod signer;
mod store;

use std::sync::Arc;
use std::time::SystemTime;

use futures_util::FutureExt as _;
use portcullis_proto::access_token::Refusal;

use crate::credentials::Hasher;
use crate::database::{Database, PointConnection, Transaction};
use crate::error::{Error, Result};
use crate::ids::{SessionId, UserId};
use crate::secret::Secret;
use crate::trust::keys::KeySet;
use crate::trust::{self, Feed, Trust};
use crate::users::model::Verification;
use model::{Caller, Grant, Lifetimes, RefreshToken, Session, Target, Tokens};
use refresh::token::RefreshKey;

pub use refresh::model::RefreshRefusal;
pub(crate) use store::{is_live, list, live_session};

/// Begins, refreshes and ends sessions.
#[derive(Clone)]
pub struct Sessions {
    database: Database,
    hasher: Arc<Hasher>,
    trust: Arc<Trust>,
    feed: Feed,
    lifetimes: Lifetimes,
    verification: Verification,
}

impl Sessions {
    /// Sessions whose tokens are good for these times, and which begin and go on as `verification` allows.
    #[must_use]
    pub fn new(
        database: Database,
        hasher: Arc<Hasher>,
        trust: Arc<Trust>,
        feed: Feed,
        lifetimes: Lifetimes,
        verification: Verification,
    ) -> Self {
        Self { database, hasher, trust, feed, lifetimes, verification }
    }

    /// The tokens of a session, made with these keys; `refresh` is the secret of the refresh token, and when the session
    /// ends. The keys are to be looked up after the times in `grant`: so no token expires later than its key is kept for.
    fn tokens(&self, keys: &KeySet, grant: &Grant, refresh: Option<(Secret, SystemTime)>) -> Result<Tokens> {
        let key = RefreshKey::new(keys.refresh_key());
        let left = |until: SystemTime| until.duration_since(grant.issued_at).unwrap_or_default();
        Ok(Tokens {
            session: grant.session,
            access_token: signer::sign(self.trust.issuer(), keys, grant)?,
            expires_in: left(grant.expires_at),
            refresh: refresh.map(|(secret, until)| RefreshToken {
                token: key.token(grant.session, &secret),
                end_token: key.end_token(grant.session),
                expires_in: left(until),
            }),
        })
    }

    /// Reads a session of the caller.
    ///
    /// # Errors
    /// [`Error::Unauthenticated`], [`Error::SessionNotFound`], [`Error::DatabaseUnavailable`].
    pub async fn get(&self, caller: &Caller, target: Target) -> Result<Session> {
        let id = target.of(caller);
        let find = |connection: PointConnection| async move { store::find(&connection, caller, id).await };
        let found = self.database.point_read(find).await?;
        if !found.iter().any(|session| session.id == caller.session) {
            return Err(Error::unauthenticated(Refusal::SessionEnded));
        }
        let wanted = found.into_iter().find(|session| Some(session.id) == id);
        wanted.ok_or(Error::SessionNotFound)
    }

    /// Logs out: ends a session of the caller. Verified or not: whoever is logged in at a computer that others use must
    /// be able to leave it.
    ///
    /// # Errors
    /// [`Error::Unauthenticated`], [`Error::SessionNotFound`], [`Error::DatabaseUnavailable`],
    /// [`Error::OutcomeUnknown`].
    pub async fn log_out(&self, caller: Caller, target: Target) -> Result<()> {
        self.feed.end(move |connection| end(connection, caller, target).boxed()).await
    }
}

async fn end(connection: &mut Transaction, caller: Caller, target: Target) -> Result<()> {
    lock(connection, &caller).await?;
    let id = target.of(&caller).ok_or(Error::SessionNotFound)?;
    let expires_at = store::delete(connection, caller.user, id).await?.ok_or(Error::SessionNotFound)?;
    trust::revoke_sessions(connection, &[(id, expires_at)]).await
}

/// Ends the sessions of a user whom the transaction has locked, but for one.
///
/// # Errors
/// [`Error::DatabaseUnavailable`].
pub(crate) async fn end_others(connection: &mut Transaction, user: UserId, kept: SessionId) -> Result<()> {
    let ended = store::delete_all_but(connection, user, Some(kept)).await?;
    trust::revoke_sessions(connection, &ended).await
}

/// Lets a session go on after its user, whom the transaction has locked, has changed his password in it: it can be
/// refreshed, as before.
///
/// # Errors
/// [`Error::DatabaseUnavailable`].
pub(crate) async fn follow_password(
    connection: &mut Transaction,
    user: UserId,
    session: SessionId,
) -> Result<()> {
    refresh::store::follow_password(connection, user, session).await?;
    Ok(())
}

/// Ends all sessions of a user whom the transaction has locked, and every token that he was ever given. His new epoch,
/// which is to be stored unless he is deleted.
///
/// # Errors
/// [`Error::DatabaseUnavailable`].
pub(crate) async fn end_everything(connection: &mut Transaction, user: UserId) -> Result<i64> {
    store::delete_all_but(connection, user, None).await?;
    let epoch = store::next_epoch(connection).await?;
    trust::revoke_user(connection, user, epoch).await?;
    Ok(epoch)
}

/// Nobody but the caller can end his sessions, or change him, until the transaction ends.
async fn lock(connection: &mut Transaction, caller: &Caller) -> Result<()> {
    match store::lock_named(connection, caller).await? {
        true => Ok(()),
        false => Err(Error::unauthenticated(Refusal::SessionEnded)),
    }
}
