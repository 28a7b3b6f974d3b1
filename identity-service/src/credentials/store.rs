//! The table `peppers`.

use diesel::prelude::*;
use diesel_async::{AsyncPgConnection, RunQueryDsl};

use super::peppers::Registered;
use crate::schema::{peppers, users};

/// Nobody else can write to the table until the transaction ends. It is only read, and seldom, so that nobody minds.
pub(super) async fn lock(connection: &mut AsyncPgConnection) -> QueryResult<()> {
    diesel::sql_query("LOCK TABLE peppers IN SHARE ROW EXCLUSIVE MODE").execute(connection).await?;
    Ok(())
}

pub(super) async fn list(connection: &mut AsyncPgConnection) -> QueryResult<Vec<Registered>> {
    let rows: Vec<(i32, Vec<u8>, bool)> = peppers::table
        .select((peppers::version, peppers::fingerprint, peppers::used_since.is_not_null()))
        .load(connection)
        .await?;
    let registered = |(version, fingerprint, is_used)| Registered { version, fingerprint, is_used };
    Ok(rows.into_iter().map(registered).collect())
}

/// Whether anybody has a password.
pub(super) async fn has_users(connection: &mut AsyncPgConnection) -> QueryResult<bool> {
    let somebody: Option<i32> =
        users::table.select(users::pepper_version).first(connection).await.optional()?;
    Ok(somebody.is_some())
}

pub(super) async fn insert(
    connection: &mut AsyncPgConnection,
    version: i32,
    fingerprint: &[u8],
) -> QueryResult<usize> {
    diesel::insert_into(peppers::table)
        .values((peppers::version.eq(version), peppers::fingerprint.eq(fingerprint)))
        .execute(connection)
        .await
}

/// Notes that new passwords are hashed with a pepper, unless that was noted before.
pub(super) async fn note_used(connection: &mut AsyncPgConnection, version: i32) -> QueryResult<usize> {
    diesel::update(peppers::table.find(version).filter(peppers::used_since.is_null()))
        .set(peppers::used_since.eq(diesel::dsl::now))
        .execute(connection)
        .await
}
