//! What is in the outbox is sent, by whichever replica, or given up visibly.

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use futures_util::FutureExt as _;
use identity_service::database::{self, parse_url};
use identity_service::ids::UserId;
use identity_service::mail::{Kind, Letter, lately, post};
use identity_service::trust::KeyEncryptionKey;

use crate::harness::{Process, SmtpSink, Stack};

const ARTHUR: &str = "king.arthur@camelot.bt";
const TOKEN: &str = "a-token_of-the-tests";

/// Writes mails as recovery does.
struct Desk {
    database: database::Database,
    kek: Arc<KeyEncryptionKey>,
    user: UserId,
}

impl Desk {
    /// For a new user with this address.
    async fn of(stack: &Stack, address: &str) -> Self {
        let id = stack.register(address).await;
        let database = database::Database::new(parse_url(&stack.database.url).unwrap(), 2);
        let kek = Arc::new(KeyEncryptionKey::new(b"key-encryption-key-for-the-tests"));
        Self { database, kek, user: id.parse::<uuid::Uuid>().unwrap().into() }
    }

    async fn write(&self, kind: Kind, language: &str, recipient: &str, seconds: u64) {
        let letter = Letter {
            user: self.user,
            kind,
            language: language.to_owned(),
            recipient: recipient.to_owned(),
            email_canonical: recipient.to_lowercase(),
            token: (kind != Kind::PasswordChanged).then(|| TOKEN.into()),
            expires_at: SystemTime::now() + Duration::from_secs(seconds),
        };
        let kek = Arc::clone(&self.kek);
        let written = self
            .database
            .transaction(move |connection| async move { post(connection, &kek, letter).await }.boxed());
        written.await.unwrap();
    }

    async fn lately(&self, address: &'static str) -> i64 {
        self.database.read(async |connection| lately(connection, address).await).await.unwrap()
    }
}

/// How many rows have erased what they need no more, and how many have not.
async fn erased(stack: &Stack) -> (i64, i64) {
    let count = async |condition: &str| {
        stack.database.number(&format!("SELECT count(*) FROM mails WHERE {condition}")).await
    };
    let all = count("true").await;
    let erased = count("recipient IS NULL AND sealed_token IS NULL").await;
    (erased, all - erased)
}

/// Waits until so many rows are so.
async fn until(stack: &Stack, count: i64, condition: &str) {
    let sql = format!("SELECT count(*) FROM mails WHERE {condition}");
    let is_so = async || stack.database.number(&sql).await == count;
    stack.identity.until(condition, Duration::from_secs(20), is_so).await;
}

#[tokio::test]
async fn a_mail_is_sent_in_its_language_and_in_the_order_of_its_address_and_then_erased() {
    let stack = Stack::start().await;
    let desk = Desk::of(&stack, ARTHUR).await;
    desk.write(Kind::Verify, "en", ARTHUR, 86_400).await;
    desk.write(Kind::Reset, "ru", ARTHUR, 3600).await;
    desk.write(Kind::PasswordChanged, "xx", ARTHUR, 3600).await;
    let mails = stack.mailbox().wait_for(ARTHUR, 3).await;
    let links: Vec<_> = mails[..2].iter().map(|mail| mail.link()).collect();
    assert_eq!(
        links,
        ["verify", "reset-password"].map(|page| format!("http://localhost:3000/{page}?token={TOKEN}"))
    );
    assert!(mails[0].text().contains("for 24 hours.") && mails[1].text().contains("в течение 1 часа."));
    assert_eq!(mails[1].subject(), "Camelot: новый пароль");
    assert_eq!(mails[2].subject(), "Your password for Camelot was changed");
    for mail in &mails[..2] {
        assert_eq!(mail.token(), TOKEN);
        assert!(mail.html().contains(&format!("href=\"{}\"", mail.link())), "{}", mail.html());
    }
    assert_eq!(mails[0].header("Auto-Submitted").as_deref(), Some("auto-generated"));
    let ids = "SELECT id::text FROM mails ORDER BY id";
    for (row, mail) in stack.database.rows(ids, &[]).await.iter().zip(&mails) {
        let id: String = row.get(0);
        assert_eq!(mail.header("Message-ID"), Some(format!("<{id}@camelot.bt>")));
    }
    until(&stack, 3, "sent_at IS NOT NULL").await;
    assert_eq!(erased(&stack).await, (3, 0));
    assert_eq!(desk.lately(ARTHUR).await, 2);
    let order = "SELECT count(*) FROM mails a JOIN mails b ON a.id < b.id WHERE a.sent_at > b.sent_at";
    assert_eq!(stack.database.number(order).await, 0);
}

