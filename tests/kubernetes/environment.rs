//! What a container is given is what its program asks for: each variable is one that it knows, and its own parser takes
//! all of them, with the files to which they lead.

use std::collections::BTreeMap;
use std::path::Path;

use gateway::config::Config as GatewayConfig;
use identity_service::config::Vars;
use serde_json::Value;

use super::manifests::{Installation, Pod, at, files, list, program, title};

type Variables = BTreeMap<String, String>;

/// Whose Postgres is beside the pair, and has no certificate.
const WITHOUT_TLS: &str = "overlays/local";

pub fn complaints(folder: &str, all: &Installation) -> Vec<String> {
    let mut found = Vec::new();
    for pod in all.pods() {
        for container in pod.containers() {
            let mut complain = |what: String| found.push(format!("{}: {what}", pod.owner));
            let Some(known) = known(program(container)) else { continue };
            names(all, container, &known, &mut complain);
            let root = tempfile::tempdir().unwrap();
            materialise(all, &pod, container, root.path());
            let variables = inside(root.path(), container, &resolve(all, container));
            match program(container) {
                "gateway" => of_gateway(all, &pod, &variables, &mut complain),
                _ => {
                    of_identity_service(all, &pod, container, &variables, &mut complain);
                    if folder != WITHOUT_TLS && !verifies_postgres(&variables) {
                        complain("DATABASE_URL believes any server that it is Postgres".to_owned());
                    }
                }
            }
        }
    }
    found
}

/// The variables of a program of ours, and whether each is a secret.
fn known(program: &str) -> Option<Vec<(&'static str, bool)>> {
    let is_secret = |meaning: &str| meaning.contains("(a secret)");
    match program {
        "gateway" => {
            Some(gateway::config::VARIABLES.iter().map(|it| (it.name, is_secret(it.meaning))).collect())
        }
        "identity-service" => Some(
            identity_service::config::VARIABLES.iter().map(|it| (it.name, is_secret(it.meaning))).collect(),
        ),
        _ => None,
    }
}

fn names(all: &Installation, container: &Value, known: &[(&str, bool)], complain: &mut impl FnMut(String)) {
    let own = list(container, "/env");
    let part_of_another =
        |name: &str| own.iter().any(|it| it["value"].to_string().contains(&format!("$({name})")));
    for name in resolve(all, container).keys() {
        let is_secret_file =
            |(secret, is_secret): &(&str, bool)| *is_secret && name.strip_suffix("_FILE") == Some(*secret);
        let is_known = known.iter().any(|(variable, _)| name == variable) || known.iter().any(is_secret_file);
        if !is_known && !part_of_another(name) {
            complain(format!("{} knows no variable {name}", program(container)));
        }
    }
    let open = maps(all, container).into_iter().flat_map(files).map(|(name, _)| name);
    let literal = own.iter().filter(|it| it["value"].as_str().is_some_and(|value| !value.contains("$(")));
    let open = open.chain(literal.filter_map(|it| it["name"].as_str().map(str::to_owned)));
    for name in open.filter(|name| known.contains(&(name.as_str(), true))) {
        complain(format!("{name} is a secret, and stands where everybody reads it"));
    }
}

/// The ConfigMaps of which a container takes all.
fn maps<'a>(all: &'a Installation, container: &Value) -> Vec<&'a Value> {
    let maps = list(container, "/envFrom").iter().filter_map(|from| from.get("configMapRef"));
    maps.filter_map(|map| all.find("ConfigMap", &map["name"])).collect()
}

/// What the kubelet puts into the environment: `$(NAME)` is a variable that stands before.
fn resolve(all: &Installation, container: &Value) -> Variables {
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
    let of_maps = maps(all, container).into_iter().flat_map(files);
    let mut variables: Variables = of_maps.map(|(name, value)| (name, text(value))).collect();
    for variable in list(container, "/env") {
        let name = variable["name"].as_str().unwrap();
        let reference = at(variable, "/valueFrom/secretKeyRef");
        let secret = all.find("Secret", &reference["name"]).map(files).unwrap_or_default();
        let secret = secret.into_iter().find(|(key, _)| reference["key"] == key.as_str());
        let mut value = variable["value"].as_str().unwrap_or_default().to_owned();
        for (name, before) in &variables {
            value = value.replace(&format!("$({name})"), before);
        }
        variables.insert(name.to_owned(), secret.map_or(value, |(_, secret)| text(secret)));
    }
    variables
}

/// Makes the files that a container sees, in a folder in the place of its root.
fn materialise(all: &Installation, pod: &Pod<'_>, container: &Value, root: &Path) {
    for mount in list(container, "/volumeMounts") {
        let path = mount["mountPath"].as_str().unwrap().trim_start_matches('/');
        let folder = root.join(path);
        std::fs::create_dir_all(&folder).unwrap();
        let volume = list(pod.spec, "/volumes").iter().find(|volume| volume["name"] == mount["name"]);
        let Some(source) = volume.and_then(|volume| volume.get("secret")) else { continue };
        for (key, bytes) in all.find("Secret", &source["secretName"]).map(files).unwrap_or_default() {
            let items = list(source, "/items");
            let item = items.iter().find(|item| item["key"] == key.as_str());
            let path = item.map_or(Some(key.as_str()), |item| item["path"].as_str());
            if items.is_empty() || item.is_some() {
                // A file may name another: the authority of a URL.
                let bytes = String::from_utf8(bytes).unwrap();
                std::fs::write(folder.join(path.unwrap()), moved(root, container, &bytes)).unwrap();
            }
        }
    }
}

