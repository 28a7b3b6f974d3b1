//! A second server that follows a cluster, until it takes its place.

use std::process::Command;

use super::{Cluster, free_port, with_port};

/// A streaming standby of a cluster.
pub struct Standby<'a> {
    pub port: u16,
    primary: &'a Cluster,
}

impl<'a> Standby<'a> {
    /// Copies the cluster as it is, and follows it from there.
    pub fn of(primary: &'a Cluster) -> Self {
        let (mut backup, place) = primary.as_owner(&primary.program("pg_basebackup"));
        backup.args([
            "--host=127.0.0.1",
            "--username=postgres",
            "--write-recovery-conf",
            "--checkpoint=fast",
        ]);
        backup.arg(format!("--port={}", primary.port())).arg(format!("--pgdata={place}/standby"));
        run(backup.env("PGPASSWORD", primary.superuser_password()));
        let standby = Self { port: free_port(), primary };
        let options = format!("-p {}", standby.port);
        let log = format!("{place}/standby.log");
        standby.control(&["--wait", "--options", &options, "--log", &log, "start"]);
        standby
    }

    /// Makes it a server of its own, that may be written to.
    pub fn promote(&self) {
        self.control(&["--wait", "promote"]);
    }

    /// The same URL for this server.
    pub fn instead_of_primary(&self, url: &str) -> String {
        with_port(url, self.port)
    }

    /// The same URL for both servers.
    pub fn beside_primary(&self, url: &str) -> String {
        let both = format!(":{},127.0.0.1:{}/", self.primary.port(), self.port);
        url.replace(&format!(":{}/", self.primary.port()), &both)
    }

    fn control(&self, arguments: &[&str]) {
        let (mut control, place) = self.primary.as_owner(&self.primary.program("pg_ctl"));
        run(control.args(["--silent", "--pgdata", &format!("{place}/standby")]).args(arguments));
    }
}

impl Drop for Standby<'_> {
    fn drop(&mut self) {
        self.control(&["--mode=immediate", "stop"]);
    }
}

fn run(command: &mut Command) {
    // What it starts may keep its output open.
    let status = command.stdin(std::process::Stdio::null()).status().expect("the program runs");
    assert!(status.success(), "{command:?}: {status}");
}
