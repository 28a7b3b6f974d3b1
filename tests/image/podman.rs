//! podman with a storage of its own in `target/image`: the system's own is not touched, and nothing is left mounted.

use std::fs::{self, File};
use std::io::Write as _;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use crate::harness::repository;

/// What podman would ask for as root, 1,048,576 files, not every place grants.
const LIMITS: [&str; 2] = ["--ulimit=nofile=4096:4096", "--ulimit=nproc=4096:4096"];
/// What manifests of Kubernetes say: `restricted`, a root that is read-only, limits. There is not even a `/tmp`.
const HARDENING: [&str; 6] = [
    "--read-only",
    "--read-only-tmpfs=false",
    "--cap-drop=all",
    "--security-opt=no-new-privileges",
    "--memory=256m",
    "--pids-limit=100",
];
/// What `bases` says by its exit code.
const NO_DEBOOTSTRAP: i32 = 3;

/// podman, for one test at a time.
pub struct Podman {
    folder: PathBuf,
    _alone: File,
}

impl Podman {
    /// podman and the images to begin with, or why there are none here.
    pub fn open() -> Result<Self, String> {
        if !cfg!(target_os = "linux") {
            return Err("containers need Linux".to_owned());
        }
        if fs::metadata("/proc/self").expect("Linux has it").uid() != 0 {
            return Err("debootstrap needs root".to_owned());
        }
        let folder = repository().join("target/image");
        fs::create_dir_all(&folder).expect("is made");
        let alone = File::create(folder.join("lock")).expect("is made");
        alone.lock().expect("is free at last");
        let podman = Self { folder, _alone: alone };
        podman.probe()?;
        podman.remove_leftovers();
        podman.make_bases()?;
        Ok(podman)
    }

    /// Removes what a test has left behind that was killed.
    fn remove_leftovers(&self) {
        let left = self.does(&["ps", "--all", "--external", "--quiet"]);
        left.lines().for_each(|container| drop(self.does(&["rm", "--force", container])));
    }

    /// Whether a container works here at all: one with the smallest program that there is, built and run as ours are.
    fn probe(&self) -> Result<(), String> {
        let folder = self.folder.join("probe");
        fs::create_dir_all(&folder).expect("is made");
        let program = "int main(void) { return 0; }";
        let mut cc = Command::new("cc");
        cc.args(["-static", "-x", "c", "-", "-o"]).arg(folder.join("probe"));
        succeeds(feed(cc, program));
        let containerfile = "FROM scratch\nCOPY probe /probe\nRUN [\"/probe\"]\nENTRYPOINT [\"/probe\"]\n";
        fs::write(folder.join("Containerfile"), containerfile).expect("is written");
        let built = self.build(&["--no-cache", "--tag=localhost/probe", &folder.to_string_lossy()]);
        let ran = if built.status.success() {
            self.run(&["--network=none", "localhost/probe"]).output()
        } else {
            Ok(built)
        };
        let ran = ran.expect("podman is there: run tests/run, which installs it");
        if ran.status.success() { Ok(()) } else { Err(format!("podman does not work here: {}", said(&ran))) }
    }

    /// Makes what the two arguments of the Containerfile name.
    fn make_bases(&self) -> Result<(), String> {
        let podman = self.command();
        let mut bases = Command::new(repository().join("tests/image/bases"));
        bases.arg(self.folder.join("bases")).arg(podman.get_program()).args(podman.get_args());
        let output = feed(bases, "");
        if output.status.code() == Some(NO_DEBOOTSTRAP) {
            return Err(format!("debootstrap does not work here: {}", said(&output)));
        }
        succeeds(output);
        let rust = text(Command::new("rustc").arg("--version"));
        let (sysroot, cargo_home) = (sysroot(), cargo_home());
        // The wrapper does nothing. What cargo has built with another one, or without, it builds anew; but only what is
        // ours, so that of the programs on this machine the image takes none.
        let containerfile = format!(
            "FROM localhost/bookworm\n\
             ENV RUST_VERSION={rust:?} CARGO_HOME={cargo_home:?} CARGO_NET_OFFLINE=true \\\n\
             RUSTC_WORKSPACE_WRAPPER=/usr/bin/env PATH={sysroot}/bin:/usr/bin:/bin\n"
        );
        succeeds(feed(self.with(&["build", "--tag=localhost/rust", "-"]), &containerfile));
        Ok(())
    }

