//! What would interrupt service.

use super::{Control, are_found};

const CONTROLS: &[Control] = &[
    ("Deployment/gateway", "/spec/strategy", "", "an update takes a pod away before the next one is ready"),
    ("HorizontalPodAutoscaler/gateway", "", "", "Deployment/gateway: nobody scales it"),
    ("HorizontalPodAutoscaler/gateway", "/spec/minReplicas", "1", "one replica may be all"),
    ("PodDisruptionBudget/gateway", "", "", "all its pods may be evicted at once"),
    (
        "Deployment/gateway",
        "POD/topologySpreadConstraints/0",
        "",
        "all its pods may be in one topology.kubernetes.io/zone",
    ),
    ("Deployment/gateway", "MAIN/startupProbe", "", "it has no startupProbe"),
    ("Deployment/gateway", "MAIN/readinessProbe/exec/command/1", r#""health""#, "readinessProbe is not"),
    ("Deployment/gateway", "MAIN/livenessProbe/exec/command/2", "", "livenessProbe is not"),
    ("Deployment/gateway", "MAIN/lifecycle", "", "it is stopped before endpoints have forgotten it"),
    ("ConfigMap/gateway", "/data/SHUTDOWN_DELAY_SECONDS", "", "does not wait for who hears it"),
    ("ConfigMap/gateway", "/data/SHUTDOWN_DELAY_SECONDS", r#""20""#, "45 s are not more than 5 + 20 + 20"),
    ("Deployment/gateway", "POD/terminationGracePeriodSeconds", "", "30 s are not more than 5 + 5 + 20"),
    ("ConfigMap/gateway", "/data/WORKERS", "", "WORKERS is as many as its node has cores"),
    ("ConfigMap/identity-service", "/data/HASH_THREADS", r#""4""#, "it hashes 4 at once and requests 1000"),
    ("ConfigMap/identity-service", "/data/DATABASE_POOL_SIZE", r#""16""#, "connections are more than 97"),
    ("HorizontalPodAutoscaler/identity-service", "/spec/maxReplicas", "9", "connections are more than 97"),
    ("Job/migrate", "/spec/backoffLimit", "", "Job/migrate has no backoffLimit"),
    ("Job/migrate", "/spec/activeDeadlineSeconds", "3600", "is killed while it works"),
    ("Job/migrate", "POD/restartPolicy", r#""OnFailure""#, "takes its logs with it"),
    ("Job/migrate", "POD/terminationGracePeriodSeconds", "", "hears no SIGTERM, and is waited for"),
    ("PodDisruptionBudget/gateway", "/spec/maxUnavailable", "0", "can never be emptied"),
    (
        "PodDisruptionBudget/gateway",
        "/spec",
        r#"{"minAvailable": 2, "selector": {"matchLabels": {"app.kubernetes.io/component": "gateway"}}}"#,
        "can never be emptied",
    ),
    ("Deployment/gateway", "MAIN/readinessProbe/timeoutSeconds", "3", "does not wait for the answer"),
    ("Deployment/gateway", "MAIN/startupProbe/timeoutSeconds", "", "startupProbe does not wait"),
    ("Deployment/gateway", "MAIN/livenessProbe/failureThreshold", "2", "2 slow answers restart it"),
    ("Deployment/gateway", "MAIN/startupProbe/failureThreshold", "59", "it is restarted after 118 s"),
    (
        "Deployment/gateway",
        "POD/topologySpreadConstraints/1/matchLabelKeys",
        "",
        "its new pods are spread over kubernetes.io/hostname",
    ),
    (
        "Deployment/identity-service",
        "/spec/minReadySeconds",
        "30",
        "Deployment/identity-service: an old pod goes while DNS",
    ),
    (
        "ConfigMap/identity-service",
        "/metadata/labels/app.kubernetes.io~1component",
        r#""gateway""#,
        "is updated with the wrong half",
    ),
    (
        "Ingress/gateway",
        "/metadata/labels/app.kubernetes.io~1component",
        "",
        "is updated with the wrong half",
    ),
];

#[test]
fn what_would_interrupt_service_is_found() {
    are_found("overlays/production", CONTROLS);
}
