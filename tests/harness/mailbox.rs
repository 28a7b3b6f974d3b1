//! A folder of mails, one file each: what identity-service writes with `MAIL=dir:`, or what a mail server was given.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use mail_parser::{Address, Message, MessageParser};

/// How long a mail may take.
const PATIENCE: Duration = Duration::from_secs(20);

/// The folder. It goes with the last of its clones.
#[derive(Clone)]
pub struct Mailbox(Arc<tempfile::TempDir>);

/// A mail, as it was sent.
#[derive(Debug, Clone)]
pub struct Mail(Vec<u8>);

impl Mailbox {
    /// An empty one.
    pub fn new() -> Self {
        Self(Arc::new(tempfile::tempdir().expect("a temporary folder")))
    }

    /// The value of `MAIL` that has the mails written here.
    pub fn url(&self) -> String {
        format!("dir:{}", self.folder().display())
    }

    pub fn folder(&self) -> &Path {
        self.0.path()
    }

    /// All mails, in the order of the names of their files.
    pub fn all(&self) -> Vec<Mail> {
        let entries = std::fs::read_dir(self.folder()).expect("the folder is there");
        let mut paths: Vec<PathBuf> = entries.map(|entry| entry.expect("is readable").path()).collect();
        // A name that begins with a dot is of a file that is being written.
        paths.retain(|path| {
            let name = path.file_name().expect("has a name").to_string_lossy();
            name.ends_with(".eml") && !name.starts_with('.')
        });
        paths.sort();
        paths.iter().filter_map(|path| std::fs::read(path).ok()).map(Mail).collect()
    }

    /// The mails to an address, in any case.
    pub fn to(&self, address: &str) -> Vec<Mail> {
        let is_to =
            |mail: &Mail| mail.recipients().iter().any(|to| to.to_lowercase() == address.to_lowercase());
        self.all().into_iter().filter(is_to).collect()
    }

    /// The tokens in the mails to an address.
    pub fn tokens(&self, address: &str) -> Vec<String> {
        self.to(address).iter().filter_map(Mail::find_token).collect()
    }

    /// All mails, once there are so many.
    pub async fn wait_for_all(&self, count: usize) -> Vec<Mail> {
        self.until(&format!("{count} mails"), || Some(self.all()).filter(|mails| mails.len() >= count)).await
    }

    /// The mails to an address, once there are so many.
    pub async fn wait_for(&self, address: &str, count: usize) -> Vec<Mail> {
        self.until(&format!("{count} mails"), || Some(self.to(address)).filter(|mails| mails.len() >= count))
            .await
    }

    /// The tokens in the mails to an address, once there are so many.
    pub async fn wait_for_tokens(&self, address: &str, count: usize) -> Vec<String> {
        let found = || Some(self.tokens(address)).filter(|tokens| tokens.len() >= count);
        self.until(&format!("{count} mails with tokens"), found).await
    }

    async fn until<T>(&self, what: &str, look: impl Fn() -> Option<T>) -> T {
        let started = Instant::now();
        loop {
            if let Some(found) = look() {
                return found;
            }
            assert!(
                started.elapsed() < PATIENCE,
                "not {what} after {PATIENCE:?}, {} in all",
                self.all().len()
            );
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }
}

impl Mail {
    fn parsed(&self) -> Message<'_> {
        MessageParser::new().parse(&self.0).expect("is a mail")
    }

    /// As it was sent.
    pub fn raw(&self) -> String {
        String::from_utf8_lossy(&self.0).into_owned()
    }

    /// To whom it says that it goes.
    pub fn recipients(&self) -> Vec<String> {
        let mail = self.parsed();
        let addresses = mail.to().map(Address::iter).into_iter().flatten();
        addresses.filter_map(|to| to.address()).map(str::to_owned).collect()
    }

    pub fn subject(&self) -> String {
        self.parsed().subject().expect("has a subject").to_owned()
    }

    pub fn message_id(&self) -> String {
        self.parsed().message_id().expect("has an id").to_owned()
    }

    /// A header, as it stands there.
    pub fn header(&self, name: &str) -> Option<String> {
        self.parsed().header_raw(name).map(|value| value.trim().to_owned())
    }

    pub fn text(&self) -> String {
        self.parsed().body_text(0).expect("has text").into_owned()
    }

    pub fn html(&self) -> String {
        self.parsed().body_html(0).expect("has HTML").into_owned()
    }

    /// Where its first link leads.
    pub fn link(&self) -> String {
        let text = self.text();
        let link = text.split_whitespace().find(|word| word.starts_with("http"));
        link.unwrap_or_else(|| panic!("no link: {text}")).to_owned()
    }

    fn find_token(&self) -> Option<String> {
        let text = self.text();
        let (_, rest) = text.split_once("token=")?;
        Some(rest.split_whitespace().next()?.to_owned())
    }

    /// The token in its link.
    pub fn token(&self) -> String {
        self.find_token().unwrap_or_else(|| panic!("no token: {}", self.text()))
    }
}
