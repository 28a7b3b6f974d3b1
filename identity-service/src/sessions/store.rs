//! The table `sessions`.

use std::time::{Duration, SystemTime};

use diesel::dsl::{IntervalDsl as _, exists, now};
use diesel::prelude::*;
use diesel::sql_types::Timestamptz;
use diesel_async::{AsyncPgConnection, RunQueryDsl};
use portcullis_proto::clock::FAR;
use time::OffsetDateTime;
use uuid::Uuid;

use super::client::Client;
use super::model::{Caller, Session};
use crate::ids::SessionId;
use crate::ids::UserId;
use crate::schema::{sessions, users};

/// For how long the row of a session that has expired is kept: whoever ends it is sure that verifiers are told, also of
/// those whose clocks disagree.
const A_WHILE: Duration = FAR;

#[derive(Queryable, Selectable)]
#[diesel(table_name = sessions, check_for_backend(diesel::pg::Pg))]
struct Row {
    id: Uuid,
    user_id: Uuid,
    created_at: OffsetDateTime,
    expires_at: OffsetDateTime,
    last_seen_at: OffsetDateTime,
    user_agent: Option<String>,
    address_prefix: Option<String>,
}

impl From<Row> for Session {
    fn from(row: Row) -> Self {
        Self {
            id: row.id.into(),
            user: row.user_id.into(),
            created_at: row.created_at.into(),
            last_seen_at: row.last_seen_at.into(),
            expires_at: row.expires_at.into(),
            client: Client { user_agent: row.user_agent, address_prefix: row.address_prefix },
        }
    }
}

pub(super) async fn insert(connection: &mut AsyncPgConnection, session: &Session) -> QueryResult<usize> {
    diesel::insert_into(sessions::table)
        .values((
            sessions::id.eq(session.id.as_uuid()),
            sessions::user_id.eq(session.user.as_uuid()),
            sessions::created_at.eq(OffsetDateTime::from(session.created_at)),
            sessions::expires_at.eq(OffsetDateTime::from(session.expires_at)),
            sessions::last_seen_at.eq(OffsetDateTime::from(session.last_seen_at)),
            sessions::user_agent.eq(&session.client.user_agent),
            sessions::address_prefix.eq(&session.client.address_prefix),
        ))
        .execute(connection)
        .await
}

/// Removes what has expired a while ago, so that the sessions of a user do not pile up.
pub(super) async fn delete_expired(connection: &mut AsyncPgConnection, user: UserId) -> QueryResult<usize> {
    let a_while_ago =
        now.into_sql::<Timestamptz>() - i64::try_from(A_WHILE.as_secs()).unwrap_or(i64::MAX).seconds();
    let expired = sessions::table
        .filter(sessions::user_id.eq(user.as_uuid()))
        .filter(sessions::expires_at.le(a_while_ago));
    diesel::delete(expired).execute(connection).await
}

/// Ends a session of a user; when its last access token expires. `None` when he has no session with this id.
pub(super) async fn delete(
    connection: &mut AsyncPgConnection,
    user: UserId,
    id: SessionId,
) -> QueryResult<Option<SystemTime>> {
    let own =
        sessions::table.filter(sessions::id.eq(id.as_uuid())).filter(sessions::user_id.eq(user.as_uuid()));
    let ends: Option<Ends> = diesel::delete(own).returning(ENDS).get_result(connection).await.optional()?;
    Ok(ends.map(last_token_expires))
}

/// When the last access token of a session expires, and when the session does.
type Ends = (Option<OffsetDateTime>, OffsetDateTime);
const ENDS: (sessions::access_expires_at, sessions::expires_at) =
    (sessions::access_expires_at, sessions::expires_at);

/// A session that is never refreshed ends with its only token.
fn last_token_expires((access, session): Ends) -> SystemTime {
    access.unwrap_or(session).into()
}

/// The session of the caller's token, and the one of his with this id, of those that go on; none if the token does not
/// name its user.
pub(super) async fn find(
    mut connection: &AsyncPgConnection,
    caller: &Caller,
    id: Option<SessionId>,
) -> QueryResult<Vec<Session>> {
    let ids: Vec<_> = [Some(caller.session), id].into_iter().flatten().map(SessionId::as_uuid).collect();
    let rows: Vec<Row> = sessions::table
        .inner_join(users::table)
        .filter(sessions::id.eq_any(ids))
        .filter(sessions::user_id.eq(caller.user.as_uuid()))
        .filter(sessions::expires_at.gt(now))
        .filter(users::is_active)
        .filter(users::epoch.le(caller.epoch))
        .select(Row::as_select())
        .load(&mut connection)
        .await?;
    Ok(rows.into_iter().map(Session::from).collect())
}

