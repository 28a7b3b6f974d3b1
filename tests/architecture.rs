//! The rules of the layout. A rule that is broken says where, and what to do instead.

use std::fs;
use std::path::{Path, PathBuf};

use crate::harness::repository;

/// A word that may stand in some files only.
struct Rule {
    /// In which folder, or file.
    place: &'static str,
    /// What may not stand there.
    words: &'static [&'static str],
    /// In which files it may: the end of a path, or a folder with a `/` behind.
    but: &'static [&'static str],
    /// What to do instead.
    instead: &'static str,
}

const RULES: &[Rule] = &[
    Rule {
        place: "identity-service/src",
        words: &["diesel::", "RunQueryDsl", "AsyncConnection", "sql_query"],
        but: &["store.rs", "schema.rs", "database.rs", "database/"],
        instead: "a query lives in its slice's store.rs",
    },
    Rule {
        place: "identity-service/src",
        words: &["diesel_async::"],
        but: &["store.rs", "database.rs", "database/"],
        instead: "a query lives in its slice's store.rs; mod.rs only passes the Transaction of database.rs on",
    },
    Rule {
        place: "identity-service/src",
        words: &["tonic::", "tonic_health::", "tonic_types::"],
        but: &["grpc.rs", "server.rs", "server/gate.rs", "status.rs"],
        instead: "a gRPC type stays in grpc.rs, server.rs, status.rs; elsewhere use the domain's",
    },
    Rule {
        place: "identity-service/src",
        words: &["Status::", "Code::"],
        but: &["status.rs"],
        instead: "return an Error; which status it is, status.rs decides",
    },
    Rule {
        place: "identity-service/src",
        words: &["actix", "http::"],
        but: &[],
        instead: "identity-service knows no HTTP",
    },
    Rule {
        place: "gateway/src",
        words: &["tonic::", "tonic_health::", "tonic_types::"],
        but: &["identity.rs", "identity/call.rs", "identity/replicas.rs", "identity/watch.rs"],
        instead: "gRPC stays behind the client in identity.rs",
    },
    Rule {
        place: "gateway/src",
        words: &["v1::", "portcullis_proto::v1", "prost_types"],
        but: &["identity.rs", "identity/"],
        instead: "identity/message.rs makes a message of the gateway's own types, and these of an answer",
    },
    Rule {
        place: "gateway/src",
        words: &["diesel", "postgres", "EncodingKey", "bcrypt"],
        but: &[],
        instead: "the gateway holds no database, no signing key and no password hash",
    },
    Rule {
        place: "gateway/src",
        words: &["StatusCode::", "HttpResponseBuilder::new", "set_status("],
        but: &["failure.rs"],
        instead: "return a Failure; which status it is, failure.rs decides",
    },
    Rule {
        place: "",
        words: &["std::env::var", "env::var(", "env::vars"],
        but: &["config.rs"],
        instead: "a variable of the environment is read in config.rs and passed on",
    },
    Rule {
        place: "",
        words: &[".unwrap()", "todo!(", "unimplemented!(", "dbg!(", "#[allow("],
        but: &[],
        instead: "expect(\"why it cannot fail\"), or handle it; #[expect(lint, reason = \"…\")]",
    },
];

/// Files that build on each other: what may not use what.
const MODEL_USES: &[&str] = &["diesel", "tonic", "actix", "tokio", "crate::database", "store::", "grpc::"];

/// The shipped sources below a folder: without their unit tests, which may do what they like.
fn sources(place: &str) -> Vec<(String, String)> {
    let root = repository();
    let mut found = Vec::new();
    for crate_folder in ["proto/src", "identity-service/src", "gateway/src"] {
        for path in rust_files(&root.join(crate_folder)) {
            let name = path.strip_prefix(&root).unwrap().to_string_lossy().into_owned();
            if name.starts_with(place) && !name.ends_with("/tests.rs") {
                let text = fs::read_to_string(&path).unwrap();
                let shipped = text.split("#[cfg(test)]").next().unwrap_or_default().to_owned();
                found.push((name, shipped));
            }
        }
    }
    assert!(!found.is_empty(), "there is nothing at {place}: the rule has lost its place");
    found
}

pub fn rust_files(folder: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    let (folders, files): (Vec<_>, Vec<_>) = entries.partition(|path| path.is_dir());
    let files = files.into_iter().filter(|path| path.extension().is_some_and(|extension| extension == "rs"));
    files.chain(folders.iter().flat_map(|folder| rust_files(folder))).collect()
}

/// The lines of code, with their numbers; comments may speak of anything.
fn code(text: &str) -> impl Iterator<Item = (usize, &str)> {
    text.lines()
        .enumerate()
        .map(|(index, line)| (index + 1, line))
        .filter(|(_, line)| !line.trim_start().starts_with("//"))
}

/// Whether a word stands in a line, and not as the end of a longer one (`http::` in `actix_http::`). A crate is not
/// meant by a module of the same name in a path (`actix_web::http::`), and a type is, however long its path.
fn stands(line: &str, word: &str) -> bool {
    let ends_name = |text: &str| text.ends_with(|end: char| end.is_alphanumeric() || end == '_');
    let is_crate = word.starts_with(char::is_lowercase);
    let is_longer = |before: &str| {
        let path = before.strip_suffix("::").filter(|_| is_crate).unwrap_or(before);
        ends_name(path)
    };
    let starts_with_name = word.starts_with(char::is_alphanumeric);
    line.match_indices(word).any(|(index, _)| !starts_with_name || !is_longer(&line[..index]))
}

