//! Pods that may do more than they must.

use super::super::rules::complaints;
use super::{Control, are_found, break_one};
use crate::kubernetes::manifests::Tree;

const CONTROLS: &[Control] = &[
    (
        "Namespace/portcullis",
        "/metadata/labels/pod-security.kubernetes.io~1enforce",
        r#""baseline""#,
        "does not enforce restricted",
    ),
    (
        "ServiceAccount/gateway",
        "/automountServiceAccountToken",
        "",
        "ServiceAccount/gateway is given a token",
    ),
    ("Service/gateway", "/metadata/labels/app.kubernetes.io~1part-of", "", "has not the label"),
    ("Service/gateway", "/metadata/namespace", r#""default""#, "is not in the namespace"),
    ("Service/gateway", "/spec/selector/app.kubernetes.io~1version", r#""0.1.0""#, "selects one version"),
    (
        "Deployment/gateway",
        "POD/automountServiceAccountToken",
        "",
        "/automountServiceAccountToken is not false",
    ),
    ("Deployment/gateway", "POD/enableServiceLinks", "", "/enableServiceLinks is not false"),
    (
        "Deployment/gateway",
        "POD/securityContext/runAsNonRoot",
        "",
        "/securityContext/runAsNonRoot is not true",
    ),
    (
        "Deployment/gateway",
        "POD/securityContext/seccompProfile",
        "",
        "/securityContext/seccompProfile/type is not",
    ),
    ("Deployment/gateway", "POD/securityContext/runAsUser", "", "it has no number of a user"),
    ("Deployment/gateway", "POD/securityContext/runAsUser", r#""nonroot""#, "it has no number of a user"),
    (
        "Deployment/gateway",
        "POD/securityContext/runAsUser",
        "0",
        "it has no number of a user, or that of root",
    ),
    ("Deployment/gateway", "POD/securityContext/runAsUser", "1000", "our images are made for the user 65532"),
    (
        "Job/migrate",
        "/spec/template/metadata/labels/app.kubernetes.io~1version",
        r#""0.0.9""#,
        "its label is not that of",
    ),
    ("Deployment/gateway", "POD/hostNetwork", "true", "it has hostNetwork"),
    (
        "Deployment/gateway",
        "POD/volumes",
        r#"[{"name": "host", "hostPath": {"path": "/"}}]"#,
        "is of a kind that is not allowed",
    ),
    ("Deployment/identity-service", "POD/volumes/0/secret/defaultMode", "", "have not the mode 0440"),
    (
        "Deployment/identity-service",
        "POD/securityContext/fsGroup",
        "",
        "are of a group that the program is not in",
    ),
    (
        "Job/migrate",
        "MAIN/securityContext/allowPrivilegeEscalation",
        "true",
        "/securityContext/allowPrivilegeEscalation is not false",
    ),
    (
        "Job/migrate",
        "MAIN/securityContext/readOnlyRootFilesystem",
        "",
        "/securityContext/readOnlyRootFilesystem is not true",
    ),
    (
        "Job/migrate",
        "MAIN/securityContext/capabilities/add",
        r#"["SYS_ADMIN"]"#,
        "/securityContext/capabilities is not",
    ),
    ("Job/migrate", "MAIN/securityContext/runAsUser", "0", "runAsUser is said for the pod, and once"),
    ("Job/migrate", "MAIN/securityContext/privileged", "true", "privileged is said for the pod"),
    ("Deployment/gateway", "MAIN/ports/0/hostPort", "80", "takes a port of its node"),
    (
        "Deployment/gateway",
        "MAIN/image",
        r#""registry.example.com:5000/portcullis/gateway""#,
        "is another image each day",
    ),
    ("Deployment/gateway", "MAIN/image", r#""portcullis/gateway:latest""#, "is another image each day"),
    ("Deployment/gateway", "MAIN/image", r#""portcullis/gateway:0.0.9""#, "is not of the version"),
    ("Deployment/gateway", "MAIN/resources/limits", "", "has no limits/memory"),
    ("Deployment/gateway", "MAIN/resources/requests/cpu", "", "has no requests/cpu"),
    ("Deployment/gateway", "MAIN/resources/limits/cpu", r#""1""#, "has a limit of CPU"),
    ("ServiceAccount/gateway", "/kind", r#""RoleBinding""#, "nobody here talks to Kubernetes"),
    ("ServiceAccount/gateway", "/kind", r#""ClusterRole""#, "nobody here talks to Kubernetes"),
    (
        "Deployment/identity-service",
        "POD/volumes/1",
        r#"{"name": "secrets", "projected": {"sources": [{"serviceAccountToken": {"path": "token"}}]}}"#,
        "the volume \"secrets\" is of a kind that is not allowed",
    ),
    (
        "Deployment/identity-service",
        "POD/volumes/0/secret/items",
        r#"[{"key": "DATABASE_URL", "path": "DATABASE_URL", "mode": 511}]"#,
        "a file of \"database\" has a mode of its own",
    ),
    (
        "Deployment/gateway",
        "MAIN/image",
        r#""portcullis/gateway:0.1.0""#,
        "is looked for where nobody has said",
    ),
    (
        "Deployment/gateway",
        "MAIN/image",
        r#""localhost/portcullis/gateway:0.1.0""#,
        "is pulled from where it is not",
    ),
    ("Deployment/gateway", "MAIN/imagePullPolicy", r#""Never""#, "is not pulled from where it is"),
    (
        "Deployment/gateway",
        "MAIN/image",
        r#""registry.example.com/portcullis/gateway@sha256:0123""#,
        "is another image each day",
    ),
];

#[test]
fn a_pod_that_may_do_more_than_it_must_is_found() {
    are_found("overlays/production", CONTROLS);
}

#[test]
fn an_image_that_is_named_by_its_digest_is_accepted() {
    let folder = "overlays/production";
    let mut all = Tree::new().install(folder);
    let image = r#""registry.example.com/portcullis/gateway@sha256:0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef""#;
    break_one(&mut all, &("Deployment/gateway", "MAIN/image", image, ""));
    assert_eq!(complaints(folder, &all), Vec::<String>::new());
}
