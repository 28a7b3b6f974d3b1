//! The table `secrets`.

use diesel::prelude::*;
use diesel_async::{AsyncPgConnection, RunQueryDsl};

use crate::schema::secrets;

pub(super) async fn find(connection: &mut AsyncPgConnection, name: &str) -> QueryResult<Option<Vec<u8>>> {
    secrets::table.find(name).select(secrets::sealed).first(connection).await.optional()
}

/// Inserts a secret unless there is one: of replicas that start at once, the first wins.
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

/// All secrets, by their names, which nobody can change until the transaction ends.
pub(super) async fn lock_all(connection: &mut AsyncPgConnection) -> QueryResult<Vec<(String, Vec<u8>)>> {
    secrets::table.select((secrets::name, secrets::sealed)).for_update().load(connection).await
}

/// Stores a secret as it is sealed now.
pub(super) async fn reseal(
    connection: &mut AsyncPgConnection,
    name: &str,
    sealed: &[u8],
) -> QueryResult<usize> {
    diesel::update(secrets::table.find(name)).set(secrets::sealed.eq(sealed)).execute(connection).await
}
