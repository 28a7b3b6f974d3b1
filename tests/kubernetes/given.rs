//! What an installation relies on and does not contain.

use std::process::Command;

use serde_json::{Value, json};

use super::manifests::{Tree, documents, run, secret};
use super::readme;
use crate::harness::Authority;

/// What is there beside the objects of a folder.
pub fn beside(folder: &str, tree: &Tree) -> Vec<Value> {
    match folder {
        "overlays/production" => [by_the_operator(tree), by_cert_manager()].concat(),
        "examples/cloudnative-pg" => [by_the_operator(tree), by_cert_manager(), by_cloudnative_pg()].concat(),
        _ => Vec::new(),
    }
}

/// The Secrets that README has the operator make: its commands are run as they stand there, but that nothing is sent.
fn by_the_operator(tree: &Tree) -> Vec<Value> {
    let mut blocks = readme::commands().into_iter();
    let commands = blocks.find(|block| block.contains("create secret")).expect("README has the commands");
    // They overwrite nothing, so each time begins with an empty folder.
    let folder = tree.path("operator");
    let _ = std::fs::remove_dir_all(&folder);
    std::fs::create_dir(&folder).unwrap();
    std::fs::copy(Authority::new().certificate(), folder.join("ca.crt")).unwrap();
    let printed = r#"kubectl() { command kubectl "$@" --dry-run=client --output=yaml && echo ---; }"#;
    let script = format!("set -euo pipefail\n{printed}\n{commands}");
    documents(&run(Command::new("bash").args(["-c", &script]).current_dir(folder)))
}

/// What cert-manager makes here while it shows an authority that the host is ours.
fn by_cert_manager() -> Vec<Value> {
    vec![json!({
        "kind": "Pod",
        "metadata": {
            "name": "cm-acme-http-solver",
            "labels": { "acme.cert-manager.io/http01-solver": "true" },
        },
        "spec": { "containers": [{ "ports": [{ "containerPort": 8089 }] }] },
    })]
}

/// What the operator of CloudNativePG makes for its Cluster: pods, and Secrets with these and more keys.
fn by_cloudnative_pg() -> Vec<Value> {
    let authority = std::fs::read_to_string(Authority::new().certificate()).unwrap();
    vec![
        secret(
            "postgres-app",
            &[("uri", "postgresql://portcullis:hunter2@postgres-rw.portcullis:5432/portcullis")],
        ),
        secret("postgres-ca", &[("ca.crt", &authority), ("ca.key", "a secret")]),
        json!({
            "kind": "Pod",
            "metadata": { "name": "postgres-1", "labels": { "cnpg.io/cluster": "postgres" } },
            "spec": { "containers": [{ "ports": [{ "containerPort": 5432 }, { "containerPort": 8000 }] }] },
        }),
    ]
}
