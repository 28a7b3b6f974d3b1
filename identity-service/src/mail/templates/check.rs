//! What is wrong with a template: found at the start, and not when a user waits for his mail.

use std::collections::BTreeMap;
use std::time::Duration;

use minijinja::{Error, ErrorKind};

use super::files::{self, File};
use super::{Facts, Said, Templates};
use crate::mail::model::Kind;

/// How the first line of a text begins.
pub(super) const SUBJECT: &str = "Subject: ";

/// A link that has what HTML must escape.
const LINK: &str = "https://www.example.com/page?a=b&token=x-_";
/// For how long it is said to be good: less than an hour, one, and more.
const VALIDITIES: [Duration; 3] =
    [Duration::from_secs(60), Duration::from_secs(3600), Duration::from_secs(86_400)];

/// That a text begins with its subject.
pub(super) fn first_line(name: &str, file: &File) -> Result<(), String> {
    let has_subject = file
        .text
        .strip_prefix(SUBJECT)
        .is_some_and(|rest| !rest.trim_start_matches(' ').starts_with(['\r', '\n']));
    if name.ends_with(files::TEXT) && !has_subject {
        return Err(at(file, 1, "the first line is not `Subject: ` and a subject"));
    }
    Ok(())
}

/// That a mail of this kind can be written in this language, and brings its link.
pub(super) fn set(
    templates: &Templates,
    files: &BTreeMap<String, File>,
    language: &str,
    kind: Kind,
) -> Result<(), String> {
    for ending in [files::TEXT, files::HTML] {
        let name = files::name(language, kind, ending);
        variables(templates, &name, &files[&name], kind)?;
    }
    for validity in VALIDITIES {
        let link = kind.brings_token().then(|| (LINK.to_owned(), validity));
        let facts = Facts { link, email: "king.arthur@camelot.bt", service: "Camelot" };
        let said = templates.write(language, kind, &facts).map_err(|error| {
            let file = error.name().and_then(|name| files.get(name));
            file.map_or_else(|| error.to_string(), |file| describe(file, &error))
        })?;
        result(&said, files, language, kind)?;
    }
    Ok(())
}

/// That nothing is used that there is not, also where no rendering comes by.
fn variables(templates: &Templates, name: &str, file: &File, kind: Kind) -> Result<(), String> {
    let template = templates.environment.get_template(name).map_err(|error| describe(file, &error))?;
    let known: &[&str] = match kind.brings_token() {
        true => &["email", "service", "link", "hours", "minutes"],
        false => &["email", "service"],
    };
    let is_global = |name: &str| templates.environment.globals().any(|(global, _)| global == name);
    let used = template.undeclared_variables(false);
    let mut unknown: Vec<_> =
        used.into_iter().filter(|name| !known.contains(&name.as_str()) && !is_global(name)).collect();
    unknown.sort_by_key(|name| line_of(&file.text, name));
    match unknown.first() {
        Some(name) => Err(at(file, line_of(&file.text, name), &format!("undefined value: {name}"))),
        None => Ok(()),
    }
}

/// The first line of a template in which a name is used.
fn line_of(text: &str, name: &str) -> usize {
    let is_part = |character: char| character.is_alphanumeric() || character == '_';
    let uses = |line: &str| {
        line.match_indices(name).any(|(start, _)| {
            let (before, after) = (&line[..start], &line[start + name.len()..]);
            !before.ends_with(is_part) && !after.starts_with(is_part) && before.contains('{')
        })
    };
    text.lines().position(uses).map_or(1, |index| index + 1)
}

fn result(said: &Said, files: &BTreeMap<String, File>, language: &str, kind: Kind) -> Result<(), String> {
    let file = |ending| &files[&files::name(language, kind, ending)];
    if said.subject.is_empty() {
        return Err(at(file(files::TEXT), 1, "the subject is empty"));
    }
    for (ending, text, link) in
        [(files::TEXT, &said.text, LINK.to_owned()), (files::HTML, &said.html, super::escape(LINK))]
    {
        if kind.brings_token() && !text.contains(&link) {
            let problem = format!("{}: does not show the link: {{{{ link }}}}", file(ending).place);
            return Err(problem);
        }
    }
    Ok(())
}

/// What minijinja has to say, in one line.
pub(super) fn describe(file: &File, error: &Error) -> String {
    let what = match (error.kind(), error.detail()) {
        (ErrorKind::SyntaxError, Some(detail)) => format!("syntax error: {detail}"),
        (kind, Some(detail)) => format!("{kind}: {detail}"),
        (kind, None) => kind.to_string(),
    };
    at(file, error.line().unwrap_or(1), &what.split_whitespace().collect::<Vec<_>>().join(" "))
}

fn at(file: &File, line: usize, problem: &str) -> String {
    format!("{}:{line}: {problem}", file.place)
}
