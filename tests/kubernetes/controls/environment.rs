//! What a program would not start with, or not work with.

use super::{Control, are_found};

const CONTROLS: &[Control] = &[
    ("ConfigMap/gateway", "/data/WORKER", r#""2""#, "gateway knows no variable WORKER"),
    (
        "ConfigMap/gateway",
        "/data/PUBLIC_ORIGIN_FILE",
        r#""/""#,
        "gateway knows no variable PUBLIC_ORIGIN_FILE",
    ),
    ("ConfigMap/gateway", "/data/PUBLIC_ORIGIN", "", "PUBLIC_ORIGIN is not set"),
    ("ConfigMap/gateway", "/data/LISTEN_ADDRESS", "", "nobody reaches it at 127.0.0.1:8000"),
    (
        "ConfigMap/gateway",
        "/data/IDENTITY_SERVICE_URL",
        r#""http://identity:50051""#,
        "there is no Service \"identity\"",
    ),
    (
        "ConfigMap/gateway",
        "/data/IDENTITY_SERVICE_URL",
        r#""http://identity-service:50051""#,
        "hides the replicas",
    ),
    (
        "ConfigMap/gateway",
        "/data/IDENTITY_SERVICE_URL",
        r#""http://identity-service-headless:1""#,
        "has no port of",
    ),
    ("ConfigMap/gateway", "/data/TRUSTED_PROXIES", "", "is one proxy, and 0 are trusted"),
    (
        "Ingress/gateway",
        "/spec/rules/0/host",
        r#""other.example.com""#,
        "PUBLIC_ORIGIN is not that of Ingress/gateway",
    ),
    (
        "ConfigMap/identity-service",
        "/data/ISSUER",
        r#""https://other.example.com""#,
        "PUBLIC_ORIGIN is not the ISSUER",
    ),
    (
        "ConfigMap/identity-service",
        "/data/PASSWORD_PEPPER",
        r#""x""#,
        "PASSWORD_PEPPER is a secret, and stands where everybody",
    ),
    (
        "Deployment/identity-service",
        "MAIN/env/0",
        r#"{"name": "MAIL", "value": "smtp://h"}"#,
        "MAIL is a secret, and stands",
    ),
    ("Secret/identity-service", "/data/PASSWORD_PEPPER", r#""c2hvcnQ=""#, "PASSWORD_PEPPER is not base64"),
    ("Secret/identity-service", "/data/MAIL", "", "MAIL cannot be read from the file"),
    ("Secret/database", "/data/ca.crt", "", "names an sslrootcert that cannot be read"),
    ("ConfigMap/identity-service", "/data/LINK_RESET", "", "LINK_RESET is not set, and MAIL is"),
    ("Deployment/identity-service", "MAIN/env/0", "", "MAIL_FROM is set, and MAIL is not"),
    (
        "ConfigMap/identity-service",
        "/data/LISTEN_ADDRESS",
        r#""0.0.0.0:50052""#,
        "nobody reaches it at 0.0.0.0:50052",
    ),
    ("ConfigMap/identity-service", "/data/MIGRATIONS", r#""apply""#, "either it migrates, or it waits"),
    ("Job/migrate", "", "", "either it migrates, or it waits"),
    ("Job/migrate", "MAIN/env/0/name", r#""DATABASE_URL""#, "DATABASE_URL is a secret, and stands"),
    ("Job/migrate", "MAIN/env", "", "DATABASE_URL is not set"),
    ("Job/migrate", "MAIN/args/0", r#""migrations""#, "there is no command"),
    // postgres://u:p@h/d?sslmode=require
    (
        "Secret/database",
        "/data/DATABASE_URL",
        r#""cG9zdGdyZXM6Ly91OnBAaC9kP3NzbG1vZGU9cmVxdWlyZQ==""#,
        "Job/migrate: DATABASE_URL believes any server",
    ),
];

#[test]
fn what_a_program_would_not_start_with_is_found() {
    are_found("overlays/production", CONTROLS);
}
