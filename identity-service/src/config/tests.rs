use super::*;

const KEY: &str = "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=";

const OTHER: &str = "AQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQE=";
const THIRD: &str = "AgICAgICAgICAgICAgICAgICAgICAgICAgICAgICAgI=";

fn config(changed: &[(&str, Option<&str>)]) -> Result<Config, String> {
    let get = |name: &str| match changed.iter().find(|(changed, _)| *changed == name) {
        Some((_, value)) => value.map(str::to_owned),
        None => match name {
            "DATABASE_URL" => Some("postgres://u:hunter2@localhost/db".to_owned()),
            "ISSUER" => Some("http://localhost:8000".to_owned()),
            "PASSWORD_PEPPER" | "KEY_ENCRYPTION_KEY" => Some(KEY.to_owned()),
            _ => None,
        },
    };
    Vars::new(&get).config().map_err(|error| error.to_string())
}

fn problem(name: &str, value: Option<&str>) -> String {
    config(&[(name, value)]).map(|_| ()).unwrap_err()
}

#[test]
fn the_four_required_variables_are_enough() {
    let config = config(&[]).unwrap();
    let Lifetimes { access, longest, idle, grace } = config.lifetimes;
    let day = 24 * 60 * 60;
    assert_eq!([access, longest, idle, grace].map(|it| it.as_secs()), [3600, 30 * day, 7 * day, 10]);
    assert_eq!(config.credentials.bcrypt_cost, 12);
    assert_eq!(config.verification, Verification::Optional);
}

#[test]
fn a_missing_or_malformed_variable_is_named_with_what_to_do() {
    for variable in VARIABLES.iter().filter(|variable| variable.default.is_none()) {
        let problem = problem(variable.name, None);
        assert!(problem.starts_with(&format!("{} is not set: ", variable.name)), "{problem}");
    }
    for (name, value) in [
        ("DATABASE_URL", "mysql://u:hunter2@localhost/db"),
        ("DATABASE_URL", "postgres://u:hunter2@localhost"),
        ("ISSUER", "localhost"),
        ("ISSUER", "https://id.example.com\n"),
        ("ISSUER", &format!("https://{}", "x".repeat(505))),
        ("PASSWORD_PEPPER", "c2hvcnQ="),
        ("PASSWORD_PEPPER_OTHER", "c2hvcnQ="),
        ("PASSWORD_PEPPER_OTHER", "&&&"),
        ("PASSWORD_PEPPER_OTHER", ","),
        ("PASSWORD_PEPPER_OTHER", &format!("{OTHER},")),
        ("PASSWORD_PEPPER_OTHER", &format!("{OTHER}, {THIRD}")),
        ("KEY_ENCRYPTION_KEY", "&&&"),
        ("KEY_ENCRYPTION_KEY", "c2hvcnQ="),
        ("REQUIRE_VERIFIED", "yes"),
        ("REQUIRE_VERIFIED", "TRUE"),
        ("REQUIRE_VERIFIED", "true"), // and there is no MAIL
        ("BCRYPT_COST", "9"),
        ("BCRYPT_COST", "15"),
        ("PASSWORD_MIN_LENGTH", "0"),
        ("ACCESS_TOKEN_LIFETIME_SECONDS", "86401"),
        ("REFRESH_LIFETIME_SECONDS", "31536001"),
        ("REFRESH_IDLE_SECONDS", "59"),
        ("REFRESH_GRACE_SECONDS", "-1"),
        ("REFRESH_GRACE_SECONDS", "61"),
        ("DATABASE_POOL_SIZE", "many"),
    ] {
        let problem = problem(name, Some(value));
        assert!(problem.starts_with(name) && !problem.contains('\n'), "{problem}");
        assert!(!problem.contains("hunter2") && !problem.contains(value), "{problem}");
    }
}

#[test]
fn a_secret_can_be_a_file_and_not_both() {
    let path = std::env::temp_dir().join(format!("portcullis-config-{}", std::process::id()));
    std::fs::write(&path, format!("{KEY}\n")).unwrap();
    let file = path.to_str();
    let alone = [("PASSWORD_PEPPER", None), ("PASSWORD_PEPPER_FILE", file)];
    assert!(config(&alone).is_ok());
    let both = [("PASSWORD_PEPPER_FILE", file)];
    assert!(config(&both).is_err_and(|problem| problem.contains("keep one of them")));
    std::fs::remove_file(&path).unwrap();
    assert!(config(&alone).is_err_and(|problem| problem.starts_with("PASSWORD_PEPPER cannot")));
}

#[test]
fn other_peppers_are_separated_by_commas_and_none_stands_there_twice() {
    for others in ["", OTHER, &format!("{OTHER},{THIRD}")] {
        assert!(config(&[("PASSWORD_PEPPER_OTHER", Some(others))]).is_ok(), "{others}");
    }
    for others in [KEY, &format!("{OTHER},{OTHER}"), &format!("{OTHER},{KEY}")] {
        let problem = problem("PASSWORD_PEPPER_OTHER", Some(others));
        assert!(problem.starts_with("PASSWORD_PEPPER_OTHER has a pepper twice"), "{problem}");
        assert!(!problem.contains(OTHER) && !problem.contains(KEY), "{problem}");
    }
}

#[test]
fn a_session_lasts_no_shorter_than_what_belongs_to_it() {
    let said = |changed: &[(&str, Option<&str>)]| config(changed).map(|_| ());
    let (access, idle, longest) =
        ("ACCESS_TOKEN_LIFETIME_SECONDS", "REFRESH_IDLE_SECONDS", "REFRESH_LIFETIME_SECONDS");
    let all = |a, i, l| said(&[(access, Some(a)), (idle, Some(i)), (longest, Some(l))]);
    assert_eq!(all("60", "60", "60"), Ok(()));
    assert_eq!(
        all("3600", "3599", "7200"),
        Err("REFRESH_IDLE_SECONDS is less than ACCESS_TOKEN_LIFETIME_SECONDS, 3600".to_owned())
    );
    assert_eq!(
        all("60", "600", "599"),
        Err("REFRESH_LIFETIME_SECONDS is less than REFRESH_IDLE_SECONDS, 600".to_owned())
    );
}
