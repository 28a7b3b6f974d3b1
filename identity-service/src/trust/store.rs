//! The tables `revocations` and `revocation_feeds`.

use std::time::{Duration, SystemTime};

use diesel::dsl::IntervalDsl as _;
use diesel::prelude::*;
use diesel::sql_types;
use diesel_async::{AsyncPgConnection, RunQueryDsl};
use portcullis_proto::access_token::MAX_LIFETIME;
use time::OffsetDateTime;

use super::model::{Position, Revocation, Revoked, kept_for};
use crate::ids::{SessionId, UserId};
use crate::schema::{revocation_feeds, revocations};

/// The channel on which it is told that something has ended. That may be lost, and then costs time and nothing else.
pub(super) const CHANNEL: &str = "revocations";
/// How many rows are written in one statement, which has at most 65,535 parameters.
const ROWS: usize = 10_000;
/// How many rows are removed in one transaction.
pub(super) const REMOVED_AT_ONCE: usize = 5_000;

/// Writes that sessions have ended, whose last tokens expire at these times.
pub(super) async fn insert_sessions(
    connection: &mut AsyncPgConnection,
    sessions: &[(SessionId, SystemTime)],
) -> QueryResult<()> {
    for some in sessions.chunks(ROWS) {
        let rows: Vec<_> = some
            .iter()
            .map(|&(id, expires_at)| {
                let expires_at = OffsetDateTime::from(expires_at + kept_for(Duration::ZERO));
                (revocations::session_id.eq(id.as_uuid()), revocations::expires_at.eq(expires_at))
            })
            .collect();
        diesel::insert_into(revocations::table).values(rows).execute(connection).await?;
    }
    Ok(())
}

/// Writes that all tokens of a user with a lower epoch have ended.
pub(super) async fn insert_user(
    connection: &mut AsyncPgConnection,
    user: UserId,
    epoch: i64,
) -> QueryResult<()> {
    let kept = i64::try_from(kept_for(MAX_LIFETIME).as_secs()).unwrap_or(i64::MAX);
    let expires_at = diesel::dsl::now.into_sql::<sql_types::Timestamptz>() + kept.seconds();
    diesel::insert_into(revocations::table)
        .values((
            revocations::user_id.eq(user.as_uuid()),
            revocations::epoch.eq(epoch),
            revocations::expires_at.eq(expires_at),
        ))
        .execute(connection)
        .await?;
    Ok(())
}

/// Wakes all replicas. Not within a transaction that writes: until it has committed, no other could that does the same.
pub(super) async fn notify(connection: &mut AsyncPgConnection) -> QueryResult<()> {
    diesel::sql_query(format!("NOTIFY {CHANNEL}")).execute(connection).await?;
    Ok(())
}

/// Removes some of what nobody need know any more, [`REMOVED_AT_ONCE`] at the most.
pub(super) async fn delete_forgotten(connection: &mut AsyncPgConnection) -> QueryResult<usize> {
    let forgotten = revocations::table
        .filter(revocations::expires_at.lt(diesel::dsl::now))
        .select(revocations::id)
        .limit(REMOVED_AT_ONCE as i64)
        .for_update()
        .skip_locked();
    let forgotten: Vec<i64> = forgotten.load(connection).await?;
    diesel::delete(revocations::table.filter(revocations::id.eq_any(forgotten))).execute(connection).await
}

/// Names the present life of the server, if nobody has yet.
pub(super) async fn begin_feed(connection: &mut AsyncPgConnection) -> QueryResult<usize> {
    diesel::insert_into(revocation_feeds::table)
        .values(revocation_feeds::is_current.eq(true))
        .on_conflict_do_nothing()
        .execute(connection)
        .await
}

/// What a read of the revocations has found.
pub(super) struct Found {
    /// Until where the reader now knows everything.
    pub(super) position: Position,
    /// What the clock of the database said.
    pub(super) time: SystemTime,
    /// Which keys there were, in which states.
    pub(super) keys: String,
    pub(super) revocations: Vec<Revocation>,
}

/// A revocation; nothing where there is none.
#[derive(QueryableByName)]
struct RevocationRow {
    #[diesel(sql_type = sql_types::Nullable<sql_types::Uuid>)]
    session_id: Option<uuid::Uuid>,
    #[diesel(sql_type = sql_types::Nullable<sql_types::Uuid>)]
    user_id: Option<uuid::Uuid>,
    #[diesel(sql_type = sql_types::Nullable<sql_types::BigInt>)]
    epoch: Option<i64>,
    #[diesel(sql_type = sql_types::Nullable<sql_types::BigInt>)]
    remaining: Option<i64>,
}

#[derive(QueryableByName)]
struct FoundRow {
    #[diesel(sql_type = sql_types::Text)]
    feed: String,
    #[diesel(sql_type = sql_types::Text)]
    snapshot: String,
    #[diesel(sql_type = sql_types::Timestamptz)]
    time: OffsetDateTime,
    #[diesel(sql_type = sql_types::Text)]
    keys: String,
    #[diesel(embed)]
    revocation: RevocationRow,
}