/// The variables, with paths that lead into the folder in the place of the container's root.
fn inside(root: &Path, container: &Value, variables: &Variables) -> Variables {
    variables.iter().map(|(name, value)| (name.clone(), moved(root, container, value))).collect()
}

fn moved(root: &Path, container: &Value, text: &str) -> String {
    let mut text = text.to_owned();
    for mount in list(container, "/volumeMounts") {
        let path = mount["mountPath"].as_str().unwrap();
        text = text.replace(&format!("{path}/"), &format!("{}{path}/", root.display()));
    }
    text
}

fn of_gateway(all: &Installation, pod: &Pod<'_>, variables: &Variables, complain: &mut impl FnMut(String)) {
    let config = match GatewayConfig::from_vars(|name| variables.get(name).map(Into::into)) {
        Ok(config) => config,
        Err(error) => return complain(error.to_string()),
    };
    of_address(pod, config.listen_address, complain);
    for url in &config.identity_service_urls {
        let name = Value::from(url.host_str().unwrap_or_default());
        let is_open = |port: &Value| port["port"].as_u64() == url.port().map(u64::from);
        match all.find("Service", &name) {
            Some(service) if !list(service, "/spec/ports").iter().any(is_open) => {
                complain(format!("{} has no port of {url}", title(service)));
            }
            Some(service) if at(service, "/spec/clusterIP") != "None" => {
                complain(format!("{} hides the replicas behind one address", title(service)));
            }
            Some(_) => {}
            None => complain(format!("there is no Service {name}")),
        }
    }
    for ingress in all.of_kind("Ingress") {
        for rule in list(ingress, "/spec/rules") {
            let host = rule["host"].as_str().unwrap_or_default();
            if variables.get("PUBLIC_ORIGIN").is_none_or(|origin| *origin != format!("https://{host}")) {
                complain(format!("PUBLIC_ORIGIN is not that of {}", title(ingress)));
            }
        }
        if config.trusted_proxies.0 != 1 {
            complain(format!(
                "{} is one proxy, and {} are trusted",
                title(ingress),
                config.trusted_proxies.0
            ));
        }
    }
    of_issuer(all, variables, complain);
}

/// Who verifies tokens looks for their keys at the issuer, which is the gateway's address.
fn of_issuer(all: &Installation, variables: &Variables, complain: &mut impl FnMut(String)) {
    let issuers = all.of_kind("ConfigMap").filter_map(|map| map["data"].get("ISSUER"));
    let origin = variables.get("PUBLIC_ORIGIN").map(String::as_str);
    for issuer in issuers.filter(|issuer| issuer.as_str() != origin) {
        complain(format!("PUBLIC_ORIGIN is not the ISSUER {issuer}"));
    }
}

fn of_identity_service(
    all: &Installation,
    pod: &Pod<'_>,
    container: &Value,
    variables: &Variables,
    complain: &mut impl FnMut(String),
) {
    let get = |name: &str| variables.get(name).cloned();
    let vars = Vars::new(&get);
    match list(container, "/args") {
        [command] if command == "migrate" => {
            if let Err(error) = vars.database() {
                complain(error.to_string());
            }
        }
        [command] if command == "serve" => {
            match vars.config().and_then(|config| vars.log().map(|_| config)) {
                // Its parser takes that: there is no recovery then.
                Ok(config) if config.mail.is_none() && variables.contains_key("MAIL_FROM") => {
                    complain("MAIL_FROM is set, and MAIL is not".to_owned());
                }
                Ok(_) => {}
                Err(error) => complain(error.to_string()),
            }
            match vars.listen_address() {
                Ok(address) => of_address(pod, address, complain),
                Err(error) => complain(error.to_string()),
            }
            let migrates = |pod: &Pod<'_>| pod.containers().any(|it| *at(it, "/args/0") == "migrate");
            let waits = variables.get("MIGRATIONS").is_some_and(|value| value == "wait");
            if waits != all.pods().iter().any(migrates) {
                complain("either it migrates, or it waits for a Job that does".to_owned());
            }
        }
        other => complain(format!("there is no command {other:?}")),
    }
}

fn verifies_postgres(variables: &Variables) -> bool {
    let file = variables.get("DATABASE_URL_FILE").and_then(|path| std::fs::read_to_string(path).ok());
    let url = variables.get("DATABASE_URL").or(file.as_ref()).map_or("", |url| url.trim());
    let query = url.split_once('?').map_or("", |(_, query)| query);
    let modes: Vec<_> = query.split('&').filter(|part| part.starts_with("sslmode=")).collect();
    modes == ["sslmode=verify-full"]
}

fn of_address(pod: &Pod<'_>, address: std::net::SocketAddr, complain: &mut impl FnMut(String)) {
    if !address.ip().is_unspecified() || !pod.has_port(&address.port().into()) {
        complain(format!("nobody reaches it at {address}"));
    }
}
