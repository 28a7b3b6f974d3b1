//! The client at the other end of a request: what it calls itself, and its address.
//!
//! Whoever sends a request can write into `X-Forwarded-For` what he likes. Each proxy appends the address that it was
//! called from, so only the last of them say something, one for each proxy that is ours.

use std::net::{IpAddr, Ipv6Addr, SocketAddr};

use actix_web::HttpRequest;
use actix_web::http::header::{HeaderMap, HeaderName, HeaderValue, USER_AGENT};

use crate::failure::Failure;

const X_FORWARDED_FOR: HeaderName = HeaderName::from_static("x-forwarded-for");
/// The most of a user agent that is passed on, in bytes and in characters, of which identity-service keeps no more.
const MAX_USER_AGENT: (usize, usize) = (1024, 256);

/// How many proxies stand in front of the gateway, each of which appends to `X-Forwarded-For`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TrustedProxies(pub usize);

/// Who logs in, as far as that is known. No `Debug`: his address must not reach a log.
#[derive(Default, PartialEq, Eq)]
pub struct Client {
    /// What his program calls itself; empty if it does not say.
    pub user_agent: String,
    /// Where he calls from.
    pub address: Option<IpAddr>,
}

impl Client {
    /// The client of a request.
    ///
    /// # Errors
    /// [`Failure::Internal`] when the application was not told its proxies.
    pub fn of(request: &HttpRequest) -> Result<Self, Failure> {
        let address = match request.app_data::<TrustedProxies>().ok_or(Failure::Internal)? {
            TrustedProxies(0) => request.peer_addr().map(|peer| peer.ip()),
            TrustedProxies(proxies) => forwarded_for(request.headers(), *proxies),
        };
        Ok(Self { user_agent: user_agent(request.headers()), address })
    }
}

fn user_agent(headers: &HeaderMap) -> String {
    let told = headers.get(USER_AGENT).map_or(&[][..], HeaderValue::as_bytes);
    let (bytes, characters) = MAX_USER_AGENT;
    String::from_utf8_lossy(&told[..told.len().min(bytes)]).chars().take(characters).collect()
}

/// The address that the outermost of our proxies was called from: the one that many from the right. Several headers
/// are one, in their order (RFC 9110 section 5.2).
fn forwarded_for(headers: &HeaderMap, proxies: usize) -> Option<IpAddr> {
    let headers: Vec<_> = headers.get_all(X_FORWARDED_FOR).map(HeaderValue::as_bytes).collect();
    let list = headers.join(&b',');
    let address = list.rsplit(|byte| *byte == b',').nth(proxies.checked_sub(1)?)?;
    parse(std::str::from_utf8(address).ok()?.trim_matches([' ', '\t']))
}

/// An address as proxies write it: some add the port, and put an IPv6 address in brackets.
fn parse(text: &str) -> Option<IpAddr> {
    let bare = || text.parse::<IpAddr>().ok();
    let with_port = || text.parse::<SocketAddr>().ok().map(|address| address.ip());
    let in_brackets =
        || text.strip_prefix('[')?.strip_suffix(']')?.parse::<Ipv6Addr>().ok().map(IpAddr::from);
    bare().or_else(with_port).or_else(in_brackets)
}

#[cfg(test)]
mod tests {
    use super::*;
    use actix_web::test::TestRequest;

    const PEER: &str = "198.51.100.1";

    fn request(proxies: usize, forwarded: &[&[u8]]) -> HttpRequest {
        let peer = SocketAddr::new(PEER.parse().unwrap(), 50_000);
        let mut request = TestRequest::default().peer_addr(peer).app_data(TrustedProxies(proxies));
        for line in forwarded {
            request = request.append_header((X_FORWARDED_FOR, HeaderValue::from_bytes(line).unwrap()));
        }
        request.to_http_request()
    }

    fn address(proxies: usize, forwarded: &[&str]) -> Option<String> {
        let forwarded: Vec<_> = forwarded.iter().map(|line| line.as_bytes()).collect();
        let client = Client::of(&request(proxies, &forwarded)).unwrap();
        client.address.map(|address| address.to_string())
    }

