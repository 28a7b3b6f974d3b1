//! A wrong configuration stops the start: exit code 2, one line that names the variable, and no secret in it.

use std::process::Output;
use std::time::{Duration, Instant};

use crate::harness::{Database, GATEWAY, IDENTITY, Mailbox, Process, free_port, program, repository};

const SECRET: &str = "hunter2hunter2";

/// Starts a program with one variable changed, or taken away, and waits for its end. A `_FILE` takes the place of the
/// variable.
fn start(name: &str, base: &[(&str, String)], changed: &str, value: Option<&str>) -> Output {
    let replaced = changed.trim_end_matches("_FILE");
    let kept = base.iter().filter(|(name, _)| *name != replaced);
    let mut variables: Vec<_> = kept.map(|(name, value)| ((*name).to_owned(), value.clone())).collect();
    variables.extend(value.map(|value| (changed.to_owned(), value.to_owned())));
    let started = Instant::now();
    let output = program(name, &variables).arg("serve").output().expect("the program is built");
    assert!(
        started.elapsed() < Duration::from_secs(2),
        "{name} took {:?} to refuse {changed}",
        started.elapsed()
    );
    output
}

fn assert_one_line(output: &Output, changed: &str) {
    let said = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(2), "{changed}: {said}");
    assert_eq!(said.trim_end().lines().count(), 1, "{said}");
    assert!(said.contains(changed) && !said.contains(SECRET), "{said}");
}

