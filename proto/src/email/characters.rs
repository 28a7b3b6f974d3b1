//! The characters that no part of an address may have.
//!
//! What is assigned is decided by the Unicode version of `unicode-normalization`, what is a letter by that of
//! the standard library. A newer version of either accepts more; it never changes the form of what was
//! accepted before.

use idna::uts46::{AsciiDenyList, Hyphens, Uts46};
use unicode_normalization::{UnicodeNormalization, char::is_combining_mark, char::is_public_assigned};

/// Whether a text can stand beside any other and is seen for what it is: it has no control, format, space,
/// private or unassigned character, and does not begin with a mark that would combine with what is before it.
pub(super) fn are_safe(text: &str) -> bool {
    !text.starts_with(is_combining_mark) && text.chars().all(is_safe)
}

fn is_safe(c: char) -> bool {
    if c.is_ascii() {
        return !c.is_ascii_control() && c != ' ';
    }
    let is_hidden = c.is_control() || c.is_whitespace() || is_format(c);
    !is_hidden && is_public_assigned(c) && !is_newer_capital(c)
}

/// The general category Cf: characters that are not seen, among them those that turn the direction of text.
fn is_format(c: char) -> bool {
    matches!(
        c,
        '\u{ad}' | '\u{600}'..='\u{605}' | '\u{61c}' | '\u{6dd}' | '\u{70f}' | '\u{890}'..='\u{891}'
            | '\u{8e2}' | '\u{180e}' | '\u{200b}'..='\u{200f}' | '\u{202a}'..='\u{202e}'
            | '\u{2060}'..='\u{206f}' | '\u{feff}' | '\u{fff9}'..='\u{fffb}' | '\u{110bd}' | '\u{110cd}'
            | '\u{13430}'..='\u{1343f}' | '\u{1bca0}'..='\u{1bca3}' | '\u{1d173}'..='\u{1d17a}'
            | '\u{e0001}'..='\u{e007f}'
    )
}

/// Whether it is a capital letter that the standard library does not know yet. Were it accepted, the
/// canonical form of the address would change with a later compiler. `idna` is ahead and knows its small
/// letter.
fn is_newer_capital(c: char) -> bool {
    if c.is_alphabetic() || is_combining_mark(c) || !c.nfkc().eq([c]) {
        return false;
    }
    let text = c.to_string();
    let (mapped, _) = Uts46::new().to_unicode(text.as_bytes(), AsciiDenyList::EMPTY, Hyphens::Allow);
    !mapped.is_empty() && !mapped.contains([c, '.', char::REPLACEMENT_CHARACTER])
}
