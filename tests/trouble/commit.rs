//! A commit that waits for a synchronous standby which is away: nobody can say yet whether it will be there.

use std::time::Duration;

use futures_util::future::join_all;
use portcullis_proto::v1::CreateUserRequest;

use crate::harness::{Cluster, Database, PASSWORD, Rpc, Stack, outcome};

use super::{CONNECTIONS_OF_ONE, POOL};

const UNKNOWN: &str = "Unavailable OUTCOME_UNKNOWN";
const REFUSED: &str = "Unavailable DATABASE_UNAVAILABLE";

/// Who would register, and what each was told.
async fn register(stack: &Stack, number: i64) -> Vec<(String, String)> {
    let rpc = stack.rpc().await;
    let told = (0..number).map(|number| {
        let (mut users, email) = (rpc.users.clone(), format!("knight-{number}@camelot.bt"));
        async move {
            let request = CreateUserRequest {
                user_id: String::new(),
                email: email.clone(),
                password: PASSWORD.into(),
                profile: None,
            };
            let told = outcome(&users.create_user(request).await);
            (email, told)
        }
    });
    join_all(told).await
}

fn with<'a>(told: &'a [(String, String)], what: &str) -> Vec<&'a str> {
    told.iter().filter(|(_, told)| told == what).map(|(email, _)| email.as_str()).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn f03_a_commit_that_waits_for_a_standby_is_called_unknown_and_goes_on_waiting_in_its_place_in_the_pool()
 {
    let (cluster, url) = Cluster::start();
    let stack = Stack::over(Database::create_in(&url, "").await, &[], &[]).await;
    let (admin, connection) =
        tokio_postgres::connect(&cluster.superuser_url(), tokio_postgres::NoTls).await.unwrap();
    tokio::spawn(connection);
    let serving = async || Rpc::is_serving(stack.identity.port).await;
    let users = "SELECT count(*) FROM users WHERE email LIKE 'knight-%'";
    let waiting = "SELECT count(*) FROM pg_stat_activity WHERE wait_event = 'SyncRep'";
    let ours = "SELECT count(*) FROM pg_stat_activity WHERE application_name = 'identity-service'";

    admin.batch_execute("ALTER SYSTEM SET synchronous_standby_names = 'nobody'").await.unwrap();
    admin.batch_execute("SELECT pg_reload_conf()").await.unwrap();
    tokio::time::sleep(Duration::from_millis(500)).await;
    let told = register(&stack, POOL + 4).await;
    let (unknown, refused) = (with(&told, UNKNOWN), with(&told, REFUSED));
    assert_eq!((unknown.len(), refused.len()), (8, 4), "{told:?}");
    // A replica that can write nothing says so. Meanwhile every commit waits, and takes no second connection.
    stack.identity.until("not serving", Duration::from_secs(6), async || !serving().await).await;
    assert_eq!(stack.database.number(waiting).await, POOL);
    assert!(stack.database.number(ours).await <= CONNECTIONS_OF_ONE);
    assert_eq!(stack.database.number(users).await, 0, "they are seen before the standby has them");

    admin.batch_execute("ALTER SYSTEM RESET synchronous_standby_names").await.unwrap();
    admin.batch_execute("SELECT pg_reload_conf()").await.unwrap();
    stack.identity.until("serving", Duration::from_secs(5), serving).await;
    assert_eq!(stack.database.number(users).await, POOL, "what was unknown is there, and nothing else");
    let again = register(&stack, POOL + 4).await;
    assert_eq!(with(&again, "OK").len(), refused.len(), "{again:?}");
    assert_eq!(with(&again, "AlreadyExists EMAIL_TAKEN").len(), unknown.len(), "{again:?}");
}
