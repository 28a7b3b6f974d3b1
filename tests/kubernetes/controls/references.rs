//! References that lead nowhere.

use super::{Control, are_found};

const CONTROLS: &[Control] = &[
    (
        "Service/gateway",
        "/spec/selector",
        r#"{"app.kubernetes.io/component": "gate"}"#,
        "Service/gateway selects no pod",
    ),
    ("Service/gateway", "/spec/ports/0/targetPort", r#""grpc""#, "has no port \"grpc\""),
    ("Service/gateway", "", "", "there is no Service \"gateway\" with port"),
    ("Service/gateway", "/spec/ports/0/name", r#""web""#, "there is no Service \"gateway\" with port"),
    (
        "Ingress/gateway",
        "/spec/tls/0/hosts/0",
        r#""other.example.com""#,
        "nobody gets a certificate for \"id.example.com\"",
    ),
    ("Ingress/gateway", "/metadata/annotations", "", "nobody gets a certificate"),
    (
        "HorizontalPodAutoscaler/gateway",
        "/spec/scaleTargetRef/name",
        r#""gate""#,
        "scales \"gate\", which is not there",
    ),
    (
        "Deployment/gateway",
        "/spec/replicas",
        "3",
        "has replicas, which HorizontalPodAutoscaler/gateway decides",
    ),
    (
        "PodDisruptionBudget/gateway",
        "/spec/selector/matchLabels",
        r#"{"app": "gate"}"#,
        "PodDisruptionBudget/gateway selects no pod",
    ),
    (
        "NetworkPolicy/gateway",
        "/spec/podSelector/matchLabels",
        r#"{"app": "gate"}"#,
        "NetworkPolicy/gateway is for no pod",
    ),
    (
        "NetworkPolicy/gateway",
        "/spec/egress/0/to/0/podSelector/matchLabels",
        r#"{"app": "id"}"#,
        "which are not there",
    ),
    (
        "NetworkPolicy/gateway",
        "/spec/egress/0/ports/0/port",
        "50052",
        "Deployment/identity-service has no port 50052",
    ),
    (
        "NetworkPolicy/identity-service",
        "/spec/ingress/0/ports/0/port",
        "50052",
        "Deployment/identity-service has no port 50052",
    ),
    (
        "Deployment/gateway",
        "/spec/template/metadata/labels/app.kubernetes.io~1component",
        r#""gate""#,
        "does not select its own pods",
    ),
    ("ServiceAccount/migrate", "", "", "there is no ServiceAccount \"migrate\""),
    ("Deployment/identity-service", "POD/volumes/0", "", "there is no volume \"database\""),
    ("Deployment/identity-service", "MAIN/volumeMounts/0", "", "nobody mounts the volume \"database\""),
    (
        "Deployment/gateway",
        "POD/topologySpreadConstraints/0/labelSelector",
        r#"{"matchLabels": {"app": "gate"}}"#,
        "it is spread over",
    ),
    ("Secret/database", "", "", "there is no Secret \"database\""),
    ("ConfigMap/gateway", "", "", "there is no ConfigMap"),
    ("Deployment/gateway", "MAIN/envFrom", "", "nobody uses ConfigMap/gateway"),
    (
        "Deployment/identity-service",
        "POD/volumes/0/secret/items",
        r#"[{"key": "URL", "path": "URL"}]"#,
        "has no key \"URL\"",
    ),
    ("Deployment/gateway", "/metadata/name", r#""identity-service""#, "is there twice"),
    (
        "ConfigMap/gateway",
        "/metadata/name",
        r#""gateway""#,
        "ConfigMap/gateway keeps its name when it changes",
    ),
];

#[test]
fn a_reference_that_leads_nowhere_is_found() {
    are_found("overlays/production", CONTROLS);
}
