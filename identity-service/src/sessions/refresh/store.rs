//! The chain of refresh tokens in the table `sessions`, and what a refresh reads of `users`.

use std::time::SystemTime;

use diesel::dsl::now;
use diesel::prelude::*;
use diesel::sql_types::Timestamptz;
use diesel_async::{AsyncPgConnection, RunQueryDsl};
use time::OffsetDateTime;
use uuid::Uuid;

use super::model::Chain;
use crate::ids::{SessionId, UserId};
use crate::schema::{sessions, users};

/// Whose session it is, and what it depends on.
pub(in crate::sessions) struct Owner {
    pub(in crate::sessions) user: UserId,
    pub(in crate::sessions) state: State,
    pub(in crate::sessions) is_active: bool,
    pub(in crate::sessions) is_verified: bool,
    /// What time it is.
    pub(in crate::sessions) now: SystemTime,
}

/// What a user must still be for his session to be refreshed.
#[derive(PartialEq, Eq)]
pub(in crate::sessions) struct State {
    pub(in crate::sessions) password_version: i32,
    pub(in crate::sessions) epoch: i64,
}

#[derive(Queryable, Selectable)]
#[diesel(table_name = sessions, check_for_backend(diesel::pg::Pg))]
struct Row {
    created_at: OffsetDateTime,
    expires_at: OffsetDateTime,
    refresh_digest: Option<Vec<u8>>,
    refresh_uses: Vec<Option<OffsetDateTime>>,
    access_expires_at: Option<OffsetDateTime>,
    password_version: Option<i32>,
    epoch: Option<i64>,
}

/// The user of a session, whom nobody can change until the transaction ends; `None` if there is no such session. Not by a
/// lock that many can share: then who waits to change him would be overtaken by every refresh that comes, perhaps for ever.
pub(super) async fn lock_owner(
    connection: &mut AsyncPgConnection,
    session: SessionId,
) -> QueryResult<Option<Owner>> {
    let owners = sessions::table.filter(sessions::id.eq(session.as_uuid())).select(sessions::user_id);
    let found: Option<(Uuid, i32, i64, bool, bool, OffsetDateTime)> = users::table
        .filter(users::id.eq_any(owners))
        .select((
            users::id,
            users::password_version,
            users::epoch,
            users::is_active,
            users::is_verified,
            now.into_sql::<Timestamptz>(),
        ))
        .for_no_key_update()
        .first(connection)
        .await
        .optional()?;
    Ok(found.map(|(user, password_version, epoch, is_active, is_verified, time)| Owner {
        user: user.into(),
        state: State { password_version, epoch },
        is_active,
        is_verified,
        now: time.into(),
    }))
}

/// The chain of a session, which nobody can use or end until the transaction ends, and what its user was; `None` if the
/// session has ended, or has no refresh token.
pub(super) async fn lock_chain(
    connection: &mut AsyncPgConnection,
    user: UserId,
    session: SessionId,
) -> QueryResult<Option<(Chain, State)>> {
    let row: Option<Row> = sessions::table
        .filter(sessions::id.eq(session.as_uuid()))
        .filter(sessions::user_id.eq(user.as_uuid()))
        .select(Row::as_select())
        .for_no_key_update()
        .first(connection)
        .await
        .optional()?;
    Ok(row.and_then(to_chain))
}

fn to_chain(row: Row) -> Option<(Chain, State)> {
    let long_ago = OffsetDateTime::UNIX_EPOCH;
    let uses = row.refresh_uses.into_iter().map(|used| used.unwrap_or(long_ago).into());
    let chain = Chain {
        digest: row.refresh_digest?,
        uses: uses.collect(),
        created_at: row.created_at.into(),
        expires_at: row.expires_at.into(),
        access_expires_at: row.access_expires_at.unwrap_or(row.expires_at).into(),
    };
    Some((chain, State { password_version: row.password_version?, epoch: row.epoch? }))
}

/// Gives a session that the transaction has begun its chain.
pub(in crate::sessions) async fn begin(
    connection: &mut AsyncPgConnection,
    session: SessionId,
    chain: &Chain,
    owner: &State,
) -> QueryResult<usize> {
    diesel::update(sessions::table.find(session.as_uuid()))
        .set((
            sessions::refresh_digest.eq(&chain.digest),
            sessions::access_expires_at.eq(OffsetDateTime::from(chain.access_expires_at)),
            sessions::password_version.eq(owner.password_version),
            sessions::epoch.eq(owner.epoch),
        ))
        .execute(connection)
        .await
}

/// Writes the chain of a session that the transaction has locked, and that it is used now.
pub(super) async fn advance(
    connection: &mut AsyncPgConnection,
    session: SessionId,
    chain: &Chain,
) -> QueryResult<usize> {
    let uses: Vec<_> = chain.uses.iter().map(|used| Some(OffsetDateTime::from(*used))).collect();
    diesel::update(sessions::table.find(session.as_uuid()))
        .set((
            sessions::refresh_digest.eq(&chain.digest),
            sessions::refresh_uses.eq(uses),
            sessions::access_expires_at.eq(OffsetDateTime::from(chain.access_expires_at)),
            sessions::expires_at.eq(OffsetDateTime::from(chain.expires_at)),
            sessions::last_seen_at.eq(now),
        ))
        .execute(connection)
        .await
}

/// Says of a session that it knows the present password of its user, whom the transaction has locked.
pub(in crate::sessions) async fn follow_password(
    connection: &mut AsyncPgConnection,
    user: UserId,
    session: SessionId,
) -> QueryResult<usize> {
    let version: i32 =
        users::table.find(user.as_uuid()).select(users::password_version).first(connection).await?;
    let refreshed = sessions::table
        .filter(sessions::id.eq(session.as_uuid()))
        .filter(sessions::user_id.eq(user.as_uuid()))
        .filter(sessions::refresh_digest.is_not_null());
    diesel::update(refreshed).set(sessions::password_version.eq(version)).execute(connection).await
}
