//! Which servers `DATABASE_URL` names, and how they are reached: as libpq reads it (PostgreSQL documentation, section
//! 34.1.1), with the modes of TLS that are worth having.

use std::str::FromStr;
use std::sync::Arc;

use percent_encoding::percent_decode_str;
use rustls::ClientConfig;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{CryptoProvider, aws_lc_rs};
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::{DigitallySignedStruct, RootCertStore, SignatureScheme};
use tokio_postgres::config::{SslMode, TargetSessionAttrs};
use tokio_postgres_rustls::MakeRustlsConnect;

/// Where the database is: one or more servers, of which the one that accepts writes is used.
#[derive(Clone)]
pub struct Servers {
    /// The settings of each, in the order in which they are tried.
    pub(super) each: Vec<tokio_postgres::Config>,
    /// How their certificates are checked.
    pub(super) tls: MakeRustlsConnect,
}

/// Reads a `postgres://USER:PASSWORD@HOST:PORT[,HOST:PORT…]/DATABASE?OPTION=VALUE&…`.
///
/// # Errors
/// What is wrong with it. It never repeats the URL, which holds the password.
pub fn parse(url: &str) -> Result<Servers, String> {
    const FORM: &str = "is not a Postgres URL: postgres://USER:PASSWORD@HOST:PORT/DATABASE";
    let (address, options) = url.split_once('?').unwrap_or((url, ""));
    let (own, passed_on): (Vec<_>, Vec<_>) = options
        .split('&')
        .filter(|option| !option.is_empty())
        .partition(|option| option.starts_with("sslmode=") || option.starts_with("sslrootcert="));
    let option = |name: &str| {
        let value = own.iter().rev().find_map(|option| option.strip_prefix(name));
        value.map(|value| percent_decode_str(value).decode_utf8_lossy().into_owned())
    };
    let (mode, tls) = tls(option("sslmode="), option("sslrootcert="))?;
    let mut each = Vec::new();
    for address in one_a_host(address).ok_or(FORM)? {
        let url = format!("{address}?{}", passed_on.join("&"));
        let mut settings = tokio_postgres::Config::from_str(&url).map_err(|_| FORM)?;
        if settings.get_hosts().is_empty() || settings.get_dbname().is_none() {
            return Err("names no host or no database".to_owned());
        }
        // A standby, or a primary that has become one, answers reads with the past.
        settings.ssl_mode(mode).target_session_attrs(TargetSessionAttrs::ReadWrite);
        each.push(settings);
    }
    Ok(Servers { each, tls })
}

/// The URL once for each of its hosts: each gets its own share of the time.
fn one_a_host(address: &str) -> Option<Vec<String>> {
    let (scheme, rest) = address.split_once("://").filter(|(scheme, _)| scheme.starts_with("postgres"))?;
    let (authority, path) = rest.split_once('/')?;
    let (user, hosts) = authority.rsplit_once('@').unwrap_or(("", authority));
    let user = if user.is_empty() { String::new() } else { format!("{user}@") };
    Some(hosts.split(',').map(|host| format!("{scheme}://{user}{host}/{path}")).collect())
}

/// How to use TLS: as libpq does with these values of `sslmode` and `sslrootcert`.
fn tls(mode: Option<String>, root: Option<String>) -> Result<(SslMode, MakeRustlsConnect), String> {
    let provider = Arc::new(aws_lc_rs::default_provider());
    let builder =
        ClientConfig::builder_with_provider(Arc::clone(&provider)).with_safe_default_protocol_versions();
    let builder = builder.map_err(|error| format!("cannot use TLS: {error}"))?;
    let mode = match (mode.as_deref(), root) {
        (Some("verify-full"), Some(path)) => {
            let config = builder.with_root_certificates(roots(&path)?).with_no_client_auth();
            return Ok((SslMode::Require, MakeRustlsConnect::new(config)));
        }
        (Some("verify-full"), None) => {
            return Err(
                "needs sslrootcert=FILE, the certificates to trust, with sslmode=verify-full".to_owned()
            );
        }
        (_, Some(_)) => return Err("has an sslrootcert, which only sslmode=verify-full looks at".to_owned()),
        (Some("disable"), None) => SslMode::Disable,
        (Some("prefer") | None, None) => SslMode::Prefer,
        (Some("require"), None) => SslMode::Require,
        (Some(_), None) => {
            return Err("has an sslmode that is not disable, prefer, require or verify-full".to_owned());
        }
    };
    let anybody = builder.dangerous().with_custom_certificate_verifier(Arc::new(Anybody(provider)));
    Ok((mode, MakeRustlsConnect::new(anybody.with_no_client_auth())))
}

