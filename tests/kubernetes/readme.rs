//! README's commands do what it says of them.

use std::process::Command;

use super::INSTALLATIONS;
use super::manifests::{Tree, at, program, read, run, title};
use super::references;

/// The blocks of commands.
pub fn commands() -> Vec<String> {
    let readme = read("README.md");
    let blocks = readme.split("```sh\n").skip(1).map(|rest| rest.split("```").next().unwrap());
    blocks.map(str::to_owned).collect()
}

#[test]
fn commands_can_be_pasted_into_any_shell() {
    let blocks = commands();
    assert!(blocks.len() > 5, "where are they? {blocks:#?}");
    for block in blocks {
        run(Command::new("bash").args(["-n", "-c", &block]));
        // zsh takes that for an argument.
        assert!(!block.contains('#'), "a comment among commands: {block}");
    }
}

#[test]
fn the_images_that_are_built_are_those_that_the_local_pods_run() {
    let local = Tree::new().install("overlays/local");
    let blocks = commands().concat();
    let mut built = 0;
    for pod in local.pods() {
        for container in pod.containers().filter(|container| program(container) != "postgres") {
            let (image, target) = (container["image"].as_str().unwrap(), program(container));
            let wanted =
                format!("podman build --tag {image} --target {target} --file deploy/Containerfile .\n");
            assert!(blocks.contains(&wanted), "README does not say {wanted}");
            built += 1;
        }
    }
    assert_eq!(built, 3);
}

/// `kubectl apply -k … -l 'app.kubernetes.io/component!=gateway'`, which an update begins with.
#[test]
fn what_is_updated_before_the_gateways_needs_nothing_of_theirs() {
    assert!(commands().concat().contains("-l 'app.kubernetes.io/component!=gateway'"));
    let tree = Tree::new();
    for folder in INSTALLATIONS {
        let mut first = tree.install(folder);
        first
            .objects
            .retain(|object| at(object, "/metadata/labels/app.kubernetes.io~1component") != "gateway");
        let gateways: Vec<_> = first.objects.iter().map(title).filter(|it| it.contains("gateway")).collect();
        assert_eq!(gateways, Vec::<String>::new(), "{folder}");
        assert_eq!(
            references::complaints(&first),
            [
                r#"NetworkPolicy/identity-service names the pods {"matchLabels":{"app.kubernetes.io/component":"gateway"}}, which are not there"#
            ],
            "{folder}"
        );
        let owners: Vec<_> = first.pods().into_iter().map(|pod| pod.owner).collect();
        for owner in ["Deployment/identity-service", "Job/migrate"] {
            assert!(owners.iter().any(|found| found == owner), "{folder} has no {owner}: {owners:?}");
        }
    }
}
