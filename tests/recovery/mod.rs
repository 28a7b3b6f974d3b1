//! Recovery: a new password, and the proof of an e-mail address, by a token in a mail.

mod flow;
mod host;
mod limit;
mod outbox;
mod parallel;
mod reset;
mod smtp;
mod verify;

use serde_json::json;

use crate::harness::{Answer, Database, Http, Mail, Mailbox, PASSWORD, Stack};

const EMAIL: &str = "king.arthur@camelot.bt";
const NEW_PASSWORD: &str = "excalibur";
/// The one answer to whatever is no good token for a new password.
const BAD_RESET: &str = r#"400 {"detail":"RESET_PASSWORD_BAD_TOKEN"}"#;
/// The one answer to whatever is no good token for an e-mail address.
const BAD_VERIFY: &str = r#"400 {"detail":"VERIFY_USER_BAD_TOKEN"}"#;
const ALREADY_VERIFIED: &str = r#"400 {"detail":"VERIFY_USER_ALREADY_VERIFIED"}"#;

/// What a token is for: its mail, and the route that asks for it.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Purpose {
    Reset,
    Verify,
}

impl Purpose {
    pub const BOTH: [Purpose; 2] = [Purpose::Reset, Purpose::Verify];

    /// The route that asks for such a token.
    pub fn path(self) -> &'static str {
        match self {
            Self::Reset => "/auth/forgot-password",
            Self::Verify => "/auth/request-verify-token",
        }
    }

    /// Asks for a token; the answer is always the same.
    pub async fn ask(self, http: &Http, email: &str) {
        let answer = http.json("POST", self.path(), "", json!({ "email": email })).await;
        assert_eq!(answer.short(), "202 null", "{self:?}");
    }

    /// Asks for a token and waits for its mail.
    pub async fn mail(self, stack: &Stack, email: &str) -> Mail {
        let mails = stack.mailbox();
        let before = mails.to(email).len();
        self.ask(&stack.http(), email).await;
        mails.wait_for(email, before + 1).await.pop().expect("there is one")
    }

    /// The token of such a mail.
    pub async fn token(self, stack: &Stack, email: &str) -> String {
        self.mail(stack, email).await.token()
    }
}

/// Sets a new password by a token.
pub async fn reset(http: &Http, token: &str, password: &str) -> Answer {
    http.json("POST", "/auth/reset-password", "", json!({ "token": token, "password": password })).await
}

/// Shows by a token that an e-mail address is one's own.
pub async fn verify(http: &Http, token: &str) -> Answer {
    http.json("POST", "/auth/verify", "", json!({ "token": token })).await
}

/// A stack with a user; his id and a token.
async fn stack_and_user() -> (Stack, String, String) {
    let stack = Stack::start().await;
    let (id, access) = stack.user(EMAIL).await;
    (stack, id, access)
}

/// Whether the old password works, and whether the new one does.
async fn passwords(http: &Http) -> (bool, bool) {
    let works = async |password| http.log_in(EMAIL, password).await.status == 200;
    (works(PASSWORD).await, works(NEW_PASSWORD).await)
}

/// Waits until nothing that was asked for is left to be looked at: what comes of it has come.
async fn until_worked_off(database: &Database) {
    for _ in 0..200 {
        if database.number("SELECT count(*) FROM recovery_requests").await == 0 {
            return;
        }
        tokio::time::sleep(std::time::Duration::from_millis(50)).await;
    }
    panic!("requests are not worked off");
}

/// Waits until nothing is left to be mailed either; the mails to an address.
async fn settled(stack: &Stack, mails: &Mailbox, email: &str) -> Vec<Mail> {
    until_worked_off(&stack.database).await;
    let waiting = "SELECT count(*) FROM mails WHERE sent_at IS NULL AND gave_up_at IS NULL";
    for _ in 0..200 {
        if stack.database.number(waiting).await == 0 {
            return mails.to(email);
        }
        tokio::time::sleep(std::time::Duration::from_millis(50)).await;
    }
    panic!("mails are not sent");
}
