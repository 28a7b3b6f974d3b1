//! The contract as a number: requests recorded from FastAPI Users 15.0.5 are sent to our gateway, and its answers
//! compared with the recorded ones.
//!
//! `parity/parity.py` is the runner, `parity/reference.json` what FastAPI Users answered, and `parity/allow.txt` where
//! ours is better on purpose, each line with its reason.

use std::process::Command;

use crate::flow::promote;
use crate::harness::{Stack, repository};

/// The groups of cases that are run.
const AREAS: [&str; 8] = ["register", "login-*", "cookie", "me", "patch-me", "users-*", "logout-*", "http"];
/// Routes of which cases in these groups speak, and that are not there yet.
const ABSENT: [&str; 4] = ["forgot-password", "reset-password", "request-verify-token", "verify"];

#[tokio::test]
async fn every_recorded_case_is_answered_as_fastapi_users_does_but_for_what_is_better_on_purpose() {
    // As the recorded server was: the cases have short passwords.
    let stack = Stack::with(&[("PASSWORD_MIN_LENGTH", "3")], &[]).await;
    let python = repository().join("target/tools/python/bin/python");
    let mut command = Command::new(python);
    command
        .current_dir(repository().join("tests/parity"))
        .args(["parity.py", "check", "--tier", "shape", "--quiet", "--no-idle", "--secret", ""])
        .args(["--reference", "reference.json", "--allow", "allow.txt"])
        .args(["--base-url", &format!("http://127.0.0.1:{}", stack.gateway.port)])
        .args(["--make-superuser", &format!("{} {{email}}", promote(&stack))]);
    for area in AREAS {
        command.args(["--only", &format!("{area}/*")]);
    }
    for route in ABSENT {
        command.args(["--skip", &format!("http/method/* auth/{route}")]);
    }
    let output = command.output().expect("Python runs: tests/run installs what it needs");
    let said = String::from_utf8_lossy(&output.stdout);
    println!("{said}{}", String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success(), "mend the gateway, or say in parity/allow.txt why it is better");
}
