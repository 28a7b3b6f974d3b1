//! What a replica does now and then: it forgets revocations that nobody need know any more, and takes the steps that are due
//! in the life of the keys.

use std::error::Error as _;
use std::time::Duration;

use futures_util::FutureExt as _;
use tokio::time::interval;
use tracing::{debug, warn};

use super::{Feed, Trust, store};
use crate::database::Database;
use crate::error::Result;

/// How often what nobody need know any more is removed.
const REMOVAL: Duration = Duration::from_secs(60);
/// How often it is looked whether something is due in the life of the keys.
const KEYS: Duration = Duration::from_secs(5);

/// Does it, for ever. Whatever fails is tried again.
pub(super) async fn keep_up(feed: &Feed, database: &Database, trust: &Trust) {
    tokio::join!(keep_short(feed, database), keep_keys(feed, database, trust));
}

async fn keep_short(feed: &Feed, database: &Database) {
    let mut ticks = interval(REMOVAL);
    loop {
        ticks.tick().await;
        match remove(feed, database).await {
            Ok(count) => debug!(count, "revocations were removed that nobody need know any more"),
            Err(error) => warn!(cause = error.source(), "revocations were not removed; it is tried again"),
        }
    }
}

async fn remove(feed: &Feed, database: &Database) -> Result<usize> {
    let mut count = 0;
    while feed.may_forget() {
        let some = database
            .transaction(|connection| async move { Ok(store::delete_forgotten(connection).await?) }.boxed());
        let removed = some.await?;
        count += removed;
        if removed < store::REMOVED_AT_ONCE {
            break;
        }
    }
    Ok(count)
}

async fn keep_keys(feed: &Feed, database: &Database, trust: &Trust) {
    let mut ticks = interval(KEYS);
    let mut is_well = true;
    loop {
        ticks.tick().await;
        match trust.keep_keys(feed.may_forget()).await {
            Ok(changed) => {
                if changed {
                    super::announce(database).await;
                }
                is_well = true;
            }
            Err(error) => {
                if is_well {
                    warn!(
                        cause = error.source(),
                        "what is due about the signing keys is not done; it is tried again"
                    );
                }
                is_well = false;
            }
        }
    }
}
