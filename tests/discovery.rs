//! A name that stands for several identity-services, as that of a headless Service in Kubernetes does: each address that
//! it has is a replica, those that come and those that go.

use std::time::Duration;

use crate::harness::{Database, Http, Names, Process};

/// How soon a change of the name is noticed: it is looked up every two seconds.
const NOTICE: Duration = Duration::from_secs(6);

/// An identity-service at this address, and the port that all have.
async fn identity(database: &Database, host: &str, port: u16) -> Process {
    let identity = Process::identity(&database.url, &[("LISTEN_ADDRESS", &format!("{host}:{port}"))]);
    let serves = async || identity.command(&["healthcheck"]).is_ok();
    identity.until("serving", Duration::from_secs(20), serves).await;
    identity
}

/// A gateway that asks whoever has the name.
fn gateway(names: &Names, port: u16) -> Process {
    let url = format!("http://identity-service:{port}");
    Process::gateway_to(1, &[&[("IDENTITY_SERVICE_URL", url.as_str())], &names.variables()[..]].concat())
}

async fn until_logged(gateway: &Process, words: &str) {
    gateway.until(words, NOTICE, async || gateway.log().contains(words)).await;
}

#[tokio::test]
async fn each_address_of_a_name_is_a_replica_and_what_comes_and_goes_is_noticed() {
    let (database, port) = (Database::create().await, crate::harness::free_port());
    let mut first = identity(&database, "127.0.0.2", port).await;
    let names = Names::of(&["127.0.0.2 identity-service"]);
    let gateway = gateway(&names, port);
    gateway.until_ready().await;
    let http = Http::new(gateway.port);
    assert_eq!(http.register("king.arthur@camelot.bt", "guinevere").await.status, 201);
    let token = http.token("king.arthur@camelot.bt", "guinevere").await;

    let _second = identity(&database, "127.0.0.3", port).await;
    names.set(&["127.0.0.2 identity-service", "127.0.0.3 identity-service"]).await;
    until_logged(&gateway, &format!(r#"url=http://127.0.0.3:{port}/ is_well=true"#)).await;
    first.signal("TERM");
    for _ in 0..100 {
        assert_eq!(http.bare("GET", "/users/me", &token).await.status, 200);
    }
    assert!(first.wait(Duration::from_secs(10)).await.is_some_and(|status| status.success()));

    names.set(&["127.0.0.3 identity-service"]).await;
    until_logged(&gateway, &format!("no longer found url=http://127.0.0.2:{port}/")).await;
    assert_eq!(http.bare("GET", "/users/me", &token).await.status, 200);
}

#[tokio::test]
async fn a_name_that_is_not_known_yet_is_waited_for_and_one_that_is_lost_changes_nothing() {
    let (database, port) = (Database::create().await, crate::harness::free_port());
    let _identity = identity(&database, "127.0.0.2", port).await;
    let names = Names::of(&["127.0.0.2 somebody-else"]);
    let gateway = gateway(&names, port);
    let http = Http::new(gateway.port);
    until_logged(&gateway, "identity-service cannot be looked up").await;
    assert_eq!(http.bare("GET", "/health/ready", "").await.status, 503);
    assert_eq!(http.register("king.arthur@camelot.bt", "guinevere").await.status, 503);

    names.set(&["127.0.0.2 identity-service"]).await;
    gateway.until_ready().await;
    assert_eq!(http.register("king.arthur@camelot.bt", "guinevere").await.status, 201);

    let before = gateway.log().len();
    names.set(&["127.0.0.2 somebody-else"]).await;
    let is_noticed = async || gateway.log()[before..].contains("identity-service cannot be looked up");
    gateway.until("told that the name is lost", NOTICE, is_noticed).await;
    assert_eq!(http.bare("GET", "/health/ready", "").await.status, 200);
    http.token("king.arthur@camelot.bt", "guinevere").await;
}
