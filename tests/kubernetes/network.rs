//! Who may talk to whom: exactly the arrows of the architecture, and what each installation adds.

use serde_json::Value;

use super::manifests::{Installation, at, list, title};

/// What every installation allows. `in` is who is let in, `out` is who is let out: an arrow inside the namespace is both.
const ARROWS: &[&str] = &[
    "in: namespace traefik -> gateway 8000/TCP",
    "out: gateway -> identity-service 50051/TCP",
    "in: gateway -> identity-service 50051/TCP",
    "in: portcullis.identity/client=true in namespace portcullis.identity/client=true -> identity-service 50051/TCP",
    "out: gateway -> k8s-app=kube-dns in namespace kube-system 53/TCP",
    "out: gateway -> k8s-app=kube-dns in namespace kube-system 53/UDP",
    "out: identity-service -> k8s-app=kube-dns in namespace kube-system 53/TCP",
    "out: identity-service -> k8s-app=kube-dns in namespace kube-system 53/UDP",
    "out: migrate -> k8s-app=kube-dns in namespace kube-system 53/TCP",
    "out: migrate -> k8s-app=kube-dns in namespace kube-system 53/UDP",
];

/// Whom an authority asks whether the host is ours: a pod that cert-manager makes.
const TO_CERT_MANAGER: &[&str] =
    &["in: namespace traefik -> acme.cert-manager.io/http01-solver=true 8089/TCP"];

const TO_LOCAL_POSTGRES: &[&str] = &[
    "out: identity-service -> postgres 5432/TCP",
    "out: migrate -> postgres 5432/TCP",
    "in: identity-service -> postgres 5432/TCP",
    "in: migrate -> postgres 5432/TCP",
];

const TO_EXTERNAL_POSTGRES: &[&str] =
    &["out: identity-service -> 192.0.2.10/32 5432/TCP", "out: migrate -> 192.0.2.10/32 5432/TCP"];

const TO_MAIL_SERVERS: &[&str] = &[
    "out: identity-service -> 0.0.0.0/0 465/TCP",
    "out: identity-service -> 0.0.0.0/0 587/TCP",
    "out: identity-service -> ::/0 465/TCP",
    "out: identity-service -> ::/0 587/TCP",
];

const OF_CLOUDNATIVE_PG: &[&str] = &[
    "out: identity-service -> cnpg.io/cluster=postgres 5432/TCP",
    "out: migrate -> cnpg.io/cluster=postgres 5432/TCP",
    "in: identity-service -> cnpg.io/cluster=postgres 5432/TCP",
    "in: migrate -> cnpg.io/cluster=postgres 5432/TCP",
    "in: cnpg.io/cluster=postgres -> cnpg.io/cluster=postgres 5432/TCP",
    "in: cnpg.io/cluster=postgres -> cnpg.io/cluster=postgres 8000/TCP",
    "in: app.kubernetes.io/name=cloudnative-pg in namespace cnpg-system -> cnpg.io/cluster=postgres 5432/TCP",
    "in: app.kubernetes.io/name=cloudnative-pg in namespace cnpg-system -> cnpg.io/cluster=postgres 8000/TCP",
    "out: cnpg.io/cluster=postgres -> cnpg.io/cluster=postgres 5432/TCP",
    "out: cnpg.io/cluster=postgres -> cnpg.io/cluster=postgres 8000/TCP",
    "out: cnpg.io/cluster=postgres -> k8s-app=kube-dns in namespace kube-system 53/TCP",
    "out: cnpg.io/cluster=postgres -> k8s-app=kube-dns in namespace kube-system 53/UDP",
    "out: cnpg.io/cluster=postgres -> 0.0.0.0/0 443/TCP",
    "out: cnpg.io/cluster=postgres -> 0.0.0.0/0 6443/TCP",
    "out: cnpg.io/cluster=postgres -> ::/0 443/TCP",
    "out: cnpg.io/cluster=postgres -> ::/0 6443/TCP",
];

pub fn complaints(folder: &str, all: &Installation) -> Vec<String> {
    let further: &[&[&str]] = match folder {
        "overlays/local" => &[TO_LOCAL_POSTGRES],
        "overlays/production" => &[TO_CERT_MANAGER, TO_EXTERNAL_POSTGRES, TO_MAIL_SERVERS],
        "examples/cloudnative-pg" => &[TO_CERT_MANAGER, OF_CLOUDNATIVE_PG, TO_MAIL_SERVERS],
        _ => panic!("say which arrows {folder} adds"),
    };
    let expected: Vec<_> = ARROWS.iter().chain(further.iter().copied().flatten()).collect();
    let arrows: Vec<_> = all.of_kind("NetworkPolicy").flat_map(arrows).collect();
    let is_expected = |arrow: &String| expected.contains(&&arrow.as_str());
    let more = arrows.iter().filter(|arrow| !is_expected(arrow)).map(|arrow| format!("is allowed: {arrow}"));
    let fewer = expected.iter().filter(|arrow| !arrows.iter().any(|found| found == **arrow));
    let fewer = fewer.map(|arrow| format!("is not allowed: {arrow}"));
    let deny = all.of_kind("NetworkPolicy").any(denies_all);
    let deny = (!deny).then(|| "what no policy names is allowed".to_owned());
    more.chain(fewer).chain(deny).chain(exposed(all)).collect()
}

