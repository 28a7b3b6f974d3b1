//! The life of the keys: every replica does what is due, and an operator hastens it. All of it is one transaction each,
//! which nobody else changes keys beside, and in which every key that is there must open: a replica with another
//! key-encryption key cannot lock the others out.

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use aws_lc_rs::signature::{Ed25519KeyPair, KeyPair as _};
use futures_util::FutureExt as _;
use tracing::info;

use super::model::{KNOWN, KeyState, PUBLISHED, PublicKey, SealedKey, Step, due, the, thumbprint};
use super::{open, store, to_public};
use crate::database::{Database, Transaction};
use crate::error::{Error, Result};
use crate::trust::KeyEncryptionKey;

/// Who changes keys: where they are, and what seals them.
#[derive(Clone)]
pub struct Keeper {
    /// Where they are.
    pub database: Database,
    /// What seals them.
    pub kek: Arc<KeyEncryptionKey>,
    /// How old a key becomes that signs; `None` stands for ever.
    pub rotation: Option<Duration>,
}

/// What became of what an operator asked for.
#[derive(Debug, PartialEq, Eq)]
#[must_use]
pub enum Outcome {
    /// It is done.
    Done,
    /// It is as it was asked for already.
    NothingToDo,
    /// The next key would have to sign, and is not known to everybody for so long yet.
    TooEarly(Duration),
    /// There is no such key.
    Unknown,
}

impl Keeper {
    /// Does what is due: makes the first keys, publishes the next one, lets it sign when the current one is old, and removes
    /// those whose tokens have expired. Whether anything was due.
    ///
    /// # Errors
    /// [`Error::DatabaseUnavailable`], [`Error::OutcomeUnknown`], and [`Error::Internal`] when a key does not open, or is not
    /// whole; then nothing is changed.
    pub async fn keep(&self) -> Result<bool> {
        let (rotation, there) = (self.rotation, self.database.read(store::list_now).await?);
        let (now, keys) = (there.0, to_public(there.1));
        if due(now, &keys, rotation).is_none() {
            return Ok(false);
        }
        self.change(move |change| async move { change.go_on(rotation).await }.boxed()).await?;
        Ok(true)
    }

    /// Lets the next key sign, if it is known for as long as verifiers may keep the keys; `at_once`, if it is known for as
    /// long as gateways may.
    ///
    /// # Errors
    /// Those of [`Keeper::keep`].
    pub async fn rotate(&self, at_once: bool) -> Result<Outcome> {
        let known = if at_once { KNOWN } else { PUBLISHED };
        self.change(move |change| {
            async move {
                change.go_on(None).await?;
                if let Some(wait) = change.wait_for_next(known) {
                    return Ok(Outcome::TooEarly(wait));
                }
                change.promote().await?;
                change.go_on(None).await?;
                Ok(Outcome::Done)
            }
            .boxed()
        })
        .await
    }

    /// Takes a key out of use: it signs no more, and its tokens stay good until they expire; or are good no longer, if it is
    /// compromised.
    ///
    /// # Errors
    /// Those of [`Keeper::keep`].
    pub async fn retire(&self, kid: String, is_compromised: bool) -> Result<Outcome> {
        self.change(move |change| async move { change.retire(&kid, is_compromised).await }.boxed()).await
    }

    /// Seals all keys anew with the key-encryption key, whichever they were sealed with; how many.
    ///
    /// # Errors
    /// Those of [`Keeper::keep`].
    pub async fn reseal(&self) -> Result<usize> {
        self.change(|change| async move { change.reseal().await }.boxed()).await
    }

    /// Runs a change of the keys, which must all open.
    async fn change<T: Send + 'static>(
        &self,
        action: impl for<'r> FnOnce(&'r mut Change<'_>) -> futures_util::future::BoxFuture<'r, Result<T>>
        + Send
        + 'static,
    ) -> Result<T> {
        let kek = Arc::clone(&self.kek);
        self.database
            .transaction(move |connection| {
                async move {
                    store::lock(connection).await?;
                    let (now, sealed) = store::list_now(connection).await?;
                    sealed.iter().try_for_each(|key| open(&kek, key).map(|_| ()))?;
                    action(&mut Change { connection, kek: &kek, now, keys: to_public(sealed) }).await
                }
                .boxed()
            })
            .await
    }
}

