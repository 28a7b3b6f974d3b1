use super::*;

const REQUIRED: &[(&str, &str)] =
    &[("IDENTITY_SERVICE_URL", "http://127.0.0.1:50051"), ("PUBLIC_ORIGIN", "http://localhost:8000")];

fn with(more: &[(&str, &str)]) -> Result<Config, ConfigError> {
    Config::from_vars(|name| {
        let found = more.iter().chain(REQUIRED).find(|(n, _)| *n == name);
        found.map(|(_, value)| (*value).into())
    })
}

#[test]
fn two_variables_are_enough() {
    let config = with(&[]).unwrap();
    assert_eq!(config.listen_address, "127.0.0.1:8000".parse().unwrap());
    assert!(config.cors_allowed_origins.is_empty());
    assert_eq!(config.log_format, LogFormat::Text);
    assert_eq!(config.trusted_proxies, TrustedProxies(0));
    assert!(config.workers >= 1);
}

#[test]
fn a_required_variable_that_is_absent_or_empty_is_named() {
    for name in ["IDENTITY_SERVICE_URL", "PUBLIC_ORIGIN"] {
        let error = with(&[(name, "")]).unwrap_err();
        assert!(matches!(error, ConfigError::Missing { .. }), "{error}");
        assert!(error.to_string().starts_with(name), "{error}");
    }
}

#[test]
fn a_malformed_variable_is_named_in_one_line() {
    for (name, value) in [
        ("LISTEN_ADDRESS", "localhost:8000"),
        ("IDENTITY_SERVICE_URL", "127.0.0.1:50051"),
        ("IDENTITY_SERVICE_URL", "https://id.example"),
        ("IDENTITY_SERVICE_URL", "http://id.example/path"),
        ("IDENTITY_SERVICE_URL", "http://:password@id.example"),
        ("PUBLIC_ORIGIN", "http://localhost:8000/"),
        ("PUBLIC_ORIGIN", "localhost"),
        ("CORS_ALLOWED_ORIGINS", "*"),
        ("CORS_ALLOWED_ORIGINS", "https://a.example,null"),
        ("TRUSTED_PROXIES", "-1"),
        ("TRUSTED_PROXIES", "17"),
        ("TRUSTED_PROXIES", "10.0.0.0/8"),
        ("WORKERS", "0"),
        ("WORKERS", "many"),
        ("LOG", "a=b=c"),
        ("LOG_FORMAT", "xml"),
    ] {
        let error = with(&[(name, value)]).unwrap_err().to_string();
        assert!(error.starts_with(&format!("{name} is malformed: ")), "{value}: {error}");
        assert!(!error.contains('\n'), "{error}");
    }
}

#[cfg(unix)]
#[test]
fn a_value_that_is_not_unicode_is_malformed_and_not_absent() {
    use std::os::unix::ffi::OsStringExt as _;
    let error = Config::from_vars(|name| match name {
        "WORKERS" => Some(OsString::from_vec(vec![0xff])),
        _ => REQUIRED.iter().find(|(known, _)| *known == name).map(|(_, value)| value.into()),
    });
    assert_eq!(error.unwrap_err().to_string(), "WORKERS is malformed: not Unicode");
}

#[test]
fn the_help_explains_every_variable() {
    for variable in VARIABLES {
        assert!(help().contains(variable.name));
    }
}
