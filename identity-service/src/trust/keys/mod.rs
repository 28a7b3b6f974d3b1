//! The keys that access tokens are signed with: which there are now, as far as this replica knows.
//!
//! - [`model`]: the states of a key, and which step is due
//! - [`life`]: the steps, which replicas and operators take

pub mod life;
pub mod model;
mod store;

use std::sync::{Arc, PoisonError, RwLock};
use std::time::{Duration, Instant};

use aws_lc_rs::digest;
use aws_lc_rs::signature::{Ed25519KeyPair, KeyPair as _};
use base64::{Engine as _, engine::general_purpose::STANDARD};
use jsonwebtoken::EncodingKey;
use tokio::sync::Mutex;
use tracing::info;
use zeroize::Zeroizing;

use super::seal::{KeyEncryptionKey, Sealer};
use super::secrets::{self, Secret};
use crate::database::{Database, Transaction};
use crate::error::{Error, Result};
use model::{KeyState, PublicKey, SealedKey, thumbprint};

/// For how long what was read of the keys counts: as long as what a gateway was told.
const FRESH: Duration = Duration::from_millis(1_500);

/// All keys of the issuer at one moment.
pub struct KeySet {
    keys: Arc<[PublicKey]>,
    signing_key: EncodingKey,
    signing_kid: String,
    refresh_key: Secret,
    summary: String,
}

/// The same as they are stored.
pub(super) struct Stored {
    keys: Vec<SealedKey>,
    refresh_key: Option<Vec<u8>>,
}

impl Stored {
    /// Reads them.
    ///
    /// # Errors
    /// [`Error::DatabaseUnavailable`].
    pub(super) async fn read(connection: &mut Transaction) -> Result<Self> {
        let keys = store::list(connection).await?;
        let refresh_key = secrets::find(connection, secrets::REFRESH_KEY).await?;
        Ok(Self { keys, refresh_key })
    }

    /// Which keys there are, in which states, and which refresh key: as a read of the feed puts it.
    fn summary(&self) -> String {
        let public = self.keys.iter().map(|key| &key.public);
        let mut each: Vec<_> = public.map(|key| (&key.kid, key.state.as_str())).collect();
        each.sort_unstable();
        let keys: Vec<_> = each.iter().map(|(kid, state)| format!("{kid}:{state}")).collect();
        let digest = |sealed: &Vec<u8>| STANDARD.encode(digest::digest(&digest::SHA256, sealed));
        format!("{} {}", keys.join(" "), self.refresh_key.as_ref().map(digest).unwrap_or_default())
    }
}

impl KeySet {
    /// The keys, if each of them is whole. Who can write to the database but does not know the key-encryption key cannot
    /// make us believe a public key of his own, or one that everybody can sign for.
    fn open(kek: &KeyEncryptionKey, stored: Stored) -> Result<Self> {
        let (summary, Stored { keys: sealed, refresh_key }) = (stored.summary(), stored);
        if sealed.is_empty() {
            return Err(Error::DatabaseUnavailable("the server shows no keys: it takes no writes".into()));
        }
        let mut signing = None;
        for key in &sealed {
            let (private, _) = open(kek, key)?;
            if key.public.state == KeyState::Current {
                signing = Some((EncodingKey::from_ed_der(&private), key.public.kid.clone()));
            }
        }
        let (signing_key, signing_kid) =
            signing.ok_or_else(|| Error::Internal("there is no current signing key".into()))?;
        let refresh_key = refresh_key.ok_or_else(|| Error::Internal("there is no refresh key".into()))?;
        let refresh_key = secrets::open(kek, secrets::REFRESH_KEY, &refresh_key)?;
        Ok(Self { keys: to_public(sealed).into(), signing_key, signing_kid, refresh_key, summary })
    }

    /// The public keys, the current one first.
    #[must_use]
    pub fn public(&self) -> Arc<[PublicKey]> {
        Arc::clone(&self.keys)
    }

    /// The Ed25519 public key (RFC 8032) with this id.
    #[must_use]
    pub fn public_key(&self, kid: &str) -> Option<[u8; 32]> {
        self.keys.iter().find(|key| key.kid == kid).map(|key| key.public_key)
    }

    /// The key to sign with, and its id.
    #[must_use]
    pub fn signing_key(&self) -> (&EncodingKey, &str) {
        (&self.signing_key, &self.signing_kid)
    }

    /// The key that refresh tokens are made with.
    #[must_use]
    pub fn refresh_key(&self) -> &Secret {
        &self.refresh_key
    }
}

/// The keys that this replica knows, and since when.
pub struct Keyring {
    database: Database,
    kek: Arc<KeyEncryptionKey>,
    known: RwLock<Known>,
    /// Who reads them because nobody else has lately.
    reads: Mutex<()>,
}

