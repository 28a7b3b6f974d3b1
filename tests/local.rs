//! `deploy/local/up`: one command that brings everything up, and takes everything down.

use std::io::{BufRead as _, BufReader};
use std::net::TcpListener;
use std::os::unix::fs::{PermissionsExt as _, symlink};
use std::path::Path;
use std::process::{Child, Command, Output, Stdio};

use crate::harness::{Http, PASSWORD, free_port, programs, repository};

const EMAIL: &str = "king.arthur@camelot.bt";

/// A folder with the scripts and the programs that are built already; its `cargo` builds nothing.
struct Checkout {
    folder: tempfile::TempDir,
}

impl Checkout {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let copied =
            Command::new("cp").arg("-R").arg(repository().join("deploy")).arg(folder.path()).status();
        assert!(copied.unwrap().success());
        let programs = programs();
        let target = programs.parent().unwrap();
        symlink(target, folder.path().join("target")).unwrap();
        let tools = folder.path().join("tools");
        std::fs::create_dir(&tools).unwrap();
        std::fs::write(tools.join("cargo"), "#!/bin/sh\n").unwrap();
        std::fs::set_permissions(tools.join("cargo"), std::fs::Permissions::from_mode(0o755)).unwrap();
        // Postgres runs as another user when this is root, and must get in.
        std::fs::set_permissions(folder.path(), std::fs::Permissions::from_mode(0o755)).unwrap();
        Self { folder }
    }

    fn script(&self, name: &str, arguments: &[&str]) -> Command {
        let mut command = Command::new(self.folder.path().join("deploy/local").join(name));
        let tools = self.folder.path().join("tools");
        let path = format!("{}:{}", tools.display(), std::env::var("PATH").unwrap());
        command.args(arguments).env("PATH", path).stdin(Stdio::null());
        // What the caller's shell exports for other things does not reach the services: they would not start.
        for name in
            ["LOG", "LOG_FORMAT", "WORKERS", "BCRYPT_COST", "CORS_ALLOWED_ORIGINS", "DATABASE_POOL_SIZE"]
        {
            command.env(name, "a=b=c");
        }
        command
    }

    /// Starts `up` and reads what it prints until it is ready.
    fn up(&self, port: u16) -> Child {
        self.up_with(port, "")
    }

    /// The same with own fields of users, by the schema in this file, as it is called from the checkout.
    fn up_with(&self, port: u16, schema: &str) -> Child {
        let mut command = self.script("up", &["--port", &port.to_string()]);
        command.current_dir(self.folder.path()).env("USER_SCHEMA", schema);
        let mut child = command.stdout(Stdio::piped()).spawn().unwrap();
        let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
        let mut said = String::new();
        for line in lines.by_ref() {
            said += &format!("{}\n", line.unwrap());
            if said.ends_with("the data stays for the next run.\n") {
                assert!(said.contains("Portcullis is ready") && said.contains("/auth/register"), "{said}");
                // Whoever stops reading must not stop it.
                std::thread::spawn(move || lines.for_each(drop));
                return child;
            }
        }
        panic!("up has ended: {:?} {said}", child.wait());
    }

    /// What a start that cannot work says: one line on standard error, and nothing is left running.
    fn refusal(&self, mut command: Command) -> String {
        let Output { status, stderr, .. } = command.output().unwrap();
        let said = String::from_utf8(stderr).unwrap();
        assert!(!status.success(), "{said}");
        let processes = Command::new("ps").args(["-eo", "args"]).output().unwrap().stdout;
        let ours = self.folder.path().to_string_lossy().into_owned();
        let processes = String::from_utf8_lossy(&processes).into_owned();
        let left: Vec<_> = processes.lines().filter(|line| line.contains(&ours)).collect();
        assert!(left.is_empty(), "left running: {left:?}");
        said.trim_end().lines().last().unwrap_or_default().to_owned()
    }
}

impl Drop for Checkout {
    fn drop(&mut self) {
        let _ = self.script("down", &["--wipe"]).output();
    }
}

fn stop(mut up: Child, signal: &str) -> Option<i32> {
    let sent = Command::new("kill").args([format!("-{signal}"), up.id().to_string()]).status();
    assert!(sent.unwrap().success());
    up.wait().unwrap().code()
}

#[tokio::test]
async fn one_command_starts_everything_keeps_the_data_and_stops_everything() {
    let checkout = Checkout::new();
    let port = free_port();
    let http = Http::new(port);
    let up = checkout.up(port);
    assert_eq!(http.register(EMAIL, PASSWORD).await.status, 201);
    let promoted = checkout.script("identity", &["user", "promote", EMAIL]).output().unwrap();
    assert!(promoted.status.success(), "{promoted:?}");

    let second = checkout.script("up", &["--port", &free_port().to_string()]).output().unwrap();
    assert!(!second.status.success());
    assert!(String::from_utf8_lossy(&second.stderr).contains("already running here"), "{second:?}");
    assert_eq!(http.log_in(EMAIL, PASSWORD).await.status, 200);

    assert_eq!(stop(up, "TERM"), Some(143));
    assert!(http.try_get("/health/live").await.is_none());

    let up = checkout.up_with(port, "deploy/local/user-schema.json");
    let body =
        serde_json::json!({"email": "lancelot@camelot.bt", "password": PASSWORD, "first_name": "Lancelot"});
    let nameless = http.json("POST", "/auth/register", "", body).await;
    assert!(nameless.status == 422 && nameless.body.contains("last_name"), "{nameless:?}");
    let me = http.bare("GET", "/users/me", &http.token(EMAIL, PASSWORD).await).await;
    assert_eq!(me.json()["is_superuser"], true);
    let down = checkout.script("down", &["--wipe"]).output().unwrap();
    assert!(down.status.success(), "{down:?}");
    assert!(!checkout.folder.path().join(".local").exists());
    assert_eq!(stop_code(up), Some(143));
    assert!(http.try_get("/health/live").await.is_none());
}

fn stop_code(mut up: Child) -> Option<i32> {
    up.wait().unwrap().code()
}

#[test]
fn a_busy_port_a_missing_cargo_and_a_dead_cluster_are_one_clear_line_each() {
    let checkout = Checkout::new();
    let busy = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = busy.local_addr().unwrap().port().to_string();
    let said = checkout.refusal(checkout.script("up", &["--port", &port]));
    assert!(said.contains(&format!("port {port} is in use")) && said.contains("--port"), "{said}");

    let free = free_port().to_string();
    let mut without_cargo = checkout.script("up", &["--port", &free]);
    without_cargo.env("PATH", "/usr/bin:/bin").env("HOME", checkout.folder.path()).env_remove("CARGO_HOME");
    if !Path::new("/usr/bin/cargo").exists() {
        let said = checkout.refusal(without_cargo);
        assert!(said.contains("Rust") && said.contains("https://rustup.rs"), "{said}");
    }

    assert_eq!(stop(checkout.up(free_port()), "TERM"), Some(143));
    std::fs::write(checkout.folder.path().join(".local/postgres/data/global/pg_control"), "broken").unwrap();
    let said = checkout.refusal(checkout.script("up", &["--port", &free]));
    assert!(said.starts_with("postgres: the cluster in") && said.contains("(log: "), "{said}");
}
