//! What only some installations have.

use super::are_found;

#[test]
fn what_only_some_installations_have_is_checked_as_well() {
    let postgres = [
        ("Secret/postgres", "", "", "there is no Secret"),
        ("StatefulSet/postgres", "/spec/volumeClaimTemplates", "", "there is no volume \"data\""),
        ("StatefulSet/postgres", "MAIN/livenessProbe", "", "it has no livenessProbe"),
        ("NetworkPolicy/postgres", "", "", "is not allowed: in: migrate -> postgres 5432/TCP"),
        (
            "StatefulSet/postgres",
            "MAIN/image",
            r#""docker.io/library/postgres:16""#,
            "is not the Postgres that",
        ),
        ("Deployment/gateway", "MAIN/imagePullPolicy", "", "is pulled from where it is not"),
        ("Secret/database", "/metadata/name", r#""database""#, "Secret/database keeps its name"),
    ];
    are_found("overlays/local", &postgres);
    let (uri, later) =
        (r#"{"name": "DATABASE_URL", "value": "$(POSTGRES_URI)"}"#, r#"{"name": "A", "value": ""}"#);
    let without_tls = r#"{"name": "DATABASE_URL", "value": "$(POSTGRES_URI)?sslmode=prefer"}"#;
    let cloudnative_pg = [
        ("Secret/postgres-app", "/stringData/uri", "", "has no key \"uri\""),
        ("Cluster/postgres", "/spec/imageName", "", "Cluster/postgres:  is another image each day"),
        (
            "Cluster/postgres",
            "/spec/imageName",
            r#""ghcr.io/cloudnative-pg/postgresql:18.3""#,
            "is not the Postgres that",
        ),
        ("Deployment/identity-service", "MAIN/env/1", without_tls, "DATABASE_URL believes any server"),
        // A variable is known to those behind it only.
        ("Job/migrate", "MAIN/env/0", uri, "DATABASE_URL is not a Postgres URL"),
        (
            "Deployment/identity-service",
            "MAIN/env/1",
            later,
            "identity-service knows no variable POSTGRES_URI",
        ),
    ];
    are_found("examples/cloudnative-pg", &cloudnative_pg);
}
