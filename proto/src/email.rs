//! What an e-mail address is, and when two are the same.
//!
//! - `local`: the part before the @-sign
//! - `domain`: the part after it
//! - `label`: one label of the domain, by IDNA
//! - `characters`: the characters that neither part may have
//!
//! The rule is that of Python's `email-validator` 2.3.0 in pydantic's `EmailStr`, so that what FastAPI Users
//! accepts is accepted here and becomes the same text. Where this differs, on purpose:
//!
//! - the part before the @-sign has at most 64 bytes (RFC 5321 section 4.5.3.1.1); there it has no limit
//! - a control character other than a tab is refused everywhere; there some are trimmed, or in a display name
//! - characters are those of the Unicode version of our crates, not of a Python; see `characters`
//! - a mailbox of RFC 2142 is found after NFC, not before: the normal form of a normal form is itself
//! - an error does not repeat the characters that it is about

mod characters;
mod domain;
mod label;
mod local;

use std::fmt;
use std::hash::{Hash, Hasher};

use unicode_normalization::{UnicodeNormalization, char::is_combining_mark};

/// A longer input, in characters, is refused before anything else is done with it; pydantic's limit.
pub const MAX_INPUT_CHARACTERS: usize = 2048;
/// The limit in bytes of an address, as given and as normalised, with the domain in Unicode and in ASCII (RFC
/// 5321 section 4.5.3.1.3 with RFC 3696 erratum 1690). It bounds the work that normalising can cost.
pub const MAX_BYTES: usize = 254;
/// The limit in bytes of the part before the @-sign, normalised (RFC 5321 section 4.5.3.1.1).
pub const MAX_LOCAL_BYTES: usize = 64;
/// The limit in bytes of a label of the domain in ASCII (RFC 1035 section 2.3.4).
pub const MAX_LABEL_BYTES: usize = 63;

/// An e-mail address that mail can be sent to: `local@domain` of RFC 5321 with the Unicode of RFC 6531,
/// without a quoted local part, an IP literal or a special-use domain.
///
/// Two are equal when their [canonical](Email::canonical) forms are. It prints as `Email(…)`, since no e-mail
/// address may reach a log.
#[derive(Clone)]
pub struct Email {
    normal: String,
    canonical: String,
}

impl Email {
    /// Reads an address: white space around it and a display name (`Arthur <king@camelot.bt>`) are dropped,
    /// the local part is brought to NFC, the domain to lower-case Unicode (UTS #46, IDNA 2008).
    ///
    /// # Errors
    /// The first rule that the input breaks.
    pub fn parse(input: &str) -> Result<Self, EmailError> {
        if input.chars().nth(MAX_INPUT_CHARACTERS).is_some() {
            return Err(EmailError::InputTooLong);
        }
        if input.contains(['\r', '\n']) {
            return Err(EmailError::LineBreak);
        }
        if input.contains(|c: char| c.is_control() && c != '\t') {
            return Err(EmailError::Unsafe);
        }
        let address = without_display_name(input.trim());
        let (local, domain) = address.split_once('@').ok_or(EmailError::NoAtSign)?;
        if address.len() > MAX_BYTES {
            return Err(EmailError::TooLong);
        }
        let local = local::normalise(local)?;
        let domain = domain::normalise(domain)?;
        let normal = format!("{local}@{}", domain.unicode);
        if normal.len().max(local.len() + 1 + domain.ascii.len()) > MAX_BYTES {
            return Err(EmailError::TooLong);
        }
        let canonical = canonical(&normal);
        Ok(Self { normal, canonical })
    }

    /// The normal form, which is stored, shown and written to.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.normal
    }

    /// The form that identifies a user: the normal form in lower case. Never write to it: the owner of a
    /// mailbox decides whether case matters (RFC 5321 section 2.4).
    ///
    /// Lower-casing is Rust's, so that it depends on no locale of a database (CVE-2019-19844). It has at most
    /// half as many bytes again as [`MAX_BYTES`].
    #[must_use]
    pub fn canonical(&self) -> &str {
        &self.canonical
    }
}

/// Full Unicode lower case, in NFC; of itself it is itself.
fn canonical(normal: &str) -> String {
    normal.to_lowercase().nfc().collect()
}

/// The address in `name <address>`, `"name" <address>` or `<address>`; otherwise the text as it is.
fn without_display_name(text: &str) -> &str {
    let named = text.strip_suffix('>').and_then(|text| text.rsplit_once('<'));
    match named {
        Some((name, address)) if is_display_name(name.trim()) => address.trim(),
        Some(_) | None => text,
    }
}

