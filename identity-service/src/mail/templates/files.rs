//! Which templates there are: `LANGUAGE/KIND.txt` and `LANGUAGE/KIND.html`.

use std::collections::BTreeMap;
use std::fs::{self, DirEntry};
use std::path::Path;

use crate::mail::model::Kind;

/// The ending of a text, whose first line is the subject.
pub(super) const TEXT: &str = "txt";
/// The ending of the same as HTML.
pub(super) const HTML: &str = "html";

/// A template.
pub(super) struct File {
    /// Where it is, for who must mend it.
    pub(super) place: String,
    /// What stands in it.
    pub(super) text: String,
}

macro_rules! compiled_in {
    ($($name:literal),*) => { &[$(($name, include_str!(concat!("../../../templates/", $name)))),*] };
}

const COMPILED_IN: &[(&str, &str)] = compiled_in![
    "en/password_changed.html",
    "en/password_changed.txt",
    "en/reset.html",
    "en/reset.txt",
    "en/verify.html",
    "en/verify.txt",
    "ru/password_changed.html",
    "ru/password_changed.txt",
    "ru/reset.html",
    "ru/reset.txt",
    "ru/verify.html",
    "ru/verify.txt"
];

/// The name of a template.
pub(super) fn name(language: &str, kind: Kind, ending: &str) -> String {
    format!("{language}/{}.{ending}", kind.as_str())
}

/// The language of the template with this name.
pub(super) fn language_of(name: &str) -> &str {
    name.split_once('/').map_or(name, |(language, _)| language)
}

/// All templates by their names, in their order: those that are compiled in, and in their place or beside them those of a
/// folder. Each language has all of them.
pub(super) fn all(folder: Option<&str>) -> Result<BTreeMap<String, File>, String> {
    let mut files: BTreeMap<_, _> = COMPILED_IN
        .iter()
        .map(|&(name, text)| (name.to_owned(), File { place: name.to_owned(), text: text.to_owned() }))
        .collect();
    let Some(folder) = folder.map(Path::new) else { return Ok(files) };
    for language in entries(folder)? {
        let name = language.file_name().to_string_lossy().into_owned();
        let place = language.path();
        let is_tag = name.split('-').all(|part| {
            (1..=8).contains(&part.len()) && part.bytes().all(|byte| byte.is_ascii_alphanumeric())
        });
        if !place.is_dir() || !is_tag {
            return Err(format!("{}: is no folder with the name of a language, like en", place.display()));
        }
        // A second spelling of a language would be one that nobody is ever written to in.
        let known = files.keys().map(|known| language_of(known));
        let name =
            known.into_iter().find(|known| known.eq_ignore_ascii_case(&name)).unwrap_or(&name).to_owned();
        read_language(&mut files, &place, &name)?;
    }
    Ok(files)
}

fn read_language(files: &mut BTreeMap<String, File>, folder: &Path, language: &str) -> Result<(), String> {
    let names = || {
        Kind::ALL
            .into_iter()
            .flat_map(|kind| [TEXT, HTML].map(|ending| format!("{}.{ending}", kind.as_str())))
    };
    for file in entries(folder)? {
        let (place, name) = (file.path(), file.file_name().to_string_lossy().into_owned());
        if !names().any(|known| known == name) {
            let known = names().collect::<Vec<_>>().join(", ");
            return Err(format!("{}: is not one of {known}", place.display()));
        }
        let place = place.display().to_string();
        let text = fs::read_to_string(file.path()).map_err(|error| format!("{place}: {error}"))?;
        files.insert(format!("{language}/{name}"), File { place, text });
    }
    match names().find(|name| !files.contains_key(&format!("{language}/{name}"))) {
        Some(missing) => Err(format!("{}: is missing", folder.join(missing).display())),
        None => Ok(()),
    }
}

/// What is in a folder, in the order of the names, but for what is hidden: Kubernetes and editors put such things there.
fn entries(folder: &Path) -> Result<Vec<DirEntry>, String> {
    let read = || fs::read_dir(folder)?.collect::<Result<Vec<_>, _>>();
    let mut entries = read().map_err(|error| format!("{}: {error}", folder.display()))?;
    entries.retain(|entry| !entry.file_name().to_string_lossy().starts_with('.'));
    entries.sort_by_key(DirEntry::file_name);
    Ok(entries)
}
