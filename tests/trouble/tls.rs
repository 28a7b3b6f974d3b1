//! Postgres over TLS: what `sslmode` says is what happens, and nothing less.

use std::path::Path;
use std::time::Duration;

use rcgen::CertificateParams;

use crate::harness::{Authority, Cluster, Database, Http, PASSWORD, Process};

use super::EMAIL;

/// A cluster that speaks TLS as `localhost` and 127.0.0.1, and a database there.
struct Scene {
    database: Database,
    authority: Authority,
    cluster: Cluster,
}

impl Scene {
    async fn set() -> Self {
        let (authority, (cluster, url)) = (Authority::new(), Cluster::start());
        authority.certify(&cluster, &["localhost", "127.0.0.1"]);
        Self { database: Database::create_in(&url, "").await, authority, cluster }
    }

    /// The URL of the database by another name of its host, with these parameters.
    fn url(&self, host: &str, parameters: &str) -> String {
        format!("{}?{parameters}", self.database.url.replace("@127.0.0.1:", &format!("@{host}:")))
    }

    /// How many connections of the service are encrypted, and how many not.
    async fn connections(&self) -> [i64; 2] {
        let count = "SELECT count(*) FROM pg_stat_ssl JOIN pg_stat_activity USING (pid)
                     WHERE application_name = 'identity-service'";
        [
            self.database.number(&format!("{count} AND ssl")).await,
            self.database.number(&format!("{count} AND NOT ssl")).await,
        ]
    }
}

fn verify_full(authority: &Path) -> String {
    format!("sslmode=verify-full&sslrootcert={}", authority.display())
}

/// Fails unless a start with this URL is refused: exit code 1 and one last line that says so, without the password.
async fn assert_is_refused(url: &str, why: &str) {
    let mut identity = Process::identity(url, &[("MIGRATIONS", "wait")]);
    let status =
        identity.wait(Duration::from_secs(5)).await.unwrap_or_else(|| panic!("{why}: it is waited for"));
    let log = identity.log();
    assert_eq!(status.code(), Some(1), "{why}: {log}");
    let refusals: Vec<_> = log.lines().filter(|line| line.starts_with("identity-service: ")).collect();
    assert_eq!(refusals.len(), 1, "{why}: {log}");
    assert!(log.lines().last() == Some(refusals[0]) && refusals[0].contains("DATABASE_URL"), "{why}: {log}");
    let password = url.split([':', '@']).nth(2).expect("a URL has a password");
    assert!(!log.contains(password), "{why}: the log says the password");
    println!("{why}: {}", refusals[0]);
}

/// The flow, from a registration to an answer.
async fn assert_works(identity: &Process) {
    identity.until_serving().await;
    let gateway = Process::gateway(identity, &[]);
    gateway.until_ready().await;
    let http = Http::new(gateway.port);
    assert!([201, 400].contains(&http.register(EMAIL, PASSWORD).await.status));
    let token = http.token(EMAIL, PASSWORD).await;
    assert_eq!(http.bare("GET", "/users/me", &token).await.status, 200);
}

#[tokio::test]
async fn a43_verify_full_encrypts_for_the_right_authority_and_name_and_refuses_every_other() {
    let scene = Scene::set().await;
    let (right, wrong) = (scene.authority.certificate(), Authority::new().certificate());
    for host in ["localhost", "127.0.0.1"] {
        let identity = Process::identity(&scene.url(host, &verify_full(right.path())), &[]);
        assert_works(&identity).await;
        let [encrypted, plain] = scene.connections().await;
        assert!(encrypted > 0 && plain == 0, "{encrypted} connections are encrypted, {plain} are not");
    }
    assert_is_refused(&scene.url("localhost", &verify_full(wrong.path())), "another authority").await;
    // Without one of our own, those of the world are believed, or nobody is; ours is none of them.
    scene.authority.certify(&scene.cluster, &["camelot.example"]);
    assert_is_refused(&scene.url("localhost", &verify_full(right.path())), "another name").await;
    assert_is_refused(&scene.url("127.0.0.1", &verify_full(right.path())), "another name for an address")
        .await;
    let mut expired = CertificateParams::new(vec!["localhost".to_owned()]).unwrap();
    expired.not_after = rcgen::date_time_ymd(2020, 1, 1);
    scene.authority.certify_with(&scene.cluster, expired);
    assert_is_refused(&scene.url("localhost", &verify_full(right.path())), "an old certificate").await;
}

#[tokio::test]
async fn a43_require_encrypts_without_a_look_at_the_certificate_and_disable_does_not_encrypt() {
    let scene = Scene::set().await;
    for (parameters, is_encrypted) in [("sslmode=require", true), ("sslmode=disable", false)] {
        let identity = Process::identity(&scene.url("127.0.0.1", parameters), &[]);
        assert_works(&identity).await;
        let [encrypted, plain] = scene.connections().await;
        assert_eq!((encrypted > 0, plain > 0), (is_encrypted, !is_encrypted), "{parameters}");
    }
}

#[tokio::test]
async fn a43_a_server_without_tls_is_refused_where_tls_is_required() {
    let database = Database::create().await;
    let authority = Authority::new().certificate();
    for parameters in ["sslmode=require".to_owned(), verify_full(authority.path())] {
        assert_is_refused(&format!("{}?{parameters}", database.url), &parameters).await;
    }
    assert_works(&Process::identity(&format!("{}?sslmode=disable", database.url), &[])).await;
}

#[tokio::test]
async fn a43_a_server_that_changes_into_another_is_not_spoken_to_until_it_is_the_right_one_again() {
    let scene = Scene::set().await;
    let right = scene.authority.certificate();
    let identity = Process::identity(&scene.url("localhost", &verify_full(right.path())), &[]);
    assert_works(&identity).await;
    Authority::new().certify(&scene.cluster, &["localhost", "127.0.0.1"]);
    let is_serving = async || crate::harness::Rpc::is_serving(identity.port).await;
    identity.until("not serving", Duration::from_secs(5), async || !is_serving().await).await;
    assert_eq!(scene.connections().await, [0, 0]);
    scene.authority.certify(&scene.cluster, &["localhost", "127.0.0.1"]);
    assert_works(&identity).await;
    assert_eq!(scene.connections().await[1], 0);
}