struct Known {
    set: Arc<KeySet>,
    /// When it was asked for.
    as_of: Instant,
}

impl Keyring {
    /// Reads the keys.
    ///
    /// # Errors
    /// [`Error::DatabaseUnavailable`], and [`Error::Internal`] when the key-encryption key is not the one that the keys were
    /// sealed with, or a key is not whole.
    pub async fn load(database: Database, kek: Arc<KeyEncryptionKey>) -> Result<Self> {
        let as_of = Instant::now();
        let set = Arc::new(KeySet::open(&kek, database.read(Stored::read).await?)?);
        let known = RwLock::new(Known { set, as_of });
        Ok(Self { database, kek, known, reads: Mutex::new(()) })
    }

    /// The keys, as they were when they were last looked at.
    #[must_use]
    pub fn last(&self) -> Arc<KeySet> {
        Arc::clone(&self.known.read().unwrap_or_else(PoisonError::into_inner).set)
    }

    /// The keys, as they were a moment ago: none that was taken away more than 1.5 s ago is among them.
    ///
    /// # Errors
    /// Those of [`Keyring::load`], if the feed has not read them lately and they must be.
    pub async fn fresh(&self) -> Result<Arc<KeySet>> {
        if let Some(set) = self.if_fresh() {
            return Ok(set);
        }
        // One reads for all who wait.
        let _turn = self.reads.lock().await;
        if let Some(set) = self.if_fresh() {
            return Ok(set);
        }
        let asked = Instant::now();
        let stored = self.database.read(Stored::read).await?;
        self.note(asked, stored)
    }

    fn if_fresh(&self) -> Option<Arc<KeySet>> {
        let known = self.known.read().unwrap_or_else(PoisonError::into_inner);
        (known.as_of.elapsed() < FRESH).then(|| Arc::clone(&known.set))
    }

    /// Notes what a read of all revocations, which was begun then, has seen of the keys; reads them in the same way if they
    /// have changed. The keys as they were then or later.
    pub(super) async fn catch_up(
        &self,
        asked: Instant,
        summary: &str,
        read: impl AsyncFnOnce() -> Result<Stored>,
    ) -> Result<Arc<KeySet>> {
        {
            let mut known = self.known.write().unwrap_or_else(PoisonError::into_inner);
            if known.set.summary == summary {
                known.as_of = known.as_of.max(asked);
                return Ok(Arc::clone(&known.set));
            }
        }
        let asked = Instant::now();
        self.note(asked, read().await?)
    }

    /// Notes what was read. Of two reads the one that began later counts.
    fn note(&self, asked: Instant, stored: Stored) -> Result<Arc<KeySet>> {
        let set = KeySet::open(&self.kek, stored)?;
        let mut known = self.known.write().unwrap_or_else(PoisonError::into_inner);
        if known.as_of < asked {
            known.as_of = asked;
            if known.set.summary != set.summary {
                info!(before = known.set.summary, after = set.summary, "the keys have changed");
                known.set = Arc::new(set);
            }
        }
        Ok(Arc::clone(&known.set))
    }
}

/// The keys in the database, the current one first, then the newest.
///
/// # Errors
/// [`Error::DatabaseUnavailable`].
pub async fn list(database: &Database) -> Result<Vec<SealedKey>> {
    database.read(async |connection| store::list(connection).await).await
}

fn to_public(sealed: Vec<SealedKey>) -> Vec<PublicKey> {
    sealed.into_iter().map(|key| key.public).collect()
}

/// The private half of a stored key that is whole, and which key has sealed it.
fn open(kek: &KeyEncryptionKey, key: &SealedKey) -> Result<(Zeroizing<Vec<u8>>, Sealer)> {
    let PublicKey { kid, public_key, .. } = &key.public;
    let broken = |why| Error::Internal(format!("the signing key {kid} in the database {why}").into());
    if thumbprint(public_key) != *kid {
        return Err(broken("has an id that is not the thumbprint of its public key"));
    }
    let (private, sealer) = kek.open_and_tell(kid, &key.sealed_private).ok_or_else(|| {
        let wrong = "KEY_ENCRYPTION_KEY is not the key that the signing key";
        let what_to_do = "give that one, as KEY_ENCRYPTION_KEY_OTHER while they are exchanged";
        Error::Internal(format!("{wrong} {kid} in the database was sealed with: {what_to_do}").into())
    })?;
    let is_of_private = |pair: Ed25519KeyPair| pair.public_key().as_ref() == public_key;
    match Ed25519KeyPair::from_pkcs8(&private).map(is_of_private) {
        Ok(true) => Ok((private, sealer)),
        Ok(false) | Err(_) => Err(broken("has a public half that is not that of its private half")),
    }
}