/// Whether pydantic takes this for the name before an address: nothing, anything in double quotes, or words.
/// Letters in circles and squares pass here and not there; the name is dropped, so nothing comes of it.
fn is_display_name(name: &str) -> bool {
    let is_quoted = name.len() > 2 && name.starts_with('"') && name.ends_with('"');
    let is_of_word = |c: char| {
        local::is_ascii_atom(c)
            || c == '.'
            || c.is_whitespace()
            || (c.is_alphanumeric() && !is_combining_mark(c))
    };
    is_quoted || name.chars().all(is_of_word)
}

impl PartialEq for Email {
    fn eq(&self, other: &Self) -> bool {
        self.canonical == other.canonical
    }
}

impl Eq for Email {}

impl Hash for Email {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.canonical.hash(state);
    }
}

impl fmt::Debug for Email {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Email(…)")
    }
}

/// Why a text is not an e-mail address, in the words of `email-validator`. It says nothing of what the text
/// was.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum EmailError {
    /// The input has more than [`MAX_INPUT_CHARACTERS`].
    #[error("Length must not exceed {MAX_INPUT_CHARACTERS} characters")]
    InputTooLong,
    /// There is a CR or LF: an attempt to add a header to a mail.
    #[error("Carriage return and line feed characters are not allowed")]
    LineBreak,
    /// There is a control, format, space, private or unassigned character, or a combining mark comes first.
    #[error("The email address contains unsafe characters.")]
    Unsafe,
    /// There is no `@`.
    #[error("An email address must have an @-sign.")]
    NoAtSign,
    /// An address form has more than [`MAX_BYTES`].
    #[error("The email address is too long (at most {MAX_BYTES} bytes).")]
    TooLong,
    /// The local part is empty.
    #[error("There must be something before the @-sign.")]
    LocalEmpty,
    /// The local part is quoted.
    #[error("Quoting the part before the @-sign is not allowed here.")]
    LocalQuoted,
    /// The local part has a character that is not of an atom (RFC 5322 section 3.2.3, RFC 6531 section 3.3).
    #[error("The email address contains invalid characters before the @-sign.")]
    LocalCharacters,
    /// The local part begins with a period.
    #[error("An email address cannot start with a period.")]
    LocalStart,
    /// The local part ends with a period.
    #[error("An email address cannot have a period immediately before the @-sign.")]
    LocalEnd,
    /// The local part has more than [`MAX_LOCAL_BYTES`].
    #[error("The email address is too long before the @-sign (at most {MAX_LOCAL_BYTES} bytes).")]
    LocalTooLong,
    /// There is nothing between two periods.
    #[error("An email address cannot have two periods in a row.")]
    TwoPeriods,
    /// The domain is empty.
    #[error("There must be something after the @-sign.")]
    DomainEmpty,
    /// The domain is an IP literal.
    #[error("A bracketed IP address after the @-sign is not allowed here.")]
    DomainLiteral,
    /// The domain has a character that no domain has (RFC 952, RFC 1123 section 2.1).
    #[error("The part after the @-sign contains invalid characters.")]
    DomainCharacters,
    /// The domain begins with a period.
    #[error("An email address cannot have a period immediately after the @-sign.")]
    DomainStart,
    /// The domain ends with a period.
    #[error("An email address cannot end with a period.")]
    DomainEnd,
    /// A label of the domain begins or ends with a hyphen, or has two where only punycode has them.
    #[error(
        "A hyphen after the @-sign must be between letters or digits, and cannot be both third and fourth."
    )]
    DomainHyphen,
    /// A label of the domain has more than [`MAX_LABEL_BYTES`].
    #[error(
        "After the @-sign, periods cannot be separated by so many characters (at most {MAX_LABEL_BYTES})."
    )]
    LabelTooLong,
    /// A label breaks IDNA, or is punycode for what breaks it.
    #[error("The part after the @-sign is not valid IDNA.")]
    DomainIdna,
    /// The domain is one label.
    #[error("The part after the @-sign is not valid. It should have a period.")]
    NoTopLevelDomain,
    /// The last label, in ASCII, does not end with a letter, as all top-level domains do: an IP address,
    /// mostly.
    #[error("The part after the @-sign is not valid. It is not within a valid top-level domain.")]
    TopLevelDomain,
    /// The domain is reserved and no mail can be sent to it (RFC 6761, RFC 6762, RFC 7686).
    #[error("The part after the @-sign is a special-use or reserved name that cannot be used with email.")]
    SpecialUse,
}

#[cfg(test)]
mod tests;