fn owned(variables: &[(&'static str, &str)]) -> Vec<(&'static str, String)> {
    variables.iter().map(|&(name, value)| (name, value.to_owned())).collect()
}

#[test]
fn identity_service_names_the_variable_that_is_missing_or_malformed() {
    let mut base = owned(&IDENTITY);
    base.push(("DATABASE_URL", format!("postgres://u:{SECRET}@127.0.0.1:1/db")));
    let mails = Mailbox::new();
    base.push(("MAIL", format!("dir:{}", mails.folder().display())));
    for required in ["DATABASE_URL", "ISSUER", "PASSWORD_PEPPER", "KEY_ENCRYPTION_KEY"] {
        assert_one_line(&start("identity-service", &base, required, None), required);
    }
    for (changed, value) in [
        ("DATABASE_URL", format!("mysql://u:{SECRET}@h/db").as_str()),
        ("DATABASE_URL", format!("postgres://u:{SECRET}@h:port/db").as_str()),
        ("PASSWORD_PEPPER", SECRET),
        ("PASSWORD_PEPPER_FILE", "/nowhere"),
        ("PASSWORD_PEPPER_OTHER", SECRET),
        ("PASSWORD_PEPPER_OTHER", IDENTITY[1].1),
        ("PASSWORD_PEPPER_OTHER_FILE", "/nowhere"),
        ("KEY_ENCRYPTION_KEY", SECRET),
        ("KEY_ENCRYPTION_KEY_OTHER", SECRET),
        ("KEY_ROTATION_DAYS", "3651"),
        ("ISSUER", "camelot"),
        ("USER_SCHEMA", "/nowhere"),
        ("MIGRATIONS", "later"),
        ("SHUTDOWN_DELAY_SECONDS", "301"),
        ("REQUIRE_VERIFIED", "yes"),
        ("REQUIRE_VERIFIED", ""),
        ("BCRYPT_COST", "9"),
        ("BCRYPT_COST", "15"),
        ("LISTEN_ADDRESS", "here"),
        ("ACCESS_TOKEN_LIFETIME_SECONDS", "0"),
        ("REFRESH_LIFETIME_SECONDS", "604799"),
        ("REFRESH_IDLE_SECONDS", "3599"),
        ("REFRESH_GRACE_SECONDS", "61"),
        ("RESET_TOKEN_LIFETIME_SECONDS", "59"),
        ("RESET_TOKEN_LIFETIME_SECONDS", "86401"),
        ("VERIFY_TOKEN_LIFETIME_SECONDS", "59"),
        ("VERIFY_TOKEN_LIFETIME_SECONDS", "2592001"),
        ("LOG", "foo=bar=baz"),
        ("LOG_FORMAT", "xml"),
        ("MAIL", SECRET),
        ("MAIL", format!("smtp://u:{SECRET}@h:port").as_str()),
        ("MAIL", format!("smtp://u:{SECRET}@h?tls=perhaps").as_str()),
        ("MAIL", format!("smtps://u:{SECRET}@h?sslrootcert=/nowhere").as_str()),
        ("MAIL", "dir:/proc/nowhere"),
        ("MAIL_FILE", "/nowhere"),
        ("MAIL_FROM", "camelot"),
        ("MAIL_FROM", ""),
        ("LINK_RESET", "http://localhost/reset"),
        ("LINK_VERIFY", "/verify?token={token}"),
        ("LINK_VERIFY", ""),
        ("MAIL_LANGUAGE", "xx"),
        ("MAIL_TEMPLATES", "/nowhere"),
        ("MAILS_PER_HOUR", "1001"),
    ] {
        assert_one_line(
            &start("identity-service", &base, changed, Some(value)),
            changed.trim_end_matches("_FILE"),
        );
    }
}

#[test]
fn a_broken_template_is_named_with_its_line() {
    let (mails, templates) = (Mailbox::new(), tempfile::tempdir().unwrap());
    let folder = templates.path().display();
    std::fs::create_dir(templates.path().join("en")).unwrap();
    let mut base = owned(&IDENTITY);
    base.push(("DATABASE_URL", "postgres://u:p@127.0.0.1:1/db".to_owned()));
    base.push(("MAIL", format!("dir:{}", mails.folder().display())));
    for (name, text, problem) in [
        ("en/reset.txt", "Subject: A\n\n{{ lnik }}", "en/reset.txt:3: undefined value: lnik"),
        ("en/verify.html", "{{ link }}\n{% if %}", "en/verify.html:2: syntax error: "),
        ("en/other.txt", "", "en/other.txt: is not one of "),
    ] {
        let path = templates.path().join(name);
        std::fs::write(&path, text).unwrap();
        let output = start("identity-service", &base, "MAIL_TEMPLATES", Some(&folder.to_string()));
        assert_one_line(&output, "MAIL_TEMPLATES");
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(said.starts_with(&format!("identity-service: MAIL_TEMPLATES {folder}/{problem}")), "{said}");
        std::fs::remove_file(path).unwrap();
    }
}

#[test]
fn the_gateway_names_the_variable_that_is_missing_or_malformed() {
    let mut base = owned(&GATEWAY);
    base.push(("IDENTITY_SERVICE_URL", "http://127.0.0.1:1".to_owned()));
    for required in ["IDENTITY_SERVICE_URL", "PUBLIC_ORIGIN"] {
        assert_one_line(&start("gateway", &base, required, None), required);
    }
    for (changed, value) in [
        ("IDENTITY_SERVICE_URL", "127.0.0.1"),
        ("PUBLIC_ORIGIN", "localhost:8000"),
        ("PUBLIC_ORIGIN", "http://localhost:8000/path"),
        ("CORS_ALLOWED_ORIGINS", "*"),
        ("CORS_ALLOWED_ORIGINS", "https://app.example/"),
        ("LISTEN_ADDRESS", "here"),
        ("TRUSTED_PROXIES", "10.0.0.1"),
        ("WORKERS", "none"),
        ("SHUTDOWN_DELAY_SECONDS", "301"),
        ("LOG_FORMAT", "xml"),
    ] {
        assert_one_line(&start("gateway", &base, changed, Some(value)), changed);
    }
}

#[tokio::test]
async fn another_key_encryption_key_stops_the_start_and_changes_nothing() {
    let database = Database::create().await;
    let mut identity = Process::identity(&database.url, &[]);
    identity.until_serving().await;
    let keys = identity.command(&["key", "list"]).unwrap();
    identity.kill();
    let other = [("KEY_ENCRYPTION_KEY", "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=")];
    let mut stranger = Process::identity(&database.url, &other);
    let status = stranger.wait(Duration::from_secs(5)).await.expect("does not start");
    assert_eq!(status.code(), Some(1));
    let log = stranger.log();
    let last = log.lines().last().unwrap_or_default();
    assert!(last.starts_with("identity-service: KEY_ENCRYPTION_KEY is not the key"), "{log}");
    assert_eq!(identity.command(&["key", "list"]).unwrap(), keys);
}

#[tokio::test]
async fn a_busy_port_is_named() {
    let database = Database::create().await;
    let first = Process::identity(&database.url, &[]);
    first.until_serving().await;
    let address = format!("127.0.0.1:{}", first.port);
    let mut second = Process::identity(&database.url, &[("LISTEN_ADDRESS", &address)]);
    assert_eq!(second.wait(Duration::from_secs(5)).await.and_then(|status| status.code()), Some(1));
    assert!(second.log().contains(&format!("cannot listen on {address}")), "{}", second.log());
    let mut gateway = Process::gateway_to(free_port(), &[("LISTEN_ADDRESS", &address)]);
    assert_eq!(gateway.wait(Duration::from_secs(5)).await.and_then(|status| status.code()), Some(1));
    assert!(gateway.log().contains(&address), "{}", gateway.log());
}

#[test]
fn the_readme_and_the_help_name_every_variable() {
    let readme = std::fs::read_to_string(repository().join("README.md")).unwrap();
    let help = |name: &str| {
        let arguments: &[&str] = if name == "gateway" { &["serve", "--help"] } else { &["--help"] };
        let output = program(name, &[]).args(arguments).output().unwrap();
        String::from_utf8(output.stdout).unwrap()
    };
    let identity =
        identity_service::config::VARIABLES.iter().map(|variable| ("identity-service", variable.name));
    let gateway = gateway::config::VARIABLES.iter().map(|variable| ("gateway", variable.name));
    for (program, name) in identity.chain(gateway) {
        assert!(readme.contains(&format!("`{name}`")), "put {name} into the README's table of {program}");
        assert!(help(program).contains(name), "{program} --help does not name {name}");
    }
}

#[tokio::test]
async fn a_database_that_refuses_us_stops_the_start_and_one_that_is_away_is_waited_for() {
    let database = Database::create().await;
    let unknown = format!("{}_unknown", database.url);
    let mut refused = Process::identity(&unknown, &[]);
    assert_eq!(refused.wait(Duration::from_secs(5)).await.and_then(|status| status.code()), Some(1));
    let log = refused.log();
    let last = log.lines().last().unwrap_or_default();
    assert!(
        last.starts_with("identity-service: Postgres (DATABASE_URL): ") && last.contains("does not exist"),
        "{log}"
    );
    let mut away = Process::identity(&format!("postgres://u:p@127.0.0.1:{}/db", free_port()), &[]);
    assert!(away.wait(Duration::from_secs(1)).await.is_none(), "{}", away.log());
    assert!(away.log().contains("waiting for the database"), "{}", away.log());
}
