//! The documented flow: every request of the users' own page, as printed, with the real curl and the real axios.

use std::process::Command;

use crate::harness::{Stack, repository};

/// Runs the page's requests of one kind against a gateway with an empty database.
async fn the_page_holds(kind: &str) {
    let stack = Stack::start().await;
    let folder = repository().join("tests/flow");
    let output = Command::new("node")
        .current_dir(&folder)
        .args(["run.mjs", kind, "--port", &stack.gateway.port.to_string(), "--promote", &stack.promotion()])
        .output()
        .expect("Node runs: tests/run installs it");
    let said = String::from_utf8_lossy(&output.stdout);
    println!("{said}{}", String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success(), "the page's {kind} requests do not all work");
    assert!(said.ends_with("9 steps of 9 as the page promises\n"));
}

#[tokio::test]
async fn every_curl_request_of_the_page_works_as_printed() {
    the_page_holds("curl").await;
}

#[tokio::test]
async fn every_axios_request_of_the_page_works_as_printed() {
    the_page_holds("axios").await;
}
