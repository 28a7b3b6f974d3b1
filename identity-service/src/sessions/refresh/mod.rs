//! Refresh: a session goes on, with a new access token and the next refresh token. And how it ends without the former.

pub mod end_token;
pub mod model;
pub(super) mod store;
pub mod token;

use std::time::SystemTime;

use futures_util::FutureExt as _;
use tracing::warn;

use super::Sessions;
use super::model::{Grant, Lifetimes, Tokens};
use crate::database::Transaction;
use crate::error::{Error, Result, Violation};
use crate::ids::{SessionId, UserId};
use crate::secret::Secret;
use crate::trust;
use crate::users::model::Verification;
use model::{RefreshRefusal, Use};
use token::RefreshKey;

/// What a refresh gives, before it is signed: an access token, and the next refresh token, which is good until then.
type Given = (Grant, Secret, SystemTime);

impl Sessions {
    /// Uses a refresh token. What is not of our making is refused without a look-up: so it costs nothing, and ends
    /// nothing.
    ///
    /// The transaction locks the user's row, then the session's, and looks after that: whatever changes the user or ends
    /// the session is either seen, or waits, and then ends what was given here.
    ///
    /// # Errors
    /// [`Error::RefreshTokenRefused`]; [`Error::EmailNotVerified`], when the token is still good; [`Error::DatabaseUnavailable`],
    /// [`Error::OutcomeUnknown`].
    pub async fn refresh(&self, token: &str) -> Result<Tokens> {
        let keys = self.trust.keyring.fresh().await?;
        let key = RefreshKey::new(keys.refresh_key());
        let read = key.read(token);
        let (session, secret) = read.ok_or(Error::RefreshTokenRefused(RefreshRefusal::Foreign))?;
        let (lifetimes, verification) = (self.lifetimes, self.verification);
        let given = self
            .feed
            .end(move |connection| {
                async move { take(connection, &key, session, &secret, &lifetimes, verification).await }
                    .boxed()
            })
            .await?;
        // Only now is it a failure: what a token that came again has ended, is to be committed.
        let (grant, next, until) = given.map_err(Error::RefreshTokenRefused)?;
        // Were the keys made anew meanwhile, what comes of an old token would be good under the new ones.
        let now = self.trust.keyring.fresh().await?;
        if now.refresh_key() != keys.refresh_key() {
            return Err(Error::RefreshTokenRefused(RefreshRefusal::Foreign));
        }
        self.tokens(&now, &grant, Some((next, until)))
    }

    /// Ends the session that an end token names, as a logout does. That it is over already is no failure.
    ///
    /// # Errors
    /// [`Error::InvalidRequest`] for what is not of our making, or was made before the keys were made anew; [`Error::DatabaseUnavailable`],
    /// [`Error::OutcomeUnknown`].
    pub async fn end_by_token(&self, token: &str) -> Result<()> {
        let key = RefreshKey::new(self.trust.keyring.fresh().await?.refresh_key());
        let session = key.read_end_token(token);
        let no_token = || Error::InvalidRequest(vec![Violation::new("end_token", "Not an end token")]);
        let session = session.ok_or_else(no_token)?;
        self.feed
            .end(move |connection| {
                async move {
                    match store::lock_owner(connection, session).await? {
                        Some(owner) => end(connection, owner.user, session).await,
                        None => Ok(()),
                    }
                }
                .boxed()
            })
            .await
    }
}

/// Ends a session of a user whom the transaction has locked, if it goes on.
async fn end(connection: &mut Transaction, user: UserId, session: SessionId) -> Result<()> {
    match super::store::delete(connection, user, session).await? {
        Some(ends) => trust::revoke_sessions(connection, &[(session, ends)]).await,
        None => Ok(()),
    }
}

/// What the use of a token gives, or why it gives nothing: also that one is a transaction to be committed.
async fn take(
    connection: &mut Transaction,
    key: &RefreshKey,
    session: SessionId,
    presented: &Secret,
    lifetimes: &Lifetimes,
    verification: Verification,
) -> Result<Result<Given, RefreshRefusal>> {
    let Some(owner) = store::lock_owner(connection, session).await? else {
        return Ok(Err(RefreshRefusal::SessionEnded));
    };
    let Some((chain, known)) = store::lock_chain(connection, owner.user, session).await? else {
        return Ok(Err(RefreshRefusal::SessionEnded));
    };
    if !owner.is_active || owner.state != known {
        return Ok(Err(RefreshRefusal::UserChanged));
    }
    let (now, session_ends) = (owner.now, chain.expires_at);
    let (next, access_ends, session_ends) = match chain.take(key, session, presented, now, lifetimes) {
        Use::Advance(next, chain) => {
            if store::advance(connection, session, &chain).await? != 1 {
                return Err(Error::Internal("a session that is locked has vanished".into()));
            }
            (next, chain.access_expires_at.min(now + lifetimes.access), chain.expires_at)
        }
        Use::Repeat(next, access_ends) => (next, access_ends, session_ends),
        Use::Expired => return Ok(Err(RefreshRefusal::Expired)),
        Use::Reuse => {
            let (session_id, user_id) = (session.as_uuid(), owner.user.as_uuid());
            warn!(%session_id, %user_id, "a refresh token came again: its session is ended, somebody may have copied it");
            end(connection, owner.user, session).await?;
            return Ok(Err(RefreshRefusal::Reused));
        }
    };
    // Here, so that a token that was copied has ended its session above. As a failure, it undoes the use of a good one.
    verification.check(owner.is_verified)?;
    let epoch = owner.state.epoch;
    let grant = Grant { session, user: owner.user, epoch, issued_at: now, expires_at: access_ends };
    Ok(Ok((grant, next, session_ends)))
}
