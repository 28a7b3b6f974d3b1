//! The part before the @-sign: atoms with periods between them (RFC 5322 section 3.2.3, RFC 6531 section 3.3)

use unicode_normalization::UnicodeNormalization;

use super::{EmailError, MAX_LOCAL_BYTES, characters};

/// The mailboxes of RFC 2142, whose names are read in any case; they are stored in lower case.
const MAILBOXES: &str = "abuse ftp hostmaster info marketing news noc postmaster sales security support \
                         usenet uucp webmaster www";

/// The local part in NFC, its case kept.
pub(super) fn normalise(local: &str) -> Result<String, EmailError> {
    if local.is_empty() {
        return Err(EmailError::LocalEmpty);
    }
    check(local)?;
    let normal: String = local.nfc().collect();
    check(&normal)?; // U+037E, the Greek question mark, is a semicolon in NFC.
    if normal.len() > MAX_LOCAL_BYTES {
        return Err(EmailError::LocalTooLong);
    }
    match MAILBOXES.split(' ').find(|name| normal.eq_ignore_ascii_case(name)) {
        Some(name) => Ok(name.to_owned()),
        None => Ok(normal),
    }
}

fn check(local: &str) -> Result<(), EmailError> {
    if local.starts_with('"') {
        return Err(EmailError::LocalQuoted);
    }
    if !local.chars().all(|c| is_ascii_atom(c) || c == '.' || !c.is_ascii()) {
        return Err(EmailError::LocalCharacters);
    }
    if local.ends_with('.') {
        return Err(EmailError::LocalEnd);
    }
    if local.starts_with('.') {
        return Err(EmailError::LocalStart);
    }
    if local.contains("..") {
        return Err(EmailError::TwoPeriods);
    }
    if characters::are_safe(local) { Ok(()) } else { Err(EmailError::Unsafe) }
}

/// `atext` of RFC 5322 section 3.2.3.
pub(super) fn is_ascii_atom(c: char) -> bool {
    c.is_ascii_alphanumeric() || "!#$%&'*+-/=?^_`{|}~".contains(c)
}
