//! Replicas: any can do anything, and starting together is safe.

use crate::harness::{Database, Http, PASSWORD, Process, repository};

#[tokio::test]
async fn three_replicas_that_start_together_on_an_empty_database_agree_on_one_schema_one_key_and_one_pepper()
{
    for _ in 0..10 {
        let database = Database::create().await;
        let replicas: Vec<_> = (0..3).map(|_| Process::identity(&database.url, &[])).collect();
        for replica in &replicas {
            replica.until_serving().await;
        }
        let migrations = database.number("SELECT count(*) FROM __diesel_schema_migrations").await;
        let files = std::fs::read_dir(repository().join("identity-service/migrations")).unwrap();
        assert_eq!(migrations, i64::try_from(files.count()).unwrap());
        assert_eq!(database.number("SELECT count(*) FROM signing_keys").await, 2);
        assert_eq!(database.number("SELECT count(*) FROM signing_keys WHERE state = 'current'").await, 1);
        assert_eq!(database.number("SELECT count(*) FROM peppers WHERE version = 1").await, 1);
        assert_eq!(database.number("SELECT count(*) FROM peppers").await, 1);
        let listed: Vec<_> =
            replicas.iter().map(|replica| replica.command(&["key", "list"]).unwrap()).collect();
        assert!(listed.iter().all(|keys| *keys == listed[0]));
    }
}

#[tokio::test]
async fn a_user_of_one_replica_is_known_to_the_other_at_once_and_so_is_his_logout() {
    let database = Database::create().await;
    let replicas = [Process::identity(&database.url, &[]), Process::identity(&database.url, &[])];
    let mut clients = Vec::new();
    let mut gateways = Vec::new();
    for replica in &replicas {
        replica.until_serving().await;
        let gateway = Process::gateway(replica, &[]);
        gateway.until_ready().await;
        clients.push(Http::new(gateway.port));
        gateways.push(gateway);
    }
    for number in 0..10 {
        let email = format!("knight{number}@camelot.bt");
        assert_eq!(clients[0].register(&email, PASSWORD).await.status, 201);
        let token = clients[1].token(&email, PASSWORD).await;
        assert_eq!(clients[0].bare("GET", "/users/me", &token).await.status, 200);
        assert_eq!(clients[0].bare("POST", "/auth/jwt/logout", &token).await.status, 204);
        assert_eq!(clients[1].bare("GET", "/users/me", &token).await.status, 401);
    }
}
