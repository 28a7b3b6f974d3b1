//! A real mail server gets the mails, and what they bring works.

use super::{BAD_RESET, EMAIL, NEW_PASSWORD, Purpose, passwords, reset};
use crate::harness::{SmtpSink, Stack};

#[tokio::test]
async fn a_real_mail_server_gets_the_mail_and_its_token_works_once() {
    let sink = SmtpSink::start(&[]);
    let stack = Stack::with(&[("MAIL", &sink.url())], &[]).await;
    stack.register(EMAIL).await;
    Purpose::Reset.ask(&stack.http(), EMAIL).await;
    let token = sink.mails.wait_for(EMAIL, 1).await[0].token();
    assert_eq!(reset(&stack.http(), &token, NEW_PASSWORD).await.short(), "200 null");
    assert_eq!(reset(&stack.http(), &token, NEW_PASSWORD).await.short(), BAD_RESET);
    assert_eq!(passwords(&stack.http()).await, (false, true));
    let mail = sink.mails.wait_for(EMAIL, 2).await.remove(0);
    assert_eq!(mail.recipients(), [EMAIL]);
    assert_eq!(mail.header("X-Rcpt-To").as_deref(), Some(EMAIL), "whom the server is told");
    assert!(mail.html().contains(&format!("token={token}")), "{}", mail.html());
}

#[tokio::test]
async fn an_address_of_another_alphabet_is_mailed() {
    for address in ["artus@b\u{fc}cher.example.com", "\u{430}\u{440}\u{442}\u{443}\u{440}@camelot.bt"] {
        let sink = SmtpSink::start(&[]);
        let stack = Stack::with(&[("MAIL", &sink.url())], &[]).await;
        stack.register(address).await;
        Purpose::Reset.ask(&stack.http(), address).await;
        // The domain may be written in punycode.
        let mail = sink.mails.wait_for_all(1).await.remove(0);
        assert_eq!(reset(&stack.http(), &mail.token(), NEW_PASSWORD).await.status, 200);
    }
}
