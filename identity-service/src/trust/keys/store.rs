//! The table `signing_keys`.

use std::time::SystemTime;

use diesel::dsl::sql;
use diesel::prelude::*;
use diesel::sql_types::Bool;
use diesel_async::{AsyncPgConnection, RunQueryDsl};
use time::OffsetDateTime;

use super::model::{KeyState, PublicKey, SealedKey};
use crate::error::{Error, Result};
use crate::schema::signing_keys;

#[derive(Queryable, Selectable)]
#[diesel(table_name = signing_keys, check_for_backend(diesel::pg::Pg))]
struct Row {
    kid: String,
    public_key: Vec<u8>,
    sealed_private_key: Vec<u8>,
    state: String,
    created_at: OffsetDateTime,
    state_since: OffsetDateTime,
}

/// The current key first, then the newest. None on a server that takes no writes any more: what it shows may be of long ago.
pub(super) async fn list(connection: &mut AsyncPgConnection) -> Result<Vec<SealedKey>> {
    let rows: Vec<Row> = signing_keys::table
        .select(Row::as_select())
        .filter(sql::<Bool>("NOT current_setting('transaction_read_only')::boolean"))
        .order((signing_keys::state.eq(KeyState::Current.as_str()).desc(), signing_keys::created_at.desc()))
        .load(connection)
        .await?;
    rows.into_iter().map(read).collect()
}

fn read(row: Row) -> Result<SealedKey> {
    let unreadable =
        || Error::Internal(format!("the signing key {} in the database is malformed", row.kid).into());
    let public = PublicKey {
        public_key: row.public_key.as_slice().try_into().map_err(|_| unreadable())?,
        state: KeyState::parse(&row.state).ok_or_else(unreadable)?,
        kid: row.kid.clone(),
        created_at: row.created_at.into(),
        since: row.state_since.into(),
    };
    Ok(SealedKey { public, sealed_private: row.sealed_private_key })
}

diesel::define_sql_function! {
    /// What time it is now, and not when the transaction began.
    fn clock_timestamp() -> diesel::sql_types::Timestamptz;
}

/// What time it is, and the keys.
pub(super) async fn list_now(connection: &mut AsyncPgConnection) -> Result<(SystemTime, Vec<SealedKey>)> {
    let time: OffsetDateTime = diesel::select(clock_timestamp()).get_result(connection).await?;
    Ok((time.into(), list(connection).await?))
}

/// Keeps everybody else from changing keys until the transaction ends, and nobody from reading them.
pub(super) async fn lock(connection: &mut AsyncPgConnection) -> QueryResult<()> {
    diesel::sql_query("LOCK TABLE signing_keys IN SHARE ROW EXCLUSIVE MODE").execute(connection).await?;
    Ok(())
}

pub(super) async fn insert(connection: &mut AsyncPgConnection, key: &SealedKey) -> QueryResult<usize> {
    diesel::insert_into(signing_keys::table)
        .values((
            signing_keys::kid.eq(&key.public.kid),
            signing_keys::public_key.eq(key.public.public_key.as_slice()),
            signing_keys::sealed_private_key.eq(&key.sealed_private),
            signing_keys::state.eq(key.public.state.as_str()),
            signing_keys::created_at.eq(OffsetDateTime::from(key.public.created_at)),
            signing_keys::state_since.eq(OffsetDateTime::from(key.public.since)),
        ))
        .execute(connection)
        .await
}

/// Puts the key that is in one state, if there is any, into the other.
pub(super) async fn change_state(
    connection: &mut AsyncPgConnection,
    now: SystemTime,
    from: KeyState,
    to: KeyState,
) -> QueryResult<usize> {
    diesel::update(signing_keys::table.filter(signing_keys::state.eq(from.as_str())))
        .set((signing_keys::state.eq(to.as_str()), signing_keys::state_since.eq(OffsetDateTime::from(now))))
        .execute(connection)
        .await
}

pub(super) async fn delete(connection: &mut AsyncPgConnection, kid: &str) -> QueryResult<usize> {
    diesel::delete(signing_keys::table.find(kid)).execute(connection).await
}

/// Stores the private half as it is sealed now.
pub(super) async fn reseal(
    connection: &mut AsyncPgConnection,
    kid: &str,
    sealed_private: &[u8],
) -> QueryResult<usize> {
    diesel::update(signing_keys::table.find(kid))
        .set(signing_keys::sealed_private_key.eq(sealed_private))
        .execute(connection)
        .await
}
