//! Databases: a fresh one for each test.

use tokio_postgres::types::ToSql;
use tokio_postgres::{Client, NoTls, Row};

/// A database that is dropped when the test ends.
pub struct Database {
    pub url: String,
    name: String,
    server: String,
}

impl Database {
    /// An empty database in the cluster of `TEST_DATABASE_URL`.
    pub async fn create() -> Self {
        let server = std::env::var("TEST_DATABASE_URL")
            .expect("TEST_DATABASE_URL names a Postgres for tests: run tests/run, which starts one");
        Self::create_in(&server, "").await
    }

    /// An empty database in the cluster with this URL, made with these options of CREATE DATABASE.
    pub async fn create_in(server: &str, options: &str) -> Self {
        let name = format!("test_{}", uuid::Uuid::new_v4().simple());
        connect(server)
            .await
            .batch_execute(&format!("CREATE DATABASE {name} {options}"))
            .await
            .expect("is created");
        let (cluster, _) = server.rsplit_once('/').expect("a URL ends with the name of a database");
        Self { url: format!("{cluster}/{name}"), name, server: server.to_owned() }
    }

    /// A connection of the test's own.
    pub async fn connect(&self) -> Client {
        connect(&self.url).await
    }

    /// The rows of a query.
    pub async fn rows(&self, sql: &str, parameters: &[&(dyn ToSql + Sync)]) -> Vec<Row> {
        self.connect().await.query(sql, parameters).await.expect("the query is right")
    }

    /// The one number that a query answers.
    pub async fn number(&self, sql: &str) -> i64 {
        self.rows(sql, &[]).await[0].get(0)
    }

    /// Everything that it holds: each row of each table as text. What is refused changes nothing of it. When a session
    /// was last seen is left out: whoever is refused has been seen all the same.
    pub async fn contents(&self) -> Vec<String> {
        let tables = "SELECT format('%I.%I', schemaname, tablename) FROM pg_tables
                      WHERE schemaname NOT IN ('pg_catalog', 'information_schema') ORDER BY 1";
        let mut contents = Vec::new();
        for table in self.rows(tables, &[]).await {
            let table: String = table.get(0);
            let row =
                if table == "public.sessions" { "(to_jsonb(t) - 'last_seen_at')::text" } else { "t::text" };
            let rows = self.rows(&format!("SELECT {row} FROM {table} t ORDER BY 1"), &[]).await;
            contents.extend(rows.into_iter().map(|row| format!("{table} {}", row.get::<_, String>(0))));
        }
        contents
    }
}

impl Drop for Database {
    fn drop(&mut self) {
        let (server, name) = (self.server.clone(), self.name.clone());
        // A thread of its own: a test drops its database inside a runtime.
        let dropped = std::thread::spawn(move || {
            let runtime =
                tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
            runtime.block_on(async {
                let Ok((client, connection)) = tokio_postgres::connect(&server, NoTls).await else { return };
                tokio::spawn(connection);
                let _ = client.batch_execute(&format!("DROP DATABASE IF EXISTS {name} WITH (FORCE)")).await;
            });
        });
        let _ = dropped.join();
    }
}

/// A connection to the database with this URL.
pub async fn connect(url: &str) -> Client {
    let (client, connection) = tokio_postgres::connect(url, NoTls).await.expect("the database is there");
    tokio::spawn(connection);
    client
}
