//! Keys that all replicas share and nobody else has. identity-service makes them itself, and keeps them in the database
//! as it keeps the signing keys: sealed.

mod store;

use aws_lc_rs::error::Unspecified;
use aws_lc_rs::rand;
use zeroize::Zeroizing;

use super::seal::{KeyEncryptionKey, Sealer};
use crate::database::Transaction;
use crate::error::{Error, Result};

/// The name of the key that refresh tokens are made with.
pub(super) const REFRESH_KEY: &str = "refresh_tokens";

/// A shared key: 32 random bytes.
pub(super) type Secret = Zeroizing<[u8; 32]>;

/// The key with this name, as it is sealed, if there is one.
///
/// # Errors
/// [`Error::DatabaseUnavailable`].
pub(super) async fn find(connection: &mut Transaction, name: &str) -> Result<Option<Vec<u8>>> {
    Ok(store::find(connection, name).await?)
}

/// Makes a key with this name, unless there is one.
///
/// # Errors
/// [`Error::DatabaseUnavailable`].
pub(super) async fn make(
    connection: &mut Transaction,
    kek: &KeyEncryptionKey,
    sealer: Sealer,
    name: &str,
) -> Result<()> {
    store::insert_if_absent(connection, name, &new(kek, sealer, name)?).await?;
    Ok(())
}

/// Makes a new key with this name, in the place of the one that there is.
///
/// # Errors
/// [`Error::DatabaseUnavailable`].
pub(super) async fn renew(
    connection: &mut Transaction,
    kek: &KeyEncryptionKey,
    sealer: Sealer,
    name: &str,
) -> Result<()> {
    store::put(connection, name, &new(kek, sealer, name)?).await?;
    Ok(())
}

fn new(kek: &KeyEncryptionKey, sealer: Sealer, name: &str) -> Result<Vec<u8>> {
    let mut secret = Secret::default();
    rand::fill(secret.as_mut_slice()).map_err(no_randomness)?;
    kek.seal_by(sealer, name, secret.as_slice()).map_err(no_randomness)
}

/// Seals all of them anew with the key-encryption key, whichever they were sealed with; how many.
///
/// # Errors
/// Those of [`open`], [`Error::DatabaseUnavailable`].
pub(super) async fn reseal(connection: &mut Transaction, kek: &KeyEncryptionKey) -> Result<usize> {
    let all = store::lock_all(connection).await?;
    for (name, sealed) in &all {
        let secret = open(kek, name, sealed)?;
        let anew = kek.seal(name, secret.as_slice()).map_err(no_randomness)?;
        store::put(connection, name, &anew).await?;
    }
    Ok(all.len())
}

/// The key with this name.
///
/// # Errors
/// [`Error::Internal`] when the key-encryption key is not the one that it was sealed with, or it is not whole.
pub(super) fn open(kek: &KeyEncryptionKey, name: &str, sealed: &[u8]) -> Result<Secret> {
    let secret = kek.open(name, sealed).ok_or_else(|| {
        let wrong = "KEY_ENCRYPTION_KEY is not the key that the secret";
        let what_to_do = "give that one, as KEY_ENCRYPTION_KEY_OTHER while they are exchanged";
        Error::Internal(format!("{wrong} {name} in the database was sealed with: {what_to_do}").into())
    })?;
    let broken =
        || Error::Internal(format!("the secret {name} in the database does not have 32 bytes").into());
    let secret: &[u8; 32] = secret.as_slice().try_into().map_err(|_| broken())?;
    Ok(Zeroizing::new(*secret))
}

/// Why neither a key nor a nonce can be made.
pub(crate) fn no_randomness(_: Unspecified) -> Error {
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
        let sealed = kek.seal("a", &[7; 32]).unwrap();
        assert_eq!(open(&kek, "a", &sealed).ok(), Some(Zeroizing::new([7; 32])));
        let other = KeyEncryptionKey::new(&[2; 32]);
        for said in [refusal(&other, "a", &sealed), refusal(&kek, "b", &sealed), refusal(&kek, "a", b"")] {
            assert!(said.starts_with("KEY_ENCRYPTION_KEY is not the key that the secret "), "{said}");
        }
        let short = kek.seal("a", &[0; 31]).unwrap();
        assert_eq!(refusal(&kek, "a", &short), "the secret a in the database does not have 32 bytes");
    }
}
