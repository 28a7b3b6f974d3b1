//! A mail goes to the mail server, however that is to be spoken to, and to no other.

use super::{BAD_RESET, EMAIL, NEW_PASSWORD, Purpose, passwords, reset};
use crate::harness::{Authority, Mailbox, SmtpSink, Stack, Tls};

/// Asks for a reset with this `MAIL`, and waits for the mail; the stack and the token.
async fn mailed(mail: &str, mails: &Mailbox) -> (Stack, String) {
    let stack = Stack::with(&[("MAIL", mail)], &[]).await;
    stack.register(EMAIL).await;
    Purpose::Reset.ask(&stack.http(), EMAIL).await;
    let token = mails.wait_for(EMAIL, 1).await[0].token();
    (stack, token)
}

#[tokio::test]
async fn a_real_mail_server_gets_the_mail_and_its_token_works_once() {
    let sink = SmtpSink::start();
    let (stack, token) = mailed(&sink.url(), &sink.mails).await;
    assert_eq!(reset(&stack.http(), &token, NEW_PASSWORD).await.short(), "200 null");
    assert_eq!(reset(&stack.http(), &token, NEW_PASSWORD).await.short(), BAD_RESET);
    assert_eq!(passwords(&stack.http()).await, (false, true));
    let mail = sink.mails.wait_for(EMAIL, 2).await.remove(0);
    assert_eq!(mail.recipients(), [EMAIL]);
    let envelope = std::fs::read_to_string(sink.mails.folder().join("000001.to")).unwrap();
    assert_eq!(envelope, EMAIL, "whom the server is told");
    assert_eq!(mail.header("From"), "Camelot <no-reply@camelot.bt>");
    assert_eq!(mail.header("Auto-Submitted"), "auto-generated", "so that nobody's holiday answers it");
    assert!(mail.message_id().ends_with("@camelot.bt"), "{}", mail.message_id());
    assert!(mail.html().contains(&format!("token={token}")), "{}", mail.html());
}

#[tokio::test]
async fn an_address_of_another_alphabet_is_mailed() {
    let sink = SmtpSink::start();
    let stack = Stack::with(&[("MAIL", &sink.url())], &[]).await;
    let addresses = ["artus@b\u{fc}cher.example.com", "\u{430}\u{440}\u{442}\u{443}\u{440}@camelot.bt"];
    for (number, address) in addresses.into_iter().enumerate() {
        stack.register(address).await;
        Purpose::Reset.ask(&stack.http(), address).await;
        // The domain may be written in punycode.
        let mail = sink.mails.wait_for_all(number + 1).await.remove(number);
        assert_eq!(reset(&stack.http(), &mail.token(), NEW_PASSWORD).await.status, 200);
    }
}

#[tokio::test]
async fn a_server_with_tls_is_believed_by_its_certificate_only_and_gets_the_password_then() {
    let (authority, stranger) = (Authority::new(), Authority::new());
    let certificate = authority.certificate();
    let trusted = certificate.path().display();
    for (tls, scheme) in [(Tls::StartTls, "smtp"), (Tls::Implicit, "smtps")] {
        let required = if tls == Tls::StartTls { "&tls=required" } else { "" };
        let sink = SmtpSink::with_tls(tls, &authority, Some(("portcullis", "s3cret/&word")));
        let url = format!(
            "{scheme}://portcullis:s3cret%2F%26word@localhost:{}?sslrootcert={trusted}{required}",
            sink.port
        );
        let (stack, token) = mailed(&url, &sink.mails).await;
        assert_eq!(reset(&stack.http(), &token, NEW_PASSWORD).await.status, 200, "{tls:?}");

        // Another authority, and another name: nothing is sent.
        let foreign = SmtpSink::with_tls(tls, &stranger, None);
        let other_name = url.replace("localhost", "127.0.0.1");
        let foreign_url = url.replace(&sink.port.to_string(), &foreign.port.to_string());
        for (url, mails) in [(foreign_url, &foreign.mails), (other_name, &sink.mails)] {
            let before = mails.all().len();
            let stack = Stack::with(&[("MAIL", &url)], &[]).await;
            stack.register(EMAIL).await;
            Purpose::Reset.ask(&stack.http(), EMAIL).await;
            let tried = "SELECT count(*) FROM mails WHERE last_error IS NOT NULL";
            let limit = std::time::Duration::from_secs(20);
            stack.identity.until("refusing", limit, async || stack.database.number(tried).await > 0).await;
            assert_eq!(mails.all().len(), before, "{tls:?}");
            let why: String = stack.database.rows("SELECT last_error FROM mails", &[]).await[0].get(0);
            assert!(why.contains("certificate"), "{tls:?}: {why}");
        }
    }
}

#[tokio::test]
async fn a_server_that_should_offer_tls_and_does_not_gets_nothing() {
    let sink = SmtpSink::start();
    let url = format!("{}?tls=required", sink.url());
    let stack = Stack::with(&[("MAIL", &url)], &[]).await;
    stack.register(EMAIL).await;
    Purpose::Reset.ask(&stack.http(), EMAIL).await;
    let tried = "SELECT count(*) FROM mails WHERE last_error IS NOT NULL";
    let limit = std::time::Duration::from_secs(20);
    stack.identity.until("refusing", limit, async || stack.database.number(tried).await > 0).await;
    assert!(sink.mails.all().is_empty());
}
