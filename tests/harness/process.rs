//! Real processes: started with an environment of their own, ended when the test ends, their logs shown when it
//! fails.

use std::fs::File;
use std::io::Write as _;
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::Mutex;
use std::time::{Duration, Instant};

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;

use super::{Http, Mailbox, PASSWORD, Rpc};

/// The environment of an identity-service, its database and port apart. The lowest legal cost: these tests are not
/// about how long a hash takes; and as many mails as are asked for.
pub const IDENTITY: [(&str, &str); 8] = [
    ("ISSUER", "http://localhost:8000"),
    ("PASSWORD_PEPPER", "cGVwcGVyLXBlcHBlci1wZXBwZXItcGVwcGVyLXBlcHA="),
    ("KEY_ENCRYPTION_KEY", "a2V5LWVuY3J5cHRpb24ta2V5LWZvci10aGUtdGVzdHM="),
    ("BCRYPT_COST", "10"),
    ("MAIL_FROM", "Camelot <no-reply@camelot.bt>"),
    ("LINK_RESET", "http://localhost:3000/reset-password?token={token}"),
    ("LINK_VERIFY", "http://localhost:3000/verify?token={token}"),
    ("MAILS_PER_HOUR", "0"),
];
/// The environment of a gateway, its port and its identity-service apart.
pub const GATEWAY: [(&str, &str); 1] = [("PUBLIC_ORIGIN", "http://localhost:8000")];

/// A running process.
pub struct Process {
    pub port: u16,
    child: Mutex<Child>,
    /// The folder of its program.
    programs: PathBuf,
    name: &'static str,
    variables: Vec<(String, String)>,
    log: tempfile::NamedTempFile,
    mails: Mailbox,
}

impl Process {
    /// An identity-service in front of this database, on a port of its own.
    pub fn identity(database_url: &str, variables: &[(&str, &str)]) -> Self {
        Self::identity_from(&programs(), database_url, variables)
    }

    /// The same, of the version whose programs are in this folder.
    pub fn identity_from(programs: &Path, database_url: &str, variables: &[(&str, &str)]) -> Self {
        let port = free_port();
        let mut all = vec![("DATABASE_URL".to_owned(), database_url.to_owned())];
        all.push(("LISTEN_ADDRESS".to_owned(), format!("127.0.0.1:{port}")));
        let mails = Mailbox::new();
        all.push(("MAIL".to_owned(), mails.url()));
        let mut process =
            Self::serve(programs, "identity-service", port, all, &[&IDENTITY, variables].concat());
        process.mails = mails;
        process
    }

    /// A gateway in front of this identity-service, on a port of its own.
    pub fn gateway(identity: &Process, variables: &[(&str, &str)]) -> Self {
        Self::gateway_to(identity.port, variables)
    }

    /// A gateway in front of whatever listens at this port.
    pub fn gateway_to(identity_port: u16, variables: &[(&str, &str)]) -> Self {
        Self::gateway_from(&programs(), identity_port, variables)
    }

    /// The same, of the version whose programs are in this folder.
    pub fn gateway_from(programs: &Path, identity_port: u16, variables: &[(&str, &str)]) -> Self {
        let port = free_port();
        let mut all = vec![("LISTEN_ADDRESS".to_owned(), format!("127.0.0.1:{port}"))];
        all.push(("IDENTITY_SERVICE_URL".to_owned(), format!("http://127.0.0.1:{identity_port}")));
        Self::serve(programs, "gateway", port, all, &[&GATEWAY, variables].concat())
    }

    fn serve(
        programs: &Path,
        name: &'static str,
        port: u16,
        mut variables: Vec<(String, String)>,
        further: &[(&str, &str)],
    ) -> Self {
        variables.extend(further.iter().map(|&(name, value)| (name.to_owned(), value.to_owned())));
        let log = tempfile::NamedTempFile::new().expect("a temporary file");
        let child = Mutex::new(spawn(programs, name, &variables, &log));
        Self { port, child, programs: programs.to_owned(), name, variables, log, mails: Mailbox::new() }
    }

    /// Where an identity-service writes its mails, unless it has another `MAIL`.
    pub fn mailbox(&self) -> Mailbox {
        self.mails.clone()
    }

    /// Starts the process again, on the same port, after [`Process::kill`] or [`Process::wait`].
    pub fn restart(&mut self) {
        *self.child.get_mut().unwrap() = spawn(&self.programs, self.name, &self.variables, &self.log);
    }

    /// The same, from now on with the program in this folder, which is of another version.
    pub fn restart_from(&mut self, programs: &Path) {
        self.programs = programs.to_owned();
        self.restart();
    }

    /// The same, and from now on with these variables in the place of its own.
    pub fn restart_with(&mut self, variables: &[(&str, &str)]) {
        self.variables = self.with(variables);
        self.restart();
    }

