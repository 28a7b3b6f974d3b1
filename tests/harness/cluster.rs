//! A whole Postgres cluster, for a test that breaks it. What it says is what any Postgres says; only how it is broken
//! is ours.

use std::fs;
use std::io::Write as _;
use std::process::Command;
use std::time::{Duration, Instant};

use super::repository;

/// A Postgres that a test may break.
pub struct Cluster {
    folder: tempfile::TempDir,
}

impl Cluster {
    /// A new cluster; its URL.
    pub fn start() -> (Self, String) {
        let cluster = Self { folder: tempfile::tempdir().expect("a temporary folder") };
        let url = cluster.run(&["start"]);
        (cluster, url)
    }

    /// The same with these lines at the end of its `postgresql.conf`.
    pub fn start_with(settings: &str) -> (Self, String) {
        let (cluster, url) = Self::start();
        cluster.configure(settings);
        (cluster, url)
    }

    /// Adds lines to its `postgresql.conf` and starts it anew.
    pub fn configure(&self, settings: &str) {
        let path = self.folder.path().join("data/postgresql.conf");
        let mut file = fs::File::options().append(true).open(path).expect("the cluster has been made");
        writeln!(file, "{settings}").expect("is written");
        self.run(&["stop", "fast"]);
        self.restart();
    }

    /// Starts it again, on the same port.
    pub fn restart(&self) {
        self.run(&["start"]);
    }

    /// Ends it as a crash would, in good order: no connection is left half open.
    pub fn crash(&self) {
        self.run(&["stop", "immediate"]);
    }

    /// Ends all its processes at once with SIGKILL. Were the first alone to die, the others would go on for a while.
    pub fn kill(&self) {
        let processes = self.processes();
        signal("KILL", &processes);
        let deadline = Instant::now() + Duration::from_secs(10);
        while processes.iter().any(|process| is_running(process)) {
            assert!(Instant::now() < deadline, "the cluster does not die");
            std::thread::sleep(Duration::from_millis(5));
        }
    }

    /// Stops all its processes where they are, as a machine that hangs; [`Cluster::resume`] lets them go on.
    pub fn pause(&self) {
        signal("STOP", &self.processes());
    }

    /// Lets what [`Cluster::pause`] has stopped go on.
    pub fn resume(&self) {
        signal("CONT", &self.processes());
    }

    /// The server and all that it has started.
    fn processes(&self) -> Vec<String> {
        let file = fs::read_to_string(self.folder.path().join("data/postmaster.pid")).unwrap_or_default();
        let server = file.lines().next().expect("the cluster runs").trim().to_owned();
        let children = Command::new("ps").args(["-o", "pid=", "--ppid", &server]).output().expect("ps runs");
        let children = String::from_utf8(children.stdout).expect("is ASCII");
        std::iter::once(server).chain(children.split_whitespace().map(str::to_owned)).collect()
    }

    fn run(&self, arguments: &[&str]) -> String {
        let (verb, rest) = arguments.split_first().expect("there is a verb");
        let output = Command::new(repository().join("deploy/local/postgres"))
            .arg(verb)
            .arg(self.folder.path())
            .args(rest)
            .output()
            .expect("the script runs");
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        let said = String::from_utf8(output.stdout).expect("is UTF-8");
        said.lines().last().unwrap_or_default().to_owned()
    }
}

impl Drop for Cluster {
    fn drop(&mut self) {
        // A paused one cannot obey.
        if self.folder.path().join("data/postmaster.pid").exists() {
            self.resume();
        }
        self.crash();
    }
}

/// Whether a process is there and not a zombie.
fn is_running(process: &str) -> bool {
    let state = Command::new("ps").args(["-o", "stat=", "-p", process]).output().expect("ps runs").stdout;
    !state.is_empty() && !state.starts_with(b"Z")
}

/// Sends a signal to processes; one that has ended meanwhile is no failure.
fn signal(name: &str, processes: &[String]) {
    let _ = Command::new("kill").arg(format!("-{name}")).args(processes).output().expect("kill runs");
}
