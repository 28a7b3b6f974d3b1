//! A mail server, spoken to by SMTP (RFC 5321). A connection is made for each mail: they are few.

use std::fs;
use std::time::Duration;

use lettre::address::Envelope;
use lettre::transport::smtp::authentication::{Credentials, DEFAULT_MECHANISMS};
use lettre::transport::smtp::client::{AsyncSmtpConnection, Certificate, CertificateStore, TlsParameters};
use lettre::transport::smtp::commands::{Data, Mail, Rcpt};
use lettre::transport::smtp::extension::{ClientId, Extension, MailBodyParameter, MailParameter};
use secrecy::{ExposeSecret as _, SecretString};
use tokio::net::lookup_host;
use tokio::time::timeout;

use super::url::{Server, Tls};
use crate::mail::failure::Failure;

/// How long it may take to open a connection to one of the server's addresses.
const CONNECT: Duration = Duration::from_secs(10);
/// How long a server that has taken a mail may take to say goodbye.
const GOODBYE: Duration = Duration::from_secs(2);

/// A mail server. No `Debug`: it holds a password.
pub struct Smtp {
    host: String,
    port: u16,
    login: Option<(String, SecretString)>,
    tls: Encryption,
    hello: ClientId,
}

enum Encryption {
    None,
    Start(TlsParameters),
    Implicit(TlsParameters),
}

impl Smtp {
    pub(super) fn new(server: Server, hello: &str) -> Result<Self, String> {
        let Server { host, port, login, tls, roots } = server;
        let tls = match tls {
            Tls::None => Encryption::None,
            Tls::Start => Encryption::Start(parameters(&host, roots.as_deref())?),
            Tls::Implicit => Encryption::Implicit(parameters(&host, roots.as_deref())?),
        };
        Ok(Self { host, port, login, tls, hello: ClientId::Domain(hello.to_owned()) })
    }

    pub(super) async fn send(&self, envelope: &Envelope, message: &[u8]) -> Result<(), Failure> {
        let mut connection = self.open().await?;
        hand_over(&mut connection, envelope, message).await?;
        // It has the mail: nobody waits for the rest.
        tokio::spawn(async move { timeout(GOODBYE, connection.quit()).await });
        Ok(())
    }

    async fn open(&self) -> Result<AsyncSmtpConnection, Failure> {
        let addresses = lookup_host((self.host.as_str(), self.port)).await;
        let addresses: Vec<_> = addresses.map_err(|_| Failure::Unknown)?.collect();
        let implicit = match &self.tls {
            Encryption::Implicit(tls) => Some(tls.clone()),
            Encryption::None | Encryption::Start(_) => None,
        };
        let connected = AsyncSmtpConnection::connect_tokio1(
            addresses.as_slice(),
            Some(CONNECT),
            &self.hello,
            implicit,
            None,
        );
        let mut connection = connected.await.map_err(failure)?;
        if let Encryption::Start(tls) = &self.tls {
            if !connection.can_starttls() {
                return Err(Failure::NoStartTls);
            }
            connection.starttls(tls.clone(), &self.hello).await.map_err(failure)?;
        }
        self.log_in(&mut connection).await?;
        Ok(connection)
    }

    async fn log_in(&self, connection: &mut AsyncSmtpConnection) -> Result<(), Failure> {
        let Some((user, password)) = &self.login else { return Ok(()) };
        if connection.server_info().get_auth_mechanism(DEFAULT_MECHANISMS).is_none() {
            return Err(Failure::NoLogin);
        }
        let credentials = Credentials::new(user.clone(), password.expose_secret().to_owned());
        let answer = connection.auth(DEFAULT_MECHANISMS, &credentials).await;
        answer.map(drop).map_err(|error| match failure(error) {
            Failure::Answered(code) => Failure::Login(code),
            other => other,
        })
    }
}

/// The commands one by one, so that it is known which of them was refused.
async fn hand_over(
    connection: &mut AsyncSmtpConnection,
    envelope: &Envelope,
    message: &[u8],
) -> Result<(), Failure> {
    let mut parameters = Vec::new();
    let addresses = || envelope.to().iter().chain(envelope.from());
    if !addresses().all(|address| <_ as AsRef<str>>::as_ref(address).is_ascii()) {
        if !connection.server_info().supports_feature(Extension::SmtpUtfEight) {
            return Err(Failure::NoUtf8);
        }
        parameters.push(MailParameter::SmtpUtfEight);
    }
    if !message.is_ascii() {
        parameters.push(MailParameter::Body(MailBodyParameter::EightBitMime));
    }
    connection.command(Mail::new(envelope.from().cloned(), parameters)).await.map_err(failure)?;
    for recipient in envelope.to() {
        let answer = connection.command(Rcpt::new(recipient.clone(), Vec::new())).await;
        answer.map_err(|error| match failure(error) {
            Failure::Answered(code @ (550 | 551 | 553)) => Failure::Recipient(code),
            Failure::Answered(code @ (450..=452)) => Failure::RecipientLater(code),
            other => other,
        })?;
    }
    connection.command(Data).await.map_err(failure)?;
    connection.message(message).await.map_err(failure)?;
    Ok(())
}

#[expect(clippy::needless_pass_by_value, reason = "map_err gives it away")]
fn failure(error: lettre::transport::smtp::Error) -> Failure {
    Failure::from(&error)
}

fn parameters(host: &str, roots: Option<&str>) -> Result<TlsParameters, String> {
    let mut builder = TlsParameters::builder(host.to_owned());
    if let Some(path) = roots {
        let unreadable =
            |problem: String| format!("names an sslrootcert that cannot be read: {path}: {problem}");
        let pem = fs::read(path).map_err(|error| unreadable(error.to_string()))?;
        if !pem.windows(BEGIN.len()).any(|window| window == BEGIN) {
            return Err(unreadable("it has no certificate".to_owned()));
        }
        let certificate =
            Certificate::from_pem(&pem).map_err(|_| unreadable("it is not a certificate".to_owned()))?;
        builder = builder.certificate_store(CertificateStore::None).add_root_certificate(certificate);
    }
    builder.build().map_err(|_| "names a mail server with which TLS cannot be used".to_owned())
}

const BEGIN: &[u8] = b"-----BEGIN CERTIFICATE-----";
