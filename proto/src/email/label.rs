//! One label of a domain, by IDNA 2008 (RFC 5891, RFC 5892) after the mapping of UTS #46.
//!
//! The crate `idna` maps, decodes punycode and checks hyphens, combining marks, joiners and the direction of
//! text (RFC 5893), all by UTS #46. IDNA 2008 is stricter; what it adds is here: no symbols, the characters
//! that need a context, and one spelling in punycode (CVE-2024-12224). A label is checked alone, as
//! `email-validator` does: whether a name as a whole mixes directions is not asked.

use idna::uts46::{AsciiDenyList, DnsLength, Hyphens, Uts46};
use unicode_normalization::char::is_combining_mark;

use super::{EmailError, MAX_LABEL_BYTES};

/// A label in its two forms.
pub(super) struct Label {
    /// In lower case, in Unicode.
    pub(super) unicode: String,
    /// The same in ASCII, with punycode if need be.
    pub(super) ascii: String,
}

/// Reads a label as given: in any case, in Unicode or in punycode.
pub(super) fn parse(text: &str) -> Result<Label, EmailError> {
    let ascii = to_ascii(text)
        .map_err(|error| if has_bad_hyphens(text) { EmailError::DomainHyphen } else { error })?;
    if ascii.is_empty() {
        return Err(EmailError::TwoPeriods);
    }
    if ascii.len() > MAX_LABEL_BYTES {
        return Err(EmailError::LabelTooLong);
    }
    let (unicode, outcome) = Uts46::new().to_unicode(ascii.as_bytes(), AsciiDenyList::STD3, Hyphens::Check);
    outcome.map_err(|_| EmailError::DomainIdna)?;
    let unicode = unicode.into_owned();
    if to_ascii(&unicode)? != ascii || !is_idna_2008(&unicode) {
        return Err(EmailError::DomainIdna);
    }
    Ok(Label { unicode, ascii })
}

fn to_ascii(label: &str) -> Result<String, EmailError> {
    Uts46::new()
        .to_ascii(label.as_bytes(), AsciiDenyList::STD3, Hyphens::Check, DnsLength::Ignore)
        .map(|ascii| ascii.into_owned())
        .map_err(|_| EmailError::DomainIdna)
}

/// Whether a hyphen is first or last, or two are third and fourth though the first two characters do not say
/// that it is punycode. Only to tell the caller why a label is refused: `idna` decides, after the mapping.
fn has_bad_hyphens(label: &str) -> bool {
    let mut characters = label.chars();
    let prefix = [characters.next(), characters.next()].map(|c| c.map(|c| c.to_ascii_lowercase()));
    let is_reserved = characters.as_str().starts_with("--") && prefix != [Some('x'), Some('n')];
    is_reserved || label.starts_with('-') || label.ends_with('-')
}

/// Whether RFC 5892 allows each character, where it stands. The joiners of its appendix A.1 and A.2 are
/// refused everywhere, as `email-validator` does: they are format characters, which are not seen.
fn is_idna_2008(label: &str) -> bool {
    let characters: Vec<char> = label.chars().collect();
    characters.iter().enumerate().all(|(at, &c)| {
        let before = at.checked_sub(1).map(|before| characters[before]);
        let after = characters.get(at + 1).copied();
        match c {
            '-' | '\u{6fd}' | '\u{6fe}' | '\u{f0b}' => true, // section 2.6, and LDH
            '·' => (before, after) == (Some('l'), Some('l')), // A.3
            '\u{375}' => after.is_some_and(is_greek),        // A.4
            '\u{5f3}' | '\u{5f4}' => before.is_some_and(is_hebrew), // A.5, A.6
            '・' => characters.iter().any(|&c| is_japanese(c)), // A.7
            '\u{660}'..='\u{669}' => !characters.iter().any(|c| ('\u{6f0}'..='\u{6f9}').contains(c)), // A.8
            '\u{6f0}'..='\u{6f9}' => !characters.iter().any(|c| ('\u{660}'..='\u{669}').contains(c)), // A.9
            _ => (c.is_alphabetic() || is_combining_mark(c) || is_digit(c)) && !is_disallowed(c),
        }
    })
}

/// Letters and marks that UTS #46 lets pass and RFC 5892 does not: exceptions (section 2.6), old Hangul
/// (2.9), marks for symbols and music (2.4), enclosing marks, letter-like numbers and letters in squares
/// (2.1).
fn is_disallowed(c: char) -> bool {
    matches!(
        c,
        '\u{488}'..='\u{489}' | '\u{640}' | '\u{7fa}' | '\u{1100}'..='\u{115e}' | '\u{1161}'..='\u{11ff}'
            | '\u{16ee}'..='\u{16f0}' | '\u{1abe}' | '\u{20d0}'..='\u{20f0}' | '\u{2180}'..='\u{2182}'
            | '\u{2185}'..='\u{2188}' | '\u{3021}'..='\u{3029}' | '\u{302e}'..='\u{302f}'
            | '\u{3031}'..='\u{3035}' | '\u{303b}' | '\u{a670}'..='\u{a672}' | '\u{a6e6}'..='\u{a6ef}'
            | '\u{a960}'..='\u{a97c}' | '\u{d7b0}'..='\u{d7c6}' | '\u{d7cb}'..='\u{d7fb}'
            | '\u{10140}'..='\u{10174}' | '\u{10341}' | '\u{1034a}' | '\u{103d1}'..='\u{103d5}'
            | '\u{12400}'..='\u{1246e}' | '\u{16ff4}'..='\u{16ff6}' | '\u{1d127}'..='\u{1d128}'
            | '\u{1d165}'..='\u{1d169}' | '\u{1d16d}'..='\u{1d172}' | '\u{1d17b}'..='\u{1d182}'
            | '\u{1d185}'..='\u{1d18b}' | '\u{1d1aa}'..='\u{1d1ad}' | '\u{1d242}'..='\u{1d244}'
            | '\u{1f150}'..='\u{1f169}' | '\u{1f170}'..='\u{1f189}'
    )
}

