//! What a login reads and writes of the table `users`.

use std::time::SystemTime;

use diesel::dsl::now;
use diesel::prelude::*;
use diesel::sql_types::Timestamptz;
use diesel_async::{AsyncPgConnection, RunQueryDsl};
use time::OffsetDateTime;
use uuid::Uuid;

use crate::credentials::StoredPassword;
use crate::ids::UserId;
use crate::schema::users;
use crate::sessions::refresh::store::State;

/// What a login must know of a user before it hashes.
pub(super) struct Credential {
    pub(super) user: UserId,
    pub(super) password: StoredPassword,
    pub(super) email_canonical: String,
    pub(super) password_version: i32,
    pub(super) epoch: i64,
    pub(super) is_active: bool,
}

impl Credential {
    /// What the user must still be when a session of this login is refreshed.
    pub(super) fn state(&self) -> State {
        State { password_version: self.password_version, epoch: self.epoch }
    }
}

#[derive(Queryable, Selectable)]
#[diesel(table_name = users, check_for_backend(diesel::pg::Pg))]
struct CredentialRow {
    id: Uuid,
    password_scheme: String,
    password_hash: String,
    pepper_version: i32,
    email_canonical: String,
    password_version: i32,
    epoch: i64,
    is_active: bool,
}

pub(super) async fn find_credential(
    mut connection: &AsyncPgConnection,
    email_canonical: &str,
) -> QueryResult<Option<Credential>> {
    let row: Option<CredentialRow> = users::table
        .filter(users::email_canonical.eq(email_canonical))
        .select(CredentialRow::as_select())
        .first(&mut connection)
        .await
        .optional()?;
    Ok(row.map(|row| Credential {
        user: row.id.into(),
        password: StoredPassword {
            scheme: row.password_scheme,
            pepper_version: row.pepper_version,
            hash: row.password_hash,
        },
        email_canonical: row.email_canonical,
        password_version: row.password_version,
        epoch: row.epoch,
        is_active: row.is_active,
    }))
}

/// What time it is, and whether the user is verified, if he is still as he was when the login read his credential. Until
/// the transaction ends, nobody can change him; a change that is under way is waited for, and seen.
pub(super) async fn lock_unchanged(
    connection: &mut AsyncPgConnection,
    credential: &Credential,
) -> QueryResult<Option<(SystemTime, bool)>> {
    let found: Option<(OffsetDateTime, bool)> = users::table
        .filter(users::id.eq(credential.user.as_uuid()))
        .filter(users::email_canonical.eq(&credential.email_canonical))
        .filter(users::password_version.eq(credential.password_version))
        .filter(users::epoch.eq(credential.epoch))
        .filter(users::is_active)
        .select((now.into_sql::<Timestamptz>(), users::is_verified))
        .for_share()
        .first(connection)
        .await
        .optional()?;
    Ok(found.map(|(time, is_verified)| (time.into(), is_verified)))
}

/// Replaces the hash of an unchanged password, if it still is the one that was verified. A change meanwhile wins.
pub(super) async fn replace_hash(
    connection: &mut AsyncPgConnection,
    user: UserId,
    old: &StoredPassword,
    new: &StoredPassword,
) -> QueryResult<usize> {
    let unchanged = users::table
        .filter(users::id.eq(user.as_uuid()))
        .filter(users::password_scheme.eq(&old.scheme))
        .filter(users::pepper_version.eq(old.pepper_version))
        .filter(users::password_hash.eq(&old.hash));
    diesel::update(unchanged)
        .set((
            users::password_scheme.eq(&new.scheme),
            users::pepper_version.eq(new.pepper_version),
            users::password_hash.eq(&new.hash),
        ))
        .execute(connection)
        .await
}
