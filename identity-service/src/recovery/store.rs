//! The tables `recovery_requests` and `recovery_tokens`.

use std::time::{Duration, SystemTime};

use diesel::dsl::{IntervalDsl as _, exists, not, now};
use diesel::prelude::*;
use diesel::sql_types::Timestamptz;
use diesel_async::{AsyncPgConnection, RunQueryDsl};
use time::OffsetDateTime;
use uuid::Uuid;

use super::model::Purpose;
use crate::ids::UserId;
use crate::schema::{recovery_requests, recovery_tokens, users};

/// How many rows one statement looks at or removes at most.
const MANY: i64 = 1_000;

/// What was asked for, and nobody has looked at yet.
pub(super) struct Request {
    pub(super) id: Uuid,
    pub(super) purpose: Purpose,
    pub(super) email_canonical: String,
    pub(super) language: String,
}

/// A token, as it was when it was made.
pub(super) struct Made {
    pub(super) user: UserId,
    /// The address that it is about.
    pub(super) email_canonical: String,
}

/// A token for a new password that was used just now.
pub(super) struct Consumed {
    /// The language that it was mailed in.
    pub(super) language: String,
    /// By the clock of the database.
    pub(super) now: SystemTime,
}

/// The same statement for every address, whoever has it.
pub(super) async fn insert_request(
    connection: &mut AsyncPgConnection,
    request: &Request,
) -> QueryResult<usize> {
    diesel::insert_into(recovery_requests::table)
        .values((
            recovery_requests::id.eq(request.id),
            recovery_requests::purpose.eq(request.purpose.as_str()),
            recovery_requests::email_canonical.eq(&request.email_canonical),
            recovery_requests::language.eq(&request.language),
        ))
        .execute(connection)
        .await
}

/// Whether there is any request that nobody has looked at.
pub(super) async fn is_anything_asked(mut connection: &AsyncPgConnection) -> QueryResult<bool> {
    diesel::select(exists(recovery_requests::table.select(recovery_requests::id)))
        .get_result(&mut connection)
        .await
}

/// Removes, of the oldest requests, those that come to nothing: nobody has the address who may log in, or he is verified
/// already. All in one statement, so that it takes no longer for some of them than for others. What is left of the oldest,
/// in their order.
pub(super) async fn sift_requests(connection: &mut AsyncPgConnection) -> QueryResult<Vec<Uuid>> {
    let oldest: Vec<Uuid> = recovery_requests::table
        .order(recovery_requests::id)
        .select(recovery_requests::id)
        .limit(MANY)
        .for_update()
        .skip_locked()
        .load(connection)
        .await?;
    let has_user = users::table
        .filter(users::email_canonical.eq(recovery_requests::email_canonical))
        .filter(users::is_active)
        .filter(recovery_requests::purpose.ne(Purpose::Verify.as_str()).or(not(users::is_verified)));
    let idle =
        recovery_requests::table.filter(recovery_requests::id.eq_any(&oldest)).filter(not(exists(has_user)));
    let removed: Vec<Uuid> =
        diesel::delete(idle).returning(recovery_requests::id).get_results(connection).await?;
    Ok(oldest.into_iter().filter(|id| !removed.contains(id)).collect())
}

/// A request that no other replica has taken, which is this transaction's until it ends.
pub(super) async fn take_request(
    connection: &mut AsyncPgConnection,
    id: Uuid,
) -> QueryResult<Option<Request>> {
    let row: Option<(String, String, String)> = recovery_requests::table
        .find(id)
        .select((recovery_requests::purpose, recovery_requests::email_canonical, recovery_requests::language))
        .for_update()
        .skip_locked()
        .first(connection)
        .await
        .optional()?;
    // A purpose that a newer version knows is left to it.
    Ok(row.and_then(|(purpose, email_canonical, language)| {
        Some(Request { id, purpose: Purpose::parse(&purpose)?, email_canonical, language })
    }))
}

/// Removes requests that the transaction has taken.
pub(super) async fn remove_requests(
    connection: &mut AsyncPgConnection,
    ids: Vec<Uuid>,
) -> QueryResult<usize> {
    if ids.is_empty() {
        return Ok(0);
    }
    diesel::delete(recovery_requests::table.filter(recovery_requests::id.eq_any(ids)))
        .execute(connection)
        .await
}

/// Removes the requests for an address, but for those that other replicas have taken: who waits for one of them here
/// would wait for who waits for the user.
pub(super) async fn remove_requests_of(
    connection: &mut AsyncPgConnection,
    email_canonical: &str,
) -> QueryResult<usize> {
    let all = recovery_requests::table
        .filter(recovery_requests::email_canonical.eq(email_canonical))
        .select(recovery_requests::id);
    let all = all.limit(MANY).for_update().skip_locked().load(connection).await?;
    remove_requests(connection, all).await
}

