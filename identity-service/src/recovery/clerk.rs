//! The clerk: makes tokens for what was asked for, and posts the mails that bring them. Every replica has one.

use std::error::Error as _;
use std::sync::Arc;
use std::time::Duration;

use futures_util::FutureExt as _;
use tokio::time::{Instant, interval_at, sleep};
use tracing::{info, warn};
use uuid::Uuid;

use super::model::{Lifetimes, Purpose};
use super::store::Request;
use super::{store, token};
use crate::database::{Database, PointConnection, Transaction};
use crate::error::Result;
use crate::mail::{self, Letter};
use crate::secret::Secret;
use crate::trust::KeyEncryptionKey;
use crate::users::model::UserState;
use crate::users::recovered;

/// The time between two looks at what was asked for. It does not depend on what is asked for, so that nothing that is
/// measured while a request is answered tells what comes of it.
const PAUSE: Duration = Duration::from_millis(500);
/// How many requests may fail until the rest waits for the next look: then it is the database that fails.
const MOST_FAILURES: usize = 3;
/// How often tokens that have expired are removed.
const TIDY: Duration = Duration::from_secs(60);

/// Works off requests.
pub struct Clerk {
    /// The database.
    pub database: Database,
    /// What seals the tokens in the outbox.
    pub kek: Arc<KeyEncryptionKey>,
    /// For how long the tokens are good.
    pub lifetimes: Lifetimes,
    /// How many mails with a token an address gets in an hour; `None` for any number.
    pub per_hour: Option<u32>,
}

impl Clerk {
    /// Goes on until the process ends. Whatever fails is tried again.
    pub async fn run(self) {
        let clerk = Arc::new(self);
        tokio::join!(clerk.work_for_ever(), clerk.tidy_for_ever());
    }

    async fn work_for_ever(self: &Arc<Self>) {
        let mut is_failing = false;
        loop {
            // First of all: at the start others need the connections more.
            sleep(PAUSE).await;
            let outcome = self.work().await;
            match (&outcome, is_failing) {
                (Err(error), false) => warn!(cause = error.source(), "requests for tokens wait: {error}"),
                (Ok(()), true) => info!("requests for tokens are worked off again"),
                _ => {}
            }
            is_failing = outcome.is_err();
        }
    }

    async fn tidy_for_ever(self: &Arc<Self>) {
        let mut ticks = interval_at(Instant::now() + TIDY, TIDY);
        loop {
            ticks.tick().await;
            let remove = self.database.transaction(|connection| {
                async move { Ok(store::remove_expired_tokens(connection).await?) }.boxed()
            });
            if let Err(error) = remove.await {
                warn!(cause = error.source(), "tokens that have expired are not removed: {error}");
            }
        }
    }

    /// Works off what there is. A request that fails, since its user is being changed for long, keeps none of the others.
    async fn work(self: &Arc<Self>) -> Result<()> {
        let look = |connection: PointConnection| async move { store::is_anything_asked(&connection).await };
        if !self.database.point_read(look).await? {
            return Ok(());
        }
        let sift = self
            .database
            .transaction(|connection| async move { Ok(store::sift_requests(connection).await?) }.boxed());
        let (mut outcome, mut failures) = (Ok(()), 0);
        for id in sift.await? {
            let clerk = Arc::clone(self);
            let take = self
                .database
                .transaction(move |connection| async move { clerk.take(connection, id).await }.boxed());
            if let Err(error) = take.await {
                (outcome, failures) = (Err(error), failures + 1);
            }
            if failures == MOST_FAILURES {
                break;
            }
        }
        outcome
    }

    /// Works off one request, unless another replica does. The user is locked, so that of two requests for him one is
    /// counted before the other, and a token never tells of him what he no longer is.
    async fn take(&self, connection: &mut Transaction, id: Uuid) -> Result<()> {
        let Some(request) = store::take_request(connection, id).await? else { return Ok(()) };
        let found = recovered::lock_by_email(connection, &request.email_canonical).await?;
        if let Some(before) = found.filter(|user| request.purpose.is_for(user)) {
            if self.has_enough(connection, &request.email_canonical).await? {
                store::remove_requests_of(connection, &request.email_canonical).await?;
                let user_id = before.user.id.as_uuid();
                info!(%user_id, "a user has been mailed often enough for this hour");
                return Ok(());
            }
            self.make(connection, before, &request).await?;
        }
        store::remove_requests(connection, vec![request.id]).await?;
        Ok(())
    }

    /// Makes a token for a user whom the transaction has locked, and posts the mail that brings it.
    async fn make(&self, connection: &mut Transaction, before: UserState, request: &Request) -> Result<()> {
        let (user, purpose, language) = (before.user.id, request.purpose, &request.language);
        if purpose == Purpose::Reset {
            store::remove_tokens(connection, user, purpose).await?;
        }
        let (secret, lifetime) = (Secret::random()?, self.lifetimes.of(purpose));
        let expires_at =
            store::insert_token(connection, user, &secret.digest(), purpose, language, lifetime).await?;
        let letter = Letter {
            user,
            kind: purpose.mail(),
            language: language.clone(),
            recipient: before.user.email,
            email_canonical: before.email_canonical,
            token: Some(token::write(&secret)),
            expires_at,
        };
        mail::post(connection, &self.kek, letter).await
    }

    async fn has_enough(&self, connection: &mut Transaction, email_canonical: &str) -> Result<bool> {
        let Some(limit) = self.per_hour else { return Ok(false) };
        Ok(mail::lately(connection, email_canonical).await? >= i64::from(limit))
    }
}
