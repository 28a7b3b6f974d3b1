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
    ("ConfigMap/identity-service", "/data/HASH_THREADS", r#""4""#, "it hashes 4 at once and requests 2000"),
    ("ConfigMap/identity-service", "/data/DATABASE_POOL_SIZE", r#""16""#, "connections are more than 97"),
    ("HorizontalPodAutoscaler/identity-service", "/spec/maxReplicas", "9", "connections are more than 97"),
    ("Job/migrate", "/spec/backoffLimit", "", "Job/migrate has no backoffLimit"),
];

#[test]
fn what_would_interrupt_service_is_found() {
    are_found("overlays/production", CONTROLS);
}
