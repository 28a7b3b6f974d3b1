//! A mail server of a test's own: a real one, in a process of its own.

use std::net::TcpStream;
use std::process::{Child, Command};
use std::time::{Duration, Instant};

use super::{Authority, Mailbox, free_port, repository};

/// How a mail server is spoken to.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Tls {
    StartTls,
    Implicit,
}

/// The server. It ends with the test, and can be down for a while before.
pub struct SmtpSink {
    pub port: u16,
    pub mails: Mailbox,
    arguments: Vec<String>,
    child: Option<Child>,
    _files: Vec<tempfile::NamedTempFile>,
}

impl SmtpSink {
    /// One that speaks in plain and knows no users.
    pub fn start() -> Self {
        Self::with(&[], Vec::new())
    }

    /// One with a certificate of this authority for `localhost`, which wants this user and password, if any.
    pub fn with_tls(tls: Tls, authority: &Authority, user: Option<(&str, &str)>) -> Self {
        let (certificate, key) = authority.issue(&["localhost"]);
        let path = |file: &tempfile::NamedTempFile| file.path().display().to_string();
        let kind = if tls == Tls::Implicit { "implicit" } else { "starttls" };
        let mut arguments = vec!["--tls".to_owned(), kind.to_owned()];
        arguments.extend(["--certificate".to_owned(), path(&certificate), "--key".to_owned(), path(&key)]);
        if let Some((name, password)) = user {
            arguments.extend(["--user", name, "--password", password].map(str::to_owned));
        }
        Self::with(&arguments, vec![certificate, key])
    }

    fn with(arguments: &[String], files: Vec<tempfile::NamedTempFile>) -> Self {
        let arguments = arguments.to_vec();
        let mut sink =
            Self { port: free_port(), mails: Mailbox::new(), arguments, child: None, _files: files };
        sink.up();
        sink
    }

    /// The value of `MAIL` that sends here.
    pub fn url(&self) -> String {
        format!("smtp://127.0.0.1:{}", self.port)
    }

    /// What it answers from now on: see tests/mail/sink.py.
    pub fn answers(&self, answer: &str) {
        let new = self.mails.folder().join(".answer");
        std::fs::write(&new, answer).expect("is written");
        std::fs::rename(new, self.mails.folder().join("answer")).expect("is renamed");
    }

    /// Ends it: whoever connects is refused.
    pub fn down(&mut self) {
        if let Some(mut child) = self.child.take() {
            child.kill().expect("is ours");
            child.wait().expect("ends");
        }
    }

    /// Starts it again, on the same port.
    pub fn up(&mut self) {
        let mut command = Command::new(repository().join("target/tools/mail/bin/python"));
        command.arg(repository().join("tests/mail/sink.py")).arg(self.mails.folder());
        command.arg(self.port.to_string()).args(&self.arguments);
        self.child = Some(command.spawn().expect("Python is there: run tests/run, which makes it ready"));
        let started = Instant::now();
        while TcpStream::connect(("127.0.0.1", self.port)).is_err() {
            assert!(started.elapsed() < Duration::from_secs(20), "the mail server does not listen");
            std::thread::sleep(Duration::from_millis(20));
        }
    }
}

impl Drop for SmtpSink {
    fn drop(&mut self) {
        self.down();
    }
}
