//! A running container.

use std::fs;
use std::process::{Child, Output, Stdio};
use std::time::{Duration, Instant};

use super::podman::Podman;

/// A container that is removed when the test ends, its log shown when that fails.
pub struct Container<'a> {
    podman: &'a Podman,
    name: String,
    child: Child,
    log: tempfile::NamedTempFile,
}

impl<'a> Container<'a> {
    /// Starts the default command of an image on this network.
    pub fn start(podman: &'a Podman, image: &str, network: &str, variables: &[(&str, &str)]) -> Self {
        let name = format!("{image}-{}", uuid::Uuid::new_v4().simple());
        let log = tempfile::NamedTempFile::new().expect("a temporary file");
        let image = format!("localhost/{image}");
        let mut command = podman.run(&["--name", &name, "--network", network]);
        command.args(variables.iter().map(|(name, value)| format!("--env={name}={value}"))).arg(image);
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(log.reopen().expect("the log is there"));
        let child = command.spawn().expect("podman starts");
        Self { podman, name, child, log }
    }

    /// Waits until something is so.
    pub async fn until(&mut self, what: &str, mut condition: impl AsyncFnMut(&Self) -> bool) {
        let started = Instant::now();
        while !condition(self).await {
            let ended = self.child.try_wait().expect("is ours");
            assert!(ended.is_none(), "{} has ended and never was {what}: {ended:?}", self.name);
            assert!(started.elapsed() < Duration::from_secs(30), "{} is not {what}", self.name);
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }

    /// Runs a program inside.
    pub fn exec(&self, command: &[&str]) -> Output {
        self.podman.output(&[&["exec", &self.name], command].concat(), "")
    }

    /// What the kernel says of its process, as by `/proc/PID/status`.
    pub fn process(&self, file: &str) -> String {
        let process = self.podman.does(&["inspect", "--format={{.State.Pid}}", &self.name]);
        fs::read_to_string(format!("/proc/{process}/{file}")).expect("it runs")
    }

    /// Asks it to stop by SIGTERM; its exit code. It is 137 when it had to be killed.
    pub fn stop(mut self) -> Option<i32> {
        self.podman.does(&["stop", "--time=40", &self.name]);
        self.child.wait().expect("ends").code()
    }
}

impl Drop for Container<'_> {
    fn drop(&mut self) {
        self.podman.output(&["rm", "--force", "--ignore", "--time=0", &self.name], "");
        let _ = self.child.wait();
        if std::thread::panicking() {
            let log = fs::read_to_string(self.log.path()).unwrap_or_default();
            eprintln!("--- log of {}\n{log}", self.name);
        }
    }
}