/// Stores a token of a user whom the transaction has locked; until when it is good.
pub(super) async fn insert_token(
    connection: &mut AsyncPgConnection,
    user: UserId,
    digest: &[u8],
    purpose: Purpose,
    language: &str,
    lifetime: Duration,
) -> QueryResult<SystemTime> {
    let lifetime = i64::try_from(lifetime.as_secs()).unwrap_or(i64::MAX);
    let expires_at: OffsetDateTime = users::table
        .find(user.as_uuid())
        .select((
            digest.into_sql::<diesel::sql_types::Bytea>(),
            users::id,
            purpose.as_str().into_sql::<diesel::sql_types::Text>(),
            language.into_sql::<diesel::sql_types::Text>(),
            users::email_canonical,
            users::password_version,
            (now.into_sql::<Timestamptz>() + lifetime.seconds()),
        ))
        .insert_into(recovery_tokens::table)
        .into_columns((
            recovery_tokens::digest,
            recovery_tokens::user_id,
            recovery_tokens::purpose,
            recovery_tokens::language,
            recovery_tokens::email_canonical,
            recovery_tokens::password_version,
            recovery_tokens::expires_at,
        ))
        .returning(recovery_tokens::expires_at)
        .get_result(connection)
        .await?;
    Ok(expires_at.into())
}

/// Removes all tokens of a user that are for this purpose.
pub(super) async fn remove_tokens(
    connection: &mut AsyncPgConnection,
    user: UserId,
    purpose: Purpose,
) -> QueryResult<usize> {
    let of_user = recovery_tokens::table
        .filter(recovery_tokens::user_id.eq(user.as_uuid()))
        .filter(recovery_tokens::purpose.eq(purpose.as_str()));
    diesel::delete(of_user).execute(connection).await
}

/// Removes tokens that have expired, many at once; how many.
pub(super) async fn remove_expired_tokens(connection: &mut AsyncPgConnection) -> QueryResult<usize> {
    let expired: Vec<Vec<u8>> = recovery_tokens::table
        .filter(recovery_tokens::expires_at.le(now))
        .select(recovery_tokens::digest)
        .limit(MANY)
        .for_update()
        .skip_locked()
        .load(connection)
        .await?;
    diesel::delete(recovery_tokens::table.filter(recovery_tokens::digest.eq_any(expired)))
        .execute(connection)
        .await
}

/// The token with this digest, if it has not expired.
pub(super) async fn find_token(
    connection: &mut AsyncPgConnection,
    digest: &[u8],
    purpose: Purpose,
) -> QueryResult<Option<Made>> {
    let row: Option<(Uuid, String)> = recovery_tokens::table
        .find(digest)
        .filter(recovery_tokens::purpose.eq(purpose.as_str()))
        .filter(recovery_tokens::expires_at.gt(now))
        .select((recovery_tokens::user_id, recovery_tokens::email_canonical))
        .first(connection)
        .await
        .optional()?;
    Ok(row.map(|(user, email_canonical)| Made { user: user.into(), email_canonical }))
}

/// The id and the address of the user whose password a token can set now.
pub(super) async fn find_resettable(
    mut connection: &AsyncPgConnection,
    digest: &[u8],
) -> QueryResult<Option<(UserId, String)>> {
    let row: Option<(Uuid, String)> = recovery_tokens::table
        .inner_join(users::table)
        .filter(recovery_tokens::digest.eq(digest))
        .filter(recovery_tokens::purpose.eq(Purpose::Reset.as_str()))
        .filter(recovery_tokens::expires_at.gt(now))
        .filter(recovery_tokens::password_version.eq(users::password_version))
        .filter(users::is_active)
        .select((users::id, users::email))
        .first(&mut connection)
        .await
        .optional()?;
    Ok(row.map(|(user, email)| (user.into(), email)))
}

/// Uses up a token for a new password of a user whom the transaction has locked. Of any number of uses one gets an
/// answer, as long as the password is the one of when it was made.
pub(super) async fn consume_reset(
    connection: &mut AsyncPgConnection,
    user: UserId,
    digest: &[u8],
) -> QueryResult<Option<Consumed>> {
    let present = users::table.find(user.as_uuid()).select(users::password_version);
    let good = recovery_tokens::table
        .filter(recovery_tokens::digest.eq(digest))
        .filter(recovery_tokens::user_id.eq(user.as_uuid()))
        .filter(recovery_tokens::purpose.eq(Purpose::Reset.as_str()))
        .filter(recovery_tokens::expires_at.gt(now))
        .filter(recovery_tokens::password_version.eq_any(present));
    let row: Option<(String, OffsetDateTime)> = diesel::delete(good)
        .returning((recovery_tokens::language, now.into_sql::<Timestamptz>()))
        .get_result(connection)
        .await
        .optional()?;
    Ok(row.map(|(language, time)| Consumed { language, now: time.into() }))
}

/// Uses a token for an e-mail address, once; whether it was this time.
pub(super) async fn use_verify(connection: &mut AsyncPgConnection, digest: &[u8]) -> QueryResult<bool> {
    let good = recovery_tokens::table
        .filter(recovery_tokens::digest.eq(digest))
        .filter(recovery_tokens::purpose.eq(Purpose::Verify.as_str()))
        .filter(recovery_tokens::expires_at.gt(now))
        .filter(recovery_tokens::used_at.is_null());
    let used = diesel::update(good).set(recovery_tokens::used_at.eq(now)).execute(connection).await?;
    Ok(used == 1)
}
