//! A folder in which each mail becomes a file. It holds tokens, so that nobody but its owner reads it.

use std::fs;
use std::io::{Error, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};

use crate::ids::MailId;
use crate::mail::failure::Failure;

/// A folder for mails.
pub struct Folder(PathBuf);

impl Folder {
    /// Makes the folder, if it is not there, and a file in it, to see whether that can be done.
    pub(super) fn open(path: &str) -> Result<Self, String> {
        if path.is_empty() {
            return Err("names no folder: dir:PATH".to_owned());
        }
        let problem = |error: Error| format!("names a folder that cannot be written to: {path}: {error}");
        let folder = Path::new(path).to_owned();
        fs::DirBuilder::new().recursive(true).mode(0o700).create(&folder).map_err(problem)?;
        let trial = folder.join(format!(".trial-{}", std::process::id()));
        fs::write(&trial, "").and_then(|()| fs::remove_file(&trial)).map_err(problem)?;
        Ok(Self(folder))
    }

    /// Writes a mail, so that whoever looks sees all of it or nothing.
    #[expect(clippy::disallowed_methods, reason = "this hashes nothing: it waits for a disk")]
    pub(super) async fn write(&self, id: MailId, message: &[u8]) -> Result<(), Failure> {
        let (folder, message) = (self.0.clone(), message.to_vec());
        let written = tokio::task::spawn_blocking(move || write(&folder, id, &message)).await;
        written
            .unwrap_or_else(|panicked| Err(Error::other(panicked)))
            .map_err(|error| Failure::File(error.kind()))
    }
}

fn write(folder: &Path, id: MailId, message: &[u8]) -> Result<(), Error> {
    let id = id.as_uuid();
    // Two replicas may write the same mail.
    let unfinished = folder.join(format!(".{id}-{}", std::process::id()));
    let mut file =
        fs::OpenOptions::new().create(true).write(true).truncate(true).mode(0o600).open(&unfinished)?;
    file.write_all(message)?;
    file.sync_all()?;
    fs::rename(&unfinished, folder.join(format!("{id}.eml")))
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    #[tokio::test]
    async fn a_mail_becomes_one_file_also_when_it_is_sent_twice() {
        let path = std::env::temp_dir().join(format!("portcullis-mails-{}/deep", std::process::id()));
        let folder = Folder::open(path.to_str().unwrap()).unwrap();
        let id = MailId::new();
        folder.write(id, b"once").await.unwrap();
        folder.write(id, b"twice").await.unwrap();
        let files: Vec<_> = fs::read_dir(&path).unwrap().map(|entry| entry.unwrap().path()).collect();
        assert_eq!(files, [path.join(format!("{}.eml", id.as_uuid()))]);
        assert_eq!(fs::read(&files[0]).unwrap(), b"twice");
        let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
        assert_eq!((mode(&path), mode(&files[0])), (0o700, 0o600));
        fs::remove_dir_all(path.parent().unwrap()).unwrap();
        assert!(matches!(folder.write(id, b"gone").await, Err(Failure::File(_))));
    }

    #[test]
    fn a_folder_that_cannot_be_written_to_is_refused() {
        for path in ["", "/proc/mails", "/dev/null/mails"] {
            assert!(Folder::open(path).is_err(), "{path}");
        }
    }
}
