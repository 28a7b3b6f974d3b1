//! Keys that all replicas share and nobody else has. identity-service makes them itself, and keeps them in the database
//! as it keeps the signing keys: sealed.

mod store;

use aws_lc_rs::rand;
use futures_util::FutureExt as _;
use zeroize::Zeroizing;

use super::KeyEncryptionKey;
use crate::database::{Database, Transaction};
use crate::error::{Error, Result};

/// The name of the key that refresh tokens are made with.
pub const REFRESH_KEY: &str = "refresh_tokens";

/// A shared key: 32 random bytes.
pub type Secret = Zeroizing<[u8; 32]>;

/// The key with this name; makes it when there is none. Replicas that do so at once end up with one: the database takes
/// the first and ignores the others.
///
/// # Errors
/// [`Error::DatabaseUnavailable`], and [`Error::Internal`] when the key-encryption key is not the one that the key was
/// sealed with, or the key is not whole; then nothing has been changed.
pub async fn load(database: &Database, kek: &KeyEncryptionKey, name: &'static str) -> Result<Secret> {
    if let Some(sealed) = find(database, name).await? {
        return open(kek, name, &sealed);
    }
    let sealed = kek.seal(name, new_secret()?.as_slice()).map_err(|_| no_randomness())?;
    database
        .transaction(move |connection| {
            async move { Ok(store::insert_if_absent(connection, name, &sealed).await?) }.boxed()
        })
        .await?;
    let sealed = find(database, name).await?;
    open(kek, name, &sealed.ok_or_else(|| broken(name, "has vanished"))?)
}

/// Seals all of them anew with the key-encryption key, whichever they were sealed with; how many.
///
/// # Errors
/// Those of [`load`].
pub(super) async fn reseal(connection: &mut Transaction, kek: &KeyEncryptionKey) -> Result<usize> {
    let all = store::lock_all(connection).await?;
    for (name, sealed) in &all {
        let secret = open(kek, name, sealed)?;
        let anew = kek.seal(name, secret.as_slice()).map_err(|_| no_randomness())?;
        store::reseal(connection, name, &anew).await?;
    }
    Ok(all.len())
}

async fn find(database: &Database, name: &str) -> Result<Option<Vec<u8>>> {
    database.read(async |connection| Ok(store::find(connection, name).await?)).await
}

fn open(kek: &KeyEncryptionKey, name: &str, sealed: &[u8]) -> Result<Secret> {
    let secret = kek.open(name, sealed).ok_or_else(|| {
        let wrong = "KEY_ENCRYPTION_KEY is not the key that the secret";
        let what_to_do = "give that one, as KEY_ENCRYPTION_KEY_OTHER while they are exchanged";
        Error::Internal(format!("{wrong} {name} in the database was sealed with: {what_to_do}").into())
    })?;
    let secret: &[u8; 32] =
        secret.as_slice().try_into().map_err(|_| broken(name, "does not have 32 bytes"))?;
    Ok(Zeroizing::new(*secret))
}

fn new_secret() -> Result<Secret> {
    let mut secret = Zeroizing::new([0; 32]);
    rand::fill(secret.as_mut_slice()).map_err(|_| no_randomness())?;
    Ok(secret)
}

fn broken(name: &str, why: &str) -> Error {
    Error::Internal(format!("the secret {name} in the database {why}").into())
}

fn no_randomness() -> Error {
    Error::Internal("the system gives no randomness".into())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refusal(kek: &KeyEncryptionKey, name: &str, sealed: &[u8]) -> String {
        match open(kek, name, sealed).err().unwrap() {
            Error::Internal(cause) => cause.to_string(),
            other => panic!("{other}"),
        }
    }

    #[test]
    fn a_secret_opens_with_its_key_and_under_its_name_only() {
        let kek = KeyEncryptionKey::new(&[1; 32]);
        let secret = new_secret().unwrap();
        let sealed = kek.seal("a", secret.as_slice()).unwrap();
        assert_eq!(open(&kek, "a", &sealed).ok(), Some(secret));
        let other = KeyEncryptionKey::new(&[2; 32]);
        for said in [refusal(&other, "a", &sealed), refusal(&kek, "b", &sealed), refusal(&kek, "a", b"")] {
            assert!(said.starts_with("KEY_ENCRYPTION_KEY is not the key that the secret "), "{said}");
        }
        let short = kek.seal("a", &[0; 31]).unwrap();
        assert_eq!(refusal(&kek, "a", &short), "the secret a in the database does not have 32 bytes");
    }
}