fn roots(path: &str) -> Result<RootCertStore, String> {
    let unreadable = |problem: String| format!("names an sslrootcert that cannot be read: {path}: {problem}");
    let certificates = CertificateDer::pem_file_iter(path).map_err(|error| unreadable(error.to_string()))?;
    let mut roots = RootCertStore::empty();
    for certificate in certificates {
        let certificate = certificate.map_err(|error| unreadable(error.to_string()))?;
        roots.add(certificate).map_err(|error| unreadable(error.to_string()))?;
    }
    if roots.is_empty() { Err(unreadable("it has no certificate".to_owned())) } else { Ok(roots) }
}

/// Believes every certificate, as `sslmode=require` says: the connection is encrypted, and with whom is not known.
#[derive(Debug)]
struct Anybody(Arc<CryptoProvider>);

impl ServerCertVerifier for Anybody {
    fn verify_server_cert(
        &self,
        _: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        let algorithms = &self.0.signature_verification_algorithms;
        rustls::crypto::verify_tls12_signature(message, certificate, signature, algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        let algorithms = &self.0.signature_verification_algorithms;
        rustls::crypto::verify_tls13_signature(message, certificate, signature, algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.signature_verification_algorithms.supported_schemes()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn problem(url: &str) -> String {
        parse(url).map(|_| ()).unwrap_err()
    }

    #[test]
    fn each_host_is_a_server_of_its_own_with_all_that_the_url_says() {
        let url = "postgresql://me:p%40ss@one:1,two:2/users?connect_timeout=3&sslmode=require";
        let servers = parse(url).unwrap().each;
        assert_eq!(servers.iter().map(|server| server.get_ports()[0]).collect::<Vec<_>>(), [1, 2]);
        for server in servers {
            assert_eq!((server.get_user(), server.get_password()), (Some("me"), Some(&b"p@ss"[..])));
            assert_eq!((server.get_dbname(), server.get_ssl_mode()), (Some("users"), SslMode::Require));
            assert_eq!(server.get_connect_timeout(), Some(&std::time::Duration::from_secs(3)));
            assert_eq!(server.get_target_session_attrs(), TargetSessionAttrs::ReadWrite);
        }
        assert_eq!(parse("postgres://me@one/users").unwrap().each[0].get_ssl_mode(), SslMode::Prefer);
    }

    #[test]
    fn what_cannot_be_used_is_told_without_the_password() {
        for (url, word) in [
            ("", "postgres://"),
            ("http://me:secret@one/users", "postgres://"),
            ("postgres://me:secret@one", "postgres://"),
            ("postgres://me:secret@one/", "no database"),
            ("postgres://me:secret@one/users?colour=red", "postgres://"),
            ("postgres://me:secret@one/users?sslmode=allow", "verify-full"),
            ("postgres://me:secret@one/users?sslmode=verify-full", "sslrootcert=FILE"),
            ("postgres://me:secret@one/users?sslmode=require&sslrootcert=x", "only sslmode=verify-full"),
            ("postgres://me:secret@one/users?sslmode=verify-full&sslrootcert=/nowhere", "/nowhere"),
        ] {
            let problem = problem(url);
            assert!(problem.contains(word) && !problem.contains("secret"), "{url}: {problem}");
        }
    }
}
