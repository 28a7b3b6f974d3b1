//! The manifests of one installation, as kustomize builds them, and what is there beside them.

use std::path::PathBuf;
use std::process::Command;

use base64::{Engine as _, engine::general_purpose::STANDARD};
use serde_json::{Value, json};
use tempfile::TempDir;

use super::given;
use crate::harness::repository;

/// A copy of `deploy/kubernetes` whose local overlay has its secrets, as it has after its first command.
pub struct Tree(TempDir);

/// What one command installs.
pub struct Installation {
    /// Its objects.
    pub objects: Vec<Value>,
    /// What they rely on and somebody else makes: the operator by README's commands, cert-manager, CloudNativePG.
    pub given: Vec<Value>,
}

/// The pods that an object makes.
pub struct Pod<'a> {
    /// Whose they are, such as `Deployment/gateway`.
    pub owner: String,
    pub labels: &'a Value,
    pub spec: &'a Value,
}

impl Tree {
    pub fn new() -> Self {
        let tree = Self(tempfile::tempdir().unwrap());
        run(Command::new("cp").arg("-R").arg(repository().join("deploy/kubernetes/.")).arg(tree.path("")));
        let _ = std::fs::remove_dir_all(tree.path("overlays/local/secrets"));
        run(&mut Command::new(tree.path("overlays/local/make-secrets")));
        tree
    }

    pub fn path(&self, inside: &str) -> PathBuf {
        self.0.path().join(inside)
    }

    /// What `kubectl apply -k` would send.
    pub fn build(&self, folder: &str) -> String {
        run(Command::new("kubectl").arg("kustomize").arg(self.path(folder)))
    }

    pub fn install(&self, folder: &str) -> Installation {
        Installation { objects: documents(&self.build(folder)), given: given::beside(folder, self) }
    }
}

impl Installation {
    /// The objects of a kind.
    pub fn of_kind<'a>(&'a self, kind: &'a str) -> impl Iterator<Item = &'a Value> {
        self.everything().filter(move |object| object["kind"] == kind)
    }

    /// The object of a kind and a name.
    pub fn find(&self, kind: &str, name: &Value) -> Option<&Value> {
        self.everything().find(|object| object["kind"] == kind && object["metadata"]["name"] == *name)
    }

    /// All pods that our own objects make.
    pub fn pods(&self) -> Vec<Pod<'_>> {
        let pod = |object| {
            let template = at(object, "/spec/template");
            let labels = at(template, "/metadata/labels");
            let spec = at(template, "/spec");
            spec.is_object().then(|| Pod { owner: title(object), labels, spec })
        };
        self.objects.iter().filter_map(pod).collect()
    }

    /// The pods that a selector means; no selector means none.
    pub fn selected(&self, selector: &Value) -> Vec<Pod<'_>> {
        let others = self.given.iter().filter(|object| object["kind"] == "Pod");
        let others = others.map(|object| Pod {
            owner: title(object),
            labels: &object["metadata"]["labels"],
            spec: &object["spec"],
        });
        self.pods().into_iter().chain(others).filter(|pod| is_selected(selector, pod.labels)).collect()
    }

    fn everything(&self) -> impl Iterator<Item = &Value> {
        self.objects.iter().chain(&self.given)
    }
}

impl<'a> Pod<'a> {
    pub fn containers(&self) -> impl Iterator<Item = &'a Value> {
        list(self.spec, "/initContainers").iter().chain(list(self.spec, "/containers"))
    }

    /// Whether one of its containers has this port, by its number or its name.
    pub fn has_port(&self, port: &Value) -> bool {
        let ports = self.containers().flat_map(|container| list(container, "/ports"));
        ports.into_iter().any(|open| open["containerPort"] == *port || open["name"] == *port)
    }

    /// Whether its one container is this program of ours.
    pub fn runs(&self, program: &str) -> bool {
        self.containers().any(|container| self::program(container) == program)
    }
}

