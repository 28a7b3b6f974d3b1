//! Traps in the database: a trigger at one step of a transaction that fails there, or waits there while the test
//! breaks something. The product is not touched.

use std::time::{Duration, Instant};

use tokio_postgres::Client;

use crate::harness::{Answer, Stack};

/// A step of a transaction: a moment of a statement on a table.
#[derive(Debug, Clone, Copy)]
pub struct Step(pub &'static str, pub &'static str);

/// What goes wrong there.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Fault {
    /// The statement fails.
    Error,
    /// The statement hangs until the server ends it.
    Stall,
    /// Postgres loses the process that serves the connection.
    LostBackend,
    /// identity-service dies.
    KilledService,
}

pub const FAULTS: [Fault; 4] = [Fault::Error, Fault::LostBackend, Fault::Stall, Fault::KilledService];

/// What waits at a step waits for this advisory lock.
const LOCK: i64 = 4711;

impl Step {
    /// Sets a trap that runs this when the step is reached.
    pub async fn set(self, database: &Client, body: &str) {
        let Self(when, table) = self;
        let trigger = match when.strip_suffix(" AT COMMIT") {
            Some(event) => {
                format!("CONSTRAINT TRIGGER torn AFTER {event} ON {table} DEFERRABLE INITIALLY DEFERRED")
            }
            None => format!("TRIGGER torn {when} ON {table}"),
        };
        let sql = format!(
            "CREATE FUNCTION torn() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN {body} END $$;
             CREATE {trigger} FOR EACH ROW EXECUTE FUNCTION torn()"
        );
        database.batch_execute(&sql).await.expect("the trap is set");
    }

    /// Removes it. That waits for all who have come that far, so that afterwards what they did is settled.
    pub async fn clear(self, database: &Client) {
        let sql = format!("DROP TRIGGER torn ON {}; DROP FUNCTION torn()", self.1);
        database.batch_execute(&sql).await.expect("the trap is removed");
    }
}

/// Lets a request run into a fault at a step; its answer, once all is settled and everything runs again.
pub async fn tear(
    stack: &mut Stack,
    step: Step,
    fault: Fault,
    request: impl Future<Output = Answer> + Send + 'static,
) -> Answer {
    let database = stack.database.connect().await;
    let lock = format!("PERFORM pg_advisory_xact_lock_shared({LOCK}); RETURN coalesce(NEW, OLD);");
    let body = if fault == Fault::Error { "RAISE 'torn';" } else { &lock };
    step.set(&database, body).await;
    database.execute("SELECT pg_advisory_lock($1)", &[&LOCK]).await.unwrap();
    let request = tokio::spawn(request);
    match fault {
        Fault::Error => {}
        Fault::Stall => drop(waiting(&database).await),
        Fault::LostBackend => {
            let backend = waiting(&database).await;
            database.execute("SELECT pg_terminate_backend($1)", &[&backend]).await.unwrap();
        }
        Fault::KilledService => {
            waiting(&database).await;
            stack.identity.kill();
        }
    }
    if fault == Fault::Stall {
        until(async || request.is_finished()).await;
    }
    database.execute("SELECT pg_advisory_unlock($1)", &[&LOCK]).await.unwrap();
    let answer = request.await.unwrap();
    step.clear(&database).await;
    if fault == Fault::KilledService {
        stack.identity.restart();
        stack.identity.until_serving().await;
        stack.gateway.until_ready().await;
    }
    answer
}

/// Who waits at the trap, once somebody does.
async fn waiting(database: &Client) -> i32 {
    let sql = "SELECT pid FROM pg_locks JOIN pg_database ON pg_database.oid = database
               WHERE datname = current_database() AND locktype = 'advisory' AND objid::bigint = $1 AND NOT granted";
    let mut found = None;
    until(async || {
        let rows = database.query(sql, &[&LOCK]).await.unwrap();
        found = rows.first().map(|row| row.get(0));
        found.is_some()
    })
    .await;
    found.expect("was found")
}

async fn until(mut condition: impl AsyncFnMut() -> bool) {
    let started = Instant::now();
    while !condition().await {
        assert!(started.elapsed() < Duration::from_secs(10), "the trap is not reached, or never left");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}
