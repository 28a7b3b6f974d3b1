//! What a panic in the middle of a transaction leaves behind.

use diesel_async::RunQueryDsl as _;
use futures_util::FutureExt as _;
use futures_util::future::join_all;
use identity_service::database::{Database as Pool, parse_url};
use identity_service::error::Error;

use crate::harness::{Database, rounds};

const WRITE: &str = "INSERT INTO written VALUES (1)";

async fn pool() -> (Database, Pool) {
    let database = Database::create().await;
    database.connect().await.batch_execute("CREATE TABLE written (number integer)").await.unwrap();
    let pool = Pool::new(parse_url(&database.url).expect("is a URL"), 2);
    (database, pool)
}

#[tokio::test]
async fn f05_a_panic_after_a_write_leaves_nothing_behind_and_the_pool_is_usable() {
    let (database, pool) = pool().await;
    for _ in 0..rounds(20, 200) {
        let torn = pool.transaction::<()>(|connection| {
            async move {
                diesel::sql_query(WRITE).execute(connection).await?;
                panic!("in the middle");
            }
            .boxed()
        });
        assert!(matches!(torn.await, Err(Error::Internal(_))));
    }
    assert_eq!(database.number("SELECT count(*) FROM written").await, 0);
    let whole = || {
        pool.transaction(|connection| {
            async move { Ok(diesel::sql_query(WRITE).execute(connection).await?) }.boxed()
        })
    };
    for written in join_all((0..8).map(|_| whole())).await {
        assert_eq!(written.ok(), Some(1), "all connections of the pool work");
    }
    assert_eq!(database.number("SELECT count(*) FROM written").await, 8);
    let idle = "SELECT count(*) FROM pg_stat_activity
                WHERE datname = current_database() AND state LIKE 'idle in transaction%'";
    assert_eq!(database.number(idle).await, 0);
}

#[tokio::test]
async fn f05_control_a_panic_after_a_write_outside_a_transaction_leaves_it_behind() {
    let (database, pool) = pool().await;
    let torn = tokio::spawn(async move {
        let mut connection = pool.connection().await.expect("there is one");
        diesel::sql_query(WRITE).execute(&mut *connection).await.expect("is written");
        panic!("in the middle");
    });
    assert!(torn.await.is_err_and(|error| error.is_panic()));
    assert_eq!(database.number("SELECT count(*) FROM written").await, 1);
}
