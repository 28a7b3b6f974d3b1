//! Whether a pooler stands between us and Postgres that gives a connection another session after each transaction.
//! Session settings, advisory locks and prepared statements would then be somebody else's.

use tokio_postgres::{Client, SimpleQueryMessage};
use uuid::Uuid;

use super::opener::Opener;
use crate::error::{Error, Result};

/// How often it is tried: a pooler with many idle servers may give us the same one by chance.
const ROUNDS: u32 = 3;

/// Refuses a transaction pooler. Two connections that are open at once each leave a mark in their session: without such a
/// pooler each finds its own again, and they are served by two processes.
///
/// # Errors
/// [`Error::Internal`] when there is one, [`Error::DatabaseUnavailable`] when nobody can say.
pub(super) async fn refuse_transaction_pooler(opener: &Opener) -> Result<()> {
    let pair = [opener.open_bare().await?, opener.open_bare().await?];
    // No other replica, that looks at the same time, leaves such a mark.
    let marks = [Uuid::new_v4(), Uuid::new_v4()].map(|mark| mark.to_string());
    for _ in 0..ROUNDS {
        mark(&pair[0], &marks[0]).await?;
        mark(&pair[1], &marks[1]).await?;
        let [first, second] = [look(&pair[0]).await?, look(&pair[1]).await?];
        if [&first.0, &second.0] != [&marks[0], &marks[1]] || first.1 == second.1 {
            return Err(Error::Internal(
                "Postgres (DATABASE_URL) is reached through a pooler in transaction or statement mode, which mixes up \
                 sessions: use its session mode, or connect to Postgres directly"
                    .into(),
            ));
        }
    }
    Ok(())
}

async fn mark(client: &Client, name: &str) -> Result<()> {
    let sql = format!("SET portcullis.connection = '{name}'");
    client.batch_execute(&sql).await.map_err(|error| Error::DatabaseUnavailable(error.into()))
}

/// The mark of the session that serves the connection now, and the process.
async fn look(client: &Client) -> Result<(String, String)> {
    let sql = "SELECT coalesce(current_setting('portcullis.connection', true), ''), pg_backend_pid()";
    let answer = client.simple_query(sql).await.map_err(|error| Error::DatabaseUnavailable(error.into()))?;
    let row = answer.iter().find_map(|message| match message {
        SimpleQueryMessage::Row(row) => Some(row),
        _ => None,
    });
    let text = |column| row.and_then(|row| row.get(column)).unwrap_or_default().to_owned();
    Ok((text(0), text(1)))
}
