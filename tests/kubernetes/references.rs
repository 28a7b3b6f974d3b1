//! Every reference of one object to another leads somewhere.

use serde_json::Value;

use super::manifests::{Installation, Pod, at, files, list, title};

pub fn complaints(all: &Installation) -> Vec<String> {
    let mut found = Vec::new();
    for object in &all.objects {
        if all.objects.iter().filter(|other| title(other) == title(object)).count() > 1 {
            found.push(format!("{} is there twice", title(object)));
        }
    }
    all.of_kind("Service").for_each(|service| of_service(all, service, &mut found));
    all.of_kind("Ingress").for_each(|ingress| of_ingress(all, ingress, &mut found));
    all.of_kind("HorizontalPodAutoscaler").for_each(|scaler| of_autoscaler(all, scaler, &mut found));
    for budget in all.of_kind("PodDisruptionBudget") {
        if all.selected(at(budget, "/spec/selector")).is_empty() {
            found.push(format!("{} selects no pod", title(budget)));
        }
    }
    all.of_kind("NetworkPolicy").for_each(|policy| of_policy(all, policy, &mut found));
    for owner in &all.objects {
        let selector = at(owner, "/spec/selector");
        let owned = all.selected(selector).iter().any(|pod| pod.owner == title(owner));
        if owner["kind"] != "Service"
            && at(owner, "/spec/template").is_object()
            && !selector.is_null()
            && !owned
        {
            found.push(format!("{} does not select its own pods", title(owner)));
        }
    }
    all.pods().iter().for_each(|pod| of_pod(all, pod, &mut found));
    unused(all, &mut found);
    found
}

fn of_service(all: &Installation, service: &Value, found: &mut Vec<String>) {
    let pods = all.selected(at(service, "/spec/selector"));
    if pods.is_empty() {
        found.push(format!("{} selects no pod", title(service)));
    }
    for port in list(service, "/spec/ports") {
        for pod in pods.iter().filter(|pod| !pod.has_port(&port["targetPort"])) {
            found.push(format!("{}: {} has no port {}", title(service), pod.owner, port["targetPort"]));
        }
    }
}

fn of_ingress(all: &Installation, ingress: &Value, found: &mut Vec<String>) {
    let rules = list(ingress, "/spec/rules");
    for path in rules.iter().flat_map(|rule| list(rule, "/http/paths")) {
        let backend = at(path, "/backend/service");
        let port = &backend["port"];
        let service = all.find("Service", &backend["name"]);
        let is_open = |open: &Value| open["name"] == port["name"] || open["port"] == port["number"];
        if !service.is_some_and(|service| list(service, "/spec/ports").iter().any(is_open)) {
            found.push(format!(
                "{}: there is no Service {} with port {port}",
                title(ingress),
                backend["name"]
            ));
        }
    }
    let is_issued = at(ingress, "/metadata/annotations/cert-manager.io~1cluster-issuer").is_string();
    let secured: Vec<_> = list(ingress, "/spec/tls").iter().flat_map(|tls| list(tls, "/hosts")).collect();
    for rule in rules {
        if !is_issued || !secured.contains(&&rule["host"]) {
            found.push(format!("{}: nobody gets a certificate for {}", title(ingress), rule["host"]));
        }
    }
}

fn of_autoscaler(all: &Installation, scaler: &Value, found: &mut Vec<String>) {
    let target = at(scaler, "/spec/scaleTargetRef");
    match all.find(target["kind"].as_str().unwrap_or_default(), &target["name"]) {
        None => found.push(format!("{} scales {}, which is not there", title(scaler), target["name"])),
        Some(owner) if at(owner, "/spec/replicas").is_number() => {
            found.push(format!("{} has replicas, which {} decides", title(owner), title(scaler)));
        }
        Some(_) => {}
    }
}

fn of_policy(all: &Installation, policy: &Value, found: &mut Vec<String>) {
    let subjects = all.selected(at(policy, "/spec/podSelector"));
    if subjects.is_empty() {
        found.push(format!("{} is for no pod", title(policy)));
    }
    for (rules, peers) in [("/spec/ingress", "/from"), ("/spec/egress", "/to")] {
        for rule in list(policy, rules) {
            // A peer of another namespace is not ours to find.
            let own = list(rule, peers).iter().filter(|peer| peer["namespaceSelector"].is_null());
            for selector in own.map(|peer| &peer["podSelector"]).filter(|selector| !selector.is_null()) {
                let selected = all.selected(selector);
                if selected.is_empty() {
                    found.push(format!("{} names the pods {selector}, which are not there", title(policy)));
                }
                let servers = if peers == "/to" { &selected } else { &subjects };
                for port in list(rule, "/ports") {
                    for pod in servers.iter().filter(|pod| !pod.has_port(&port["port"])) {
                        found.push(format!("{}: {} has no port {}", title(policy), pod.owner, port["port"]));
                    }
                }
            }
        }
    }
}

