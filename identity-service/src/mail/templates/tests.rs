use std::fs;
use std::path::PathBuf;

use super::*;

fn facts(link: Option<(&str, u64)>) -> Facts<'static> {
    Facts {
        link: link.map(|(link, seconds)| (link.to_owned(), Duration::from_secs(seconds))),
        email: "o'hara&<b>@camelot.bt",
        service: "Round & Table",
    }
}

/// A folder with these templates, and what is said of it; the name of the folder is left out.
fn problem(test: &str, files: &[(&str, &str)]) -> Result<(), String> {
    let folder = folder(test, files);
    let loaded = Templates::load(folder.to_str()).map(drop);
    fs::remove_dir_all(&folder).unwrap();
    loaded.map_err(|problem| problem.replace(&format!("{}/", folder.display()), ""))
}

fn folder(test: &str, files: &[(&str, &str)]) -> PathBuf {
    let folder = std::env::temp_dir().join(format!("portcullis-templates-{test}-{}", std::process::id()));
    let _ = fs::remove_dir_all(&folder);
    for (name, text) in files {
        let path = folder.join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    }
    folder
}

#[test]
fn every_mail_can_be_written_in_every_language_and_shows_its_link_as_it_is() {
    let templates = Templates::load(None).unwrap();
    let link = "https://www.example.com/reset?a=1&token=x-_";
    for language in ["en", "ru"] {
        for kind in Kind::ALL {
            let facts = facts(kind.brings_token().then_some((link, 3600)));
            let said = templates.write(language, kind, &facts).unwrap();
            assert!(said.subject.contains("Round & Table") && !said.subject.contains('\n'), "{said:?}");
            assert_eq!(said.text.contains(link), kind.brings_token(), "{said:?}");
            let in_html = "href=\"https://www.example.com/reset?a=1&amp;token=x-_\"";
            assert_eq!(said.html.contains(in_html), kind.brings_token(), "{said:?}");
            assert!(said.text.contains("o'hara&<b>@camelot.bt"), "{said:?}");
            assert!(!said.html.contains("<b>") && !said.html.contains("src="), "{said:?}");
        }
    }
}

#[test]
fn how_long_a_link_is_good_is_said_as_people_say_it() {
    let templates = Templates::load(None).unwrap();
    for (seconds, english, russian) in [
        (20, "for 1 minute.", "в течение 1 минуты."),
        (61, "for 2 minutes.", "в течение 2 минут."),
        (21 * 60, "for 21 minutes.", "в течение 21 минуты."),
        (3599, "for 1 hour.", "в течение 1 часа."),
        (3601, "for 61 minutes.", "в течение 61 минуты."),
        (11 * 3600, "for 11 hours.", "в течение 11 часов."),
        (86_399, "for 24 hours.", "в течение 24 часов."),
        (21 * 3600 + 10, "for 21 hours.", "в течение 21 часа."),
    ] {
        for (language, words) in [("en", english), ("ru", russian)] {
            let said = templates.write(language, Kind::Reset, &facts(Some(("l", seconds)))).unwrap();
            assert!(said.text.contains(words) && said.html.contains(words), "{seconds}: {}", said.text);
        }
    }
}

#[test]
fn a_folder_replaces_templates_and_brings_languages() {
    let text = "Subject: Neu\n\n{{ link }}";
    let changed = "Subject: Neu\n\n{{ email }}";
    let files = [
        ("en/reset.txt", "Subject: Mine, {{ email }}\r\n\r\nGo to {{ link }}!\r\n"),
        ("de-AT/reset.txt", text),
        ("de-AT/reset.html", "{{ link }}"),
        ("de-AT/verify.txt", text),
        ("de-AT/verify.html", "{{ link }}"),
        ("de-AT/password_changed.txt", changed),
        ("de-AT/password_changed.html", ""),
        ("..data/anything", ""),
    ];
    let folder = folder("good", &files);
    let templates = Templates::load(folder.to_str()).unwrap();
    let said = templates.write("en", Kind::Reset, &facts(Some(("l", 60)))).unwrap();
    assert_eq!(said.subject, "Mine, o'hara&<b>@camelot.bt");
    assert_eq!(said.text.trim_end(), "Go to l!");
    assert!(said.html.contains("Choose a new password"));
    let languages = templates.languages("EN").unwrap();
    assert_eq!(languages.choose(&["de-at".to_owned()]), "de-AT");
    assert_eq!(languages.choose(&["fr".to_owned()]), "en");
    assert!(templates.languages("fr").is_none());
    fs::remove_dir_all(&folder).unwrap();
}

#[test]
fn what_is_wrong_with_a_template_is_told_with_its_file_and_line() {
    for (number, (name, text, said)) in [
        ("en/reset.txt", "Subject: A\n\n{{ lnik }}", "en/reset.txt:3: undefined value: lnik"),
        (
            "en/reset.txt",
            "Subject: A\nlnik\n{{ link }}\n{% if false %}{{ lnik }}{% endif %}",
            "en/reset.txt:4: undefined value: lnik",
        ),
        ("en/reset.txt", "Hello\n{{ link }}", "en/reset.txt:1: the first line is not `Subject: ` and a subject"),
        (
            "en/reset.txt",
            "Subject: \n{{ link }}",
            "en/reset.txt:1: the first line is not `Subject: ` and a subject",
        ),
        ("en/reset.txt", "Subject: {{ \"\" }}\n{{ link }}", "en/reset.txt:1: the subject is empty"),
        ("ru/verify.txt", "Subject: A\n\nHello", "ru/verify.txt: does not show the link: {{ link }}"),
        ("en/reset.html", "<p>Hello</p>", "en/reset.html: does not show the link: {{ link }}"),
        (
            "en/password_changed.html",
            "<p>\n{{ link }}</p>",
            "en/password_changed.html:2: undefined value: link",
        ),
        (
            "en/reset.html",
            "\n{{ link }}\n{% if %}",
            "en/reset.html:3: syntax error: unexpected end of block",
        ),
        ("en/reset.html", "{{ link }}\n{{ link|nope }}", "en/reset.html:2: unknown filter: filter nope is unknown"),
        ("en/rest.txt", "", "en/rest.txt: is not one of reset.txt, reset.html, verify.txt, verify.html, password_changed.txt, password_changed.html"),
        ("de/reset.html", "{{ link }}", "de/reset.txt: is missing"),
        ("README", "", "README: is no folder with the name of a language, like en"),
        ("a_b/reset.txt", "", "a_b: is no folder with the name of a language, like en"),
    ]
    .into_iter()
    .enumerate()
    {
        assert_eq!(problem(&number.to_string(), &[(name, text)]), Err(said.to_owned()));
    }
    let nowhere = Templates::load(Some("/nowhere")).map(drop).unwrap_err();
    assert!(nowhere.starts_with("/nowhere: ") && !nowhere.contains('\n'), "{nowhere}");
}
