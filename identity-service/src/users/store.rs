//! The table `users`.

use diesel::prelude::*;
use diesel::result::{DatabaseErrorKind, Error as DieselError};
use diesel_async::{AsyncPgConnection, RunQueryDsl};
use time::OffsetDateTime;
use uuid::Uuid;

use super::model::{Changes, Found, NewUser, Registered, Target, User, UserState};
use super::profile::Profile;
use crate::credentials::StoredPassword;
use crate::error::{Error, Result};
use crate::ids::UserId;
use crate::schema::users;
use crate::sessions::{self, model::Caller};

#[derive(Queryable, Selectable)]
#[diesel(table_name = users, check_for_backend(diesel::pg::Pg))]
struct Row {
    id: Uuid,
    email: String,
    email_canonical: String,
    epoch: i64,
    is_active: bool,
    is_superuser: bool,
    is_verified: bool,
    created_at: OffsetDateTime,
    updated_at: OffsetDateTime,
    profile: serde_json::Value,
}

impl From<Row> for UserState {
    fn from(row: Row) -> Self {
        let user = User {
            id: row.id.into(),
            email: row.email,
            is_active: row.is_active,
            is_superuser: row.is_superuser,
            is_verified: row.is_verified,
            created_at: row.created_at.into(),
            updated_at: row.updated_at.into(),
            profile: Profile::from_json(row.profile),
        };
        Self { user, email_canonical: row.email_canonical, epoch: row.epoch }
    }
}

#[derive(Insertable)]
#[diesel(table_name = users)]
struct NewRow<'a> {
    id: Uuid,
    email: &'a str,
    email_canonical: &'a str,
    password_scheme: &'a str,
    pepper_version: i32,
    password_hash: &'a str,
    is_superuser: bool,
    is_verified: bool,
    profile: serde_json::Value,
}

#[derive(AsChangeset)]
#[diesel(table_name = users)]
struct ChangedRow<'a> {
    email: Option<&'a str>,
    email_canonical: Option<&'a str>,
    password_scheme: Option<&'a str>,
    pepper_version: Option<i32>,
    password_hash: Option<&'a str>,
    epoch: Option<i64>,
    is_active: Option<bool>,
    is_superuser: Option<bool>,
    is_verified: bool,
    profile: Option<serde_json::Value>,
}

/// The caller, his session and the target, in one statement: one moment.
pub(super) async fn find(
    mut connection: &AsyncPgConnection,
    caller: &Caller,
    target: Target,
) -> QueryResult<Found> {
    let rows: Vec<(Row, bool)> = users::table
        .filter(users::id.eq_any(ids(caller, target)))
        .select((Row::as_select(), diesel::dsl::exists(sessions::live_session(caller))))
        .load(&mut connection)
        .await?;
    let session_is_live = rows.iter().any(|(_, live)| *live);
    let states: Vec<UserState> = rows.into_iter().map(|(row, _)| row.into()).collect();
    Ok(found(&states, session_is_live, caller, target))
}

/// The same as [`find`], and nobody can change either user until the transaction ends. The session is looked at
/// after the locks are held, so that what ended it while they were waited for is seen. Rows are locked in the order
/// of their ids: two superusers who change each other do not wait for one another.
pub(super) async fn lock(
    connection: &mut AsyncPgConnection,
    caller: &Caller,
    target: Target,
) -> QueryResult<Found> {
    let rows: Vec<Row> = users::table
        .filter(users::id.eq_any(ids(caller, target)))
        .order(users::id)
        .select(Row::as_select())
        .for_no_key_update()
        .load(connection)
        .await?;
    let session_is_live = sessions::is_live(connection, caller).await?;
    let states: Vec<UserState> = rows.into_iter().map(UserState::from).collect();
    Ok(found(&states, session_is_live, caller, target))
}

fn ids(caller: &Caller, target: Target) -> Vec<Uuid> {
    let mut ids = vec![caller.user.as_uuid()];
    if let Target::Id(Some(target)) = target {
        ids.push(target.as_uuid());
    }
    ids
}

fn found(states: &[UserState], session_is_live: bool, caller: &Caller, target: Target) -> Found {
    let with = |id: UserId| states.iter().find(|account| account.user.id == id).cloned();
    let target = match target {
        Target::Me | Target::Id(None) => None,
        Target::Id(Some(id)) => with(id),
    };
    Found { caller: with(caller.user), session_is_live, target }
}

/// Whether an address is taken by another user than `but`. The answer may be old when it arrives: it only saves
/// work, and the unique index decides.
pub(super) async fn is_taken(
    mut connection: &AsyncPgConnection,
    email_canonical: &str,
    but: Option<UserId>,
) -> QueryResult<bool> {
    let owner: Option<Uuid> = users::table
        .filter(users::email_canonical.eq(email_canonical))
        .select(users::id)
        .first(&mut connection)
        .await
        .optional()?;
    Ok(owner.is_some_and(|owner| but.is_none_or(|but| but.as_uuid() != owner)))
}