fn of_pod(all: &Installation, pod: &Pod<'_>, found: &mut Vec<String>) {
    let mut complain = |what: String| found.push(format!("{}: {what}", pod.owner));
    if all.find("ServiceAccount", &pod.spec["serviceAccountName"]).is_none() {
        complain(format!("there is no ServiceAccount {}", pod.spec["serviceAccountName"]));
    }
    let volumes = list(pod.spec, "/volumes");
    let mounts: Vec<_> = pod.containers().flat_map(|container| list(container, "/volumeMounts")).collect();
    let claimed = all.objects.iter().filter(|object| title(object) == pod.owner);
    let claimed: Vec<_> = claimed.flat_map(|owner| list(owner, "/spec/volumeClaimTemplates")).collect();
    for mount in &mounts {
        let is_volume = volumes.iter().any(|volume| volume["name"] == mount["name"]);
        let is_claim = claimed.iter().any(|claim| claim["metadata"]["name"] == mount["name"]);
        if !is_volume && !is_claim {
            complain(format!("there is no volume {}", mount["name"]));
        }
    }
    for volume in volumes.iter().filter(|volume| !mounts.iter().any(|mount| mount["name"] == volume["name"]))
    {
        complain(format!("nobody mounts the volume {}", volume["name"]));
    }
    for spread in list(pod.spec, "/topologySpreadConstraints") {
        if !all.selected(&spread["labelSelector"]).iter().any(|other| other.owner == pod.owner) {
            complain(format!("it is spread over {} among others than itself", spread["topologyKey"]));
        }
    }
    for (kind, name, keys) in sources(pod) {
        match all.find(kind, name) {
            None => complain(format!("there is no {kind} {name}")),
            Some(source) => {
                let has = |key: &Value| files(source).iter().any(|(name, _)| *key == name.as_str());
                for key in keys.into_iter().filter(|key| !has(key)) {
                    complain(format!("{} has no key {key}", title(source)));
                }
            }
        }
    }
}

/// The ConfigMaps and Secrets that a pod reads: kind, name and the keys it names.
fn sources<'a>(pod: &Pod<'a>) -> Vec<(&'static str, &'a Value, Vec<&'a Value>)> {
    let mut sources = Vec::new();
    for volume in list(pod.spec, "/volumes") {
        for (kind, part, name) in [("Secret", "secret", "secretName"), ("ConfigMap", "configMap", "name")] {
            if let Some(source) = volume.get(part) {
                let keys = list(source, "/items").iter().map(|item| &item["key"]).collect();
                sources.push((kind, &source[name], keys));
            }
        }
    }
    for container in pod.containers() {
        let whole = list(container, "/envFrom").iter().map(|from| (from, Vec::new()));
        let single = list(container, "/env").iter().filter_map(|variable| variable.get("valueFrom"));
        let single =
            single.map(|from| (from, vec![at(from, "/secretKeyRef/key"), at(from, "/configMapKeyRef/key")]));
        for (from, keys) in whole.chain(single) {
            let keys: Vec<_> = keys.into_iter().filter(|key| !key.is_null()).collect();
            for (kind, part) in [
                ("Secret", "secretRef"),
                ("Secret", "secretKeyRef"),
                ("ConfigMap", "configMapRef"),
                ("ConfigMap", "configMapKeyRef"),
            ] {
                if let Some(source) = from.get(part) {
                    sources.push((kind, &source["name"], keys.clone()));
                }
            }
        }
    }
    sources
}

fn unused(all: &Installation, found: &mut Vec<String>) {
    let pods = all.pods();
    let used: Vec<_> = pods.iter().flat_map(sources).collect();
    for object in &all.objects {
        let (kind, name) = (&object["kind"], at(object, "/metadata/name"));
        let is_source = *kind == "Secret" || *kind == "ConfigMap";
        if is_source && !used.iter().any(|(used, by, _)| kind == used && *by == name) {
            found.push(format!("nobody uses {}", title(object)));
        }
        if is_source && !is_hashed(name) {
            found.push(format!("{} keeps its name when it changes, and no pod learns of it", title(object)));
        }
    }
}

/// Whether kustomize has put a hash of the contents behind a name.
fn is_hashed(name: &Value) -> bool {
    let hash = name.as_str().and_then(|name| name.rsplit_once('-')).map_or("", |(_, hash)| hash);
    hash.len() == 10 && hash.bytes().all(|byte| byte.is_ascii_alphanumeric())
}
