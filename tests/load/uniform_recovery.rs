//! A request for a mail takes the same time whether or not there is such a user, and whatever becomes of the mail.

use super::likeness::{Likeness, Trials};
use crate::harness::{Stack, free_port, request, rounds};

const ANSWER: (u16, &str) = (202, "null");

/// Requests at this route for an active user, an unknown one, an inactive one and a verified one.
async fn trials(stack: &Stack, path: &str) -> Trials {
    let mut kinds = Vec::new();
    for (name, assignments) in [
        ("an active user", "is_active = true"),
        ("an unknown user", ""),
        ("an inactive user", "is_active = false"),
        ("a verified user", "is_verified = true"),
    ] {
        let email = format!("{}@camelot.bt", uuid::Uuid::new_v4());
        if !assignments.is_empty() {
            stack.register(&email).await;
            let sql = format!("UPDATE users SET {assignments} WHERE email_canonical = '{email}'");
            stack.database.connect().await.batch_execute(&sql).await.expect("the columns are there");
        }
        kinds.push((name, request("POST", path, "", &format!(r#"{{"email":"{email}"}}"#))));
    }
    Trials { port: stack.gateway.port, answer: ANSWER, kinds }
}

#[tokio::test]
async fn t_a_request_for_a_mail_takes_the_same_time_whoever_it_is_for() {
    let stack = Stack::with(&[("MAILS_PER_HOUR", "0")], &[]).await;
    for path in ["/auth/forgot-password", "/auth/request-verify-token"] {
        trials(&stack, path).await.assert_alike(rounds(100, 400)).await;
    }
}

#[tokio::test]
async fn t_a_mail_server_that_is_dead_changes_neither_the_answers_nor_their_times() {
    let dead = format!("smtp://127.0.0.1:{}", free_port());
    let stack = Stack::with(&[("MAILS_PER_HOUR", "0"), ("MAIL", &dead)], &[]).await;
    for path in ["/auth/forgot-password", "/auth/request-verify-token"] {
        trials(&stack, path).await.assert_alike(rounds(100, 400)).await;
    }
    assert!(stack.database.number("SELECT count(*) FROM mails WHERE attempts > 0").await > 0, "it was tried");
}

#[tokio::test]
async fn t_control_a_request_for_a_known_user_that_does_a_little_more_is_told() {
    let stack = Stack::with(&[("MAILS_PER_HOUR", "0")], &[]).await;
    let mut trials = trials(&stack, "/auth/forgot-password").await;
    trials.kinds.truncate(2);
    let user = stack.register(&format!("{}@camelot.bt", uuid::Uuid::new_v4())).await;
    // As if the user were looked for, and his row written, before the answer.
    let more = format!(
        "CREATE FUNCTION more() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
             IF EXISTS (SELECT FROM users WHERE email_canonical = NEW.email_canonical) THEN
                 PERFORM pg_sleep(0.003);
                 UPDATE users SET updated_at = now() WHERE id = '{user}';
             END IF;
             RETURN NEW;
         END $$;
         CREATE TRIGGER more BEFORE INSERT ON recovery_requests FOR EACH ROW EXECUTE FUNCTION more()"
    );
    stack.database.connect().await.batch_execute(&more).await.expect("the trigger is made");
    let times = trials.measure(rounds(100, 400)).await;
    let likeness = Likeness::of(&times[0], &times[1]);
    assert!(!likeness.is_indistinguishable(), "{likeness:?}");
}
