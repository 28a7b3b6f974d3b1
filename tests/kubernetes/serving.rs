//! What serves goes on serving, while nodes, versions and the load change.

use serde_json::{Value, json};

use super::manifests::{Installation, Pod, at, list, program, thousandths, title};

/// How long each program takes to finish what it has begun, after SHUTDOWN_DELAY_SECONDS.
const DRAINS: [(&str, u64); 2] = [("gateway", 20), ("identity-service", 15)];
/// What Postgres allows by default, but for the three that are a superuser's (PostgreSQL documentation, section 20.3).
const CONNECTIONS: u64 = 100 - 3;
/// The connections of a replica besides its pool.
const SINGLE_READS: u64 = 2;
/// Left for the Job and for an operator's commands.
const OTHERS: u64 = 10;

pub fn complaints(all: &Installation) -> Vec<String> {
    let mut found = Vec::new();
    for deployment in all.of_kind("Deployment") {
        of_deployment(all, deployment, &mut found);
    }
    for pod in all.pods() {
        for (program, drain) in DRAINS {
            if pod.owner.starts_with("Deployment/") && pod.runs(program) {
                of_program(all, &pod, program, drain, &mut |what| {
                    found.push(format!("{}: {what}", pod.owner));
                });
            }
        }
        for container in pod.containers().filter(|_| !pod.owner.starts_with("Job/")) {
            for probe in ["startupProbe", "readinessProbe", "livenessProbe"] {
                if container.get(probe).is_none() {
                    found.push(format!("{}: it has no {probe}", pod.owner));
                }
            }
        }
    }
    for job in all.of_kind("Job") {
        for bound in ["backoffLimit", "activeDeadlineSeconds", "ttlSecondsAfterFinished"] {
            if job["spec"].get(bound).is_none() {
                found.push(format!("{} has no {bound}", title(job)));
            }
        }
    }
    connections(all, &mut found);
    found
}

fn of_deployment(all: &Installation, deployment: &Value, found: &mut Vec<String>) {
    let mut complain = |what: &str| found.push(format!("{}: {what}", title(deployment)));
    if *at(deployment, "/spec/strategy/rollingUpdate") != json!({ "maxSurge": 1, "maxUnavailable": 0 }) {
        complain("an update takes a pod away before the next one is ready");
    }
    let is_scaled =
        |scaler: &Value| at(scaler, "/spec/scaleTargetRef/name") == at(deployment, "/metadata/name");
    match all.of_kind("HorizontalPodAutoscaler").find(|scaler| is_scaled(scaler)) {
        None => complain("nobody scales it"),
        Some(scaler) if at(scaler, "/spec/minReplicas").as_u64() < Some(2) => {
            complain("one replica may be all");
        }
        Some(_) => {}
    }
    let labels = at(deployment, "/spec/template/metadata/labels");
    let is_kept = |budget: &Value| {
        let selected = at(budget, "/spec/selector/matchLabels").as_object();
        selected.is_some_and(|selector| selector.iter().all(|(key, value)| labels[key] == *value))
    };
    if !all.of_kind("PodDisruptionBudget").any(is_kept) {
        complain("all its pods may be evicted at once");
    }
    for place in ["topology.kubernetes.io/zone", "kubernetes.io/hostname"] {
        let spreads = list(deployment, "/spec/template/spec/topologySpreadConstraints");
        if !spreads.iter().any(|spread| spread["topologyKey"] == place) {
            complain(&format!("all its pods may be in one {place}"));
        }
    }
}

fn of_program(
    all: &Installation,
    pod: &Pod<'_>,
    program: &str,
    drain: u64,
    complain: &mut impl FnMut(String),
) {
    let container = pod.containers().find(|container| self::program(container) == program).unwrap();
    let command = format!("/usr/local/bin/{program}");
    for (probe, wanted) in [
        ("startupProbe", json!([command, "healthcheck"])),
        ("readinessProbe", json!([command, "healthcheck"])),
        ("livenessProbe", json!([command, "healthcheck", "--live"])),
    ] {
        if *at(container, &format!("/{probe}/exec/command")) != wanted {
            complain(format!("{probe} is not {wanted}"));
        }
    }
    let pre_stop = at(container, "/lifecycle/preStop/sleep/seconds").as_u64();
    let delay = setting(all, container, "SHUTDOWN_DELAY_SECONDS");
    let grace = at(pod.spec, "/terminationGracePeriodSeconds").as_u64().unwrap_or(30);
    match (pre_stop, delay) {
        (None, _) => complain("it is stopped before endpoints have forgotten it".to_owned()),
        (_, None | Some(0)) => complain("it says that it ends and does not wait for who hears it".to_owned()),
        (Some(pre_stop), Some(delay)) if grace <= pre_stop + delay + drain => {
            complain(format!("{grace} s are not more than {pre_stop} + {delay} + {drain}"));
        }
        (Some(_), Some(_)) => {}
    }
    // What a program takes of a node when nothing says how much, is the whole node.
    let threads = if program == "gateway" { "WORKERS" } else { "HASH_THREADS" };
    let requested = thousandths(at(container, "/resources/requests/cpu")).unwrap_or_default();
    match setting(all, container, threads) {
        None | Some(0) => complain(format!("{threads} is as many as its node has cores")),
        Some(threads) if program == "identity-service" && threads != requested.div_ceil(1000) => {
            complain(format!("it hashes {threads} at once and requests {requested} thousandths of a core"));
        }
        Some(_) => {}
    }
}

/// The number that a container's ConfigMap has under a name.
fn setting(all: &Installation, container: &Value, name: &str) -> Option<u64> {
    let maps = list(container, "/envFrom").iter().filter_map(|from| from.get("configMapRef"));
    let mut maps = maps.filter_map(|map| all.find("ConfigMap", &map["name"]));
    maps.find_map(|map| map["data"][name].as_str()?.parse().ok())
}

/// All replicas that there may be, and the one more of an update, find room at a Postgres as it comes.
fn connections(all: &Installation, found: &mut Vec<String>) {
    for pod in
        all.pods().iter().filter(|pod| pod.owner.starts_with("Deployment/") && pod.runs("identity-service"))
    {
        let pool = pod.containers().find_map(|container| setting(all, container, "DATABASE_POOL_SIZE"));
        let is_ours = |scaler: &&Value| {
            pod.owner.ends_with(at(scaler, "/spec/scaleTargetRef/name").as_str().unwrap_or("?"))
        };
        let most = all.of_kind("HorizontalPodAutoscaler").find(is_ours);
        let most = most.and_then(|scaler| at(scaler, "/spec/maxReplicas").as_u64());
        let needed = pool.zip(most).map(|(pool, most)| (most + 1) * (pool + SINGLE_READS) + OTHERS);
        if needed.is_none_or(|needed| needed > CONNECTIONS) {
            found.push(format!("{}: {needed:?} connections are more than {CONNECTIONS}", pod.owner));
        }
    }
}
