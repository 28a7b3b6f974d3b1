//! How `MAIL` names a mail server: `smtp://USER:PASSWORD@HOST:PORT?OPTION=VALUE&…`, or `smtps://`.

use std::net::IpAddr;

use percent_encoding::percent_decode_str;
use secrecy::SecretString;
use url::Url;

/// A mail server, and how to talk to it. No `Debug`: it holds a password.
pub(super) struct Server {
    pub(super) host: String,
    pub(super) port: u16,
    pub(super) login: Option<(String, SecretString)>,
    pub(super) tls: Tls,
    /// The file of the certificates to trust in the place of the system's.
    pub(super) roots: Option<String>,
}

/// How a connection is encrypted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Tls {
    /// Not at all.
    None,
    /// Once it is open, and before anything is said: STARTTLS (RFC 3207).
    Start,
    /// From its first byte on (RFC 8314).
    Implicit,
}

/// Reads the URL.
///
/// # Errors
/// What is wrong with it. It never repeats the URL, which may hold a password.
pub(super) fn parse(text: &str) -> Result<Server, String> {
    const FORM: &str =
        "is neither smtp://USER:PASSWORD@HOST:PORT nor smtps://USER:PASSWORD@HOST:PORT nor dir:PATH";
    let url = Url::parse(text).map_err(|_| FORM)?;
    let is_implicit = match url.scheme() {
        "smtp" => false,
        "smtps" => true,
        _ => return Err(FORM.to_owned()),
    };
    if !matches!(url.path(), "" | "/") || url.fragment().is_some() {
        return Err(FORM.to_owned());
    }
    let host = decode(url.host_str().unwrap_or_default()).filter(|host| !host.is_empty()).ok_or(FORM)?;
    let host = host.trim_start_matches('[').trim_end_matches(']').to_owned();
    if url.port() == Some(0) || !host.bytes().all(|byte| byte.is_ascii_graphic()) {
        return Err(FORM.to_owned());
    }
    let (tls, roots) = options(&url, is_implicit, is_loopback(&host))?;
    let port = url.port().unwrap_or(if is_implicit { 465 } else { 587 });
    Ok(Server { host, port, login: login(&url)?, tls, roots })
}

fn login(url: &Url) -> Result<Option<(String, SecretString)>, String> {
    match (url.username(), url.password()) {
        ("", None) => Ok(None),
        (user, Some(password)) if !user.is_empty() => {
            const FORM: &str = "has a user or a password that is not UTF-8";
            let (user, password) = decode(user).zip(decode(password)).ok_or(FORM)?;
            Ok(Some((user, password.into())))
        }
        _ => Err("has a user without a password, or a password without a user".to_owned()),
    }
}

fn options(url: &Url, is_implicit: bool, is_near: bool) -> Result<(Tls, Option<String>), String> {
    let (mut tls, mut roots) = (None, None);
    for option in url.query().unwrap_or_default().split('&').filter(|option| !option.is_empty()) {
        let (name, value) = option.split_once('=').unwrap_or((option, ""));
        let value = decode(value).unwrap_or_default();
        match (name, value.as_str()) {
            ("tls", "none") => tls = Some(Tls::None),
            ("tls", "required") => tls = Some(Tls::Start),
            ("tls", _) => return Err("has an option tls that is neither none nor required".to_owned()),
            ("sslrootcert", path) if !path.is_empty() => roots = Some(path.to_owned()),
            _ => return Err("has an option that is neither tls nor sslrootcert=FILE".to_owned()),
        }
    }
    match (is_implicit, tls, roots) {
        (true, None, roots) => Ok((Tls::Implicit, roots)),
        (true, Some(_), _) => Err("has an option tls, which smtps:// leaves no choice of".to_owned()),
        (false, Some(Tls::None), Some(_)) => Err("has an sslrootcert, and tls=none".to_owned()),
        (false, None, None) if is_near => Ok((Tls::None, None)),
        (false, tls, roots) => Ok((tls.unwrap_or(Tls::Start), roots)),
    }
}

