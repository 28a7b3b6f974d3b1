//! The secrets of the environment: each can be given as a file.

use base64::{Engine as _, engine::general_purpose::STANDARD};
use zeroize::Zeroizing;

use super::variables::{
    KEY_ENCRYPTION_KEY, KEY_ENCRYPTION_KEY_OTHER, PASSWORD_PEPPER, PASSWORD_PEPPER_OTHER, Variable,
};
use super::{ConfigError, Vars, error};
use crate::credentials::{Pepper, Peppers};
use crate::trust::KeyEncryptionKey;

impl Vars<'_> {
    pub(super) fn peppers(&self) -> Result<Peppers, ConfigError> {
        let mut peppers = Peppers::of(pepper(&PASSWORD_PEPPER, &self.secret(&PASSWORD_PEPPER)?)?);
        let others = self.secret(&PASSWORD_PEPPER_OTHER)?;
        for other in others.split(',').filter(|_| !others.is_empty()) {
            if !peppers.add(pepper(&PASSWORD_PEPPER_OTHER, other)?) {
                return Err(error(
                    &PASSWORD_PEPPER_OTHER,
                    "has a pepper twice, or the one of PASSWORD_PEPPER",
                ));
            }
        }
        Ok(peppers)
    }

    /// What seals the keys in the database.
    ///
    /// # Errors
    /// If it, or the other one that may have sealed them, is missing or malformed.
    pub fn key_encryption_key(&self) -> Result<KeyEncryptionKey, ConfigError> {
        let key = |variable| key(variable, &self.secret(variable)?);
        let own = KeyEncryptionKey::new(&*key(&KEY_ENCRYPTION_KEY)?);
        match self.secret(&KEY_ENCRYPTION_KEY_OTHER)?.as_str() {
            "" => Ok(own),
            _ => Ok(own.or(&*key(&KEY_ENCRYPTION_KEY_OTHER)?)),
        }
    }

    /// A variable that may be given as a file, by its name and `_FILE`.
    pub(super) fn secret(&self, variable: &Variable) -> Result<Zeroizing<String>, ConfigError> {
        let Some(path) = (self.0)(&format!("{}_FILE", variable.name)) else {
            return Ok(Zeroizing::new(self.value(variable)?));
        };
        if (self.0)(variable.name).is_some() {
            return Err(error(variable, "is set, and so is the variable with _FILE; keep one of them"));
        }
        let text = std::fs::read_to_string(&path)
            .map_err(|problem| error(variable, &format!("cannot be read from the file {path}: {problem}")))?;
        Ok(Zeroizing::new(text.trim_end_matches(['\r', '\n']).to_owned()))
    }
}

fn pepper(variable: &Variable, text: &str) -> Result<Pepper, ConfigError> {
    let key = base64(variable, text)?;
    if key.len() < 32 {
        return Err(error(variable, "has fewer than 32 bytes"));
    }
    Ok(Pepper::new(&key))
}

fn key(variable: &Variable, text: &str) -> Result<Zeroizing<[u8; 32]>, ConfigError> {
    let bytes = base64(variable, text)?;
    let key = bytes.as_slice().try_into().map_err(|_| error(variable, "does not have 32 bytes"))?;
    Ok(Zeroizing::new(key))
}

fn base64(variable: &Variable, text: &str) -> Result<Zeroizing<Vec<u8>>, ConfigError> {
    let bytes = STANDARD.decode(text.as_bytes()).map_err(|_| error(variable, "is not base64"))?;
    Ok(Zeroizing::new(bytes))
}
