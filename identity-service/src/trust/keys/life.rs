//! The life of the keys: every replica does what is due, and an operator hastens it. Each change is a transaction which
//! nobody else changes keys beside, and in which every key that stays must open: who has another key-encryption key cannot
//! lock the replicas out.

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use aws_lc_rs::signature::{Ed25519KeyPair, KeyPair as _};
use futures_util::FutureExt as _;
use futures_util::future::BoxFuture;
use tokio::time::sleep;

use super::model::{
    KNOWN, KeyState, PUBLISHED, PublicKey, SURELY_KNOWN, SealedKey, Step, due, the, thumbprint,
};
use super::{open, store, to_public};
use crate::database::{Database, Transaction};
use crate::error::{Error, Result};
use crate::mail;
use crate::trust::seal::{KeyEncryptionKey, Sealer};
use crate::trust::secrets::{self, no_randomness};

/// Who changes keys: where they are, and what seals them.
#[derive(Clone)]
pub struct Keeper {
    /// Where they are.
    pub database: Database,
    /// What seals them.
    pub kek: Arc<KeyEncryptionKey>,
}

/// How quickly the next key is to sign.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Haste {
    /// Once everybody who may keep the keys knows it.
    None,
    /// Once all gateways know it.
    Great,
}

/// What becomes of a key that is taken out of use.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fate {
    /// It signs no more, and its tokens stay good until they expire.
    Retired,
    /// Somebody else may have it: its tokens are good no longer.
    Removed,
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
    /// Does what is due: makes the first keys and the refresh key, publishes the next one, lets it sign when the current one is as old as
    /// `rotation`, and removes those whose tokens have expired; the last two only if the time `is_sure`. Whether anything was
    /// due.
    ///
    /// # Errors
    /// [`Error::DatabaseUnavailable`], [`Error::OutcomeUnknown`], and [`Error::Internal`] when a key does not open, or is not
    /// whole; then nothing is changed.
    pub async fn keep(&self, rotation: Option<Duration>, is_sure: bool) -> Result<bool> {
        let look = async |connection: &mut Transaction| {
            let refresh_key = secrets::find(connection, secrets::REFRESH_KEY).await?;
            Ok((store::list_now(connection).await?, refresh_key.is_some()))
        };
        let ((now, there), has_refresh_key) = self.database.read(look).await?;
        if has_refresh_key && due(is_sure.then_some(now), &to_public(there), rotation).is_none() {
            return Ok(false);
        }
        self.change(None, move |change| {
            let now = is_sure.then_some(change.now);
            async move { change.go_on(now, rotation).await }.boxed()
        })
        .await?;
        Ok(true)
    }

    /// Lets the next key sign.
    ///
    /// # Errors
    /// Those of [`Keeper::keep`].
    pub async fn rotate(&self, haste: Haste) -> Result<Outcome> {
        let next = match self.wait_for_next(haste).await? {
            Ok(next) => next,
            Err(wait) => return Ok(Outcome::TooEarly(wait)),
        };
        self.change(None, move |change| {
            async move {
                change.promote(&next).await?;
                change.go_on(None, None).await
            }
            .boxed()
        })
        .await?;
        Ok(Outcome::Done)
    }

    /// Takes a key out of use. If it is the one that signs, the next key does from now on, with the haste that its fate asks
    /// for.
    ///
    /// # Errors
    /// Those of [`Keeper::keep`].
    pub async fn retire(&self, kid: String, fate: Fate) -> Result<Outcome> {
        let (_, there) = self.database.read(store::list_now).await?;
        let Some(state) = there.iter().find(|key| key.public.kid == kid).map(|key| key.public.state) else {
            return Ok(Outcome::Unknown);
        };
        let next = match (state, fate) {
            (KeyState::Retired, Fate::Retired) => return Ok(Outcome::NothingToDo),
            (KeyState::Next | KeyState::Retired, _) => None,
            (KeyState::Current, _) => {
                let haste = if fate == Fate::Removed { Haste::Great } else { Haste::None };
                match self.wait_for_next(haste).await? {
                    Ok(next) => Some(next),
                    Err(wait) => return Ok(Outcome::TooEarly(wait)),
                }
            }
        };
        let is_gone = fate == Fate::Removed || state == KeyState::Next;
        self.change(is_gone.then(|| kid.clone()), move |change| {
            async move {
                if let Some(next) = next {
                    change.promote(&next).await?;
                }
                if is_gone {
                    change.remove(&kid).await?;
                }
                change.go_on(None, None).await
            }
            .boxed()
        })
        .await?;
        Ok(Outcome::Done)
    }

    /// Seals all keys and secrets anew with the key-encryption key, whichever they were sealed with; how many. So it does with
    /// the tokens of mails that wait, which are not counted.
    ///
    /// # Errors
    /// Those of [`Keeper::keep`].
    pub async fn reseal(&self) -> Result<usize> {
        self.change(None, |change| async move { change.reseal().await }.boxed()).await
    }

    /// Makes a new refresh key: no refresh token that was given out is good any more.
    ///
    /// # Errors
    /// Those of [`Keeper::keep`].
    pub async fn renew_refresh_key(&self) -> Result<()> {
        self.change(None, |change| async move { change.renew_refresh_key().await }.boxed()).await
    }

    /// The next key, once it may sign; or for how long it may not yet. It is waited for where that takes a moment only.
    async fn wait_for_next(&self, haste: Haste) -> Result<Result<String, Duration>> {
        self.keep(None, false).await?;
        let (now, there) = self.database.read(store::list_now).await?;
        let keys = to_public(there);
        let next = the(KeyState::Next, &keys).ok_or_else(changed)?;
        let age = next.age(now);
        if haste == Haste::None && age < PUBLISHED {
            return Ok(Err(PUBLISHED - age));
        }
        // It has been read, so it is visible to everybody; perhaps only just, whatever the clock of the database says.
        if age < SURELY_KNOWN {
            sleep(KNOWN).await;
        }
        Ok(Ok(next.kid.clone()))
    }

    /// Runs a change of the keys, which must all open, but for the one that it removes.
    async fn change<T: Send + 'static>(
        &self,
        removes: Option<String>,
        action: impl for<'r> FnOnce(&'r mut Change<'_>) -> BoxFuture<'r, Result<T>> + Send + 'static,
    ) -> Result<T> {
        let kek = Arc::clone(&self.kek);
        self.database
            .transaction(move |connection| {
                async move {
                    store::lock(connection).await?;
                    let (now, sealed) = store::list_now(connection).await?;
                    let mut sealer = Sealer::Own;
                    for key in sealed.iter().filter(|key| Some(&key.public.kid) != removes.as_ref()) {
                        // Until all are sealed anew, a replica may know the other key only.
                        if open(&kek, key)?.1 == Sealer::Other {
                            sealer = Sealer::Other;
                        }
                    }
                    let keys = to_public(sealed);
                    action(&mut Change { connection, kek: &kek, sealer, now, keys }).await
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
    sealer: Sealer,
    now: SystemTime,
    keys: Vec<PublicKey>,
}

impl Change<'_> {
    async fn go_on(&mut self, now: Option<SystemTime>, rotation: Option<Duration>) -> Result<()> {
        secrets::make(self.connection, self.kek, self.sealer, secrets::REFRESH_KEY).await?;
        while let Some(step) = due(now, &self.keys, rotation) {
            match step {
                Step::Begin => self.make(KeyState::Current).await?,
                Step::Publish => self.make(KeyState::Next).await?,
                Step::Promote => {
                    let next = the(KeyState::Next, &self.keys).ok_or_else(changed)?.kid.clone();
                    self.promote(&next).await?;
                }
                Step::Remove(kid) => self.remove(&kid).await?,
            }
        }
        Ok(())
    }

    /// Lets the next key sign, if it still is this one.
    async fn promote(&mut self, next: &str) -> Result<()> {
        if the(KeyState::Next, &self.keys).is_none_or(|key| key.kid != next) {
            return Err(changed());
        }
        for (from, to) in [(KeyState::Current, KeyState::Retired), (KeyState::Next, KeyState::Current)] {
            store::change_state(self.connection, self.now, from, to).await?;
            for key in self.keys.iter_mut().filter(|key| key.state == from) {
                (key.state, key.since) = (to, self.now);
            }
        }
        Ok(())
    }

    async fn make(&mut self, state: KeyState) -> Result<()> {
        let key = new_key(self.kek, self.sealer, self.now, state)?;
        store::insert(self.connection, &key).await?;
        self.keys.push(key.public);
        Ok(())
    }

    async fn remove(&mut self, kid: &str) -> Result<()> {
        store::delete(self.connection, kid).await?;
        self.keys.retain(|key| key.kid != kid);
        Ok(())
    }

    async fn renew_refresh_key(&mut self) -> Result<()> {
        secrets::renew(self.connection, self.kek, self.sealer, secrets::REFRESH_KEY).await
    }

    async fn reseal(&mut self) -> Result<usize> {
        let sealed = store::list(self.connection).await?;
        for key in &sealed {
            let (private, _) = open(self.kek, key)?;
            let anew = self.kek.seal(&key.public.kid, &private).map_err(no_randomness)?;
            store::reseal(self.connection, &key.public.kid, &anew).await?;
        }
        mail::reseal(self.connection, self.kek).await?;
        Ok(sealed.len() + secrets::reseal(self.connection, self.kek).await?)
    }
}

fn new_key(kek: &KeyEncryptionKey, sealer: Sealer, now: SystemTime, state: KeyState) -> Result<SealedKey> {
    let pair = Ed25519KeyPair::generate().map_err(no_randomness)?;
    let private = pair.to_pkcs8().map_err(no_randomness)?;
    let public_key: [u8; 32] =
        pair.public_key().as_ref().try_into().expect("an Ed25519 public key has 32 bytes (RFC 8032)");
    let kid = thumbprint(&public_key);
    let sealed_private = kek.seal_by(sealer, &kid, private.as_ref()).map_err(no_randomness)?;
    Ok(SealedKey {
        public: PublicKey { kid, public_key, state, created_at: now, since: now },
        sealed_private,
    })
}

fn changed() -> Error {
    Error::Internal(
        "somebody else has changed the signing keys meanwhile: look at them, and try again".into(),
    )
}