/// What reaches the world past the gateway.
fn exposed(all: &Installation) -> Vec<String> {
    let mut found = Vec::new();
    for service in all.of_kind("Service") {
        let is_inside = ["ClusterIP", ""].contains(&at(service, "/spec/type").as_str().unwrap_or_default());
        if !is_inside || !at(service, "/spec/externalIPs").is_null() {
            found.push(format!("{} is open to the outside", title(service)));
        }
    }
    for ingress in all.of_kind("Ingress") {
        let paths = list(ingress, "/spec/rules").iter().flat_map(|rule| list(rule, "/http/paths"));
        let default = ingress["spec"].get("defaultBackend");
        for backend in paths.map(|path| &path["backend"]).chain(default) {
            let service = all.find("Service", at(backend, "/service/name"));
            let pods = service.map(|service| all.selected(at(service, "/spec/selector"))).unwrap_or_default();
            if !pods.iter().all(|pod| pod.runs("gateway")) || pods.is_empty() {
                found.push(format!("{} leads past the gateway", title(ingress)));
            }
        }
    }
    found
}

/// Whether a policy is for every pod, and both ways.
fn denies_all(policy: &Value) -> bool {
    let types = list(policy, "/spec/policyTypes");
    let is_for_all = at(policy, "/spec/podSelector").as_object().is_some_and(serde_json::Map::is_empty);
    is_for_all && ["Ingress", "Egress"].iter().all(|way| types.contains(&Value::from(*way)))
}

fn arrows(policy: &Value) -> Vec<String> {
    let types = list(policy, "/spec/policyTypes");
    let mut arrows = Vec::new();
    for (way, rules, peers) in [("Ingress", "/spec/ingress", "/from"), ("Egress", "/spec/egress", "/to")] {
        let rules = list(policy, rules);
        assert!(rules.is_empty() || types.contains(&way.into()), "{} has no policyType {way}", title(policy));
        for rule in rules {
            for other in any_of(list(rule, peers), "anybody", peer_names) {
                for own in pod_names(at(policy, "/spec/podSelector")) {
                    for port in any_of(list(rule, "/ports"), "any port", |port| vec![port_name(port)]) {
                        arrows.push(match way {
                            "Ingress" => format!("in: {other} -> {own} {port}"),
                            _ => format!("out: {own} -> {other} {port}"),
                        });
                    }
                }
            }
        }
    }
    arrows
}

/// What a list says; an empty one allows everything.
fn any_of(list: &[Value], everything: &str, names: impl Fn(&Value) -> Vec<String>) -> Vec<String> {
    if list.is_empty() { vec![everything.to_owned()] } else { list.iter().flat_map(names).collect() }
}

fn port_name(port: &Value) -> String {
    let number = &port["port"];
    let end = port.get("endPort").map(|end| format!("-{end}")).unwrap_or_default();
    format!("{number}{end}/{}", port["protocol"].as_str().unwrap_or("TCP"))
}

fn peer_names(peer: &Value) -> Vec<String> {
    if let Some(block) = peer.get("ipBlock") {
        return vec![block["cidr"].as_str().unwrap_or_default().to_owned()];
    }
    let namespaces = peer.get("namespaceSelector").map(namespace_names).unwrap_or_default();
    let pods = peer.get("podSelector").map(pod_names).unwrap_or_default();
    match (pods.as_slice(), namespaces.as_slice()) {
        (_, []) => pods,
        ([], _) => namespaces.iter().map(|namespace| format!("namespace {namespace}")).collect(),
        _ => pods
            .iter()
            .flat_map(|pod| namespaces.iter().map(move |namespace| format!("{pod} in namespace {namespace}")))
            .collect(),
    }
}

/// Pods go by their component, or else by their labels.
fn pod_names(selector: &Value) -> Vec<String> {
    selector_names(selector, "app.kubernetes.io/component")
}

/// Namespaces go by their name, or else by their labels.
fn namespace_names(selector: &Value) -> Vec<String> {
    selector_names(selector, "kubernetes.io/metadata.name")
}

/// Whom a selector means, by its labels; of the usual one only the value is said.
fn selector_names(selector: &Value, usual: &str) -> Vec<String> {
    let name = |key: &str, value: &Value| {
        let value = value.as_str().unwrap_or_default();
        if key == usual { value.to_owned() } else { format!("{key}={value}") }
    };
    let labels = selector["matchLabels"].as_object().into_iter().flatten();
    let labels = labels.map(|(key, value)| name(key, value));
    let labels = labels.collect::<Vec<_>>().join(",");
    match list(selector, "/matchExpressions") {
        [] if labels.is_empty() => vec!["everything".to_owned()],
        [] => vec![labels],
        [only] if labels.is_empty() && only["operator"] == "In" => {
            let key = only["key"].as_str().unwrap_or_default();
            list(only, "/values").iter().map(|value| name(key, value)).collect()
        }
        _ => panic!("teach the test what {selector} means"),
    }
}
