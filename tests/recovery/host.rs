//! H13: who says what this host is called does not change where a link leads.

use super::{EMAIL, Purpose, settled, stack_and_user};
use crate::harness::{Stack, exchange};

/// Requests for a token that say that the host is another, each in its own way.
fn disguises(path: &str, port: u16) -> Vec<String> {
    let body = format!(r#"{{"email":"{EMAIL}"}}"#);
    let rest = format!("Content-Type: application/json\r\nContent-Length: {}\r\n", body.len());
    let own = format!("Host: 127.0.0.1:{port}\r\n");
    let with = |target: &str, headers: &str| {
        format!("POST {target} HTTP/1.1\r\n{headers}{rest}Connection: close\r\n\r\n{body}")
    };
    let mut all = vec![
        with(path, "Host: evil.example\r\n"),
        with(path, "Host: evil.example:80\r\n"),
        with(path, &format!("Host: 127.0.0.1:{port}@evil.example\r\n")),
        with(path, &format!("Host: 127.0.0.1:{port}.evil.example\r\n")),
        with(path, &format!("{own}Host: evil.example\r\n")),
        with(path, &format!("Host: evil.example\r\n{own}")),
        with(&format!("http://evil.example{path}"), &own),
    ];
    for header in [
        "X-Forwarded-Host: evil.example",
        "X-Forwarded-Server: evil.example",
        "X-Forwarded-Proto: gopher",
        "X-Forwarded-Port: 6666",
        "X-Forwarded-Prefix: /evil",
        "Forwarded: host=evil.example;proto=https",
        "X-Host: evil.example",
        "X-Original-URL: http://evil.example/",
        "Origin: http://evil.example",
        "Referer: http://evil.example/",
    ] {
        all.push(with(path, &format!("{own}{header}\r\n")));
    }
    all
}

#[tokio::test]
async fn h13_no_header_and_no_target_changes_the_link_in_a_mail() {
    let (stack, ..) = stack_and_user().await;
    let mut accepted = 0;
    for purpose in Purpose::BOTH {
        for disguise in disguises(purpose.path(), stack.gateway.port) {
            let statuses = exchange(stack.gateway.port, &disguise).statuses();
            assert!([[202], [400]].contains(&statuses[..].try_into().unwrap()), "{disguise}: {statuses:?}");
            accepted += usize::from(statuses == [202]);
        }
    }
    let mails = settled(&stack, &stack.mailbox(), EMAIL).await;
    assert_eq!(mails.len(), accepted, "each that is accepted is mailed");
    assert!(accepted >= 20, "most are ordinary requests: {accepted}");
    for mail in &mails {
        let link = mail.link();
        let base = link.split("token=").next().unwrap();
        assert!(
            ["http://localhost:3000/reset-password?", "http://localhost:3000/verify?"].contains(&base),
            "{link}"
        );
        assert!(!mail.raw().contains("evil"), "{}", mail.raw());
    }
}

#[tokio::test]
async fn a_mail_goes_to_the_address_that_is_stored_and_not_to_the_one_that_was_sent() {
    let stack = Stack::start().await;
    stack.register("King.Arthur@camelot.bt").await;
    let spellings =
        ["KING.ARTHUR@CAMELOT.BT", " king.arthur@camelot.bt ", "Mordred <king.arthur@camelot.bt>"];
    for (number, sent) in spellings.into_iter().enumerate() {
        Purpose::Reset.ask(&stack.http(), sent).await;
        let mail = stack.mailbox().wait_for(EMAIL, number + 1).await.remove(number);
        assert_eq!(mail.recipients(), ["King.Arthur@camelot.bt"], "{sent}");
        assert!(!mail.raw().contains("Mordred"));
    }
}
