//! The table `signing_keys`.

use diesel::prelude::*;
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
}

/// The current key first, then the newest.
pub(super) async fn list(connection: &mut AsyncPgConnection) -> Result<Vec<SealedKey>> {
    let rows: Vec<Row> = signing_keys::table
        .select(Row::as_select())
        .order((signing_keys::state.eq(KeyState::Current.as_str()).desc(), signing_keys::created_at.desc()))
        .load(connection)
        .await?;
    rows.into_iter().map(read).collect()
}

/// Inserts a current key unless there is one: of replicas that start at once, the first wins.
pub(super) async fn insert_if_no_current(connection: &mut AsyncPgConnection, key: &SealedKey) -> Result<()> {
    diesel::insert_into(signing_keys::table)
        .values((
            signing_keys::kid.eq(&key.public.kid),
            signing_keys::public_key.eq(key.public.public_key.as_slice()),
            signing_keys::sealed_private_key.eq(&key.sealed_private),
            signing_keys::state.eq(key.public.state.as_str()),
            signing_keys::created_at.eq(OffsetDateTime::from(key.public.created_at)),
        ))
        .on_conflict_do_nothing()
        .execute(connection)
        .await?;
    Ok(())
}

fn read(row: Row) -> Result<SealedKey> {
    let unreadable =
        || Error::Internal(format!("the signing key {} in the database is malformed", row.kid).into());
    let public = PublicKey {
        public_key: row.public_key.as_slice().try_into().map_err(|_| unreadable())?,
        state: KeyState::parse(&row.state).ok_or_else(unreadable)?,
        kid: row.kid.clone(),
        created_at: row.created_at.into(),
    };
    Ok(SealedKey { public, sealed_private: row.sealed_private_key })
}
