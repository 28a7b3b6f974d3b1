//! A real browser, and pages of other origins in it: those that are listed may call, with everything the documented
//! page does; others may not, and nothing comes of their trying.

use std::process::Command;

use serde_json::Value;

use crate::harness::{Stack, Transport, repository};

/// Another origin of the gateway's own site: the browser sends the cookie along, and only our rule is in the way.
const SIBLING: &str = "http://localhost:3000";
/// Another site.
const STRANGER: &str = "http://app.example";

async fn stack(listed: &str) -> Stack {
    Stack::with(&[], &[("CORS_ALLOWED_ORIGINS", listed)]).await
}

/// What a script of Node says, which must succeed.
fn run(script: &str, stack: &Stack, arguments: &[&str]) -> String {
    let temporary = tempfile::tempdir().unwrap(); // for the browser's profile, also if it is killed
    let output = Command::new("node")
        .current_dir(repository().join("tests"))
        .env("TMPDIR", temporary.path())
        .args([script].iter().chain(arguments))
        .args(["--port", &stack.gateway.port.to_string()])
        .output()
        .expect("Node runs: tests/run installs it");
    let said = String::from_utf8(output.stdout).unwrap();
    println!("{said}{}", String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success(), "{script} does not succeed");
    said
}

/// Runs the page's axios requests in a page of this origin, which is listed.
async fn the_page_holds(origin: &str, more: &[&str]) {
    let stack = stack(origin).await;
    let promote = stack.promotion();
    let arguments = ["browser", "--promote", &promote, "--origin", origin];
    let said = run("flow/run.mjs", &stack, &[&arguments, more].concat());
    assert!(said.ends_with("9 steps of 9 as the page promises\n"));
}

#[tokio::test]
async fn every_axios_request_of_the_page_works_as_printed_in_a_browser_on_another_site_that_is_listed() {
    the_page_holds(STRANGER, &[]).await;
}

#[tokio::test]
async fn on_another_origin_of_the_same_site_that_is_listed_they_work_with_cookies_too() {
    the_page_holds(SIBLING, &["--credentials"]).await;
}

/// Everything that is kept of users.
async fn users(stack: &Stack) -> Vec<String> {
    let rows = stack.database.rows("SELECT users::text FROM users ORDER BY id", &[]).await;
    rows.iter().map(|row| row.get(0)).collect()
}

/// A superuser who is logged in by cookie visits a page of this origin, which is not listed. How many sessions there
/// are more than before.
async fn a_visit_changes_nothing(origin: &str) -> i64 {
    let listed = "http://localhost:4000";
    let stack = stack(listed).await;
    let (id, token) = stack.superuser("king.arthur@camelot.bt").await;
    stack.register("mordred@camelot.bt").await;
    let before = users(&stack).await;
    let arguments = ["--listed", listed, "--origin", origin, "--token", &token, "--id", &id];
    let said = run("browser/foreign.mjs", &stack, &arguments);
    let said: Value = serde_json::from_str(&said).unwrap();

    let calls = said["calls"].as_array().unwrap();
    assert_eq!(calls.len(), 9 + 5);
    for call in calls {
        assert_eq!(call[1], "ERR_NETWORK", "{call}");
    }
    let forms = said["forms"].as_array().unwrap();
    assert_eq!(forms.len(), 2);
    for form in forms {
        assert_eq!(form[1], 403, "{form}");
    }
    assert_eq!(said["after"], said["before"], "the browser has another cookie, or none");
    let http = stack.http();
    let cookie = said["after"].as_str().expect("the user is logged in");
    for (transport, token) in [(Transport::Cookie, cookie), (Transport::Bearer, &token)] {
        let me = http.send(transport.send(http.request("GET", "/users/me"), token)).await;
        assert_eq!(me.status, 200, "{transport:?} {me:?}");
    }
    assert_eq!(users(&stack).await, before);
    stack.database.number("SELECT count(*) FROM sessions").await - 2
}

#[tokio::test]
async fn from_another_origin_of_the_same_site_that_is_not_listed_no_call_is_answered_and_no_form_does_anything()
 {
    assert_eq!(a_visit_changes_nothing(SIBLING).await, 0);
}

#[tokio::test]
async fn from_another_site_that_is_not_listed_no_call_is_answered_and_no_form_does_anything() {
    // The login for a bearer token: the browser adds nothing of the user's to it, and the page cannot read the token.
    assert_eq!(a_visit_changes_nothing(STRANGER).await, 1);
}
