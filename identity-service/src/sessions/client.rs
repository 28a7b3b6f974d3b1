//! What is kept of the client that logs a user in: enough to recognise a session by, too little to find somebody.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// The most characters of a user agent: those of browsers have some 150.
const MAX_USER_AGENT: usize = 256;
/// How many bits of an address are kept: those of the network, which many share.
const IPV4_PREFIX: u32 = 24;
const IPV6_PREFIX: u32 = 64;

/// A client, as far as it was told. No `Debug`: its address must not reach a log.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Client {
    /// What it calls itself.
    pub user_agent: Option<String>,
    /// The network that it calls from, in CIDR notation.
    pub address_prefix: Option<String>,
}

impl Client {
    /// What is kept of what was told: a user agent and an IP address. What is no address counts as not told.
    #[must_use]
    pub fn told(user_agent: &str, address: &str) -> Self {
        Self { user_agent: shortened(user_agent), address_prefix: address.parse().ok().map(prefix) }
    }
}

/// Control characters could command the terminal of whoever reads the list, and Postgres stores no NUL.
fn shortened(user_agent: &str) -> Option<String> {
    let harmless = |c: char| if c.is_control() { char::REPLACEMENT_CHARACTER } else { c };
    let kept: String = user_agent.chars().take(MAX_USER_AGENT).map(harmless).collect();
    (!kept.is_empty()).then_some(kept)
}

fn prefix(address: IpAddr) -> String {
    // An IPv4-mapped IPv6 address is that of an IPv4 client at a socket for both.
    match address.to_canonical() {
        IpAddr::V4(ip) => {
            let network = ip.to_bits() >> (u32::BITS - IPV4_PREFIX) << (u32::BITS - IPV4_PREFIX);
            format!("{}/{IPV4_PREFIX}", Ipv4Addr::from_bits(network))
        }
        IpAddr::V6(ip) => {
            let network = ip.to_bits() >> (u128::BITS - IPV6_PREFIX) << (u128::BITS - IPV6_PREFIX);
            format!("{}/{IPV6_PREFIX}", Ipv6Addr::from_bits(network))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn of_an_address_only_the_network_is_kept() {
        for (address, kept) in [
            ("203.0.113.77", Some("203.0.113.0/24")),
            ("255.255.255.255", Some("255.255.255.0/24")),
            ("0.0.0.0", Some("0.0.0.0/24")),
            ("::ffff:203.0.113.77", Some("203.0.113.0/24")),
            ("2001:DB8:1:2:3:4:5:6", Some("2001:db8:1:2::/64")),
            ("::1", Some("::/64")),
            ("", None),
            ("203.0.113", None),
            ("203.0.113.77:80", None),
            ("[::1]", None),
            ("fe80::1%eth0", None),
            ("localhost", None),
        ] {
            let Client { address_prefix, user_agent } = Client::told("", address);
            assert_eq!((address_prefix.as_deref(), user_agent), (kept, None), "{address}");
        }
    }

    #[test]
    fn a_user_agent_is_cut_between_characters_and_commands_nobody() {
        let kept = |told: &str| Client::told(told, "").user_agent;
        assert_eq!(kept("curl/8.5"), Some("curl/8.5".to_owned()));
        assert_eq!(kept(&"🏰".repeat(300)), Some("🏰".repeat(256)));
        assert_eq!(
            kept("a\0b\u{1b}[2J\r\n\u{85}"),
            Some("a\u{fffd}b\u{fffd}[2J\u{fffd}\u{fffd}\u{fffd}".to_owned())
        );
        assert_eq!(kept(""), None);
    }
}