fn is_loopback(host: &str) -> bool {
    host.eq_ignore_ascii_case("localhost")
        || host.parse::<IpAddr>().is_ok_and(|address| address.is_loopback())
}

fn decode(text: &str) -> Option<String> {
    percent_decode_str(text).decode_utf8().ok().map(|text| text.into_owned())
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use secrecy::ExposeSecret as _;

    #[test]
    fn a_mail_server_is_spoken_to_in_plain_only_where_it_is_near_or_that_is_said() {
        for (text, host, port, tls) in [
            ("smtp://mail.example.com", "mail.example.com", 587, Tls::Start),
            ("smtp://mail.example.com:25/", "mail.example.com", 25, Tls::Start),
            ("smtp://mail.example.com?tls=required", "mail.example.com", 587, Tls::Start),
            ("smtp://mail.example.com?tls=none", "mail.example.com", 587, Tls::None),
            ("smtp://localhost:25", "localhost", 25, Tls::None),
            ("smtp://LOCALHOST", "LOCALHOST", 587, Tls::None),
            ("smtp://127.8.0.1", "127.8.0.1", 587, Tls::None),
            ("smtp://[::1]:2525", "::1", 2525, Tls::None),
            ("smtp://[::1]?tls=required", "::1", 587, Tls::Start),
            ("smtp://127.0.0.1?sslrootcert=/ca.pem", "127.0.0.1", 587, Tls::Start),
            ("smtp://localhost.example.com", "localhost.example.com", 587, Tls::Start),
            ("smtp://10.0.0.1", "10.0.0.1", 587, Tls::Start),
            ("smtps://mail.example.com", "mail.example.com", 465, Tls::Implicit),
            ("smtps://127.0.0.1:1465?sslrootcert=%2Fca.pem", "127.0.0.1", 1465, Tls::Implicit),
        ] {
            let server = parse(text).unwrap_or_else(|problem| panic!("{text}: {problem}"));
            assert_eq!((server.host.as_str(), server.port, server.tls), (host, port, tls), "{text}");
            let root = text.contains("sslrootcert").then_some("/ca.pem");
            assert_eq!(server.roots.as_deref(), root, "{text}");
        }
    }

    #[test]
    fn what_is_no_mail_server_is_refused_without_being_repeated() {
        for text in [
            "",
            "smtp",
            "smtp:",
            "smtp://",
            "smtp://:25",
            "http://u:hunter2@mail.example.com",
            "smtp://u:hunter2@mail.example.com:port",
            "smtp://u:hunter2@mail.example.com:0",
            "smtp://u:hunter2@mail.example.com/path",
            "smtp://u:hunter2@mail.example.com#x",
            "smtp://u:hunter2@mail.example.com?tls=maybe",
            "smtp://u:hunter2@mail.example.com?tsl=none",
            "smtp://u:hunter2@mail.example.com?tls=none&sslrootcert=/ca.pem",
            "smtp://u:hunter2@mail.example.com?sslrootcert=",
            "smtps://u:hunter2@mail.example.com?tls=none",
            "smtp://hunter2@mail.example.com",
            "smtp://:hunter2@mail.example.com",
            "smtp://u:%ff@mail.example.com",
        ] {
            let problem = parse(text).map(|_| ()).unwrap_err();
            assert!(!problem.contains("hunter2") && !problem.contains('\n'), "{text}: {problem}");
        }
    }

    proptest! {
        #[test]
        fn any_user_and_password_can_be_given(user in "[^\0]{1,20}", password in "\\PC{1,20}") {
            let encode = |text: &str| text.bytes().map(|byte| format!("%{byte:02X}")).collect::<String>();
            let url = format!("smtps://{}:{}@mail.example.com", encode(&user), encode(&password));
            let (found, secret) = parse(&url).unwrap().login.unwrap();
            prop_assert_eq!((found.as_str(), secret.expose_secret()), (user.as_str(), password.as_str()));
        }
    }
}