/// Whether a file is one of these: the end of its path, or a folder in it.
fn is_one_of(name: &str, ends: &[&str]) -> bool {
    let name = format!("/{name}");
    ends.iter().any(|end| {
        let end = format!("/{end}");
        name.ends_with(&end) || (end.ends_with('/') && name.contains(&end))
    })
}

fn violations(rules: &[Rule]) -> Vec<String> {
    let mut violations = Vec::new();
    for rule in rules {
        for (name, text) in sources(rule.place) {
            if is_one_of(&name, rule.but) {
                continue;
            }
            for (number, line) in code(&text) {
                for word in rule.words.iter().filter(|word| stands(line, word)) {
                    violations.push(format!("{name}:{number}: {word}: {}", rule.instead));
                }
            }
        }
    }
    violations
}

#[test]
fn every_word_stands_where_the_layout_has_it() {
    let violations = violations(RULES);
    assert!(violations.is_empty(), "{violations:#?}");
}

#[test]
fn the_check_itself_finds_what_it_looks_for() {
    let rule = Rule { place: "identity-service/src", words: &["diesel::"], but: &[], instead: "-" };
    assert!(violations(&[rule]).iter().any(|line| line.starts_with("identity-service/src/users/store.rs:")));
    assert!(stands("use http::Request;", "http::") && stands("use ::http::Request;", "http::"));
    assert!(!stands("use actix_http::Request;", "http::") && !stands("use actix_web::http::Uri;", "http::"));
    assert!(stands("actix_web::http::StatusCode::NOT_FOUND", "StatusCode::"));
    assert!(!stands("MyStatusCode::X", "StatusCode::"));
    assert!(
        is_one_of("gateway/src/config.rs", &["config.rs"]) && is_one_of("a/identity/call.rs", &["identity/"])
    );
    assert!(
        !is_one_of("gateway/src/x_config.rs", &["config.rs"])
            && !is_one_of("a/x_identity/call.rs", &["identity/"])
    );
    assert!(answers_a_failure("    HttpResponse::NotFound().finish()"));
    assert!(answers_a_failure("HttpResponse::Ok(); actix_web::HttpResponse::build(status)"));
    assert!(!answers_a_failure("    HttpResponse::Ok().json(user)"));
}

/// Whether a line makes an answer that may be anything but a success.
fn answers_a_failure(line: &str) -> bool {
    let successes = ["Ok", "Created", "Accepted", "NoContent"];
    let builder =
        |after: &str| after.split(|c: char| !c.is_alphanumeric() && c != '_').next().unwrap().to_owned();
    line.split("HttpResponse::").skip(1).any(|after| !successes.contains(&builder(after).as_str()))
}

#[test]
fn only_failure_rs_answers_anything_but_a_success() {
    let mut wrong = Vec::new();
    for (name, text) in sources("gateway/src") {
        let lines =
            code(&text).filter(|(_, line)| !is_one_of(&name, &["failure.rs"]) && answers_a_failure(line));
        wrong.extend(lines.map(|(number, line)| format!("{name}:{number}: {}", line.trim())));
    }
    assert!(wrong.is_empty(), "return a Failure; which status it is, failure.rs decides: {wrong:#?}");
}

#[test]
fn a_model_uses_nothing_of_the_layers_around_it() {
    let mut wrong = Vec::new();
    for (name, text) in sources("identity-service/src") {
        if is_one_of(&name, &["model.rs", "password.rs"]) {
            let used = |line: &str| MODEL_USES.iter().any(|word| stands(line, word));
            wrong.extend(
                code(&text).filter(|(_, line)| used(line)).map(|(number, _)| format!("{name}:{number}")),
            );
        }
    }
    assert!(wrong.is_empty(), "a model is pure: take it from mod.rs as an argument: {wrong:#?}");
}

#[test]
fn no_file_is_longer_than_300_lines_and_none_is_called_utils() {
    for (name, text) in sources("") {
        let lines = text.lines().count();
        assert!(lines <= 300, "{name} has {lines} lines: split it along a seam");
        let stem = Path::new(&name).file_stem().unwrap().to_string_lossy().into_owned();
        assert!(
            !["utils", "util", "helpers", "common"].contains(&stem.as_str()),
            "{name}: name it after what it does"
        );
    }
}

#[test]
fn the_top_level_is_what_it_is() {
    let known = [
        "Cargo.toml",
        "Cargo.lock",
        "LICENSE",
        "README.md",
        "deploy",
        "gateway",
        "identity-service",
        "proto",
        "tests",
    ];
    for entry in fs::read_dir(repository()).unwrap() {
        let name = entry.unwrap().file_name().to_string_lossy().into_owned();
        assert!(
            name.starts_with('.') || name == "target" || known.contains(&name.as_str()),
            "{name} is new at the top"
        );
    }
}

#[test]
fn every_migration_has_both_directions() {
    for entry in fs::read_dir(repository().join("identity-service/migrations")).unwrap() {
        let folder = entry.unwrap().path();
        for file in ["up.sql", "down.sql"] {
            assert!(folder.join(file).is_file(), "{} lacks {file}", folder.display());
        }
    }
}