/// Who has this id, and who this address: at most two users.
pub(super) async fn find_registered(
    mut connection: &AsyncPgConnection,
    id: UserId,
    email_canonical: &str,
) -> QueryResult<Vec<Registered>> {
    let rows: Vec<(Row, String, i32, String)> = users::table
        .filter(users::id.eq(id.as_uuid()).or(users::email_canonical.eq(email_canonical)))
        .select((Row::as_select(), users::password_scheme, users::pepper_version, users::password_hash))
        .load(&mut connection)
        .await?;
    let registered = |(row, scheme, pepper_version, hash): (Row, String, i32, String)| {
        let UserState { user, email_canonical, .. } = row.into();
        let password = StoredPassword { scheme, pepper_version, hash };
        Registered { user, email_canonical, password }
    };
    Ok(rows.into_iter().map(registered).collect())
}

pub(super) async fn insert(connection: &mut AsyncPgConnection, user: &NewUser) -> Result<User> {
    let row: Row = diesel::insert_into(users::table)
        .values(NewRow {
            id: user.id.as_uuid(),
            email: user.email.as_str(),
            email_canonical: user.email.canonical(),
            password_scheme: &user.password.scheme,
            pepper_version: user.password.pepper_version,
            password_hash: &user.password.hash,
            is_superuser: user.is_superuser,
            is_verified: user.is_verified,
            profile: user.profile.as_json(),
        })
        .returning(Row::as_returning())
        .get_result(connection)
        .await
        .map_err(name_violated_key)?;
    Ok(UserState::from(row).user)
}

/// Applies changes to a user that the transaction has locked; `epoch` is his new one, if there is any.
pub(super) async fn update(
    connection: &mut AsyncPgConnection,
    before: &UserState,
    changes: &Changes,
    new_password: Option<&StoredPassword>,
    epoch: Option<i64>,
) -> Result<User> {
    let changed = ChangedRow {
        email: changes.email.as_ref().map(|email| email.as_str()),
        email_canonical: changes.email.as_ref().map(|email| email.canonical()),
        password_scheme: new_password.map(|password| password.scheme.as_str()),
        pepper_version: new_password.map(|password| password.pepper_version),
        password_hash: new_password.map(|password| password.hash.as_str()),
        epoch,
        is_active: changes.is_active,
        is_superuser: changes.is_superuser,
        is_verified: changes.verified_after(before),
        profile: changes.profile_after(before)?.map(|profile| profile.as_json()),
    };
    let raised = i32::from(new_password.is_some());
    let row: Row = diesel::update(users::table.find(before.user.id.as_uuid()))
        .set((
            changed,
            users::password_version.eq(users::password_version + raised),
            users::updated_at.eq(diesel::dsl::now),
        ))
        .returning(Row::as_returning())
        .get_result(connection)
        .await
        .map_err(name_violated_key)?;
    Ok(UserState::from(row).user)
}

/// Deletes a user; his sessions go with him.
pub(super) async fn delete(connection: &mut AsyncPgConnection, id: UserId) -> QueryResult<usize> {
    diesel::delete(users::table.find(id.as_uuid())).execute(connection).await
}

/// At most `limit` users after the one with the id `after`, in the order of their ids.
pub(super) async fn list(
    connection: &mut AsyncPgConnection,
    after: Option<UserId>,
    limit: usize,
) -> QueryResult<Vec<User>> {
    let rows: Vec<Row> = users::table
        .filter(users::id.gt(after.map_or(Uuid::nil(), UserId::as_uuid)))
        .order(users::id)
        .limit(i64::try_from(limit).unwrap_or(i64::MAX))
        .select(Row::as_select())
        .load(connection)
        .await?;
    Ok(rows.into_iter().map(|row| UserState::from(row).user).collect())
}

/// The user with an id, whom nobody can change until the transaction ends.
pub(super) async fn lock_by_id(
    connection: &mut AsyncPgConnection,
    id: UserId,
) -> QueryResult<Option<UserState>> {
    let row: Option<Row> = users::table
        .find(id.as_uuid())
        .select(Row::as_select())
        .for_no_key_update()
        .first(connection)
        .await
        .optional()?;
    Ok(row.map(UserState::from))
}

/// The user with an address, whom nobody can change until the transaction ends.
pub(super) async fn lock_by_email(
    connection: &mut AsyncPgConnection,
    email_canonical: &str,
) -> QueryResult<Option<UserState>> {
    let row: Option<Row> = users::table
        .filter(users::email_canonical.eq(email_canonical))
        .select(Row::as_select())
        .for_no_key_update()
        .first(connection)
        .await
        .optional()?;
    Ok(row.map(UserState::from))
}

fn name_violated_key(error: DieselError) -> Error {
    if let DieselError::DatabaseError(DatabaseErrorKind::UniqueViolation, details) = &error {
        match details.constraint_name() {
            Some("users_email_canonical_key") => return Error::EmailTaken,
            Some("users_pkey") => return Error::UserIdTaken,
            _ => {}
        }
    }
    error.into()
}
