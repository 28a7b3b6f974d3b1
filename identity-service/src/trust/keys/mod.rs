//! The keys that access tokens are signed with: which there are now, as far as this replica knows.
//!
//! - [`model`]: the states of a key, and which step is due
//! - [`life`]: the steps, which replicas and operators take

pub mod life;
pub mod model;
mod store;

use std::sync::{Arc, PoisonError, RwLock};
use std::time::{Duration, Instant};

use aws_lc_rs::signature::{Ed25519KeyPair, KeyPair as _};
use jsonwebtoken::EncodingKey;
use tokio::sync::Mutex;
use tracing::info;
use zeroize::Zeroizing;

use super::seal::{KeyEncryptionKey, Sealer};
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
}

impl KeySet {
    /// The keys, if each of them is whole. Who can write to the database but does not know the key-encryption key cannot
    /// make us believe a public key of his own, or one that everybody can sign for.
    fn open(kek: &KeyEncryptionKey, sealed: Vec<SealedKey>) -> Result<Self> {
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
        Ok(Self { keys: to_public(sealed).into(), signing_key, signing_kid })
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

    /// Which keys there are, in which states: as a read of the database puts it.
    fn summary(&self) -> String {
        let mut each: Vec<_> = self.keys.iter().map(|key| (&key.kid, key.state.as_str())).collect();
        each.sort_unstable();
        each.iter().map(|(kid, state)| format!("{kid}:{state}")).collect::<Vec<_>>().join(" ")
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
    summary: String,
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
        let set = KeySet::open(&kek, list(&database).await?)?;
        let known = RwLock::new(Known { summary: set.summary(), set: Arc::new(set), as_of });
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
        let sealed = list(&self.database).await?;
        self.note(asked, sealed)
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
        read: impl AsyncFnOnce() -> Result<Vec<SealedKey>>,
    ) -> Result<Arc<KeySet>> {
        {
            let mut known = self.known.write().unwrap_or_else(PoisonError::into_inner);
            if known.summary == summary {
                known.as_of = known.as_of.max(asked);
                return Ok(Arc::clone(&known.set));
            }
        }
        let asked = Instant::now();
        self.note(asked, read().await?)
    }

    /// Notes what was read. Of two reads the one that began later counts.
    fn note(&self, asked: Instant, sealed: Vec<SealedKey>) -> Result<Arc<KeySet>> {
        let set = KeySet::open(&self.kek, sealed)?;
        let mut known = self.known.write().unwrap_or_else(PoisonError::into_inner);
        if known.as_of < asked {
            known.as_of = asked;
            let summary = set.summary();
            if known.summary != summary {
                info!(before = known.summary, after = summary, "the signing keys have changed");
                (known.summary, known.set) = (summary, Arc::new(set));
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

/// The same, over a connection that one has.
pub(super) async fn list_over(connection: &mut Transaction) -> Result<Vec<SealedKey>> {
    store::list(connection).await
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
