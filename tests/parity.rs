//! Parity: what FastAPI Users 15.0.5 was recorded to answer, case by case, beside what we answer.

use std::path::Path;
use std::process::{Child, Command};

use crate::harness::{Stack, repository};

/// A run of the recorded cases.
struct Run {
    /// The variables of identity-service that the cases ask for, besides those of every run.
    identity: &'static [(&'static str, &'static str)],
    profile: &'static str,
    reference: &'static str,
    allowances: &'static str,
    /// How many recorded cases there are, without those that forge tokens with the reference's secret.
    cases: usize,
}

/// How long it is waited, in seconds, to see that no token is mailed. One that is comes after about one.
const QUIET: &str = "1.5";

impl Run {
    async fn is_answered_as_recorded(&self) {
        let variables = [&[("BCRYPT_COST", "10"), ("PASSWORD_MIN_LENGTH", "3")], self.identity].concat();
        let stack = Stack::with(&variables, &[]).await;
        let mails = stack.mailbox();
        let tokens = tempfile::NamedTempFile::new().unwrap();
        let _writer = Writer::start(mails.folder(), tokens.path());
        let output = python("parity.py")
            .args(["check", "--tier", "shape", "--secret", "", "--profile", self.profile])
            .args(["--reference", self.reference, "--no-needless"])
            .args(["--allow", "allow-everywhere.txt", "--allow", self.allowances])
            .args(["--base-url", &format!("http://127.0.0.1:{}", stack.gateway.port)])
            .args(["--make-superuser", &format!("{} {{email}}", stack.promotion())])
            .args(["--mail-quiet", QUIET, "--token-file"])
            .arg(tokens.path())
            .output()
            .expect("Python is there: run tests/run, which makes it ready");
        let said = String::from_utf8_lossy(&output.stdout);
        println!("{said}");
        assert!(
            output.status.success(),
            "a case differs and is not allowed, or an allowance is needless: see above. Mend what we answer; where \
             ours is better on purpose, tests/parity/{} says so and why. {}",
            self.allowances,
            String::from_utf8_lossy(&output.stderr)
        );
        let [equal, all, allowed] = numbers(&said).expect("the runner ends with the number");
        assert_eq!((equal + allowed, all), (self.cases, self.cases), "cases are missing");
    }
}

/// A process that writes down the tokens of mails. It ends with this.
struct Writer(Child);

impl Writer {
    fn start(mails: &Path, tokens: &Path) -> Self {
        let child = python("tokens.py").arg(mails).arg(tokens).spawn();
        Self(child.expect("Python is there: run tests/run, which makes it ready"))
    }
}

impl Drop for Writer {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// A script of the folder `parity`.
fn python(script: &str) -> Command {
    let mut command = Command::new(repository().join("target/tools/python/bin/python"));
    command.current_dir(repository().join("tests/parity")).arg(script);
    command
}

/// `N of M cases equal, K by allowance`, where the runner says it.
fn numbers(said: &str) -> Option<[usize; 3]> {
    let line = said.lines().find(|line| line.ends_with(" by allowance"))?;
    let words: Vec<_> = line.split(' ').collect();
    let number = |index: usize| words.get(index)?.parse().ok();
    Some([number(0)?, number(2)?, number(5)?])
}

#[tokio::test]
async fn every_recorded_case_is_answered_as_fastapi_users_does_or_otherwise_on_purpose() {
    let run = Run {
        identity: &[],
        profile: "default",
        reference: "reference.json",
        allowances: "allow.txt",
        cases: 516,
    };
    run.is_answered_as_recorded().await;
}

#[tokio::test]
async fn where_verified_addresses_are_required_every_recorded_case_is_answered_so_too() {
    let run = Run {
        identity: &[("REQUIRE_VERIFIED", "true")],
        profile: "verified",
        reference: "reference-verified.json",
        allowances: "allow-verified.txt",
        cases: 19,
    };
    run.is_answered_as_recorded().await;
}

/// Whether each field of an allowance has an answer of ours that is not any answer.
fn says_what_we_answer(allowed: &str) -> bool {
    let says = |answer: &str| answer.contains(|char| !['*', '?'].contains(&char));
    allowed.split('&').all(|field| field.split_once('=').is_some_and(|(_, answer)| says(answer)))
}

#[test]
fn every_allowance_says_which_rule_it_follows_and_what_we_answer() {
    for any in ["a/b status", "a/b status=", "a/b status=*", "a/b status=400&body=**?", "a/b *"] {
        assert!(!says_what_we_answer(any), "{any}");
    }
    let read = |name: &str| std::fs::read_to_string(repository().join("tests/parity").join(name)).unwrap();
    let lists = ["allow-everywhere.txt", "allow.txt", "allow-verified.txt"].map(read).concat();
    let sources = ["contract.md, ", "design.md, ", "better-than-reference.txt: "];
    for line in lists.lines().filter(|line| !line.is_empty() && !line.starts_with('#')) {
        let (allowed, reason) = line.split_once("  ").expect("two spaces before the reason");
        assert!(sources.iter().any(|source| reason.starts_with(source)), "no source: {line}");
        assert!(says_what_we_answer(allowed), "any answer is allowed: {line}");
    }
}
