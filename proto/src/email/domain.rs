//! The part after the @-sign: a public domain name (RFC 1035, RFC 1123 section 2.1, RFC 5891).

use unicode_normalization::UnicodeNormalization;

use super::label::{self, Label};
use super::{EmailError, characters};

/// What UTS #46 reads as a period between labels.
const PERIODS: [char; 4] = ['.', '\u{3002}', '\u{ff0e}', '\u{ff61}'];

/// Domains that no mail can be sent to, with all below them (RFC 6761, RFC 6762, RFC 7686). `example.com` and
/// its like are not among them: an application should accept them (RFC 6761 section 6.5).
const SPECIAL_USE: [&str; 6] = ["arpa", "invalid", "local", "localhost", "onion", "test"];

/// A domain in its two forms.
pub(super) struct Domain {
    /// In lower case, each label in Unicode.
    pub(super) unicode: String,
    /// As it is asked for in the DNS.
    pub(super) ascii: String,
}

/// The domain in both forms. Its limit of 253 bytes in ASCII follows from that of the address.
pub(super) fn normalise(domain: &str) -> Result<Domain, EmailError> {
    check_characters(domain)?;
    check_periods(domain)?;
    let labels = domain.split(PERIODS).map(label::parse).collect::<Result<Vec<Label>, _>>()?;
    let unicode = labels.iter().map(|label| label.unicode.as_str()).collect::<Vec<_>>().join(".");
    let ascii = labels.iter().map(|label| label.ascii.as_str()).collect::<Vec<_>>().join(".");
    check_top_level(&ascii)?;
    Ok(Domain { unicode, ascii })
}

fn check_characters(domain: &str) -> Result<(), EmailError> {
    if domain.is_empty() {
        return Err(EmailError::DomainEmpty);
    }
    if domain.starts_with('[') && domain.ends_with(']') {
        return Err(EmailError::DomainLiteral);
    }
    if domain.contains(|c| !is_of_domain(c)) {
        return Err(EmailError::DomainCharacters);
    }
    if characters::are_safe(domain) { Ok(()) } else { Err(EmailError::Unsafe) }
}

/// Whether it may be in a domain as given. `⒈` and its like may not: they would become a digit and a period.
fn is_of_domain(c: char) -> bool {
    let is_plain = c.is_ascii_alphanumeric() || c == '-' || PERIODS.contains(&c);
    is_plain || (!c.is_ascii() && c.nfkd().all(|part| part != '.'))
}

fn check_periods(domain: &str) -> Result<(), EmailError> {
    if domain.ends_with(PERIODS) {
        return Err(EmailError::DomainEnd);
    }
    if domain.starts_with(PERIODS) {
        return Err(EmailError::DomainStart);
    }
    Ok(())
}

fn check_top_level(ascii: &str) -> Result<(), EmailError> {
    let Some((_, top_level)) = ascii.rsplit_once('.') else {
        return Err(EmailError::NoTopLevelDomain);
    };
    if !top_level.ends_with(|c: char| c.is_ascii_alphabetic()) {
        return Err(EmailError::TopLevelDomain);
    }
    if SPECIAL_USE.contains(&top_level) { Err(EmailError::SpecialUse) } else { Ok(()) }
}
