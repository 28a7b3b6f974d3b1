//! A pooler before Postgres. What a session of Postgres keeps (limits of time, locks, prepared statements) a pooler of
//! transactions does not keep, so it is refused; a pooler of sessions is as good as none.

use std::time::Duration;

use crate::harness::{Cluster, Database, Http, PASSWORD, Pooler, Process, rounds, with_port};

use super::EMAIL;

#[tokio::test]
async fn a_pooler_of_transactions_is_refused_at_start_in_one_line() {
    let (cluster, url) = Cluster::start();
    let database = Database::create_in(&url, "").await;
    // With one connection behind it each transaction finds the same again, with many hardly ever.
    let most = [("transaction", 20), ("transaction", 2), ("transaction", 1), ("statement", 20)];
    for (mode, size) in most.repeat(rounds(1, 10)) {
        let pooler = Pooler::start(&cluster, mode, size);
        // Several start at once, as they do.
        let url = with_port(&database.url, pooler.port);
        let start = |who_migrates| Process::identity(&url, &[("MIGRATIONS", who_migrates)]);
        for mut replica in ["apply", "wait", "apply"].map(start) {
            let status = replica.wait(Duration::from_secs(20)).await;
            let log = replica.log();
            assert_eq!(status.and_then(|status| status.code()), Some(1), "{mode}, {size}: {log}");
            let last = log.lines().last().unwrap_or_default();
            let said =
                last.starts_with("identity-service: Postgres (DATABASE_URL)") && last.contains("pooler");
            assert!(said, "{mode}, {size}: {log}");
        }
    }
}

#[tokio::test]
async fn a_pooler_of_sessions_serves_everything() {
    let (cluster, url) = Cluster::start();
    let database = Database::create_in(&url, "").await;
    let pooler = Pooler::start(&cluster, "session", 60);
    let url = with_port(&database.url, pooler.port);
    for round in 0..3 {
        let replicas: Vec<_> = (0..3).map(|_| Process::identity(&url, &[])).collect();
        for (number, replica) in replicas.iter().enumerate() {
            replica.until_serving().await;
            let gateway = Process::gateway(replica, &[]);
            gateway.until_ready().await;
            let (http, email) = (Http::new(gateway.port), format!("{round}-{number}-{EMAIL}"));
            assert_eq!(http.register(&email, PASSWORD).await.status, 201);
            let token = http.token(&email, PASSWORD).await;
            assert_eq!(http.bare("GET", "/users/me", &token).await.status, 200);
            assert_eq!(http.bare("POST", "/auth/jwt/logout", &token).await.status, 204);
            assert_eq!(http.bare("GET", "/users/me", &token).await.status, 401);
        }
    }
}
