//! In which language a mail is written.

use std::sync::Arc;

/// The languages that there are templates for, and the operator's own. A clone is another handle of the same list.
#[derive(Clone)]
pub struct Languages {
    names: Arc<[String]>,
    default: Arc<str>,
}

impl Languages {
    /// These, and the one that is used for who wants none of them.
    pub(super) fn new(names: impl IntoIterator<Item = String>, default: &str) -> Self {
        Self { names: names.into_iter().collect(), default: default.into() }
    }

    /// The name of the set of templates for who wants these languages, the dearest first: the look-up of RFC 4647 section
    /// 3.4, so that who wants `ru-RU` gets `ru`.
    #[must_use]
    pub fn choose(&self, wanted: &[String]) -> String {
        let found = wanted.iter().find_map(|range| self.look_up(range));
        found.unwrap_or(&self.default).to_owned()
    }

    /// The language whose name is the longest beginning of a language range. A single letter or digit says what follows it
    /// (`x-`, `u-`), and goes with that.
    fn look_up(&self, range: &str) -> Option<&str> {
        let mut range = range;
        loop {
            if let Some(name) = self.names.iter().find(|name| name.eq_ignore_ascii_case(range)) {
                return Some(name);
            }
            range = range.rsplit_once('-')?.0;
            range =
                range.rsplit_once('-').filter(|(_, last)| last.len() == 1).map_or(range, |(rest, _)| rest);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_wants_a_language_gets_the_nearest_that_there_is_or_the_operators_own() {
        let languages = Languages::new(["en", "ru", "pt-BR", "zh-Hant"].map(str::to_owned), "en");
        for (wanted, chosen) in [
            (&["ru"][..], "ru"),
            (&["ru-RU"], "ru"),
            (&["RU-ru"], "ru"),
            (&["pt-br"], "pt-BR"),
            (&["pt"], "en"),
            (&["pt-PT", "ru"], "ru"),
            (&["zh-Hant-CN-x-private1-private2"], "zh-Hant"),
            (&["de", "fr"], "en"),
            (&["*"], "en"),
            (&[""], "en"),
            (&["-", "ru-", "--"], "ru"),
            (&["russian"], "en"),
            (&[], "en"),
        ] {
            let wanted: Vec<_> = wanted.iter().map(|&range| range.to_owned()).collect();
            assert_eq!(languages.choose(&wanted), chosen, "{wanted:?}");
        }
    }
}
