//! Something is away: requests are answered within their deadline, and all comes back by itself.

use std::time::{Duration, Instant};

use serde_json::json;

use crate::harness::{Answer, Cluster, Database, Http, PASSWORD, Process, Stack, free_port};
use crate::recovery::reset;

const EMAIL: &str = "king.arthur@camelot.bt";

/// Whether `/health/ready` says yes.
async fn is_ready(http: &Http) -> bool {
    http.try_get("/health/ready").await.is_some_and(|answer| answer.status == 200)
}

fn is_away(answer: &Answer) -> bool {
    let bodies = [r#"503 {"detail":"Service Unavailable"}"#, r#"504 {"detail":"Gateway Timeout"}"#];
    bodies.contains(&answer.short().as_str()) && answer.took < Duration::from_millis(8_200)
}

#[tokio::test]
async fn a_lost_database_is_503_within_the_deadline_and_comes_back_by_itself() {
    let (cluster, url) = Cluster::start();
    let database = Database::create_in(&url, "").await;
    let identity = Process::identity(&database.url, &[]);
    identity.until_serving().await;
    let gateway = Process::gateway(&identity, &[]);
    gateway.until_ready().await;
    let http = Http::new(gateway.port);
    assert_eq!(http.register(EMAIL, PASSWORD).await.status, 201);
    let token = http.token(EMAIL, PASSWORD).await;

    cluster.crash();
    gateway.until("not ready", Duration::from_secs(5), async || !is_ready(&http).await).await;
    assert!(identity.command(&["healthcheck"]).is_err());
    for answer in [
        http.bare("GET", "/users/me", &token).await,
        http.log_in(EMAIL, PASSWORD).await,
        http.register("lancelot@camelot.bt", PASSWORD).await,
        http.bare("POST", "/auth/jwt/logout", &token).await,
        http.json("POST", "/auth/forgot-password", "", json!({"email": EMAIL})).await,
        reset(&http, &"A".repeat(43), PASSWORD).await,
    ] {
        assert_eq!(answer.short(), r#"503 {"detail":"Service Unavailable"}"#);
        assert!(answer.took < Duration::from_millis(2_200), "{:?}", answer.took);
    }
    // What needs nobody else goes on.
    assert_eq!(http.bare("GET", "/health/live", "").await.status, 200);
    assert_eq!(http.bare("GET", "/users/me", "nonsense").await.status, 401);

    cluster.restart();
    gateway.until_ready().await;
    assert_eq!(http.bare("GET", "/users/me", &token).await.status, 200);
    assert_eq!(http.log_in(EMAIL, PASSWORD).await.status, 200);
    assert!(identity.command(&["healthcheck"]).is_ok());
}

#[tokio::test]
async fn an_identity_service_that_is_away_or_hangs_is_told_as_such_and_found_again() {
    let mut stack = Stack::start().await;
    let (_, token) = stack.user(EMAIL).await;
    let http = stack.http();

    stack.identity.signal("STOP");
    let hanging = http.bare("GET", "/users/me", &token).await;
    assert!(is_away(&hanging) && hanging.took < Duration::from_millis(3_000), "{hanging:?}");
    assert!(!is_ready(&http).await);
    stack.identity.signal("CONT");
    stack.gateway.until_ready().await;
    assert_eq!(http.bare("GET", "/users/me", &token).await.status, 200);

    stack.identity.kill();
    for answer in [http.bare("GET", "/users/me", &token).await, http.log_in(EMAIL, PASSWORD).await] {
        assert_eq!(answer.short(), r#"503 {"detail":"Service Unavailable"}"#);
    }
    // A logout that cannot be carried out is not pretended.
    let cookie =
        http.request("POST", "/auth/cookie/logout").header("cookie", format!("fastapiusersauth={token}"));
    let logout = http.send(cookie).await;
    assert_eq!((logout.status, logout.header("set-cookie")), (503, ""));
    assert!(!is_ready(&http).await);
    stack.identity.restart();
    stack.gateway.until_ready().await;
    assert_eq!(http.bare("GET", "/users/me", &token).await.status, 200);
}

#[tokio::test]
async fn any_order_of_start_converges() {
    let (cluster, url) = Cluster::start();
    let database = Database::create_in(&url, "").await;
    cluster.crash();
    let port = free_port();
    let gateway = Process::gateway_to(port, &[]);
    let address = format!("127.0.0.1:{port}");
    let identity = Process::identity(&database.url, &[("LISTEN_ADDRESS", &address)]);
    tokio::time::sleep(Duration::from_millis(500)).await;
    assert!(!is_ready(&Http::new(gateway.port)).await);
    cluster.restart();
    gateway.until("ready", Duration::from_secs(10), async || is_ready(&Http::new(gateway.port)).await).await;
    drop(identity);
}

#[tokio::test]
async fn a_stop_lets_the_calls_under_way_finish() {
    // A login takes about half a second.
    let mut stack = Stack::with(&[("BCRYPT_COST", "13")], &[]).await;
    stack.register(EMAIL).await;
    for number in 0..2 {
        // So that the connections are there.
        stack.http().token(EMAIL, PASSWORD).await;
        let (http, started) = (stack.http(), Instant::now());
        let login = tokio::spawn(async move { http.log_in(EMAIL, PASSWORD).await });
        tokio::time::sleep(Duration::from_millis(200)).await;
        // First the gateway while a login is under way, then identity-service.
        let stopped = if number == 0 { &mut stack.gateway } else { &mut stack.identity };
        stopped.signal("TERM");
        let signalled = started.elapsed();
        let login = login.await.unwrap();
        assert_eq!(login.status, 200, "{login:?}");
        assert!(login.took > signalled, "it took {:?}: nothing was under way", login.took);
        let status = stopped.wait(Duration::from_secs(10)).await.expect("stops when it is asked to");
        assert!(status.success(), "{status}");
        stopped.restart();
        stack.identity.until_serving().await;
        stack.gateway.until_ready().await;
    }
}
