//! What the checkers of others say: Kubernetes' own schemas, yamllint, hadolint. `tests/run` installs them.

use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use super::INSTALLATIONS;
use super::manifests::{Tree, documents, read, run, title};
use crate::harness::repository;

/// What no schema of Kubernetes knows, so that nothing checks it.
const CUSTOM_RESOURCES: &[(&str, &str)] = &[("examples/cloudnative-pg", "postgresql.cnpg.io/v1 Cluster")];

/// A tool that was installed by `tests/kubernetes/requirements.txt`. One that is missing is no reason to pass.
fn tool(name: &str) -> Command {
    let path = repository().join("target/tools/kubernetes/bin").join(name);
    assert!(path.exists(), "{name} is not installed: run this by tests/run, which installs it");
    Command::new(path)
}

/// The oldest and the newest version of Kubernetes that README says.
fn versions() -> [String; 2] {
    let readme = read("README.md");
    let range = readme.split("For Kubernetes ").nth(1).expect("README says for which Kubernetes this is");
    let words = range.split([' ', '\n']);
    let numbers: Vec<_> = words.filter(|word| word.starts_with("1.")).take(2).map(str::to_owned).collect();
    numbers.try_into().expect("README says from which to which")
}

fn validate(version: &str, manifests: &str) -> Output {
    let file = tempfile::NamedTempFile::with_suffix(".yaml").unwrap();
    std::fs::write(file.path(), manifests).unwrap();
    tool("kubernetes-validate").args(["-k", version, "--strict"]).arg(file.path()).output().unwrap()
}

fn said(output: &Output) -> String {
    String::from_utf8_lossy(&[output.stdout.as_slice(), &output.stderr].concat()).into_owned()
}

/// The sources in YAML below a folder.
fn yaml_files(folder: &Path) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    let is_yaml = |path: &PathBuf| path.extension().is_some_and(|end| end == "yaml" || end == "yml");
    entries
        .flat_map(|path| if path.is_dir() { yaml_files(&path) } else { vec![path] })
        .filter(is_yaml)
        .collect()
}

#[test]
fn kubernetes_accepts_everything_in_its_oldest_and_its_newest_version() {
    let tree = Tree::new();
    for folder in ["base"].into_iter().chain(INSTALLATIONS) {
        let manifests = tree.build(folder);
        for version in versions() {
            let output = validate(&version, &manifests);
            let said = said(&output);
            assert!(output.status.success(), "{folder}, Kubernetes {version}: {said}");
            let known =
                said.lines().filter(|line| line.starts_with("INFO ") && line.contains(" passed ")).count();
            let custom = CUSTOM_RESOURCES.iter().filter(|(place, _)| *place == folder).count();
            assert_eq!(known + custom, documents(&manifests).len(), "{folder}, Kubernetes {version}: {said}");
        }
    }
}

#[test]
fn a_field_that_a_version_does_not_know_is_refused() {
    let manifests = Tree::new().build("overlays/production");
    for (right, wrong) in [
        ("preStop:", "preStopp:"),
        ("maxReplicas: 6", "maxReplicas: six"),
        ("apiVersion: policy/v1", "apiVersion: policy/v1\nspecial: true"),
    ] {
        assert!(manifests.contains(right), "nothing is changed by {wrong}");
        for version in versions() {
            let output = validate(&version, &manifests.replace(right, wrong));
            assert!(!output.status.success(), "{wrong}, Kubernetes {version}: {}", said(&output));
        }
    }
    // preStop can only sleep since 1.29: a version before the oldest one shows that the versions differ.
    assert!(!validate("1.28", &manifests).status.success());
}

#[test]
fn every_object_that_no_schema_knows_is_in_the_list() {
    let tree = Tree::new();
    for folder in INSTALLATIONS {
        let objects = tree.install(folder).objects;
        let group =
            |version: &str| version.split_once('/').map_or(String::new(), |(group, _)| group.to_owned());
        let is_custom = |group: &str| group.contains('.') && !group.ends_with(".k8s.io");
        let custom = objects.iter().filter(|it| is_custom(&group(it["apiVersion"].as_str().unwrap())));
        let found: Vec<_> = custom
            .map(|it| {
                format!("{} {}", it["apiVersion"].as_str().unwrap(), title(it).split('/').next().unwrap())
            })
            .collect();
        let listed: Vec<_> =
            CUSTOM_RESOURCES.iter().filter(|(place, _)| *place == folder).map(|(_, it)| *it).collect();
        assert_eq!(found, listed, "{folder}");
    }
}

#[test]
fn yaml_is_written_as_yamllint_likes_it() {
    let places = ["deploy", "proto", "tests/kubernetes"].map(|place| repository().join(place));
    let files: Vec<_> = places.iter().flat_map(|place| yaml_files(place)).collect();
    assert!(files.len() > 20, "where is it? {files:?}");
    let rules = repository().join("tests/kubernetes/yamllint.yaml");
    run(tool("yamllint").arg("--strict").arg("-c").arg(&rules).args(&files));
    let twice = tempfile::NamedTempFile::with_suffix(".yaml").unwrap();
    std::fs::write(twice.path(), "name: gateway\nname: identity-service\n").unwrap();
    let output = tool("yamllint").arg("--strict").arg("-c").arg(&rules).arg(twice.path()).output().unwrap();
    assert!(said(&output).contains("duplication of key") && !output.status.success(), "{}", said(&output));
}

#[test]
fn the_containerfile_is_written_as_hadolint_likes_it() {
    run(tool("hadolint").arg(repository().join("deploy/Containerfile")));
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), "FROM debian\nRUN cd /tmp\n").unwrap();
    let output = tool("hadolint").arg(file.path()).output().unwrap();
    assert!(said(&output).contains("DL3006") && !output.status.success(), "{}", said(&output));
}

#[test]
fn secrets_that_are_there_are_never_made_anew() {
    let tree = Tree::new();
    let names = ["PASSWORD_PEPPER", "KEY_ENCRYPTION_KEY", "POSTGRES_PASSWORD", "DATABASE_URL"];
    let path = |name: &str| tree.path("overlays/local/secrets").join(name);
    let all = || names.map(|name| std::fs::read_to_string(path(name)).unwrap());
    let make = || run(&mut Command::new(tree.path("overlays/local/make-secrets")));
    let first = all();
    assert_eq!(make(), "");
    assert_eq!(all(), first);
    std::fs::remove_file(path("PASSWORD_PEPPER")).unwrap();
    assert_eq!(make(), "made secrets/PASSWORD_PEPPER\n");
    let second = all();
    assert_ne!(second[0], first[0]);
    assert_eq!(second[1..], first[1..]);
    let mode = |path: PathBuf| std::fs::metadata(path).unwrap().permissions().mode() & 0o777;
    assert_eq!(names.map(|name| mode(path(name))), [0o600; 4]);
}