#[tokio::test]
async fn a_mail_server_that_is_away_gets_every_mail_later_and_the_log_says_so_once() {
    let mut sink = SmtpSink::start(&[]);
    sink.does("refuse");
    let stack = Stack::with(&[("MAIL", &sink.url())], &[]).await;
    let desk = Desk::of(&stack, ARTHUR).await;
    for address in [ARTHUR, "lancelot@camelot.bt", "mordred@camelot.bt"] {
        desk.write(Kind::Reset, "en", address, 3600).await;
    }
    desk.write(Kind::PasswordChanged, "en", ARTHUR, 3600).await;
    until(&stack, 3, "attempts >= 2").await;
    // It comes after the first one to the same address, which is not sent yet.
    until(&stack, 1, "attempts = 0 AND kind = 'password_changed'").await;
    let listed = stack.identity.command(&["mail", "list"]).unwrap();
    assert!(listed.lines().count() == 4 && !listed.contains('@'), "{listed}");
    assert!(listed.contains("reset") && listed.contains("refused the connection"), "{listed}");
    sink.does("accept");
    for address in [ARTHUR, "lancelot@camelot.bt", "mordred@camelot.bt"] {
        assert_eq!(sink.mails.wait_for(address, 1).await[0].token(), TOKEN);
    }
    until(&stack, 4, "sent_at IS NOT NULL").await;
    assert_eq!(sink.mails.to(ARTHUR)[1].subject(), "Your password for Camelot was changed");
    assert_eq!(erased(&stack).await, (4, 0));
    assert_eq!(stack.identity.command(&["mail", "list"]).unwrap(), "");
    let log = stack.identity.log();
    assert_eq!(log.matches("mails cannot be sent").count(), 1, "{log}");
    assert_eq!(log.matches("mails are sent again").count(), 1, "{log}");
}

#[tokio::test]
async fn a_refused_address_and_an_expired_mail_are_given_up_visibly_and_a_deleted_user_gets_none() {
    let mut sink = SmtpSink::start(&[]);
    sink.does("recipient 550");
    let stack = Stack::with(&[("MAIL", &sink.url())], &[]).await;
    let desk = Desk::of(&stack, ARTHUR).await;
    desk.write(Kind::Reset, "en", ARTHUR, 3600).await;
    until(&stack, 1, "gave_up_at IS NOT NULL").await;
    sink.does("recipient 450");
    desk.write(Kind::Verify, "en", ARTHUR, 3600).await;
    until(&stack, 1, "last_error IS NOT NULL AND gave_up_at IS NULL").await;
    let is_late = "UPDATE mails SET expires_at = now(), next_attempt_at = now() WHERE gave_up_at IS NULL";
    stack.database.rows(is_late, &[]).await;
    until(&stack, 2, "gave_up_at IS NOT NULL").await;
    let listed = stack.identity.command(&["mail", "list"]).unwrap();
    let lines: Vec<_> = listed.lines().collect();
    assert!(lines[0].contains("1 try  given up") && lines[0].ends_with("it answered 550"), "{listed}");
    assert!(lines[1].contains("given up") && lines[1].ends_with("it answered 450"), "{listed}");
    let log = stack.identity.log();
    assert_eq!(log.matches("a mail is given up").count(), 2, "{log}");
    assert!(!log.contains("mails cannot be sent"), "{log}");
    desk.write(Kind::PasswordChanged, "en", ARTHUR, 3600).await;
    until(&stack, 1, "attempts > 0 AND gave_up_at IS NULL").await;
    stack.identity.command(&["user", "delete", ARTHUR]).unwrap();
    until(&stack, 3, "gave_up_at IS NOT NULL").await;
    assert_eq!(erased(&stack).await, (3, 0));
    assert!(sink.mails.all().is_empty());
    assert_eq!(stack.identity.log().matches("a mail is given up").count(), 2);
}

