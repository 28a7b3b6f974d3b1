//! The command line of identity-service, as an operator uses it.

use std::time::Duration;

use crate::harness::{PASSWORD, Stack};

const EMAIL: &str = "king.arthur@camelot.bt";

#[tokio::test]
async fn an_operator_creates_a_superuser_who_can_log_in() {
    let stack = Stack::start().await;
    let create = ["user", "create", EMAIL, "--superuser", "--verified"];
    let said = stack.identity.command_with_input(&create, "guinevere\n").unwrap();
    assert!(said.starts_with("created "), "{said}");
    let me = stack.http().bare("GET", "/users/me", &stack.http().token(EMAIL, PASSWORD).await).await;
    assert_eq!((&me.json()["is_superuser"], &me.json()["is_verified"]), (&true.into(), &true.into()));
    let listed = stack.identity.command(&["user", "list"]).unwrap();
    assert!(
        listed.contains(&me.text("id")) && listed.contains(EMAIL) && listed.lines().count() == 1,
        "{listed}"
    );
}

#[tokio::test]
async fn what_an_operator_changes_holds_at_once() {
    let stack = Stack::start().await;
    let (_, token) = stack.user(EMAIL).await;
    let run = |verb: &str| stack.identity.command(&["user", verb, "KING.ARTHUR@camelot.bt"]).unwrap();
    assert!(run("promote").contains("superuser"));
    assert!(run("verify").starts_with("verified"));
    assert_eq!(stack.http().bare("GET", "/users/me", &token).await.json()["is_verified"], true);
    assert_eq!(stack.http().bare("GET", "/users/nonsense", &token).await.status, 404);
    run("deactivate");
    assert_eq!(stack.http().bare("GET", "/users/me", &token).await.status, 401);
    assert_eq!(stack.http().log_in(EMAIL, PASSWORD).await.status, 400);
    run("activate");
    assert_eq!(stack.http().log_in(EMAIL, PASSWORD).await.status, 200);
    run("delete");
    assert_eq!(stack.http().log_in(EMAIL, PASSWORD).await.status, 400);
    assert_eq!(stack.identity.command(&["user", "list"]).unwrap(), "");
}

#[tokio::test]
async fn a_command_that_cannot_be_carried_out_says_why_in_one_line() {
    let stack = Stack::start().await;
    stack.register(EMAIL).await;
    let refusal =
        |arguments: &[&str], input| stack.identity.command_with_input(arguments, input).unwrap_err();
    for (arguments, input, why) in [
        (["user", "promote", "nobody@camelot.bt"], "", "there is no user nobody@camelot.bt"),
        (["user", "delete", "no address"], "", "is not an e-mail address"),
        (["user", "create", EMAIL], "guinevere\n", "there is a user"),
        (["user", "create", "lancelot@camelot.bt"], "short\n", "at least 8 characters"),
    ] {
        let said = refusal(&arguments, input);
        assert!(said.starts_with("identity-service: ") && said.contains(why), "{said}");
        assert_eq!(said.trim_end().lines().count(), 1, "{said}");
    }
    assert_eq!(stack.database.number("SELECT count(*) FROM users").await, 1);
}

#[tokio::test]
async fn migrate_says_what_it_did_and_a_second_time_does_nothing() {
    let stack = Stack::start().await;
    let again = stack.identity.command(&["migrate"]).unwrap();
    assert_eq!(again, "0 applied, the database is up to date\n");
}

#[tokio::test]
async fn a_healthcheck_answers_by_its_exit_code() {
    let mut stack = Stack::start().await;
    assert_eq!(stack.identity.command(&["healthcheck"]).unwrap(), "serving\n");
    stack.gateway.command(&["healthcheck"]).unwrap();
    stack.identity.kill();
    assert!(stack.identity.command(&["healthcheck"]).unwrap_err().contains("nothing answers at"));
    // The gateway asks twice a second, and waits a second for the answer.
    let says_no = async || stack.gateway.command(&["healthcheck"]).is_err();
    stack.gateway.until("not ready", Duration::from_secs(5), says_no).await;
    stack.gateway.kill();
    stack.gateway.command(&["healthcheck"]).unwrap_err();
}