    /// Its variables, but for these.
    fn with(&self, variables: &[(&str, &str)]) -> Vec<(String, String)> {
        let is_kept = |name: &String| variables.iter().all(|(other, _)| other != name);
        let kept = self.variables.iter().filter(|(name, _)| is_kept(name)).cloned();
        kept.chain(variables.iter().map(|&(name, value)| (name.to_owned(), value.to_owned()))).collect()
    }

    /// Changes a variable, for when the process is started again.
    pub fn set(&mut self, name: &str, value: &str) {
        self.variables.retain(|(other, _)| other != name);
        self.variables.push((name.to_owned(), value.to_owned()));
    }

    /// Runs another command of the same program with the same variables: its standard output, or what it says of
    /// its failure.
    pub fn command(&self, arguments: &[&str]) -> Result<String, String> {
        self.command_with_input(arguments, "")
    }

    /// The same, with something to read on standard input.
    pub fn command_with_input(&self, arguments: &[&str], input: &str) -> Result<String, String> {
        run(program_in(&self.programs, self.name, &self.variables), arguments, input)
    }

    /// The same without input, and with these variables in the place of its own.
    pub fn command_with(&self, arguments: &[&str], variables: &[(&str, &str)]) -> Result<String, String> {
        run(program_in(&self.programs, self.name, &self.with(variables)), arguments, "")
    }

    /// The same without input, by the program of another version.
    pub fn command_from(&self, programs: &Path, arguments: &[&str]) -> Result<String, String> {
        run(program_in(programs, self.name, &self.variables), arguments, "")
    }

    /// Begins to run another command of the same program with the same variables.
    pub fn spawn(&self, arguments: &[&str]) -> Child {
        let mut command = program_in(&self.programs, self.name, &self.variables);
        command.args(arguments).stdout(Stdio::piped()).stderr(Stdio::piped());
        command.spawn().expect("the program starts")
    }

    /// Waits until `grpc.health.v1` says SERVING.
    pub async fn until_serving(&self) {
        let port = self.port;
        self.until("serving", Duration::from_secs(20), async || Rpc::is_serving(port).await).await;
    }

    /// Waits until `/health/ready` says so.
    pub async fn until_ready(&self) {
        let http = Http::new(self.port);
        let ready = async || http.try_get("/health/ready").await.is_some_and(|answer| answer.status == 200);
        self.until("ready", Duration::from_secs(20), ready).await;
    }

