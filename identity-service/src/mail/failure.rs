//! Why a mail was not sent: a closed set, in words of our own. What a mail server says in words goes nowhere: it likes to
//! repeat the address.

use std::error::Error;
use std::io::ErrorKind;

/// Why a mail was not sent.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Failure {
    /// The name of the mail server leads nowhere.
    #[error("the name of the mail server cannot be looked up")]
    Unknown,
    /// Nobody listens there.
    #[error("the mail server refused the connection")]
    Refused,
    /// There is no way to it, or the connection broke off.
    #[error("the connection to the mail server failed")]
    Connection,
    /// It took longer than it may.
    #[error("the mail server timed out")]
    TimedOut,
    /// It is not the one that it should be, or nobody trusted says that it is.
    #[error("the certificate of the mail server is not believed")]
    Certificate,
    /// It talks no TLS, or none that we know.
    #[error("TLS with the mail server failed")]
    Tls,
    /// It would be spoken to in plain.
    #[error("the mail server does not offer STARTTLS")]
    NoStartTls,
    /// There is no common way to log in there.
    #[error("the mail server offers no known way to log in")]
    NoLogin,
    /// It does not take the user and the password of `MAIL`.
    #[error("the mail server refused the login: it answered {0}")]
    Login(u16),
    /// It does not take mails for this address: it is no use to try again.
    #[error("the mail server refused the address: it answered {0}")]
    Recipient(u16),
    /// It takes no mails for addresses like this one: it is no use to try again.
    #[error("the mail server takes no internationalised addresses (SMTPUTF8)")]
    NoUtf8,
    /// It cannot deliver to this address for now.
    #[error("the mail server does not take mails for the address now: it answered {0}")]
    RecipientLater(u16),
    /// It answered something else.
    #[error("the mail server answered {0}")]
    Answered(u16),
    /// It answered what is no SMTP.
    #[error("the mail server does not speak SMTP")]
    Nonsense,
    /// The file cannot be written.
    #[error("the file cannot be written: {0}")]
    File(ErrorKind),
    /// The token was sealed with a key that this process does not have.
    #[error("KEY_ENCRYPTION_KEY does not open the token")]
    Sealed,
    /// No mail can be made of it: it is no use to try again.
    #[error("no mail can be made of it")]
    Unwritable,
}

impl Failure {
    /// Whether it will be the same the next time.
    #[must_use]
    pub fn is_final(&self) -> bool {
        matches!(self, Self::Recipient(_) | Self::NoUtf8 | Self::Unwritable)
    }

    /// Whether it says that no mail can be sent, and not only this one.
    #[must_use]
    pub fn is_general(&self) -> bool {
        !self.is_final() && !matches!(self, Self::Sealed | Self::RecipientLater(_))
    }
}

impl From<&lettre::transport::smtp::Error> for Failure {
    fn from(error: &lettre::transport::smtp::Error) -> Self {
        if let Some(code) = error.status() {
            return Self::Answered(code.into());
        }
        if error.is_response() {
            return Self::Nonsense;
        }
        let causes = || std::iter::successors(error.source(), |cause| (*cause).source());
        let tls = |cause: &(dyn Error + 'static)| {
            let inner = cause.downcast_ref::<std::io::Error>().and_then(std::io::Error::get_ref);
            let own = cause.downcast_ref::<rustls::Error>();
            own.or_else(|| inner?.downcast_ref()).map(|error| match error {
                rustls::Error::InvalidCertificate(_) => Self::Certificate,
                _ => Self::Tls,
            })
        };
        let system = |cause: &(dyn Error + 'static)| match cause.downcast_ref::<std::io::Error>()?.kind() {
            ErrorKind::ConnectionRefused => Some(Self::Refused),
            ErrorKind::TimedOut => Some(Self::TimedOut),
            ErrorKind::InvalidData => Some(Self::Nonsense),
            _ => None,
        };
        causes().find_map(tls).or_else(|| causes().find_map(system)).unwrap_or(Self::Connection)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_is_said_about_an_address_is_final_and_none_of_it_is_said_of_the_server() {
        for failure in [Failure::Recipient(550), Failure::NoUtf8, Failure::Unwritable] {
            assert!(failure.is_final() && !failure.is_general(), "{failure}");
        }
        for failure in [Failure::RecipientLater(450), Failure::Sealed] {
            assert!(!failure.is_final() && !failure.is_general(), "{failure}");
        }
        for failure in [Failure::Refused, Failure::Answered(550), Failure::Certificate, Failure::Login(535)] {
            assert!(!failure.is_final() && failure.is_general(), "{failure}");
        }
    }
}
