//! All rules together, and that each installation keeps them.

use super::manifests::{Installation, Tree, documents, list};
use super::{INSTALLATIONS, environment, hardening, network, references, serving};

/// What all rules have against an installation.
pub fn complaints(folder: &str, all: &Installation) -> Vec<String> {
    let mut found = references::complaints(all);
    found.extend(network::complaints(folder, all));
    found.extend(hardening::complaints(all));
    found.extend(serving::complaints(all));
    found.extend(environment::complaints(folder, all));
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

#[test]
fn every_setting_of_production_arrives_where_it_is_meant_for() {
    let tree = Tree::new();
    let path = tree.path("overlays/production/settings.yaml");
    let mut settings = documents(&std::fs::read_to_string(&path).unwrap()).remove(0);
    let data = settings["data"].as_object_mut().unwrap();
    for (name, value) in data.iter_mut() {
        *value = format!("changed-{name}").into();
    }
    let names: Vec<_> = data.keys().cloned().collect();
    // JSON is YAML.
    std::fs::write(path, settings.to_string()).unwrap();
    let built = tree.build("overlays/production");
    for name in names {
        let arrived = built.matches(&format!("changed-{name}")).count();
        // Where a value goes to several places, each of them has it.
        let wanted = match name.as_str() {
            "REGISTRY" => 3,
            "HOST" | "ORIGIN" | "INGRESS_NAMESPACE" => 2,
            _ => 1,
        };
        assert_eq!(arrived, wanted, "{name}: {built}");
    }
}

/// The files of patches that hold not one patch each, which a kustomize before 5.2, as in kubectl 1.30, does not read.
fn patches_of_many(tree: &Tree) -> Vec<String> {
    let mut found = Vec::new();
    for folder in ["base"].into_iter().chain(INSTALLATIONS) {
        let read = |name: &str| std::fs::read_to_string(tree.path(folder).join(name)).unwrap();
        let kustomization = documents(&read("kustomization.yaml")).remove(0);
        let patches = list(&kustomization, "/patches").iter().filter_map(|patch| patch["path"].as_str());
        let many = patches.filter(|path| documents(&read(path)).len() != 1);
        found.extend(many.map(|path| format!("{folder}/{path}")));
    }
    found
}

#[test]
fn a_file_of_patches_holds_one() {
    let tree = Tree::new();
    assert_eq!(patches_of_many(&tree), Vec::<String>::new());
    let path = tree.path("overlays/production/mail.yaml");
    let patch = std::fs::read_to_string(&path).unwrap();
    std::fs::write(path, format!("{patch}---\n{patch}")).unwrap();
    assert_eq!(patches_of_many(&tree), ["overlays/production/mail.yaml"]);
}
