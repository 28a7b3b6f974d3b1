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
/// For how long CoreDNS, as it comes, and a cache on a node answer what was true before.
const DNS_CACHE_SECONDS: u64 = 30;
/// For how long a database may take to appear.
const START_SECONDS: u64 = 120;

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
            of_probes(container, &mut |what| found.push(format!("{}: {what}", pod.owner)));
        }
    }
    all.of_kind("Job").for_each(|job| of_job(job, &mut found));
    all.objects.iter().for_each(|object| of_half(object, &mut found));
    connections(all, &mut found);
    found
}

/// An update takes all but the gateways first, and the way back the gateways: each by this label.
fn of_half(object: &Value, found: &mut Vec<String>) {
    let name = at(object, "/metadata/name").as_str().unwrap_or_default();
    let is_labelled = at(object, "/metadata/labels/app.kubernetes.io~1component") == "gateway";
    if (name == "gateway" || name.starts_with("gateway-")) != is_labelled {
        found.push(format!("{} is updated with the wrong half", title(object)));
    }
}

fn of_job(job: &Value, found: &mut Vec<String>) {
    let mut complain = |what: &str| found.push(format!("{} {what}", title(job)));
    for bound in ["backoffLimit", "ttlSecondsAfterFinished"] {
        if job["spec"].get(bound).is_none() {
            complain(&format!("has no {bound}"));
        }
    }
    if job["spec"].get("activeDeadlineSeconds").is_some() {
        complain("is killed while it works, and would be each time");
    }
    if at(job, "/spec/template/spec/restartPolicy") != "Never" {
        complain("takes its logs with it when it has failed");
    }
    if at(job, "/spec/template/spec/terminationGracePeriodSeconds").as_u64().is_none_or(|grace| grace > 5) {
        complain("hears no SIGTERM, and is waited for");
    }
}

fn of_probes(container: &Value, complain: &mut impl FnMut(String)) {
    for name in ["startupProbe", "readinessProbe", "livenessProbe"] {
        let Some(probe) = container.get(name) else {
            complain(format!("it has no {name}"));
            continue;
        };
        let number = |field: &str, default| probe[field].as_u64().unwrap_or(default);
        // `healthcheck` itself answers after at most 3 s.
        if number("timeoutSeconds", 1) < 4 {
            complain(format!("{name} does not wait for the answer"));
        }
        let failures = number("failureThreshold", 3);
        if name == "livenessProbe" && failures < 3 {
            complain(format!("{failures} slow answers restart it"));
        }
        let patience = number("periodSeconds", 10) * failures;
        if name == "startupProbe" && patience < START_SECONDS {
            complain(format!("it is restarted after {patience} s, while it waits for others"));
        }
    }
}

fn of_deployment(all: &Installation, deployment: &Value, found: &mut Vec<String>) {
    let mut complain = |what: &str| found.push(format!("{}: {what}", title(deployment)));
    if *at(deployment, "/spec/strategy/rollingUpdate") != json!({ "maxSurge": 1, "maxUnavailable": 0 }) {
        complain("an update takes a pod away before the next one is ready");
    }
    let is_scaled =
        |scaler: &Value| at(scaler, "/spec/scaleTargetRef/name") == at(deployment, "/metadata/name");
    let scaler = all.of_kind("HorizontalPodAutoscaler").find(|scaler| is_scaled(scaler));
    let fewest = scaler.map(|scaler| at(scaler, "/spec/minReplicas").as_u64().unwrap_or(1));
    match fewest {
        None => complain("nobody scales it"),
        Some(0 | 1) => complain("one replica may be all"),
        Some(_) => {}
    }
    let is_own = |pod: &Pod<'_>| pod.owner == title(deployment);
    let is_selected = |object: &&Value| all.selected(at(object, "/spec/selector")).iter().any(is_own);
    match all.of_kind("PodDisruptionBudget").find(is_selected) {
        None => complain("all its pods may be evicted at once"),
        Some(budget) if !allows_one(budget, fewest.unwrap_or_default()) => {
            complain("a node with one of its pods can never be emptied");
        }
        Some(_) => {}
    }
    for place in ["topology.kubernetes.io/zone", "kubernetes.io/hostname"] {
        let mut spreads = list(deployment, "/spec/template/spec/topologySpreadConstraints").iter();
        match spreads.find(|spread| spread["topologyKey"] == place) {
            None => complain(&format!("all its pods may be in one {place}")),
            Some(spread) if spread["matchLabelKeys"] != json!(["pod-template-hash"]) => {
                complain(&format!("its new pods are spread over {place} beside those that go"));
            }
            Some(_) => {}
        }
    }
    let is_found_by_name =
        all.of_kind("Service").filter(is_selected).any(|it| it["spec"]["clusterIP"] == "None");
    let settles = at(deployment, "/spec/minReadySeconds").as_u64().unwrap_or_default();
    if is_found_by_name && settles <= DNS_CACHE_SECONDS {
        complain("an old pod goes while DNS may not yet know the new one");
    }
}

/// Whether a budget lets a pod go when there are as few as there may be.
fn allows_one(budget: &Value, fewest: u64) -> bool {
    match (budget["spec"]["maxUnavailable"].as_u64(), budget["spec"]["minAvailable"].as_u64()) {
        (Some(most), None) => most > 0,
        (None, Some(least)) => least < fewest,
        _ => false,
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