/// Where a reader is: the life of the server, what of it this statement sees, and the keys, as
/// [`Stored`](super::keys::Stored) puts them.
const HERE: &str = "id || '@' || extract(epoch FROM pg_postmaster_start_time()) AS feed, \
     pg_current_snapshot()::text AS snapshot, now() AS time, \
     (SELECT coalesce(string_agg(kid || ':' || state, ' ' ORDER BY kid COLLATE \"C\"), '') FROM signing_keys) || ' ' || \
     (SELECT coalesce(max(encode(sha256(sealed), 'base64')), '') FROM secrets WHERE name = 'refresh_tokens') AS keys";
/// Nothing, on a server that takes no writes any more: what it shows may be of long ago.
const OF_PRIMARY: &str = "revocation_feeds WHERE NOT current_setting('transaction_read_only')::boolean";
/// A revocation, of which somebody may have to know for so many seconds.
const REVOCATION: &str =
    "session_id, user_id, epoch, ceil(extract(epoch FROM expires_at - now()))::bigint AS remaining";

/// The present position, and no revocations; `None` when the present life of the server has no name.
///
/// This and [`find_since`] fail on a standby, which shows no unlogged table.
pub(super) async fn find_position(connection: &mut AsyncPgConnection) -> QueryResult<Option<Found>> {
    let nothing =
        "NULL::uuid AS session_id, NULL::uuid AS user_id, NULL::bigint AS epoch, NULL::bigint AS remaining";
    let rows =
        diesel::sql_query(format!("SELECT {HERE}, {nothing} FROM {OF_PRIMARY}")).load(connection).await?;
    Ok(to_found(rows))
}

/// At most `limit` of the revocations that a reader at this snapshot has not seen. All that one statement sees is of one
/// moment, and says itself which: so nothing falls between two reads, whenever it commits.
pub(super) async fn find_since(
    connection: &mut AsyncPgConnection,
    snapshot: &str,
    limit: i64,
) -> QueryResult<Option<Found>> {
    // What was begun since, or was under way then: there is an index for either, however long something has been under way.
    // Numbers of another server, in rows that were restored from a backup, are of neither kind.
    let unseen = "(xact >= pg_snapshot_xmax($1::pg_snapshot) AND xact < pg_snapshot_xmax(pg_current_snapshot()) \
         OR xact = ANY (ARRAY(SELECT pg_snapshot_xip($1::pg_snapshot))))";
    let sql = format!(
        "SELECT here.*, unseen.* FROM (SELECT {HERE} FROM {OF_PRIMARY}) here \
         LEFT JOIN (SELECT {REVOCATION} FROM revocations WHERE {unseen} LIMIT $2) unseen ON true"
    );
    let query = diesel::sql_query(sql)
        .bind::<sql_types::Text, _>(snapshot.to_owned())
        .bind::<sql_types::BigInt, _>(limit);
    Ok(to_found(query.load(connection).await?))
}

#[derive(QueryableByName)]
struct PageRow {
    #[diesel(sql_type = sql_types::BigInt)]
    id: i64,
    #[diesel(embed)]
    revocation: RevocationRow,
}

/// At most `limit` revocations with an id after this one, and the id of the last.
pub(super) async fn find_page(
    connection: &mut AsyncPgConnection,
    after: i64,
    limit: i64,
) -> QueryResult<(Vec<Revocation>, Option<i64>)> {
    let sql = format!("SELECT id, {REVOCATION} FROM revocations WHERE id > $1 ORDER BY id LIMIT $2");
    let query =
        diesel::sql_query(sql).bind::<sql_types::BigInt, _>(after).bind::<sql_types::BigInt, _>(limit);
    let rows: Vec<PageRow> = query.load(connection).await?;
    let last = rows.last().map(|row| row.id);
    Ok((rows.into_iter().filter_map(|row| to_revocation(row.revocation)).collect(), last))
}

fn to_found(rows: Vec<FoundRow>) -> Option<Found> {
    let first = rows.as_slice().first()?;
    let position = Position { feed: first.feed.clone(), snapshot: first.snapshot.clone() };
    let (time, keys) = (first.time.into(), first.keys.clone());
    let revocations = rows.into_iter().filter_map(|row| to_revocation(row.revocation)).collect();
    Some(Found { position, time, keys, revocations })
}

/// A row is of a session or of a user: the table has a CHECK.
fn to_revocation(row: RevocationRow) -> Option<Revocation> {
    let revoked = match (row.session_id, row.user_id, row.epoch) {
        (Some(session), _, _) => Revoked::Session(session.into()),
        (None, Some(user), Some(epoch)) => Revoked::User { user: user.into(), epoch },
        (None, _, _) => return None,
    };
    let remaining = Duration::from_secs(row.remaining?.try_into().unwrap_or_default());
    Some(Revocation { revoked, remaining })
}
