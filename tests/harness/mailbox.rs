//! What was mailed: a folder with a file for each mail.

use std::fs;
use std::path::Path;
use std::time::{Duration, Instant};

use mail_parser::{Message, MessageParser};

/// A folder into which mails are written.
pub struct Mailbox(tempfile::TempDir);

/// A mail.
#[derive(Debug)]
pub struct Mail(Message<'static>);

impl Mailbox {
    /// An empty one.
    pub fn new() -> Self {
        Self(tempfile::tempdir().expect("a temporary folder"))
    }

    pub fn folder(&self) -> &Path {
        self.0.path()
    }

    /// All mails, in the order of the names of their files: those of identity-service are UUIDv7.
    pub fn all(&self) -> Vec<Mail> {
        let entries = fs::read_dir(self.folder()).expect("the folder is there");
        let paths = entries.map(|entry| entry.expect("is read").path());
        let mut paths: Vec<_> =
            paths.filter(|path| path.extension().is_some_and(|extension| extension == "eml")).collect();
        paths.sort();
        paths.iter().map(|path| Mail::parse(&fs::read(path).expect("is read"))).collect()
    }

    /// The mails to an address.
    pub fn to(&self, address: &str) -> Vec<Mail> {
        self.all().into_iter().filter(|mail| mail.to() == address).collect()
    }

    /// The mails to an address, once there are `count` of them; fails after ten seconds.
    pub async fn wait_for(&self, address: &str, count: usize) -> Vec<Mail> {
        let until = Instant::now() + Duration::from_secs(10);
        loop {
            let mails = self.to(address);
            if mails.len() >= count {
                return mails;
            }
            assert!(Instant::now() < until, "{address} has got {} of {count} mails", mails.len());
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }
}

impl Mail {
    fn parse(bytes: &[u8]) -> Self {
        Self(MessageParser::default().parse(bytes).expect("is a mail").into_owned())
    }

    /// The address to which it is written.
    pub fn to(&self) -> String {
        let to = self.0.to().and_then(|to| to.first()).and_then(|to| to.address());
        to.expect("is written to somebody").to_owned()
    }

    pub fn subject(&self) -> String {
        self.0.subject().expect("has a subject").to_owned()
    }

    /// The value of a header, as it stands there.
    pub fn header(&self, name: &str) -> Option<String> {
        self.0.header_raw(name).map(|value| value.trim().to_owned())
    }

    pub fn text(&self) -> String {
        self.0.body_text(0).expect("has a text").into_owned()
    }

    pub fn html(&self) -> String {
        assert_eq!(self.0.html_body_count(), 1);
        self.0.body_html(0).expect("has HTML").into_owned()
    }

    /// The link in its text.
    pub fn link(&self) -> String {
        let text = self.text();
        let mut links = text.split_whitespace().filter(|word| word.starts_with("http"));
        let link = links.next().expect("has a link").to_owned();
        assert_eq!(links.next(), None, "has more than one link");
        link
    }

    /// The token in its link.
    pub fn token(&self) -> String {
        self.link().split_once("token=").expect("its link has a token").1.to_owned()
    }
}