    #[test]
    fn without_proxies_nobody_is_believed_but_the_socket() {
        for forged in [&[][..], &["203.0.113.7"], &["203.0.113.7, 203.0.113.8"], &["nonsense"]] {
            assert_eq!(address(0, forged).as_deref(), Some(PEER), "{forged:?}");
        }
    }

    #[test]
    fn the_address_is_the_one_that_the_outermost_proxy_has_appended() {
        for (proxies, forwarded, expected) in [
            (1, &["203.0.113.7"][..], Some("203.0.113.7")),
            (1, &["192.0.2.1, 203.0.113.7"], Some("203.0.113.7")),
            (1, &["nonsense,,203.0.113.7"], Some("203.0.113.7")),
            (1, &["192.0.2.1", "203.0.113.7"], Some("203.0.113.7")),
            (1, &["", "203.0.113.7"], Some("203.0.113.7")),
            (2, &["203.0.113.7, 10.0.0.1"], Some("203.0.113.7")),
            (2, &["203.0.113.7", "10.0.0.1"], Some("203.0.113.7")),
            (2, &["192.0.2.1 ,\t203.0.113.7\t", " 10.0.0.1"], Some("203.0.113.7")),
            (3, &["192.0.2.1", "203.0.113.7, 10.0.0.1", "10.0.0.2"], Some("203.0.113.7")),
            // Who goes round the outermost proxy has no address, rather than one that he chose.
            (1, &[], None),
            (2, &["203.0.113.7"], None),
            (2, &[], None),
            (1, &[""], None),
            (1, &["203.0.113.7,"], None),
            (2, &["192.0.2.1, , 10.0.0.1"], None),
        ] {
            assert_eq!(address(proxies, forwarded).as_deref(), expected, "{proxies} {forwarded:?}");
        }
    }

    #[test]
    fn an_address_may_have_brackets_and_a_port() {
        for (text, expected) in [
            ("203.0.113.7:50000", Some("203.0.113.7")),
            ("2001:db8::7", Some("2001:db8::7")),
            ("2001:DB8:0::7", Some("2001:db8::7")),
            ("[2001:db8::7]", Some("2001:db8::7")),
            ("[2001:db8::7]:50000", Some("2001:db8::7")),
            ("::ffff:203.0.113.7", Some("::ffff:203.0.113.7")),
            ("[203.0.113.7]", None),
            ("[2001:db8::7", None),
            ("2001:db8::7]", None),
            ("203.0.113.7:", None),
            ("203.0.113.7:99999", None),
            ("203.0.113.07", None),
            ("203.0.113", None),
            ("fe80::1%eth0", None),
            ("\"203.0.113.7\"", None),
            ("for=203.0.113.7", None),
            ("unknown", None),
            ("localhost", None),
            ("203.0.113.7 203.0.113.8", None),
            ("\u{a0}203.0.113.7", None),
        ] {
            assert_eq!(address(1, &[text]).as_deref(), expected, "{text}");
        }
        let odd = request(1, &[b"\xff203.0.113.7"]);
        assert!(Client::of(&odd).is_ok_and(|client| client.address.is_none()));
    }

    #[test]
    fn of_a_user_agent_no_more_is_passed_on_than_is_kept() {
        let told = |value: &[u8]| {
            let value = HeaderValue::from_bytes(value).unwrap();
            let request =
                TestRequest::default().app_data(TrustedProxies(0)).insert_header((USER_AGENT, value));
            Client::of(&request.to_http_request()).unwrap().user_agent
        };
        assert_eq!(told(b"curl/8.5"), "curl/8.5");
        assert_eq!(told("é".repeat(70_000).as_bytes()), "é".repeat(256));
        assert_eq!(told("🏰".repeat(300).as_bytes()), "🏰".repeat(256));
        assert_eq!(told(b"a\xffb"), "a\u{fffd}b");
        let silent = Client::of(&request(0, &[])).unwrap();
        assert_eq!(silent.user_agent, "");
    }
}
