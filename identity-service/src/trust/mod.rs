//! Trust: the keys that access tokens are signed with, and who is believed.

pub mod grpc;
pub mod model;
mod seal;
mod store;

use std::time::SystemTime;

use aws_lc_rs::signature::{Ed25519KeyPair, KeyPair as _};
use futures_util::FutureExt as _;
use jsonwebtoken::EncodingKey;
use portcullis_proto::access_token::Memory;
use zeroize::Zeroizing;

pub use seal::KeyEncryptionKey;

use crate::database::Database;
use crate::error::{Error, Result};
use crate::sessions::model::Caller;
use model::{KeyState, PublicKey, SealedKey, thumbprint};

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
        Ok(Self { checked: Memory::of(issuer), keys, signing_key, signing_kid })
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
        Ok(Caller { user: claims.sub.into(), session: claims.sid.into(), epoch: claims.epoch })
    }
}

/// The keys in the database, the current one first, then the newest.
///
/// # Errors
/// [`Error::DatabaseUnavailable`].
pub async fn list_keys(database: &Database) -> Result<Vec<SealedKey>> {
    database.read(async |connection| store::list(connection).await).await
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