    /// Waits until something is so, and fails after `limit`, or at once when the process has ended.
    pub async fn until(&self, what: &str, limit: Duration, mut condition: impl AsyncFnMut() -> bool) {
        let started = Instant::now();
        while !condition().await {
            let ended = self.child.lock().unwrap().try_wait().expect("is ours");
            assert!(ended.is_none(), "{} has ended and never was {what}: {ended:?}", self.name);
            assert!(started.elapsed() < limit, "{} is not {what} after {limit:?}", self.name);
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }

    /// How much memory it uses, in bytes.
    pub fn memory(&self) -> u64 {
        let output = Command::new("ps").args(["-o", "rss=", "-p", &self.id()]).output().expect("ps runs");
        let kibibytes = String::from_utf8(output.stdout).expect("is ASCII");
        kibibytes.trim().parse::<u64>().unwrap_or_else(|_| panic!("{} has ended", self.name)) * 1024
    }

    fn id(&self) -> String {
        self.child.lock().unwrap().id().to_string()
    }

    /// Sends a signal by its name, such as `TERM`, `STOP`, `CONT`.
    pub fn signal(&self, name: &str) {
        let id = self.id();
        let status = Command::new("kill").args([format!("-{name}"), id]).status();
        assert!(status.expect("kill runs").success());
    }

    /// Ends the process as a crash would.
    pub fn kill(&mut self) {
        let child = self.child.get_mut().unwrap();
        child.kill().expect("runs");
        child.wait().expect("ends");
    }

    /// How the process ended, if it does within `limit`. The test's own clients go on meanwhile: one that does not close
    /// a connection when it is told goodbye holds a process up.
    pub async fn wait(&mut self, limit: Duration) -> Option<ExitStatus> {
        let started = Instant::now();
        while started.elapsed() < limit {
            if let Some(status) = self.child.get_mut().unwrap().try_wait().expect("is ours") {
                return Some(status);
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        None
    }

    /// What it has logged so far.
    pub fn log(&self) -> String {
        std::fs::read_to_string(self.log.path()).expect("the log is there")
    }

    /// Fails when the log says what no log may: a password, an e-mail address, a token, a hash or a key. Every test
    /// that succeeds ends with this.
    pub fn assert_no_secret_is_logged(&self) {
        let secrets = ["PASSWORD_PEPPER", "PASSWORD_PEPPER_OTHER", "KEY_ENCRYPTION_KEY"];
        let own = self.variables.iter().map(|(name, value)| (name.as_str(), value.as_str()));
        let secrets = IDENTITY.into_iter().chain(own).filter(|(name, _)| secrets.contains(name));
        let secrets = secrets.flat_map(|(_, value)| value.split(',')).filter(|secret| !secret.is_empty());
        let words: Vec<_> =
            [PASSWORD, "lancelot", "@camelot.bt", "$2b$"].into_iter().chain(secrets).collect();
        // Parameters of queries are printed as their bytes.
        let bytes = |word: &str| format!("{:?}", word.as_bytes()).trim_matches(['[', ']']).to_owned();
        let words: Vec<_> = words.into_iter().map(|word| (word, bytes(word))).collect();
        for line in self.log().lines() {
            let said = words.iter().any(|(word, bytes)| line.contains(word) || line.contains(bytes));
            assert!(
                !said && !has_token(line) && !has_session_token(line),
                "{} has logged a secret: {line}",
                self.name
            );
        }
    }
}

/// Whether something begins here as every JWT does. In the middle of a word it is somebody's base64.
fn has_token(line: &str) -> bool {
    line.match_indices("eyJ")
        .any(|(index, _)| !line[..index].ends_with(|before: char| before.is_alphanumeric()))
}

/// Whether a refresh token or an end token stands here: 64 or 32 bytes in base64url that begin with the UUIDv7 of a
/// session. The names of keys are as long as an end token, so that the day counts, too.
fn has_session_token(line: &str) -> bool {
    const DAY: u64 = 24 * 60 * 60;
    let words = line.split(|c: char| !c.is_ascii_alphanumeric() && !"-_".contains(c));
    let words = words.filter(|word| [43, 86].contains(&word.len()));
    let bytes = words.filter_map(|word| URL_SAFE_NO_PAD.decode(word).ok());
    let ids = bytes.filter_map(|bytes| uuid::Uuid::from_slice(bytes.get(..16)?).ok());
    let now = std::time::UNIX_EPOCH.elapsed().map_or(0, |now| now.as_secs());
    let mut made = ids.filter(|id| id.get_version_num() == 7).filter_map(|id| id.get_timestamp());
    made.any(|made| made.to_unix().0.abs_diff(now) < DAY)
}

#[test]
fn control_of_the_logs_that_a_refresh_token_or_an_end_token_in_one_is_noticed() {
    for rest in [&[7; 48][..], &[7; 16]] {
        let token = URL_SAFE_NO_PAD.encode([&uuid::Uuid::now_v7().as_bytes()[..], rest].concat());
        for line in [token.clone(), format!("x \"{token}\""), format!("refresh_token={token}; a")] {
            assert!(has_session_token(&line), "{line}");
        }
        let other = URL_SAFE_NO_PAD.encode([&[7; 16], rest].concat());
        for line in [&token[1..], &format!("{token}A"), &other, "", "a b"] {
            assert!(!has_session_token(line), "{line}");
        }
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        if let Ok(child) = self.child.get_mut() {
            let _ = child.kill();
            let _ = child.wait();
        }
        if std::thread::panicking() {
            eprintln!("--- log of {} on port {}\n{}", self.name, self.port, self.log());
        } else {
            self.assert_no_secret_is_logged();
        }
    }
}

/// A port that is free now, drawn at random so that tests beside each other do not get the same one, and below those
/// that Linux gives to outgoing connections.
pub fn free_port() -> u16 {
    let draw = || 10240 + (uuid::Uuid::new_v4().as_u128() % (30_000 - 10_240 + 1)) as u16;
    let is_free = |port: &u16| TcpListener::bind(("127.0.0.1", *port)).is_ok();
    std::iter::repeat_with(draw).take(1000).find(is_free).expect("loopback has a free port")
}

/// The program with nothing in its environment but these variables.
pub fn program(name: &str, variables: &[(String, String)]) -> Command {
    program_in(&programs(), name, variables)
}

fn program_in(programs: &Path, name: &str, variables: &[(String, String)]) -> Command {
    let mut command = Command::new(programs.join(name));
    command.env_clear().envs(variables.iter().map(|(name, value)| (name, value)));
    command
}

/// Runs a command to its end: what it says, or what it says of its failure.
fn run(mut command: Command, arguments: &[&str], input: &str) -> Result<String, String> {
    command.args(arguments).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().expect("the program starts");
    child.stdin.take().expect("is piped").write_all(input.as_bytes()).expect("is read or ignored");
    let output = child.wait_with_output().expect("ends");
    let text = |bytes| String::from_utf8(bytes).expect("is UTF-8");
    if output.status.success() { Ok(text(output.stdout)) } else { Err(text(output.stderr)) }
}

fn spawn(
    programs: &Path,
    name: &str,
    variables: &[(String, String)],
    log: &tempfile::NamedTempFile,
) -> Child {
    let log = File::options().append(true).open(log.path()).expect("the log is there");
    program_in(programs, name, variables)
        .arg("serve")
        .stdout(Stdio::null())
        .stderr(log)
        .spawn()
        .expect("the program is built")
}

/// Where the programs are: beside the folder of the test binary.
pub fn programs() -> PathBuf {
    let test = std::env::current_exe().expect("a process has a program");
    test.parent().and_then(|deps| deps.parent()).expect("tests are in target/PROFILE/deps").to_owned()
}
