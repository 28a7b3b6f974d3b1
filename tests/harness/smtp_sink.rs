//! A mail server on loopback, a process of its own: `tests/mail/sink.py`.

use std::io::{BufRead as _, BufReader};
use std::path::PathBuf;
use std::process::{Child, ChildStdout, Command, Stdio};

use super::{Mailbox, free_port, repository};

/// A running mail server.
pub struct SmtpSink {
    pub port: u16,
    /// What it has taken.
    pub mails: Mailbox,
    child: Child,
    said: BufReader<ChildStdout>,
    control: PathBuf,
    listens: bool,
}

impl SmtpSink {
    /// Starts one that takes everything; `arguments` are further ones of `sink.py`.
    pub fn start(arguments: &[&str]) -> Self {
        let (port, mails) = (free_port(), Mailbox::new());
        let control = mails.folder().join("control");
        let mut child = Command::new(repository().join("target/tools/mail/bin/python"))
            .arg(repository().join("tests/mail/sink.py"))
            .args(["--port", &port.to_string()])
            .arg("--folder")
            .arg(mails.folder())
            .arg("--control")
            .arg(&control)
            .args(arguments)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .spawn()
            .expect("Python is there: run tests/run, which makes it ready");
        let said = BufReader::new(child.stdout.take().expect("is piped"));
        let mut sink = Self { port, mails, child, said, control, listens: false };
        sink.until_it_says("listens");
        sink.listens = true;
        sink
    }

    /// The value of `MAIL` that sends here in plain.
    pub fn url(&self) -> String {
        format!("smtp://127.0.0.1:{}", self.port)
    }

    /// Lets it do something else, as `sink.py` says, from now on: `accept`, `refuse`, `recipient 550`, `data 451`,
    /// `delay 10`.
    pub fn does(&mut self, what: &str) {
        let unfinished = self.control.with_extension("new");
        std::fs::write(&unfinished, what).expect("is written");
        std::fs::rename(&unfinished, &self.control).expect("is renamed");
        let listens = what != "refuse";
        if listens != self.listens {
            self.until_it_says(if listens { "listens" } else { "refuses" });
            self.listens = listens;
        }
    }

    fn until_it_says(&mut self, word: &str) {
        let mut line = String::new();
        self.said.read_line(&mut line).expect("is read");
        assert_eq!(line.trim(), word, "the mail server does not do what it is told");
    }
}

impl Drop for SmtpSink {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
