//! The table `secrets`.

use diesel::prelude::*;
use diesel_async::{AsyncPgConnection, RunQueryDsl};

use crate::schema::secrets;

pub(super) async fn find(connection: &mut AsyncPgConnection, name: &str) -> QueryResult<Option<Vec<u8>>> {
    secrets::table.find(name).select(secrets::sealed).first(connection).await.optional()
}

/// All secrets, by their names, which nobody can change until the transaction ends.
pub(super) async fn lock_all(connection: &mut AsyncPgConnection) -> QueryResult<Vec<(String, Vec<u8>)>> {
    secrets::table.select((secrets::name, secrets::sealed)).for_update().load(connection).await
}

/// Stores a secret as it is sealed now, in the place of the one with this name.
pub(super) async fn put(connection: &mut AsyncPgConnection, name: &str, sealed: &[u8]) -> QueryResult<usize> {
    diesel::insert_into(secrets::table)
        .values((secrets::name.eq(name), secrets::sealed.eq(sealed)))
        .on_conflict(secrets::name)
        .do_update()
        .set(secrets::sealed.eq(sealed))
        .execute(connection)
        .await
}

/// Stores a secret unless there is one with this name: whoever is first wins.
pub(super) async fn insert_if_absent(
    connection: &mut AsyncPgConnection,
    name: &str,
    sealed: &[u8],
) -> QueryResult<usize> {
    diesel::insert_into(secrets::table)
        .values((secrets::name.eq(name), secrets::sealed.eq(sealed)))
        .on_conflict_do_nothing()
        .execute(connection)
        .await
}