/// Which program the image of a container holds: the last part of its name.
pub fn program(container: &Value) -> &str {
    let image = container["image"].as_str().unwrap_or_default();
    let name = image.rsplit('/').next().unwrap_or_default();
    name.split([':', '@']).next().unwrap_or_default()
}

/// Whether a selector, in either of its forms, means what has these labels. An empty one means everything.
fn is_selected(selector: &Value, labels: &Value) -> bool {
    let Some(parts) = selector.as_object() else { return false };
    let is_plain = !parts.contains_key("matchLabels") && !parts.contains_key("matchExpressions");
    let plain = if is_plain { selector } else { &selector["matchLabels"] };
    let mut pairs = plain.as_object().into_iter().flatten();
    let mut expressions = list(selector, "/matchExpressions").iter();
    pairs.all(|(key, value)| labels[key] == *value)
        && expressions.all(|expression| {
            assert_eq!(expression["operator"], "In", "teach the test what this means");
            let label = &labels[expression["key"].as_str().unwrap()];
            list(expression, "/values").contains(label)
        })
}

/// What an object is called in a complaint: its kind and its name.
pub fn title(object: &Value) -> String {
    let part = |pointer| at(object, pointer).as_str().unwrap_or("?").to_owned();
    format!("{}/{}", part("/kind"), part("/metadata/name"))
}

/// What stands at a JSON pointer (RFC 6901), or null.
pub fn at<'a>(value: &'a Value, pointer: &str) -> &'a Value {
    value.pointer(pointer).unwrap_or(&Value::Null)
}

/// The list at a JSON pointer, or an empty one.
pub fn list<'a>(value: &'a Value, pointer: &str) -> &'a [Value] {
    at(value, pointer).as_array().map_or(&[], Vec::as_slice)
}

/// A quantity of Kubernetes in thousandths.
pub fn thousandths(quantity: &Value) -> Option<u64> {
    let text = quantity.as_str()?;
    match text.strip_suffix('m') {
        Some(number) => number.parse().ok(),
        None => text.parse::<u64>().ok().map(|number| number * 1000),
    }
}

pub fn documents(yaml: &str) -> Vec<Value> {
    serde_saphyr::from_multiple(yaml).expect("kubectl prints YAML")
}

/// What a command prints, which must succeed.
pub fn run(command: &mut Command) -> String {
    let output = command.output().unwrap_or_else(|error| panic!("{command:?} cannot be run: {error}"));
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{command:?}: {}{said}", String::from_utf8_lossy(&output.stdout));
    String::from_utf8(output.stdout).unwrap()
}

/// A file of `deploy/kubernetes`.
pub fn read(inside: &str) -> String {
    std::fs::read_to_string(repository().join("deploy/kubernetes").join(inside)).unwrap()
}

/// A Secret as the API gives it.
pub fn secret(name: &str, data: &[(&str, &str)]) -> Value {
    let data: serde_json::Map<_, _> =
        data.iter().map(|(key, text)| ((*key).to_owned(), Value::from(*text))).collect();
    json!({ "kind": "Secret", "metadata": { "name": name }, "stringData": data })
}

/// The files of a ConfigMap or a Secret, by their keys.
pub fn files(object: &Value) -> Vec<(String, Vec<u8>)> {
    let is_secret = object["kind"] == "Secret";
    let decode = |text: &Value| {
        let text = text.as_str().unwrap_or_default();
        if is_secret {
            // kustomize folds what is long.
            STANDARD.decode(text.split_whitespace().collect::<String>()).expect("is base64")
        } else {
            text.as_bytes().to_vec()
        }
    };
    let data = object["data"].as_object().into_iter().flatten();
    let plain = object["stringData"].as_object().into_iter().flatten();
    let plain = plain.map(|(key, text)| (key.clone(), text.as_str().unwrap_or_default().as_bytes().to_vec()));
    data.map(|(key, text)| (key.clone(), decode(text))).chain(plain).collect()
}