/// Whether the caller's token names its user. If so, nobody can change him or end his sessions until the transaction
/// ends. The session is looked at after the lock is held, so that what ended it while it was waited for is seen.
pub(super) async fn lock_named(connection: &mut AsyncPgConnection, caller: &Caller) -> QueryResult<bool> {
    let user: Option<Uuid> = users::table
        .filter(users::id.eq(caller.user.as_uuid()))
        .filter(users::is_active)
        .filter(users::epoch.le(caller.epoch))
        .select(users::id)
        .for_no_key_update()
        .first(connection)
        .await
        .optional()?;
    Ok(user.is_some() && is_live(connection, caller).await?)
}

/// Whether the session that the caller's token belongs to goes on.
pub(crate) async fn is_live(connection: &mut AsyncPgConnection, caller: &Caller) -> QueryResult<bool> {
    diesel::select(exists(live_session(caller))).get_result(connection).await
}

/// The session that the caller's token belongs to, unless it has ended.
#[diesel::dsl::auto_type]
pub(crate) fn live_session<'a>(caller: &'a Caller) -> _ {
    let id: Uuid = caller.session.as_uuid();
    let user: Uuid = caller.user.as_uuid();
    sessions::table
        .filter(sessions::id.eq(id))
        .filter(sessions::user_id.eq(user))
        .filter(sessions::expires_at.gt(now))
}

/// At most `limit` sessions of a user that have not ended, newest first, after the one with the id `after`.
pub(crate) async fn list(
    connection: &mut AsyncPgConnection,
    user: UserId,
    after: Option<SessionId>,
    limit: usize,
) -> QueryResult<Vec<Session>> {
    let rows: Vec<Row> = sessions::table
        .filter(sessions::user_id.eq(user.as_uuid()))
        .filter(sessions::expires_at.gt(now))
        .filter(sessions::id.lt(after.map_or(Uuid::max(), SessionId::as_uuid)))
        .order(sessions::id.desc())
        .limit(i64::try_from(limit).unwrap_or(i64::MAX))
        .select(Row::as_select())
        .load(connection)
        .await?;
    Ok(rows.into_iter().map(Session::from).collect())
}

/// Notes that sessions were used now, but for those of which that was noted less than `pause` ago, and for those whose
/// rows somebody holds: it never waits for a lock.
pub(super) async fn note_seen(
    connection: &mut AsyncPgConnection,
    seen: &[SessionId],
    pause: Duration,
) -> QueryResult<usize> {
    let pause = i64::try_from(pause.as_secs()).unwrap_or(i64::MAX);
    let ids: Vec<Uuid> = seen.iter().map(|session| session.as_uuid()).collect();
    let used = diesel::alias!(sessions as used);
    let due = used
        .filter(used.field(sessions::id).eq_any(ids))
        .filter(used.field(sessions::last_seen_at).lt(now.into_sql::<Timestamptz>() - pause.seconds()))
        .select(used.field(sessions::id))
        .for_no_key_update()
        .skip_locked();
    diesel::update(sessions::table.filter(sessions::id.eq_any(due)))
        .set(sessions::last_seen_at.eq(now))
        .execute(connection)
        .await
}

/// Ends the sessions of a user, but for `kept`; which these were, and when the last access token of each expires.
pub(super) async fn delete_all_but(
    connection: &mut AsyncPgConnection,
    user: UserId,
    kept: Option<SessionId>,
) -> QueryResult<Vec<(SessionId, SystemTime)>> {
    let others = sessions::table
        .filter(sessions::user_id.eq(user.as_uuid()))
        .filter(sessions::id.ne(kept.map_or(Uuid::nil(), SessionId::as_uuid)));
    let ended: Vec<(Uuid, Ends)> =
        diesel::delete(others).returning((sessions::id, ENDS)).get_results(connection).await?;
    Ok(ended.into_iter().map(|(id, ends)| (id.into(), last_token_expires(ends))).collect())
}

diesel::define_sql_function! {
    /// The next value of a sequence.
    fn nextval(sequence: diesel::sql_types::Text) -> diesel::sql_types::BigInt;
}

/// A revocation counter that is higher than any before it.
pub(super) async fn next_epoch(connection: &mut AsyncPgConnection) -> QueryResult<i64> {
    diesel::select(nextval("epochs")).get_result(connection).await
}
