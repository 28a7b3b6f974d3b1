//! No pod may do more than its program must.

use serde_json::{Value, json};

use super::manifests::{Installation, Pod, at, list, program, title};

/// The programs whose images are our own, with the user that these are made for.
const OURS: [&str; 2] = ["gateway", "identity-service"];
const USER: u64 = 65532;
/// Some of what the standard "restricted" allows (Kubernetes documentation, Pod Security Standards); a projected volume
/// may hold a token of Kubernetes.
const VOLUMES: [&str; 3] = ["secret", "configMap", "emptyDir"];
/// The Postgres that README says is tested, and the images that hold it.
const POSTGRES: (&str, [&str; 2]) = ("15", ["postgres", "postgresql"]);

pub fn complaints(all: &Installation) -> Vec<String> {
    let mut found = Vec::new();
    for namespace in all.objects.iter().filter(|it| it["kind"] == "Namespace") {
        if at(namespace, "/metadata/labels/pod-security.kubernetes.io~1enforce") != "restricted" {
            found.push(format!("{} does not enforce restricted pods", title(namespace)));
        }
    }
    for account in all.of_kind("ServiceAccount") {
        if account["automountServiceAccountToken"] != false {
            found.push(format!("{} is given a token", title(account)));
        }
    }
    for object in &all.objects {
        of_labels(object, &mut found);
        let kind = object["kind"].as_str().unwrap_or_default();
        if kind.ends_with("Role") || kind.ends_with("RoleBinding") {
            found.push(format!("{}: nobody here talks to Kubernetes", title(object)));
        }
        if kind == "Cluster" {
            let servers = json!({ "image": object["spec"]["imageName"] });
            of_image(&servers, &mut |what| found.push(format!("{}: {what}", title(object))));
        }
    }
    for pod in all.pods() {
        let mut complain = |what: String| found.push(format!("{}: {what}", pod.owner));
        of_pod(&pod, &mut complain);
        pod.containers().for_each(|container| of_container(container, &mut complain));
    }
    found
}

fn of_labels(object: &Value, found: &mut Vec<String>) {
    for name in ["app.kubernetes.io~1name", "app.kubernetes.io~1part-of"] {
        if at(object, &format!("/metadata/labels/{name}")) != "portcullis" {
            found.push(format!("{} has not the label {name}", title(object)));
        }
    }
    if object["kind"] != "Namespace" && at(object, "/metadata/namespace") != "portcullis" {
        found.push(format!("{} is not in the namespace", title(object)));
    }
    // A selector cannot be changed, and a version must.
    let selectors = [at(object, "/spec/selector"), at(object, "/spec/podSelector")];
    if selectors.iter().any(|selector| selector.to_string().contains("app.kubernetes.io/version")) {
        found.push(format!("{} selects one version", title(object)));
    }
}

fn of_pod(pod: &Pod<'_>, complain: &mut impl FnMut(String)) {
    let spec = pod.spec;
    let is_ours = pod.containers().any(|container| OURS.contains(&program(container)));
    if is_ours && pod.labels["app.kubernetes.io/version"] != env!("CARGO_PKG_VERSION") {
        complain(format!("its label is not that of the version {}", env!("CARGO_PKG_VERSION")));
    }
    for (pointer, wanted) in [
        ("/automountServiceAccountToken", json!(false)),
        ("/enableServiceLinks", json!(false)),
        ("/securityContext/runAsNonRoot", json!(true)),
        ("/securityContext/seccompProfile/type", json!("RuntimeDefault")),
    ] {
        if *at(spec, pointer) != wanted {
            complain(format!("{pointer} is not {wanted}"));
        }
    }
    for (pointer, group) in [("/securityContext/runAsUser", "user"), ("/securityContext/runAsGroup", "group")]
    {
        match at(spec, pointer).as_u64() {
            None | Some(0) => complain(format!("it has no number of a {group}, or that of root")),
            Some(id) if id != USER && is_ours => {
                complain(format!("our images are made for the {group} {USER}, and this is {id}"));
            }
            Some(_) => {}
        }
    }
    for shared in ["hostNetwork", "hostPID", "hostIPC"] {
        if spec.get(shared).is_some_and(|value| *value != false) {
            complain(format!("it has {shared}"));
        }
    }
    for volume in list(spec, "/volumes") {
        if !VOLUMES.iter().any(|kind| volume.get(kind).is_some()) {
            complain(format!("the volume {} is of a kind that is not allowed", volume["name"]));
        }
        of_secret_volume(spec, volume, complain);
    }
}

