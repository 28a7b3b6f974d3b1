//! Trust: the keys that access tokens are signed with, those that all replicas share, which tokens have ended, and who is believed.

mod feed;
mod follower;
pub mod grpc;
pub mod model;
mod seal;
pub mod secrets;
mod store;
mod time;

use std::time::SystemTime;

use aws_lc_rs::signature::{Ed25519KeyPair, KeyPair as _};
use futures_util::FutureExt as _;
use jsonwebtoken::{DecodingKey, EncodingKey};
use portcullis_proto::access_token::{self, Claims, Memory, Refusal};
use zeroize::Zeroizing;

pub use feed::Feed;
pub use seal::KeyEncryptionKey;

use crate::database::{Database, Transaction};
use crate::error::{Error, Result};
use crate::ids::{SessionId, UserId};
use crate::sessions::model::Caller;
use model::{KeyState, PublicKey, SealedKey, thumbprint};

/// How many tokens are remembered whose signature was found good.
const CHECKED_TOKENS: usize = 10_000;

/// The keys of this issuer.
pub struct Trust {
    checked: Memory,
    keys: Vec<PublicKey>,
    signing_key: EncodingKey,
    signing_kid: String,
}

impl Trust {
    /// Loads the keys; makes the first one when there is none. Replicas that do so at once end up with one key:
    /// the database takes the first and ignores the others.
    ///
    /// # Errors
    /// [`Error::DatabaseUnavailable`], and [`Error::Internal`] when the key-encryption key is not the one that
    /// the keys were sealed with, or a key is not whole; then nothing has been changed.
    pub async fn load(database: &Database, kek: &KeyEncryptionKey, issuer: &str) -> Result<Self> {
        let mut keys = list_keys(database).await?;
        if !keys.iter().any(|key| key.public.state == KeyState::Current) {
            insert_first_key(database, new_key(kek)?).await?;
            keys = list_keys(database).await?;
        }
        let mut signing = None;
        for key in &keys {
            let private = open(kek, key)?;
            if key.public.state == KeyState::Current {
                signing = Some((EncodingKey::from_ed_der(&private), key.public.kid.clone()));
            }
        }
        let (signing_key, signing_kid) =
            signing.ok_or_else(|| Error::Internal("there is no current signing key".into()))?;
        let keys = keys.into_iter().map(|key| key.public).collect();
        Ok(Self { checked: Memory::of(issuer, CHECKED_TOKENS), keys, signing_key, signing_kid })
    }

    /// The value of the claim `iss`.
    #[must_use]
    pub fn issuer(&self) -> &str {
        self.checked.issuer()
    }

    /// The public keys, the current one first.
    #[must_use]
    pub fn keys(&self) -> &[PublicKey] {
        &self.keys
    }

    /// The key to sign with, and its id.
    #[must_use]
    pub fn signing_key(&self) -> (&EncodingKey, &str) {
        (&self.signing_key, &self.signing_kid)
    }

    /// Believes an access token, or not. Whether its session goes on, only the database knows.
    ///
    /// # Errors
    /// [`Error::Unauthenticated`].
    pub fn verify(&self, now: SystemTime, token: &str) -> Result<Caller> {
        let key_of = |kid: &str| self.keys.iter().find(|key| key.kid == kid).map(|key| key.public_key);
        let claims = self.checked.verify(now, token, key_of).map_err(Error::unauthenticated)?;
        Ok(to_caller(&claims))
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
    let keys = list_keys(database).await?;
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

/// The keys in the database, the current one first, then the newest.
///
/// # Errors
/// [`Error::DatabaseUnavailable`].
pub async fn list_keys(database: &Database) -> Result<Vec<SealedKey>> {
    database.read(async |connection| store::list(connection).await).await
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

/// The private half of a stored key that is whole. Who can write to the database but does not know the key-encryption
/// key cannot make us believe a public key of his own, or one that everybody can sign for.
fn open(kek: &KeyEncryptionKey, key: &SealedKey) -> Result<Zeroizing<Vec<u8>>> {
    let PublicKey { kid, public_key, .. } = &key.public;
    let broken = |why| Error::Internal(format!("the signing key {kid} in the database {why}").into());
    if thumbprint(public_key) != *kid {
        return Err(broken("has an id that is not the thumbprint of its public key"));
    }
    let private = kek.open(kid, &key.sealed_private).ok_or_else(|| {
        let sealed = format!("the signing key {kid} in the database was sealed with");
        Error::Internal(format!("KEY_ENCRYPTION_KEY is not the key that {sealed}").into())
    })?;
    let is_of_private = |pair: Ed25519KeyPair| pair.public_key().as_ref() == public_key;
    match Ed25519KeyPair::from_pkcs8(&private).map(is_of_private) {
        Ok(true) => Ok(private),
        Ok(false) | Err(_) => Err(broken("has a public half that is not that of its private half")),
    }
}

async fn insert_first_key(database: &Database, key: SealedKey) -> Result<()> {
    database
        .transaction(move |connection| {
            async move { store::insert_if_no_current(connection, &key).await }.boxed()
        })
        .await
}

fn new_key(kek: &KeyEncryptionKey) -> Result<SealedKey> {
    let no_randomness = |_| Error::Internal("the system gives no randomness".into());
    let pair = Ed25519KeyPair::generate().map_err(no_randomness)?;
    let private = pair.to_pkcs8().map_err(no_randomness)?;
    let public_key: [u8; 32] =
        pair.public_key().as_ref().try_into().expect("an Ed25519 public key has 32 bytes (RFC 8032)");
    let kid = thumbprint(&public_key);
    let sealed_private = kek.seal(&kid, private.as_ref()).map_err(no_randomness)?;
    let public = PublicKey { kid, public_key, state: KeyState::Current, created_at: SystemTime::now() };
    Ok(SealedKey { public, sealed_private })
}
