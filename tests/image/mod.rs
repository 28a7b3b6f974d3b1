//! The images: what `deploy/Containerfile` makes of the sources is built and run as a cluster would run it. Short rounds
//! take the dependencies that are compiled already; long ones compile everything, with optimisation.

mod container;
mod podman;

use std::collections::BTreeSet;
use std::fs;
use std::process::Command;

use serde_json::{Value, json};

use self::container::Container;
use self::podman::{Podman, said, text};
use crate::harness::{
    Database, GATEWAY, Http, IDENTITY, PASSWORD, Rpc, free_port, programs, repository, rounds,
};

const IMAGES: [&str; 2] = ["identity-service", "gateway"];
const REVISION: &str = "5ca1ab1e5ca1ab1e5ca1ab1e5ca1ab1e5ca1ab1e";

/// podman with both images, or nothing where containers do not work and only short rounds are played.
fn images() -> Option<Podman> {
    match Podman::open() {
        Ok(podman) => {
            // The stage before them is an image, too, so that it is not built anew each time.
            ["build"].iter().chain(&IMAGES).for_each(|image| build(&podman, image));
            podman.does(&["image", "prune", "--force"]);
            Some(podman)
        }
        Err(reason) => {
            assert!(rounds(true, false), "no image is tested: {reason}");
            println!("No image is tested: {reason}");
            None
        }
    }
}

fn build(podman: &Podman, image: &str) {
    // What is written there goes again: the programs of this machine stay what they are.
    let compiled = format!("--volume={}:/build/debug:O", programs().display());
    let compiled = rounds(Some(compiled.as_str()), None);
    let version = format!("--build-arg=VERSION={}", env!("CARGO_PKG_VERSION"));
    let repository = repository();
    let arguments = [
        "--build-arg=BUILD_IMAGE=localhost/rust",
        "--build-arg=RUNTIME_IMAGE=localhost/distroless",
        rounds("--build-arg=PROFILE=dev", "--build-arg=PROFILE=release"),
        &format!("--build-arg=REVISION={REVISION}"),
        &version,
        &format!("--file={}", repository.join("deploy/Containerfile").display()),
        &format!("--target={image}"),
        &format!("--tag=localhost/{image}"),
        &repository.to_string_lossy(),
    ];
    let arguments: Vec<_> = compiled.into_iter().chain(arguments).collect();
    let output = podman.build(&arguments);
    assert!(output.status.success(), "{image} is not built: {}", said(&output));
}

/// The variables of an identity-service that sends no mail, and where it listens.
fn identity_variables(database: &Database) -> (u16, Vec<(&str, String)>) {
    let port = free_port();
    let own = [("DATABASE_URL", database.url.clone()), ("LISTEN_ADDRESS", format!("127.0.0.1:{port}"))];
    (port, own.into_iter().chain(IDENTITY.map(|(name, value)| (name, value.to_owned()))).collect())
}

fn borrowed<'a>(variables: &'a [(&'a str, String)]) -> Vec<(&'a str, &'a str)> {
    variables.iter().map(|(name, value)| (*name, value.as_str())).collect()
}

async fn start_gateway(podman: &Podman, identity_port: u16) -> (Container<'_>, Http) {
    let port = free_port();
    let [listen, url] = [format!("127.0.0.1:{port}"), format!("http://127.0.0.1:{identity_port}")];
    let own = [("LISTEN_ADDRESS", listen.as_str()), ("IDENTITY_SERVICE_URL", &url)];
    let http = Http::new(port);
    let mut gateway = Container::start(podman, "gateway", "host", &[&own[..], &GATEWAY].concat());
    let is_ready =
        async |_: &Container| http.try_get("/health/ready").await.is_some_and(|answer| answer.status == 200);
    gateway.until("ready", is_ready).await;
    (gateway, http)
}

#[tokio::test]
async fn the_containers_migrate_serve_without_any_right_and_end_well() {
    let Some(podman) = images() else { return };
    let database = Database::create().await;
    let migrate = || {
        let variable = format!("--env=DATABASE_URL={}", database.url);
        text(&mut podman.run(&["--network=host", &variable, "localhost/identity-service", "migrate"]))
    };
    let first = migrate();
    assert!(first.ends_with(" applied, the database is up to date") && !first.starts_with("0 "), "{first}");
    assert_eq!(migrate(), "0 applied, the database is up to date");
    let (identity_port, variables) = identity_variables(&database);
    let mut identity = Container::start(&podman, "identity-service", "host", &borrowed(&variables));
    identity.until("serving", async |_| Rpc::is_serving(identity_port).await).await;
    let (gateway, http) = start_gateway(&podman, identity_port).await;

    assert_eq!(http.register("king.arthur@camelot.bt", PASSWORD).await.status, 201);
    let token = http.token("king.arthur@camelot.bt", PASSWORD).await;
    let me = http.bare("GET", "/users/me", &token).await;
    assert_eq!((me.status, me.text("email").as_str()), (200, "king.arthur@camelot.bt"));
    assert_eq!(http.log_in("king.arthur@camelot.bt", "lancelot").await.status, 400);

    for (container, image) in [(&identity, IMAGES[0]), (&gateway, IMAGES[1])] {
        for question in [&["healthcheck"][..], &["healthcheck", "--live"]] {
            let program = format!("/usr/local/bin/{image}");
            let asked = container.exec(&[&[program.as_str()], question].concat());
            assert!(asked.status.success(), "{}", said(&asked));
        }
        has_no_right(container);
    }
    assert_eq!(gateway.stop(), Some(0));
    assert_eq!(identity.stop(), Some(0));
}

/// That the process is nobody's, and that nothing gives it more: from outside, by what the kernel says of it.
fn has_no_right(container: &Container) {
    let status = container.process("status");
    let none = "0000000000000000";
    for (name, expected) in [
        ("Uid", "65532 65532 65532 65532"),
        ("Gid", "65532 65532 65532 65532"),
        ("CapInh", none),
        ("CapPrm", none),
        ("CapEff", none),
        ("CapBnd", none),
        ("CapAmb", none),
        ("NoNewPrivs", "1"),
        ("Seccomp", "2"),
    ] {
        let value = status.lines().find_map(|line| line.strip_prefix(&format!("{name}:")));
        let value: Vec<_> = value.unwrap().split_whitespace().collect();
        assert_eq!(value.join(" "), expected, "{name}");
    }
    let mounts = container.process("mounts");
    let root = mounts.lines().map(|line| line.split(' ').collect::<Vec<_>>()).find(|mount| mount[1] == "/");
    assert!(root.unwrap()[3].starts_with("ro,"), "{mounts}");
    assert!(!mounts.contains(" /tmp "), "{mounts}");
}

#[tokio::test]
async fn a_gateway_that_is_told_no_address_is_reached_from_outside_of_its_container() {
    let Some(podman) = images() else { return };
    let nowhere = ("IDENTITY_SERVICE_URL", "http://127.0.0.1:1");
    let mut gateway = Container::start(&podman, "gateway", "none", &[GATEWAY[0], nowhere]);
    let answers = async |gateway: &Container<'_>| {
        said(&gateway.exec(&["/usr/local/bin/gateway", "healthcheck"])).contains("not ready: HTTP/1.1 503")
    };
    gateway.until("answering", answers).await;
    // Every address and port 8000, as the kernel writes them; 0A is a socket that listens.
    let sockets = gateway.process("net/tcp");
    assert!(sockets.contains(" 00000000:1F40 00000000:0000 0A "), "{sockets}");
}

