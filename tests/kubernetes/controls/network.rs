//! Arrows too many or too few.

use super::{Control, are_found};

const CONTROLS: &[Control] = &[
    ("NetworkPolicy/default-deny", "", "", "what no policy names is allowed"),
    ("NetworkPolicy/default-deny", "/spec/policyTypes/1", "", "what no policy names is allowed"),
    ("NetworkPolicy/default-deny", "/spec/ingress", "[{}]", "is allowed: in: anybody -> everything any port"),
    ("NetworkPolicy/gateway", "/spec/ingress/0/from", "", "is allowed: in: anybody -> gateway 8000/TCP"),
    (
        "NetworkPolicy/gateway",
        "/spec/egress/0/ports",
        "",
        "is allowed: out: gateway -> identity-service any port",
    ),
    (
        "NetworkPolicy/gateway",
        "/spec/egress/0/ports/0/endPort",
        "50060",
        "is allowed: out: gateway -> identity-service 50051-50060/TCP",
    ),
    (
        "NetworkPolicy/identity-service",
        "/spec/ingress/0/from/1/namespaceSelector",
        "{}",
        "client=true in namespace everything",
    ),
    ("NetworkPolicy/identity-service", "", "", "is not allowed: in: gateway -> identity-service 50051/TCP"),
    (
        "NetworkPolicy/to-postgres",
        "/spec/egress/0/to/0/ipBlock/cidr",
        r#""0.0.0.0/0""#,
        "identity-service -> 0.0.0.0/0 5432/TCP",
    ),
    (
        "NetworkPolicy/dns",
        "/spec/podSelector/matchExpressions/0/values/2",
        "",
        "is not allowed: out: migrate -> k8s-app=kube-dns",
    ),
    ("NetworkPolicy/http01-solver", "", "", "is not allowed: in: namespace traefik -> acme.cert-manager.io"),
    // A label of another key means other pods.
    (
        "NetworkPolicy/gateway",
        "/spec/egress/0/to/0/podSelector/matchLabels",
        r#"{"kubernetes.io/metadata.name": "identity-service"}"#,
        "is allowed: out: gateway -> kubernetes.io/metadata.name=identity-service",
    ),
    (
        "NetworkPolicy/dns",
        "/spec/podSelector/matchExpressions/0/key",
        r#""app.kubernetes.io/name""#,
        "is not allowed: out: gateway -> k8s-app=kube-dns",
    ),
    ("Service/gateway", "/spec/type", r#""LoadBalancer""#, "Service/gateway is open to the outside"),
    ("Service/identity-service", "/spec/externalIPs", r#"["192.0.2.1"]"#, "is open to the outside"),
    (
        "Ingress/gateway",
        "/spec/rules/0/http/paths/0/backend/service/name",
        r#""identity-service""#,
        "leads past the gateway",
    ),
    (
        "Ingress/gateway",
        "/spec/defaultBackend",
        r#"{"service": {"name": "identity-service", "port": {"name": "grpc"}}}"#,
        "leads past the gateway",
    ),
];

#[test]
fn an_arrow_too_many_or_too_few_is_found() {
    are_found("overlays/production", CONTROLS);
}
