//! Log in: a session begins.

mod store;

use futures_util::FutureExt as _;
use portcullis_proto::email::Email;
use tracing::{Instrument as _, warn};

use super::client::Client;
use super::model::{Grant, NewSession, Session};
use super::refresh::model::Chain;
use super::{Sessions, refresh};
use crate::credentials::{Password, StoredPassword, Verdict};
use crate::database::PointConnection;
use crate::error::{Error, Result};
use crate::ids::{SessionId, UserId};
use crate::secret::Secret;

impl Sessions {
    /// Logs a user in; of the client that asks for it the session keeps what it was told. With `offline_access` the
    /// session gets a refresh token.
    ///
    /// The hash takes long, and much may happen meanwhile. So what is read before it (the address, `password_version`,
    /// `epoch`, `is_active`) must still hold in the transaction that inserts the session, which locks the user's row: no
    /// session is ever born from an old password, a stale epoch or an inactive user. Whether he is verified is looked at
    /// there only: who does not know the password does not learn it.
    ///
    /// # Errors
    /// [`Error::BadCredentials`], then [`Error::EmailNotVerified`]; [`Error::Overloaded`],
    /// [`Error::DatabaseUnavailable`], [`Error::OutcomeUnknown`].
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
        // Without the keys there would be a session, and no token.
        self.trust.keyring.fresh().await?;
        let first = offline_access.then(Secret::random).transpose()?;
        let session = self.begin(credential, client, first.as_ref().map(Secret::digest)).await?;
        if outdated {
            self.rehash(user, old, password);
        }
        let (issued_at, session_ends) = (session.created_at, session.expires_at);
        let expires_at = session_ends.min(issued_at + self.lifetimes.access);
        let grant = Grant { session: session.id, user, epoch, issued_at, expires_at };
        let keys = self.trust.keyring.fresh().await?;
        let tokens = self.tokens(&keys, &grant, first.map(|first| (first, session_ends)))?;
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
        let verification = self.verification;
        self.database
            .transaction(move |connection| {
                async move {
                    // By the clock of the database, which is everybody's: so the tokens of all replicas are in time.
                    let unchanged = store::lock_unchanged(connection, &credential).await?;
                    let (now, is_verified) = unchanged.ok_or(Error::BadCredentials)?;
                    verification.check(is_verified)?;
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
                        super::store::delete_expired(connection, credential.user).await?;
                    }
                    super::store::insert(connection, &session).await?;
                    if let Some(chain) = chain {
                        refresh::store::begin(connection, session.id, &chain, &credential.state()).await?;
                    }
                    Ok(session)
                }
                .boxed()
            })
            .await
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
}
