//! The texts of the mails: compiled in, and replaceable by the operator's own.
//!
//! - `files`: which there are
//! - `check`: what is wrong with one, before it is needed

mod check;
mod files;

use std::collections::BTreeMap;
use std::time::Duration;

use minijinja::value::Value;
use minijinja::{AutoEscape, Environment, UndefinedBehavior};

use super::languages::Languages;
use super::model::Kind;

/// The texts, in every language.
pub struct Templates {
    environment: Environment<'static>,
    languages: Vec<String>,
}

/// What a mail says.
#[derive(Debug, PartialEq, Eq)]
pub struct Said {
    /// Its subject, one line.
    pub subject: String,
    /// Its text.
    pub text: String,
    /// The same as HTML.
    pub html: String,
}

/// What a mail tells. No `Debug`: it has a token and an address.
pub struct Facts<'a> {
    /// The link with the token, and for how long it is good.
    pub link: Option<(String, Duration)>,
    /// The address of the user.
    pub email: &'a str,
    /// The name of the service.
    pub service: &'a str,
}

impl Templates {
    /// The ones that are compiled in, and in their place or beside them those of a folder.
    ///
    /// # Errors
    /// What is wrong with the folder or the first bad file: one line that names the file and the line in it.
    pub fn load(folder: Option<&str>) -> Result<Self, String> {
        let files = files::all(folder)?;
        let mut environment = Environment::new();
        environment.set_undefined_behavior(UndefinedBehavior::Strict);
        environment.set_auto_escape_callback(|name| {
            if name.ends_with(".html") { AutoEscape::Html } else { AutoEscape::None }
        });
        for (name, file) in &files {
            check::first_line(name, file)?;
            let added = environment.add_template_owned(name.clone(), file.text.clone());
            added.map_err(|error| check::describe(file, &error))?;
        }
        let mut languages: Vec<_> = files.keys().map(|name| files::language_of(name).to_owned()).collect();
        languages.dedup();
        let templates = Self { environment, languages };
        for language in &templates.languages {
            for kind in Kind::ALL {
                check::set(&templates, &files, language, kind)?;
            }
        }
        Ok(templates)
    }

    /// The languages, with the one of this name as the one for who wants none of them; `None` if there is no such.
    #[must_use]
    pub fn languages(&self, default: &str) -> Option<Languages> {
        let default = self.languages.iter().find(|name| name.eq_ignore_ascii_case(default))?;
        Some(Languages::new(self.languages.iter().cloned(), default))
    }

    /// What a mail says.
    ///
    /// # Errors
    /// What the template asks for and is not there; none that has passed the checks fails.
    pub fn write(&self, language: &str, kind: Kind, facts: &Facts<'_>) -> Result<Said, minijinja::Error> {
        let render = |ending: &str, values: Value| {
            self.environment.get_template(&files::name(language, kind, ending))?.render(values)
        };
        let whole = render(files::TEXT, values(facts, &|link| Value::from(link)))?;
        let (first, text) = whole.split_once('\n').unwrap_or((&whole, ""));
        let subject = first.strip_prefix(check::SUBJECT).unwrap_or(first);
        let subject = subject.split_whitespace().collect::<Vec<_>>().join(" ");
        // The filter of minijinja would escape the slashes, too: that is right, and nobody could read it.
        let html = render(files::HTML, values(facts, &|link| Value::from_safe_string(escape(link))))?;
        Ok(Said { subject, text: text.trim_start_matches(['\r', '\n']).to_owned(), html })
    }
}

/// What a template can use: `email` and `service`; where a token is brought also `link`, and for how long it is good in
/// full `hours`, or in `minutes` when that says it better: the other one is 0.
fn values(facts: &Facts<'_>, link_value: &dyn Fn(&str) -> Value) -> Value {
    let mut values =
        BTreeMap::from([("email", Value::from(facts.email)), ("service", Value::from(facts.service))]);
    if let Some((link, validity)) = &facts.link {
        let (hours, minutes) = in_words(*validity);
        values.extend([
            ("link", link_value(link)),
            ("hours", Value::from(hours)),
            ("minutes", Value::from(minutes)),
        ]);
    }
    Value::from(values)
}

/// Full hours from two on, and before that minutes, but for one hour; a minute that has begun counts.
fn in_words(validity: Duration) -> (u64, u64) {
    match validity.as_secs().div_ceil(60) {
        60 => (1, 0),
        minutes @ ..120 => (0, minutes),
        minutes => (minutes / 60, 0),
    }
}

/// A text as HTML shows it.
pub(super) fn escape(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for character in text.chars() {
        match character {
            '&' => escaped.push_str("&amp;"),
            '<' => escaped.push_str("&lt;"),
            '>' => escaped.push_str("&gt;"),
            '"' => escaped.push_str("&quot;"),
            '\'' => escaped.push_str("&#39;"),
            other => escaped.push(other),
        }
    }
    escaped
}

#[cfg(test)]
mod tests;