/// The general category Nd, but for digits that UTS #46 maps to those of ASCII.
fn is_digit(c: char) -> bool {
    matches!(
        c,
        '\u{30}'..='\u{39}' | '\u{660}'..='\u{669}' | '\u{6f0}'..='\u{6f9}' | '\u{7c0}'..='\u{7c9}'
            | '\u{966}'..='\u{96f}' | '\u{9e6}'..='\u{9ef}' | '\u{a66}'..='\u{a6f}'
            | '\u{ae6}'..='\u{aef}' | '\u{b66}'..='\u{b6f}' | '\u{be6}'..='\u{bef}'
            | '\u{c66}'..='\u{c6f}' | '\u{ce6}'..='\u{cef}' | '\u{d66}'..='\u{d6f}'
            | '\u{de6}'..='\u{def}' | '\u{e50}'..='\u{e59}' | '\u{ed0}'..='\u{ed9}'
            | '\u{f20}'..='\u{f29}' | '\u{1040}'..='\u{1049}' | '\u{1090}'..='\u{1099}'
            | '\u{17e0}'..='\u{17e9}' | '\u{1810}'..='\u{1819}' | '\u{1946}'..='\u{194f}'
            | '\u{19d0}'..='\u{19d9}' | '\u{1a80}'..='\u{1a89}' | '\u{1a90}'..='\u{1a99}'
            | '\u{1b50}'..='\u{1b59}' | '\u{1bb0}'..='\u{1bb9}' | '\u{1c40}'..='\u{1c49}'
            | '\u{1c50}'..='\u{1c59}' | '\u{a620}'..='\u{a629}' | '\u{a8d0}'..='\u{a8d9}'
            | '\u{a900}'..='\u{a909}' | '\u{a9d0}'..='\u{a9d9}' | '\u{a9f0}'..='\u{a9f9}'
            | '\u{aa50}'..='\u{aa59}' | '\u{abf0}'..='\u{abf9}' | '\u{104a0}'..='\u{104a9}'
            | '\u{10d30}'..='\u{10d39}' | '\u{10d40}'..='\u{10d49}' | '\u{11066}'..='\u{1106f}'
            | '\u{110f0}'..='\u{110f9}' | '\u{11136}'..='\u{1113f}' | '\u{111d0}'..='\u{111d9}'
            | '\u{112f0}'..='\u{112f9}' | '\u{11450}'..='\u{11459}' | '\u{114d0}'..='\u{114d9}'
            | '\u{11650}'..='\u{11659}' | '\u{116c0}'..='\u{116c9}' | '\u{116d0}'..='\u{116e3}'
            | '\u{11730}'..='\u{11739}' | '\u{118e0}'..='\u{118e9}' | '\u{11950}'..='\u{11959}'
            | '\u{11bf0}'..='\u{11bf9}' | '\u{11c50}'..='\u{11c59}' | '\u{11d50}'..='\u{11d59}'
            | '\u{11da0}'..='\u{11da9}' | '\u{11de0}'..='\u{11de9}' | '\u{11f50}'..='\u{11f59}'
            | '\u{16130}'..='\u{16139}' | '\u{16a60}'..='\u{16a69}' | '\u{16ac0}'..='\u{16ac9}'
            | '\u{16b50}'..='\u{16b59}' | '\u{16d70}'..='\u{16d79}' | '\u{1e140}'..='\u{1e149}'
            | '\u{1e2f0}'..='\u{1e2f9}' | '\u{1e4f0}'..='\u{1e4f9}' | '\u{1e5f1}'..='\u{1e5fa}'
            | '\u{1e950}'..='\u{1e959}'
    )
}

/// Whether a letter is of the script Greek. Of blocks shared with others only Greek is left here.
fn is_greek(c: char) -> bool {
    matches!(c, '\u{370}'..='\u{3e1}' | '\u{3f0}'..='\u{3ff}' | '\u{1d26}'..='\u{1d2a}')
        || ('\u{1f00}'..='\u{1fff}').contains(&c)
}

fn is_hebrew(c: char) -> bool {
    ('\u{591}'..='\u{5f4}').contains(&c)
}

/// Whether a letter is Hiragana, Katakana or Han.
fn is_japanese(c: char) -> bool {
    matches!(
        c,
        '\u{3041}'..='\u{3096}' | '\u{309d}'..='\u{309f}' | '\u{30a1}'..='\u{30fa}'
            | '\u{30fd}'..='\u{30ff}' | '\u{31f0}'..='\u{31ff}' | '\u{1aff0}'..='\u{1b16f}'
            | '々' | '〇' | '\u{3400}'..='\u{4dbf}' | '\u{4e00}'..='\u{9fff}'
            | '\u{f900}'..='\u{faff}' | '\u{20000}'..='\u{3ffff}'
    )
}
