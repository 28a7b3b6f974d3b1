//! Parity: what FastAPI Users 15.0.5 was recorded to answer, case by case, beside what we answer.

use std::process::Command;

use gateway::routes::ROUTES;

use crate::harness::{Stack, repository};

/// What exists so far. The recovery of accounts has areas of its own.
const AREAS: [&str; 8] =
    ["register/*", "login-*", "cookie/*", "me/*", "patch-me/*", "users-*", "logout-*", "http/*"];
/// Routes that do not exist yet, and whose methods the area `http` tries.
const ABSENT: [&str; 4] = ["forgot-password", "reset-password", "request-verify-token", "verify"];
/// How many recorded cases are left, without the 29 that forge tokens with the reference's secret.
const CASES: usize = 412;

/// `N of M cases equal, K by allowance`, where the runner says it.
fn numbers(said: &str) -> Option<[usize; 3]> {
    let line = said.lines().find(|line| line.ends_with(" by allowance"))?;
    let words: Vec<_> = line.split(' ').collect();
    let number = |index: usize| words.get(index)?.parse().ok();
    Some([number(0)?, number(2)?, number(5)?])
}

#[tokio::test]
async fn every_recorded_case_is_answered_as_fastapi_users_does_or_otherwise_on_purpose() {
    let stack = Stack::with(&[("BCRYPT_COST", "10"), ("PASSWORD_MIN_LENGTH", "3")], &[]).await;
    let output = Command::new(repository().join("target/tools/python/bin/python"))
        .current_dir(repository().join("tests/parity"))
        .args(["parity.py", "check", "--reference", "reference.json", "--tier", "shape"])
        .args(["--allow", "allow.txt", "--no-needless", "--secret", ""])
        .args(["--base-url", &format!("http://127.0.0.1:{}", stack.gateway.port)])
        .args(["--make-superuser", &format!("{} {{email}}", stack.promotion())])
        .args(AREAS.iter().flat_map(|area| ["--only", area]))
        .args(ABSENT.map(|route| format!("--leave-out=http/method/* auth/{route}")))
        .output()
        .expect("Python is there: run tests/run, which makes it ready");
    let said = String::from_utf8_lossy(&output.stdout);
    println!("{said}");
    assert!(
        output.status.success(),
        "a case differs and is not allowed, or an allowance is needless: see above. Mend what we answer; where \
         ours is better on purpose, tests/parity/allow.txt says so and why. {}",
        String::from_utf8_lossy(&output.stderr)
    );
    let [equal, all, allowed] = numbers(&said).expect("the runner ends with the number");
    assert_eq!((equal + allowed, all), (CASES, CASES), "cases are missing");
}

#[test]
fn what_is_left_out_does_not_exist() {
    for route in ROUTES {
        let last = route.path.rsplit('/').next().unwrap_or_default();
        assert!(!ABSENT.contains(&last), "{} exists: let the cases of it be played", route.path);
    }
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
    let list = std::fs::read_to_string(repository().join("tests/parity/allow.txt")).unwrap();
    let sources = ["contract.md, ", "design.md, ", "better-than-reference.txt: "];
    for line in list.lines().filter(|line| !line.is_empty() && !line.starts_with('#')) {
        let (allowed, reason) = line.split_once("  ").expect("two spaces before the reason");
        assert!(sources.iter().any(|source| reason.starts_with(source)), "no source: {line}");
        assert!(says_what_we_answer(allowed), "any answer is allowed: {line}");
    }
}