/// Its files are root's: whoever is not reads them by the group, and nobody else does.
fn of_secret_volume(spec: &Value, volume: &Value, complain: &mut impl FnMut(String)) {
    let Some(secret) = volume.get("secret") else { return };
    if secret["defaultMode"] != 0o440 {
        complain(format!("the files of {} have not the mode 0440", volume["name"]));
    }
    if list(secret, "/items").iter().any(|item| item.get("mode").is_some()) {
        complain(format!("a file of {} has a mode of its own", volume["name"]));
    }
    if at(spec, "/securityContext/fsGroup") != at(spec, "/securityContext/runAsGroup") {
        complain(format!("the files of {} are of a group that the program is not in", volume["name"]));
    }
}

fn of_container(container: &Value, complain: &mut impl FnMut(String)) {
    let name = &container["name"];
    for (pointer, wanted) in [
        ("/securityContext/allowPrivilegeEscalation", json!(false)),
        ("/securityContext/readOnlyRootFilesystem", json!(true)),
        ("/securityContext/capabilities", json!({ "drop": ["ALL"] })),
    ] {
        if *at(container, pointer) != wanted {
            complain(format!("{name}: {pointer} is not {wanted}"));
        }
    }
    for overridden in ["privileged", "runAsUser", "runAsGroup", "runAsNonRoot", "seccompProfile", "procMount"]
    {
        if container["securityContext"].get(overridden).is_some() {
            complain(format!("{name}: {overridden} is said for the pod, and once"));
        }
    }
    if list(container, "/ports").iter().any(|port| port.get("hostPort").is_some()) {
        complain(format!("{name} takes a port of its node"));
    }
    of_image(container, complain);
    for amount in ["requests/cpu", "requests/memory", "limits/memory"] {
        if at(container, &format!("/resources/{amount}")).is_null() {
            complain(format!("{name} has no {amount}"));
        }
    }
    if !at(container, "/resources/limits/cpu").is_null() {
        complain(format!("{name} has a limit of CPU, which stops it for the rest of each 100 ms"));
    }
}

fn of_image(container: &Value, complain: &mut impl FnMut(String)) {
    let image = container["image"].as_str().unwrap_or_default();
    let (name, digest) = image.split_once('@').unwrap_or((image, ""));
    let is_digest = digest.strip_prefix("sha256:").is_some_and(|digits| digits.len() == 64);
    let tag = name.rsplit('/').next().unwrap_or_default().split_once(':').map(|(_, tag)| tag);
    let (major, servers) = POSTGRES;
    match tag {
        None | Some("latest") if !is_digest => complain(format!("{image} is another image each day")),
        Some(tag) if OURS.contains(&program(container)) && tag != env!("CARGO_PKG_VERSION") => {
            complain(format!("{image} is not of the version {}", env!("CARGO_PKG_VERSION")));
        }
        Some(tag) if servers.contains(&program(container)) && tag.split(['.', '-']).next() != Some(major) => {
            complain(format!("{image} is not the Postgres that is tested"));
        }
        _ => {}
    }
    let registry = name.split_once('/').map_or("", |(registry, _)| registry);
    if registry != "localhost" && !registry.contains(['.', ':']) {
        complain(format!("{image} is looked for where nobody has said"));
    }
    // podman calls so what it builds, and a node has it by itself or not at all.
    if (registry == "localhost") != (container["imagePullPolicy"] == "Never") {
        complain(format!("{image} is pulled from where it is not, or is not pulled from where it is"));
    }
}
