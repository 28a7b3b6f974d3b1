//! Sessions: log in, refresh and log out. Which sessions of whom a caller may see or end is decided in [`crate::users`].

pub mod client;
pub mod grpc;
pub mod last_seen;
pub mod model;
pub mod refresh;
mod signer;
mod store;

use std::sync::Arc;
use std::time::SystemTime;

use futures_util::FutureExt as _;
use portcullis_proto::access_token::Refusal;
use portcullis_proto::email::Email;
use tracing::{Instrument as _, warn};

use crate::credentials::{Hasher, Password, StoredPassword, Verdict};
use crate::database::{Database, PointConnection, Transaction};
use crate::error::{Error, Result};
use crate::ids::SessionId;
use crate::ids::UserId;
use crate::trust::{self, Feed, Trust};
use client::Client;
use model::{Caller, Grant, Lifetimes, NewSession, RefreshToken, Session, Target, Tokens};
use refresh::model::Chain;
use refresh::token::{RefreshKey, Secret};

pub use refresh::model::RefreshRefusal;
pub(crate) use store::{is_live, list, live_session};

/// Begins, refreshes and ends sessions.
#[derive(Clone)]
pub struct Sessions {
    database: Database,
    hasher: Arc<Hasher>,
    trust: Arc<Trust>,
    feed: Feed,
    refresh_key: Arc<RefreshKey>,
    lifetimes: Lifetimes,
}

impl Sessions {
    /// Sessions whose tokens are good for these times, and whose refresh tokens are made with this key.
    #[must_use]
    pub fn new(
        database: Database,
        hasher: Arc<Hasher>,
        trust: Arc<Trust>,
        feed: Feed,
        refresh_key: RefreshKey,
        lifetimes: Lifetimes,
    ) -> Self {
        Self { database, hasher, trust, feed, refresh_key: Arc::new(refresh_key), lifetimes }
    }

    /// Logs a user in; of the client that asks for it the session keeps what it was told. With `offline_access` the
    /// session gets a refresh token.
    ///
    /// The hash takes long, and much may happen meanwhile. So what is read before it (the address, `password_version`,
    /// `epoch`, `is_active`) must still hold in the transaction that inserts the session, which locks the user's row: no
    /// session is ever born from an old password, a stale epoch or an inactive user.
    ///
    /// # Errors
    /// [`Error::BadCredentials`], [`Error::Overloaded`], [`Error::DatabaseUnavailable`],
    /// [`Error::OutcomeUnknown`].
    pub async fn log_in(
        &self,
        email: &str,
        password: Password,
        client: Client,
        offline_access: bool,
    ) -> Result<NewSession> {
        // An address that is none cannot be anybody's: no look-up, no hash, and nothing to learn.
        let email = Email::parse(email).map_err(|_| Error::BadCredentials)?;
        let place = self.hasher.place()?;
        let credential = self.find_credential(email).await?;
        // An inactive user has no password that matches, so that he takes as long as an unknown one.
        let credential = credential.filter(|credential| credential.is_active);
        let stored = credential.as_ref().map(|credential| credential.password.clone());
        let verdict = place.verify(password.clone(), stored).await?;
        let (Verdict::Match { outdated }, Some(credential)) = (verdict, credential) else {
            return Err(Error::BadCredentials);
        };
        let (user, epoch, old) = (credential.user, credential.epoch, credential.password.clone());
        let first = offline_access.then(Secret::random).transpose()?;
        let session = self.begin(credential, client, first.as_ref().map(Secret::digest)).await?;
        if outdated {
            self.rehash(user, old, password);
        }
        let (issued_at, session_ends) = (session.created_at, session.expires_at);
        let expires_at = session_ends.min(issued_at + self.lifetimes.access);
        let grant = Grant { session: session.id, user, epoch, issued_at, expires_at };
        let tokens = self.tokens(&grant, first.map(|first| (first, session_ends)))?;
        Ok(NewSession { session, tokens })
    }

    async fn find_credential(&self, email: Email) -> Result<Option<store::Credential>> {
        let email = email.canonical();
        let find =
            |connection: PointConnection| async move { store::find_credential(&connection, email).await };
        self.database.point_read(find).await
    }

    /// Begins a session; `first` is the digest of its first refresh token, if it gets one.
    async fn begin(
        &self,
        credential: store::Credential,
        client: Client,
        first: Option<Vec<u8>>,
    ) -> Result<Session> {
        let (lifetimes, may_forget) = (self.lifetimes, self.feed.may_forget());
        self.database
            .transaction(move |connection| {
                async move {
                    // By the clock of the database, which is everybody's: so the tokens of all replicas are in time.
                    let now = store::lock_unchanged(connection, &credential).await?;
                    let now = now.ok_or(Error::BadCredentials)?;
                    let chain = first.map(|first| Chain::begin(first, now, &lifetimes));
                    let session = Session {
                        id: SessionId::at(now),
                        user: credential.user,
                        created_at: now,
                        last_seen_at: now,
                        expires_at: chain.as_ref().map_or(now + lifetimes.access, |chain| chain.expires_at),
                        client,
                    };
                    if may_forget {
                        store::delete_expired(connection, credential.user).await?;
                    }
                    store::insert(connection, &session).await?;
                    if let Some(chain) = chain {
                        refresh::store::begin(connection, session.id, &chain, &credential.state()).await?;
                    }
                    Ok(session)
                }
                .boxed()
            })
            .await
    }

    /// The tokens of a session; `refresh` is the secret of the refresh token, and when the session ends.
    fn tokens(&self, grant: &Grant, refresh: Option<(Secret, SystemTime)>) -> Result<Tokens> {
        let left = |until: SystemTime| until.duration_since(grant.issued_at).unwrap_or_default();
        Ok(Tokens {
            access_token: signer::sign(&self.trust, grant)?,
            expires_in: left(grant.expires_at),
            refresh: refresh.map(|(secret, until)| RefreshToken {
                token: self.refresh_key.token(grant.session, &secret),
                expires_in: left(until),
            }),
        })
    }

    /// Hashes an unchanged password anew, in the background and only if there is room: the next login tries again.
    fn rehash(&self, user: UserId, old: StoredPassword, password: Password) {
        let sessions = self.clone();
        let action = async move {
            let new = sessions.hasher.place()?.hash(password).await?;
            sessions
                .database
                .transaction(move |connection| {
                    async move { Ok(store::replace_hash(connection, user, &old, &new).await?) }.boxed()
                })
                .await
        };
        let logged = async move {
            if let Err(error) = action.await {
                warn!(%error, "a password was not rehashed; the next login tries again");
            }
        };
        tokio::spawn(logged.in_current_span());
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

    /// Logs out: ends a session of the caller.
    ///
    /// # Errors
    /// [`Error::Unauthenticated`], [`Error::SessionNotFound`], [`Error::DatabaseUnavailable`],
    /// [`Error::OutcomeUnknown`].
    pub async fn log_out(&self, caller: Caller, target: Target) -> Result<()> {
        self.feed.end(move |connection| end(connection, caller, target).boxed()).await
    }

    /// Logs out everywhere else: ends all sessions of the caller but this one.
    ///
    /// # Errors
    /// [`Error::Unauthenticated`], [`Error::DatabaseUnavailable`], [`Error::OutcomeUnknown`].
    pub async fn log_out_elsewhere(&self, caller: Caller) -> Result<()> {
        self.feed
            .end(move |connection| {
                async move {
                    lock(connection, &caller).await?;
                    end_others(connection, caller.user, caller.session).await
                }
                .boxed()
            })
            .await
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
