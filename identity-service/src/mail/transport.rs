//! How a mail leaves: as a file in a folder, or to a mail server.

mod folder;
mod smtp;
mod url;

use lettre::address::Envelope;

use super::failure::Failure;
use crate::ids::MailId;
use folder::Folder;
use smtp::Smtp;

/// How mails leave.
pub enum Transport {
    /// Each becomes a file.
    Folder(Folder),
    /// A mail server takes them.
    Smtp(Smtp),
}

impl Transport {
    /// Reads the value of `MAIL`. A folder is made if it is not there, and must be writable.
    ///
    /// # Errors
    /// What is wrong with it. It never repeats the value, which may hold a password; only the name of a file or folder.
    pub fn parse(text: &str, hello: &str) -> Result<Self, String> {
        match text.strip_prefix("dir:") {
            Some(path) => Ok(Self::Folder(Folder::open(path)?)),
            None => Ok(Self::Smtp(Smtp::new(url::parse(text)?, hello)?)),
        }
    }

    /// Hands a mail over. It may have been taken also when this fails.
    ///
    /// # Errors
    /// Why it was not taken.
    pub async fn send(&self, id: MailId, envelope: &Envelope, message: &[u8]) -> Result<(), Failure> {
        match self {
            Self::Folder(folder) => folder.write(id, message).await,
            Self::Smtp(server) => server.send(envelope, message).await,
        }
    }
}