    /// Builds an image. The toolchain and the packages are those of this machine, and there is no network.
    pub fn build(&self, arguments: &[&str]) -> Output {
        let podman = self.command();
        // So that what podman mounts and starts for it ends when podman does, however that ends.
        let mut command = Command::new("unshare");
        command.args(["--mount", "--pid", "--fork", "--kill-child", "--mount-proc"]);
        command.arg(podman.get_program()).args(podman.get_args()).args(["build", "--network=none"]);
        for folder in [sysroot(), cargo_home()] {
            command.arg(format!("--volume={folder}:{folder}:ro"));
        }
        feed(command.args(LIMITS).args(arguments), "")
    }

    /// A command that runs a container in the foreground, hardened; it passes on signals, and ends as the program does.
    pub fn run(&self, arguments: &[&str]) -> Command {
        let mut command = self.with(&["run", "--rm"]);
        command.args(HARDENING).args(LIMITS).args(arguments);
        command
    }

    /// Does something that must succeed; what it prints.
    pub fn does(&self, arguments: &[&str]) -> String {
        let printed = succeeds(self.output(arguments, ""));
        printed.trim_end().to_owned()
    }

    /// Does something.
    pub fn output(&self, arguments: &[&str], input: &str) -> Output {
        feed(self.with(arguments), input)
    }

    fn with(&self, arguments: &[&str]) -> Command {
        let mut command = self.command();
        command.args(arguments);
        command
    }

    /// Without systemd, which not every place has, and by runc, which can do with the older cgroups, too.
    fn command(&self) -> Command {
        let mut command = Command::new("podman");
        for (option, name) in [("--root", "storage"), ("--runroot", "run"), ("--tmpdir", "tmp")] {
            command.arg(option).arg(self.folder.join(name));
        }
        command.args(["--storage-driver=overlay", "--storage-opt=overlay.skip_mount_home=true"]);
        command.args(["--runtime=runc", "--cgroup-manager=cgroupfs", "--events-backend=none"]);
        command
    }

    /// Where a test may put something for a moment.
    pub fn scratch(&self, name: &str) -> PathBuf {
        self.folder.join(name)
    }
}

fn sysroot() -> String {
    text(Command::new("rustc").args(["--print", "sysroot"]))
}

fn cargo_home() -> String {
    let default = || Path::new(&std::env::var("HOME").expect("we live somewhere")).join(".cargo");
    let home = std::env::var("CARGO_HOME").map_or_else(|_| default(), PathBuf::from);
    home.to_string_lossy().into_owned()
}

/// What a command prints that must succeed.
pub fn text(command: &mut Command) -> String {
    succeeds(feed(command, "")).trim_end().to_owned()
}

fn succeeds(output: Output) -> String {
    assert!(output.status.success(), "{}", said(&output));
    String::from_utf8(output.stdout).expect("is UTF-8")
}

/// All that a command has said.
pub fn said(output: &Output) -> String {
    let [stdout, stderr] = [&output.stdout, &output.stderr].map(|bytes| String::from_utf8_lossy(bytes));
    format!("{stdout}{stderr}{}", output.status)
}

fn feed(mut command: impl std::borrow::BorrowMut<Command>, input: &str) -> Output {
    let command = command.borrow_mut().stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let name = command.get_program().to_string_lossy().into_owned();
    let mut child =
        command.spawn().unwrap_or_else(|error| panic!("{name}: {error}: run tests/run, which installs it"));
    child.stdin.take().expect("is piped").write_all(input.as_bytes()).expect("is read or ignored");
    child.wait_with_output().expect("ends")
}