#[test]
fn an_image_is_small_says_what_it_is_and_adds_its_program_to_what_it_is_based_on_and_nothing_else() {
    let Some(podman) = images() else { return };
    let base = files(&podman, "distroless");
    for (image, port) in IMAGES.into_iter().zip([50051, 8000]) {
        adds_only_its_program(&podman, image, &base);
        says_what_it_is_and_how_it_is_run(&podman, image, port);
        let size = podman.does(&["image", "inspect", "--format={{.Size}}", &format!("localhost/{image}")]);
        let megabytes = size.parse::<u64>().unwrap().div_ceil(1_000_000);
        println!("The image of {image} has {megabytes} MB.");
        // Programs that are not optimised are bigger, and nobody ships them.
        assert!(megabytes < rounds(100, 60), "{image} has {megabytes} MB");
    }
}

fn adds_only_its_program(podman: &Podman, image: &str, base: &BTreeSet<String>) {
    let all = files(podman, image);
    let added: Vec<_> = all.difference(base).map(String::as_str).collect();
    assert_eq!(added, ["usr/local/", "usr/local/bin/", &format!("usr/local/bin/{image}")]);
    assert!(base.is_subset(&all), "something is gone: {:?}", base.difference(&all));
    for shell in ["/bin/sh", "/bin/bash", "/busybox/sh"] {
        let entrypoint = format!("--entrypoint={shell}");
        let ran = podman.run(&["--network=none", &entrypoint, &format!("localhost/{image}")]).output();
        assert_eq!(ran.unwrap().status.code(), Some(127), "{image} has {shell}");
    }
}

/// The files of an image.
fn files(podman: &Podman, image: &str) -> BTreeSet<String> {
    let container = podman.does(&["create", "--network=none", &format!("localhost/{image}"), "nothing"]);
    let archive = podman.scratch("files.tar");
    podman.does(&["export", "--output", &archive.to_string_lossy(), &container]);
    podman.does(&["rm", &container]);
    let listed = text(Command::new("tar").arg("--list").arg("--file").arg(&archive));
    fs::remove_file(archive).unwrap();
    listed.lines().map(str::to_owned).collect()
}

fn says_what_it_is_and_how_it_is_run(podman: &Podman, image: &str, port: u16) {
    let name = format!("localhost/{image}");
    let config = podman.does(&["image", "inspect", "--format={{json .Config}}", &name]);
    let config: Value = serde_json::from_str(&config).unwrap();
    assert_eq!(config["User"], "65532:65532");
    assert_eq!(config["Entrypoint"], json!([format!("/usr/local/bin/{image}")]));
    assert_eq!(config["Cmd"], json!(["serve"]));
    assert_eq!(config["ExposedPorts"], json!({format!("{port}/tcp"): {}}));
    let address = json!(format!("LISTEN_ADDRESS=0.0.0.0:{port}"));
    assert!(config["Env"].as_array().unwrap().contains(&address), "{config}");
    let label = |name: &str| config["Labels"][format!("org.opencontainers.image.{name}")].clone();
    assert_eq!(label("title"), image);
    assert!(label("description").as_str().unwrap().starts_with("Portcullis: "), "{config}");
    assert_eq!(label("licenses"), "Apache-2.0");
    assert_eq!((label("version"), label("revision")), (env!("CARGO_PKG_VERSION").into(), REVISION.into()));
    let version = text(&mut podman.run(&["--network=none", &name, "--version"]));
    assert_eq!(version, format!("{image} {}", env!("CARGO_PKG_VERSION")));
}

#[test]
fn the_images_are_built_with_the_rust_that_the_workspace_names() {
    let containerfile = fs::read_to_string(repository().join("deploy/Containerfile")).unwrap();
    let image = format!("ARG BUILD_IMAGE=docker.io/library/rust:{}-", env!("CARGO_PKG_RUST_VERSION"));
    assert!(containerfile.contains(&image), "deploy/Containerfile has no {image}");
}