#[tokio::test]
async fn two_replicas_send_each_mail_once_and_one_without_the_key_leaves_it_to_the_other() {
    let sink = SmtpSink::start(&[]);
    let mail = sink.url();
    let stack = Stack::with(&[("MAIL", &mail)], &[]).await;
    let second = Process::identity(&stack.database.url, &[("MAIL", &mail)]);
    second.until_serving().await;
    let desk = Desk::of(&stack, ARTHUR).await;
    for number in 0..40 {
        desk.write(Kind::Verify, "en", &format!("knight{}@camelot.bt", number % 20), 3600).await;
    }
    until(&stack, 40, "sent_at IS NOT NULL").await;
    assert_eq!(sink.mails.all().len(), 40);
    let stranger = Desk { kek: Arc::new(KeyEncryptionKey::new(&[7; 32])), ..desk };
    stranger.write(Kind::Reset, "en", ARTHUR, 3600).await;
    until(&stack, 1, "last_error = 'KEY_ENCRYPTION_KEY does not open the token'").await;
    assert!(sink.mails.to(ARTHUR).is_empty());
}

#[tokio::test]
async fn a_mail_that_waits_while_the_keys_are_sealed_anew_still_brings_its_token() {
    let mut sink = SmtpSink::start(&[]);
    sink.does("refuse");
    let mut stack = Stack::with(&[("MAIL", &sink.url())], &[]).await;
    let desk = Desk::of(&stack, ARTHUR).await;
    desk.write(Kind::Reset, "en", ARTHUR, 3600).await;
    until(&stack, 1, "attempts > 0").await;
    stack.identity.kill();
    let new = "AgICAgICAgICAgICAgICAgICAgICAgICAgICAgICAgI=";
    let old = "a2V5LWVuY3J5cHRpb24ta2V5LWZvci10aGUtdGVzdHM=";
    let both = [("KEY_ENCRYPTION_KEY", new), ("KEY_ENCRYPTION_KEY_OTHER", old)];
    stack.identity.command_with(&["key", "reseal"], &both).unwrap();
    sink.does("accept");
    stack.identity.restart_with(&[("KEY_ENCRYPTION_KEY", new)]);
    stack.identity.until_serving().await;
    // A killed worker's claim lasts a minute: it is not what this is about.
    stack.database.rows("UPDATE mails SET next_attempt_at = now()", &[]).await;
    assert_eq!(sink.mails.wait_for(ARTHUR, 1).await[0].token(), TOKEN);
}

#[tokio::test]
async fn a_mail_that_is_being_sent_when_its_replica_is_stopped_is_sent_once() {
    let mut sink = SmtpSink::start(&[]);
    sink.does("delay 2");
    let mut stack = Stack::with(&[("MAIL", &sink.url())], &[]).await;
    let desk = Desk::of(&stack, ARTHUR).await;
    desk.write(Kind::Reset, "en", ARTHUR, 3600).await;
    sink.mails.wait_for(ARTHUR, 1).await;
    // What comes now is left to the next.
    stack.identity.signal("TERM");
    desk.write(Kind::PasswordChanged, "en", ARTHUR, 3600).await;
    let ended = stack.identity.wait(Duration::from_secs(10)).await.expect("it stops");
    assert!(ended.success(), "{ended}");
    let sent =
        async |is| stack.database.number(&format!("SELECT count(*) FROM mails WHERE sent_at {is}")).await;
    assert_eq!((sent("IS NOT NULL").await, sent("IS NULL").await), (1, 1));
    sink.does("accept");
    stack.identity.restart();
    sink.mails.wait_for(ARTHUR, 2).await;
    assert_eq!(sink.mails.all().len(), 2);
}
