//! A mail as it travels: RFC 5322, with its text and the same as HTML (RFC 2046 section 5.1.4).

use std::time::SystemTime;

use lettre::address::Envelope;
use lettre::message::header::{HeaderName, HeaderValue};
use lettre::message::{Mailbox, MultiPart};
use lettre::{Address, Message};

use super::failure::Failure;
use super::templates::Said;
use crate::ids::MailId;

/// Who writes the mails.
pub struct Sender(Mailbox);

impl Sender {
    /// Reads `Name <address>`, or an address alone.
    ///
    /// # Errors
    /// What is wrong with it.
    pub fn parse(text: &str) -> Result<Self, &'static str> {
        const FORM: &str = "is not a mailbox like Camelot <no-reply@example.com>";
        if text.chars().any(char::is_control) {
            return Err(FORM);
        }
        let (name, address) = match text.trim().strip_suffix('>') {
            Some(text) => text.rsplit_once('<').ok_or(FORM)?,
            None => ("", text.trim()),
        };
        let name = name.trim();
        let name = name.strip_prefix('"').and_then(|name| name.strip_suffix('"')).unwrap_or(name);
        let address = to_address(address.trim()).ok_or(FORM)?;
        let is_address =
            address.to_string().parse::<Address>().is_ok() && !name.contains(['<', '>', '"', '\\']);
        if !is_address {
            return Err(FORM);
        }
        Ok(Self(Mailbox::new((!name.is_empty()).then(|| name.to_owned()), address)))
    }

    /// What the service is called in mails.
    #[must_use]
    pub fn service(&self) -> &str {
        self.0.name.as_deref().unwrap_or_else(|| self.domain())
    }

    /// The domain of its address, in ASCII.
    #[must_use]
    pub fn domain(&self) -> &str {
        self.0.email.domain()
    }
}

/// A mail that can be handed over. No `Debug`: it has a token and an address.
pub(super) struct Sealed {
    /// From whom and to whom.
    pub envelope: Envelope,
    /// All of it.
    pub bytes: Vec<u8>,
}

/// Puts a mail together. Its Message-ID is that of the outbox: who gets it twice knows it again.
///
/// # Errors
/// [`Failure::Unwritable`] when the address is none.
pub(super) fn seal(
    now: SystemTime,
    sender: &Sender,
    id: MailId,
    recipient: &str,
    said: Said,
) -> Result<Sealed, Failure> {
    let to = to_address(recipient).ok_or(Failure::Unwritable)?;
    // RFC 3834 section 5: so that no holiday notice comes back.
    let automatic = HeaderName::new_from_ascii_str("Auto-Submitted");
    let message = Message::builder()
        .from(sender.0.clone())
        .to(Mailbox::new(None, to))
        .subject(said.subject)
        .date(now)
        .message_id(Some(format!("<{}@{}>", id.as_uuid(), sender.domain())))
        .raw_header(HeaderValue::new(automatic, "auto-generated".to_owned()))
        .multipart(MultiPart::alternative_plain_html(said.text, said.html))
        .map_err(|_| Failure::Unwritable)?;
    Ok(Sealed { envelope: message.envelope().clone(), bytes: message.formatted() })
}

/// An address whose domain is in ASCII, as every mail server understands it: only a local part that is not needs
/// SMTPUTF8 (RFC 6531). It was checked by other rules than those of lettre when the user registered; here nothing must
/// get out of its place in a command or a header.
fn to_address(text: &str) -> Option<Address> {
    let (local, domain) = text.rsplit_once('@')?;
    let is_special = |character: char| {
        character.is_control() || character.is_whitespace() || "<>()[],;:\\\"@".contains(character)
    };
    let domain = idna::domain_to_ascii(domain).ok()?;
    let is_address = |part: &str| !part.is_empty() && !part.contains(is_special);
    (is_address(local) && is_address(&domain)).then(|| Address::new_dangerous(local, &domain))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sealed(sender: &str, recipient: &str) -> Result<(Envelope, String), Failure> {
        let said =
            Said { subject: "Новый пароль".into(), text: "t\n".into(), html: "<p>h</p>".into() };
        let sealed =
            seal(SystemTime::UNIX_EPOCH, &Sender::parse(sender).unwrap(), MailId::new(), recipient, said)?;
        Ok((sealed.envelope, String::from_utf8(sealed.bytes).unwrap()))
    }

    #[test]
    fn a_sender_is_a_mailbox_with_or_without_a_name() {
        for (text, service, domain) in [
            ("no-reply@camelot.bt", "camelot.bt", "camelot.bt"),
            ("<no-reply@camelot.bt>", "camelot.bt", "camelot.bt"),
            ("Round Table <no-reply@camelot.bt>", "Round Table", "camelot.bt"),
            ("\"Arthur, King\" <no-reply@camelot.bt>", "Arthur, King", "camelot.bt"),
            ("Камелот <no-reply@камелот.рф>", "Камелот", "xn--80akngdo2a.xn--p1ai"),
        ] {
            let sender = Sender::parse(text).unwrap();
            assert_eq!((sender.service(), sender.domain()), (service, domain));
        }
        for text in [
            "",
            "camelot.bt",
            "Name",
            "a@b@",
            "Name <a@camelot.bt",
            "Name a@camelot.bt",
            "A <a@camelot.bt> B",
            "A <a@camelot.bt>, B <b@camelot.bt>",
            "A\r\nBcc: x@y.z <a@camelot.bt>",
        ] {
            assert!(Sender::parse(text).is_err(), "{text}");
        }
    }

    #[test]
    fn a_mail_says_who_has_written_it_to_whom_and_that_it_was_a_machine() {
        let (envelope, text) = sealed("Camelot <no-reply@camelot.bt>", "king.arthur@camelot.bt").unwrap();
        assert_eq!(envelope.to()[0].to_string(), "king.arthur@camelot.bt");
        for line in [
            "From: Camelot <no-reply@camelot.bt>",
            "To: king.arthur@camelot.bt",
            "Date: Thu, 01 Jan 1970 00:00:00 +0000",
            "Auto-Submitted: auto-generated",
            "MIME-Version: 1.0",
        ] {
            assert!(text.lines().any(|there| there == line), "{line}: {text}");
        }
        assert!(text.is_ascii() && text.contains("Message-ID: <") && text.contains("@camelot.bt>\r\n"));
        assert!(text.contains("multipart/alternative"));
    }

    #[test]
    fn an_internationalised_address_is_written_to_as_far_as_it_must() {
        let (envelope, text) = sealed("no-reply@camelot.bt", "arthur@камелот.рф").unwrap();
        assert_eq!(envelope.to()[0].to_string(), "arthur@xn--80akngdo2a.xn--p1ai");
        assert!(text.is_ascii() && text.contains("To: arthur@xn--80akngdo2a.xn--p1ai\r\n"), "{text}");
        let (envelope, text) = sealed("no-reply@camelot.bt", "артур@камелот.рф").unwrap();
        assert_eq!(envelope.to()[0].to_string(), "артур@xn--80akngdo2a.xn--p1ai");
        assert!(text.contains("To: артур@xn--80akngdo2a.xn--p1ai\r\n"), "{text}");
    }

    #[test]
    fn what_would_leave_its_place_in_a_command_or_a_header_is_no_address() {
        for recipient in
            ["", "@", "a@", "a", "a@b\r\nRCPT TO:<x@y.z>", "a b@c.d", "a>@b.c", "a@b@c.d", "a@b.c>"]
        {
            assert!(sealed("no-reply@camelot.bt", recipient).is_err(), "{recipient}");
        }
    }
}
