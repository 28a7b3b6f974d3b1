//! Trust: the keys that access tokens are signed with, those that all replicas share, which tokens have ended, and who is
//! believed.

mod feed;
mod follower;
pub mod grpc;
pub mod keys;
pub mod model;
mod seal;
mod secrets;
mod store;
mod time;
mod upkeep;

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use jsonwebtoken::DecodingKey;
use portcullis_proto::access_token::{self, Claims, Memory, Refusal};

pub use feed::Feed;
pub use seal::KeyEncryptionKey;
pub(crate) use secrets::no_randomness;

use crate::database::{Database, Transaction};
use crate::error::{Error, Result};
use crate::ids::{SessionId, UserId};
use crate::sessions::model::Caller;
use keys::life::Keeper;
use keys::{KeySet, Keyring};

/// How many tokens are remembered whose signature was found good.
const CHECKED_TOKENS: usize = 10_000;

/// Who is believed: whoever shows what this issuer has signed.
pub struct Trust {
    checked: Memory,
    /// The keys of the issuer.
    pub keyring: Keyring,
    keeper: Keeper,
    rotation: Option<Duration>,
}

impl Trust {
    /// Loads the keys; makes the first ones when there are none. Of replicas that do so at once, one makes them. `rotation`
    /// is how old a key becomes that signs; `None` stands for ever.
    ///
    /// # Errors
    /// [`Error::DatabaseUnavailable`], and [`Error::Internal`] when the key-encryption key is not the one that
    /// the keys were sealed with, or a key is not whole; then nothing has been changed.
    pub async fn load(
        database: &Database,
        kek: Arc<KeyEncryptionKey>,
        issuer: &str,
        rotation: Option<Duration>,
    ) -> Result<Self> {
        let keeper = Keeper { database: database.clone(), kek: Arc::clone(&kek) };
        keeper.keep(None, false).await?;
        let keyring = Keyring::load(database.clone(), kek).await?;
        Ok(Self { checked: Memory::of(issuer, CHECKED_TOKENS), keyring, keeper, rotation })
    }

    /// The value of the claim `iss`.
    #[must_use]
    pub fn issuer(&self) -> &str {
        self.checked.issuer()
    }

    /// Believes an access token, or not. Whether its session goes on, only the database knows.
    ///
    /// # Errors
    /// [`Error::Unauthenticated`], and those of [`Keyring::fresh`].
    pub async fn verify(&self, now: SystemTime, token: &str) -> Result<Caller> {
        let check = |keys: &KeySet| self.checked.verify(now, token, |kid| keys.public_key(kid));
        // What no key can make good needs no look at the keys.
        let claims = match check(&self.keyring.last()) {
            Ok(_) | Err(Refusal::UnknownKey) => check(&*self.keyring.fresh().await?),
            refused => refused,
        };
        Ok(to_caller(&claims.map_err(Error::unauthenticated)?))
    }

    /// Does what is due about the keys; whether anything was. `is_sure` says whether the time can be relied on.
    async fn keep_keys(&self, is_sure: bool) -> Result<bool> {
        self.keeper.keep(self.rotation, is_sure).await
    }
}

fn to_caller(claims: &Claims) -> Caller {
    Caller { user: claims.sub.into(), session: claims.sid.into(), epoch: claims.epoch }
}

/// What a token says, if the issuer signed it, and whom it names, or which check refuses it: for an operator.
pub struct Explained {
    /// What it says.
    pub claims: Option<Claims>,
    /// Whom it names, if the database agrees.
    pub caller: Result<Caller, Refusal>,
}

/// Explains an access token, by the clock of the database.
///
/// # Errors
/// [`Error::DatabaseUnavailable`].
pub async fn explain(database: &Database, issuer: &str, token: &str) -> Result<Explained> {
    let keys = keys::list(database).await?;
    let here = database.read(async |connection| Ok(store::find_position(connection).await?)).await?;
    let now = here.map_or_else(SystemTime::now, |found| found.time);
    let key_of = |kid: &str| {
        let known = keys.iter().find(|key| key.public.kid == kid);
        known.map(|key| DecodingKey::from_ed_der(&key.public.public_key))
    };
    let claims = access_token::read(token, issuer, key_of).ok();
    let caller = access_token::verify(now, token, issuer, key_of).map(|claims| to_caller(&claims));
    Ok(Explained { claims, caller })
}

/// Lets all verifiers know that something has ended, for a process that runs no [`Feed`]. If that fails they know it a
/// little later.
pub async fn announce(database: &Database) {
    let announced = database.read(async |connection| Ok(store::notify(connection).await?)).await;
    if let Err(error) = announced {
        tracing::debug!(%error, "verifiers were not told at once");
    }
}

/// Says to all verifiers, once the transaction commits, that sessions have ended. With each goes when its last token
/// expires.
///
/// # Errors
/// [`Error::DatabaseUnavailable`].
pub(crate) async fn revoke_sessions(
    connection: &mut Transaction,
    ended: &[(SessionId, SystemTime)],
) -> Result<()> {
    if ended.is_empty() {
        return Ok(());
    }
    Ok(store::insert_sessions(connection, ended).await?)
}

/// Says to all verifiers, once the transaction commits, that the tokens of a user with a lower epoch have ended.
///
/// # Errors
/// [`Error::DatabaseUnavailable`].
pub(crate) async fn revoke_user(connection: &mut Transaction, user: UserId, epoch: i64) -> Result<()> {
    Ok(store::insert_user(connection, user, epoch).await?)
}
