//! The programs of an older version, from the history of the repository.

use std::path::PathBuf;
use std::process::Command;

use crate::harness::repository;

/// The version before the newest migration: the folder of its programs, which are built when there are none yet. That
/// takes minutes.
pub async fn before_the_newest_migration() -> PathBuf {
    tokio::task::spawn_blocking(build).await.expect("is built")
}

fn build() -> PathBuf {
    let newest =
        run(git(&["log", "-1", "--format=%H", "--diff-filter=A", "--", "identity-service/migrations"]));
    let commit = run(git(&["rev-parse", &format!("{}^", newest.trim())])).trim().to_owned();
    let folder = repository().join("target/older");
    let source = folder.join(&commit);
    if !source.exists() {
        let unpacked = folder.join("unpacked");
        let _ = std::fs::remove_dir_all(&unpacked);
        std::fs::create_dir_all(&unpacked).unwrap();
        run(git(&["archive", "--output", "target/older/source.tar", &commit]));
        let mut tar = Command::new("tar");
        tar.arg("-xf").arg(folder.join("source.tar")).arg("-C").arg(&unpacked);
        run(tar);
        std::fs::rename(unpacked, &source).unwrap();
    }
    // Not where the programs are that this run tests.
    let target = folder.join("target");
    let mut cargo = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    cargo
        .current_dir(&source)
        .args(["build", "--locked", "--profile", "long", "--bins", "--target-dir"])
        .arg(&target);
    cargo.args(["--package", "gateway", "--package", "identity-service"]);
    run(cargo);
    println!("the older version is {commit}");
    target.join("long")
}

fn git(arguments: &[&str]) -> Command {
    let mut git = Command::new("git");
    git.current_dir(repository()).args(arguments);
    git
}

/// What a command says that must succeed.
fn run(mut command: Command) -> String {
    let output = command.output().unwrap_or_else(|error| panic!("{command:?}: {error}"));
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{command:?} (it needs the history of the repository): {said}");
    String::from_utf8(output.stdout).expect("is UTF-8")
}
