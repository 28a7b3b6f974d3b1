//! All rules together, and that each installation keeps them.

use super::manifests::{Installation, Tree};
use super::{INSTALLATIONS, environment, hardening, network, references, serving};

/// What all rules have against an installation.
pub fn complaints(folder: &str, all: &Installation) -> Vec<String> {
    let mut found = references::complaints(all);
    found.extend(network::complaints(folder, all));
    found.extend(hardening::complaints(all));
    found.extend(serving::complaints(all));
    found.extend(environment::complaints(all));
    found
}

#[test]
fn every_installation_keeps_every_rule() {
    let tree = Tree::new();
    for folder in INSTALLATIONS {
        let found = complaints(folder, &tree.install(folder));
        assert!(found.is_empty(), "{folder}:\n{}", found.join("\n"));
    }
}