/// A change of the keys that is under way.
struct Change<'a> {
    connection: &'a mut Transaction,
    kek: &'a KeyEncryptionKey,
    now: SystemTime,
    keys: Vec<PublicKey>,
}

impl Change<'_> {
    async fn go_on(&mut self, rotation: Option<Duration>) -> Result<()> {
        while let Some(step) = due(self.now, &self.keys, rotation) {
            info!(?step, "the signing keys change");
            match step {
                Step::Begin => self.make(KeyState::Current).await?,
                Step::Publish => self.make(KeyState::Next).await?,
                Step::Promote => self.promote().await?,
                Step::Remove(kid) => self.remove(&kid).await?,
            }
        }
        Ok(())
    }

    async fn retire(&mut self, kid: &str, is_compromised: bool) -> Result<Outcome> {
        self.go_on(None).await?;
        let Some(state) = self.keys.iter().find(|key| key.kid == kid).map(|key| key.state) else {
            return Ok(Outcome::Unknown);
        };
        match (state, is_compromised) {
            (KeyState::Retired, false) => return Ok(Outcome::NothingToDo),
            (KeyState::Current, _) => {
                if let Some(wait) = self.wait_for_next(KNOWN) {
                    return Ok(Outcome::TooEarly(wait));
                }
                self.promote().await?;
            }
            (KeyState::Next | KeyState::Retired, _) => {}
        }
        if is_compromised || state == KeyState::Next {
            self.remove(kid).await?;
        }
        self.go_on(None).await?;
        Ok(Outcome::Done)
    }

    async fn reseal(&mut self) -> Result<usize> {
        let sealed = store::list(self.connection).await?;
        for key in &sealed {
            let private = open(self.kek, key)?;
            let anew = seal(self.kek, &key.public.kid, &private)?;
            store::reseal(self.connection, &key.public.kid, &anew).await?;
        }
        Ok(sealed.len())
    }

    /// For how long the next key must still be known before it may sign; nothing if it may now.
    fn wait_for_next(&self, known: Duration) -> Option<Duration> {
        let age = the(KeyState::Next, &self.keys).map_or(Duration::ZERO, |next| next.age(self.now));
        Some(known.saturating_sub(age)).filter(|wait| !wait.is_zero())
    }

    async fn promote(&mut self) -> Result<()> {
        for (from, to) in [(KeyState::Current, KeyState::Retired), (KeyState::Next, KeyState::Current)] {
            store::change_state(self.connection, self.now, from, to).await?;
            for key in self.keys.iter_mut().filter(|key| key.state == from) {
                (key.state, key.since) = (to, self.now);
            }
        }
        Ok(())
    }

    async fn make(&mut self, state: KeyState) -> Result<()> {
        let key = new_key(self.kek, self.now, state)?;
        store::insert(self.connection, &key).await?;
        self.keys.push(key.public);
        Ok(())
    }

    async fn remove(&mut self, kid: &str) -> Result<()> {
        store::delete(self.connection, kid).await?;
        self.keys.retain(|key| key.kid != kid);
        Ok(())
    }
}

fn new_key(kek: &KeyEncryptionKey, now: SystemTime, state: KeyState) -> Result<SealedKey> {
    let pair = Ed25519KeyPair::generate().map_err(no_randomness)?;
    let private = pair.to_pkcs8().map_err(no_randomness)?;
    let public_key: [u8; 32] =
        pair.public_key().as_ref().try_into().expect("an Ed25519 public key has 32 bytes (RFC 8032)");
    let kid = thumbprint(&public_key);
    let sealed_private = seal(kek, &kid, private.as_ref())?;
    Ok(SealedKey {
        public: PublicKey { kid, public_key, state, created_at: now, since: now },
        sealed_private,
    })
}

fn seal(kek: &KeyEncryptionKey, kid: &str, private: &[u8]) -> Result<Vec<u8>> {
    kek.seal(kid, private).map_err(no_randomness)
}

fn no_randomness(_: aws_lc_rs::error::Unspecified) -> Error {
    Error::Internal("the system gives no randomness".into())
}
