//! A whole Postgres cluster, for a test that breaks it. What it says is what any Postgres says; only how it is broken
//! is ours.

use std::fs;
use std::io::Write as _;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
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

    /// Stops all its processes where they are, as a machine that hangs, until the answer is dropped.
    pub fn hang(&self) -> Hang<'_> {
        self.pause();
        Hang(self)
    }

    /// Stops all its processes where they are, as a machine that hangs; [`Cluster::resume`] lets them go on.
    pub fn pause(&self) {
        // The first one before its children are counted, so that it makes no more.
        signal("STOP", &self.processes()[..1]);
        signal("STOP", &self.processes());
    }

    /// Lets what [`Cluster::pause`] has stopped go on.
    pub fn resume(&self) {
        signal("CONT", &self.processes());
    }

    /// Its folder. What a test puts there goes with it.
    pub fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// The port that it listens on.
    pub fn port(&self) -> u16 {
        let port = fs::read_to_string(self.folder().join("port")).expect("it has a port");
        port.trim().parse().expect("is a number")
    }

    /// The password of the role `postgres`, who may do anything.
    pub fn superuser_password(&self) -> String {
        fs::read_to_string(self.folder().join("superuser-password")).expect("it has a superuser")
    }

    /// The URL of `postgres`, for whom some connections are kept free.
    pub fn superuser_url(&self) -> String {
        format!("postgres://postgres:{}@127.0.0.1:{}/postgres", self.superuser_password(), self.port())
    }

    /// A program that came with the server.
    pub fn program(&self, name: &str) -> PathBuf {
        // How it was started: the path of the server, then its options.
        let options = fs::read_to_string(self.folder().join("data/postmaster.opts")).expect("it was started");
        let server = options.split_whitespace().next().expect("names the server");
        Path::new(server).with_file_name(name)
    }

    /// A program to be run as the user who owns the cluster, and the folder as he reaches it: those above it may be
    /// closed to him. Postgres and its relatives refuse to run as root.
    pub fn as_owner(&self, program: &Path) -> (Command, String) {
        let [owner, us] = ["data/PG_VERSION", "password"].map(|file| self.metadata(file));
        if owner.uid() == us.uid() {
            let mut command = Command::new(program);
            command.current_dir("/");
            return (command, self.folder().display().to_string());
        }
        let mut command = Command::new("sh");
        command.args(["-c", r#"cd / && exec 9<"$0" && exec setpriv "$@""#]).arg(self.folder());
        command.arg(format!("--reuid={}", owner.uid())).arg(format!("--regid={}", owner.gid()));
        command.arg("--clear-groups").arg(program);
        (command, "/proc/self/fd/9".to_owned())
    }

    /// Puts a file into its folder that only its owner may read.
    pub fn put(&self, name: &str, text: &str) {
        let path = self.folder().join(name);
        let _ = fs::remove_file(&path);
        fs::write(&path, text).expect("is written");
        fs::set_permissions(&path, std::os::unix::fs::PermissionsExt::from_mode(0o600)).expect("is ours");
        let owner = self.metadata("data/PG_VERSION");
        std::os::unix::fs::chown(&path, Some(owner.uid()), Some(owner.gid())).expect("we may");
    }

    fn metadata(&self, file: &str) -> fs::Metadata {
        fs::metadata(self.folder().join(file)).expect("the cluster has been made")
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

/// A cluster that hangs until this is dropped, also by a test that fails: nothing that asks it would ever end.
pub struct Hang<'a>(&'a Cluster);

impl Drop for Hang<'_> {
    fn drop(&mut self) {
        self.0.resume();
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
