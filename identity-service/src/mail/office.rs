//! What makes a mail of a row of the outbox, and hands it over.

use std::time::{Duration, SystemTime};

use tokio::time::timeout;
use zeroize::Zeroizing;

use super::failure::Failure;
use super::languages::Languages;
use super::link::Link;
use super::message::{self, Sender};
use super::model::{Claimed, Kind};
use super::templates::{Facts, Said, Templates};
use super::transport::Transport;
use crate::ids::MailId;
use crate::trust::KeyEncryptionKey;

/// How long a mail server may take for one mail.
pub(super) const DEADLINE: Duration = Duration::from_secs(30);

/// All that the operator says about mails.
pub struct Office {
    /// How they leave.
    pub transport: Transport,
    /// Who writes them.
    pub sender: Sender,
    /// Where a new password is chosen.
    pub reset: Link,
    /// Where an address is verified.
    pub verify: Link,
    /// What they say.
    pub templates: Templates,
    /// In which languages.
    pub languages: Languages,
}

impl Office {
    /// Sends a mail of the outbox.
    pub(super) async fn send(&self, kek: &KeyEncryptionKey, mail: &Claimed) -> Result<(), Failure> {
        let recipient = mail.recipient.as_deref().ok_or(Failure::Unwritable)?;
        let token = open_token(kek, mail)?;
        let said = self.write(mail, recipient, token.as_ref().map(|token| token.as_str()))?;
        self.hand_over(mail.now, mail.id, recipient, said).await
    }

    /// Sends a mail that says nothing, to see whether mails can be sent.
    pub(super) async fn test(&self, now: SystemTime, recipient: &str) -> Result<(), Failure> {
        let service = self.sender.service();
        let text = format!("This is a test: {service} can send mails to this address.\n");
        let html = format!("<p>{}</p>\n", super::templates::escape(text.trim_end()));
        let said = Said { subject: format!("A test of {service}"), text, html };
        self.hand_over(now, MailId::new(), recipient, said).await
    }

    fn write(&self, mail: &Claimed, recipient: &str, token: Option<&str>) -> Result<Said, Failure> {
        let link = match (mail.kind, token) {
            (Kind::Reset, Some(token)) => Some(self.reset.with(token)),
            (Kind::Verify, Some(token)) => Some(self.verify.with(token)),
            (Kind::PasswordChanged, None) => None,
            (Kind::Reset | Kind::Verify, None) | (Kind::PasswordChanged, Some(_)) => {
                return Err(Failure::Unwritable);
            }
        };
        let validity = mail.expires_at.duration_since(mail.now).unwrap_or_default();
        let facts = Facts {
            link: link.map(|link| (link, validity)),
            email: recipient,
            service: self.sender.service(),
        };
        // Another replica may have had templates that are not here.
        let language = self.languages.choose(std::slice::from_ref(&mail.language));
        self.templates.write(&language, mail.kind, &facts).map_err(|_| Failure::Unwritable)
    }

    async fn hand_over(
        &self,
        now: SystemTime,
        id: MailId,
        recipient: &str,
        said: Said,
    ) -> Result<(), Failure> {
        let sealed = message::seal(now, &self.sender, id, recipient, said)?;
        let sent = self.transport.send(id, &sealed.envelope, &sealed.bytes);
        timeout(DEADLINE, sent).await.unwrap_or(Err(Failure::TimedOut))
    }
}

fn open_token(kek: &KeyEncryptionKey, mail: &Claimed) -> Result<Option<Zeroizing<String>>, Failure> {
    let Some(sealed) = &mail.sealed_token else { return Ok(None) };
    let token = kek.open(&mail.id.as_uuid().to_string(), sealed).ok_or(Failure::Sealed)?;
    let token = std::str::from_utf8(&token).map_err(|_| Failure::Unwritable)?;
    Ok(Some(Zeroizing::new(token.to_owned())))
}
