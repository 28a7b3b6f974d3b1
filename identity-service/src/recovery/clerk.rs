//! The clerk: makes tokens for what was asked for, and posts the mails that bring them. Every replica has one.

use std::sync::Arc;
use std::time::{Duration, Instant};

use futures_util::FutureExt as _;
use tokio::time::sleep;
use tracing::{info, warn};

use super::model::{Lifetimes, Purpose};
use super::{store, token};
use crate::database::{Database, PointConnection, Transaction};
use crate::error::Result;
use crate::mail::{self, Letter};
use crate::secret::Secret;
use crate::trust::KeyEncryptionKey;
use crate::users::recovered;

/// The time between two looks at what was asked for. It does not depend on what is asked for, so that nothing that is
/// measured while a request is answered tells what comes of it.
const PAUSE: Duration = Duration::from_millis(500);
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
        let (mut is_failing, mut tidied) = (false, None);
        loop {
            let outcome = clerk.work(&mut tidied).await;
            match (&outcome, is_failing) {
                (Err(error), false) => warn!(%error, "requests for tokens wait"),
                (Ok(()), true) => info!("requests for tokens are worked off again"),
                _ => {}
            }
            is_failing = outcome.is_err();
            sleep(PAUSE).await;
        }
    }

    async fn work(self: &Arc<Self>, tidied: &mut Option<Instant>) -> Result<()> {
        let look = |connection: PointConnection| async move { store::is_anything_asked(&connection).await };
        let mut is_more = self.database.point_read(look).await?;
        while is_more {
            let clerk = Arc::clone(self);
            let step = self
                .database
                .transaction(move |connection| async move { clerk.step(connection).await }.boxed());
            is_more = step.await?;
        }
        if tidied.is_none_or(|then| then.elapsed() >= TIDY) {
            let remove = self.database.transaction(|connection| {
                async move { Ok(store::remove_expired_tokens(connection).await?) }.boxed()
            });
            remove.await?;
            *tidied = Some(Instant::now());
        }
        Ok(())
    }

    /// Removes the requests that come to nothing, many at once, and works off one other; whether there was any.
    async fn step(&self, connection: &mut Transaction) -> Result<bool> {
        let removed = store::remove_requests_of_nobody(connection).await?;
        Ok(self.take(connection).await? || removed > 0)
    }

    /// Works off one request; whether there was one. The user is locked, so that of two requests for him one is counted
    /// before the other, and a token never tells of him what he no longer is.
    async fn take(&self, connection: &mut Transaction) -> Result<bool> {
        let Some(request) = store::take_request(connection).await? else { return Ok(false) };
        let found = recovered::lock_by_email(connection, &request.email_canonical).await?;
        if let Some(before) = found.filter(|user| request.purpose.is_for(user)) {
            if self.has_enough(connection, &request.email_canonical).await? {
                store::remove_requests_of(connection, &request.email_canonical).await?;
                let user_id = before.user.id.as_uuid();
                info!(%user_id, "a user has been mailed often enough for this hour");
                return Ok(true);
            }
            if request.purpose == Purpose::Reset {
                store::remove_tokens(connection, before.user.id, Purpose::Reset).await?;
            }
            let (user, secret) = (before.user.id, Secret::random()?);
            let (digest, lifetime) = (secret.digest(), self.lifetimes.of(request.purpose));
            let language = request.language;
            let expires_at =
                store::insert_token(connection, user, &digest, request.purpose, &language, lifetime).await?;
            let letter = Letter {
                user,
                kind: request.purpose.mail(),
                language,
                recipient: before.user.email,
                email_canonical: before.email_canonical,
                token: Some(token::write(&secret)),
                expires_at,
            };
            mail::post(connection, &self.kek, letter).await?;
        }
        store::remove_requests(connection, vec![request.id]).await?;
        Ok(true)
    }

    async fn has_enough(&self, connection: &mut Transaction, email_canonical: &str) -> Result<bool> {
        let Some(limit) = self.per_hour else { return Ok(false) };
        Ok(mail::lately(connection, email_canonical).await? >= i64::from(limit))
    }
}
