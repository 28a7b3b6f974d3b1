//! The table `mails`.

use std::time::Duration;

use diesel::dsl::{IntervalDsl as _, exists, not, now};
use diesel::prelude::*;
use diesel::sql_types::{BigInt, Integer, Nullable, Text, Timestamptz};
use diesel_async::{AsyncPgConnection, RunQueryDsl};
use time::OffsetDateTime;
use uuid::Uuid;

use super::model::{Claimed, GivenUp, Kind, Letter, Unsent};
use crate::ids::MailId;
use crate::schema::mails;

/// Writes a mail that is to be sent.
pub(super) async fn insert(
    connection: &mut AsyncPgConnection,
    id: MailId,
    letter: &Letter,
    address_digest: &[u8],
    sealed_token: Option<Vec<u8>>,
) -> QueryResult<usize> {
    diesel::insert_into(mails::table)
        .values((
            mails::id.eq(id.as_uuid()),
            mails::user_id.eq(letter.user.as_uuid()),
            mails::kind.eq(letter.kind.as_str()),
            mails::language.eq(&letter.language),
            mails::recipient.eq(&letter.recipient),
            mails::address_digest.eq(address_digest),
            mails::sealed_token.eq(sealed_token),
            mails::expires_at.eq(OffsetDateTime::from(letter.expires_at)),
        ))
        .execute(connection)
        .await
}

/// How many mails with tokens were written or sent to an address in the last hour, or wait, whatever became of the others.
pub(super) async fn count_lately(
    connection: &mut AsyncPgConnection,
    address_digest: &[u8],
) -> QueryResult<i64> {
    mails::table
        .filter(mails::address_digest.eq(address_digest))
        .filter(mails::kind.eq_any([Kind::Reset, Kind::Verify].map(Kind::as_str)))
        .filter(
            mails::created_at
                .gt(now.into_sql::<Timestamptz>() - 1.hour())
                .or(mails::sent_at.assume_not_null().gt(now.into_sql::<Timestamptz>() - 1.hour()))
                .or(mails::sent_at.is_null().and(mails::gave_up_at.is_null())),
        )
        .count()
        .get_result(connection)
        .await
}

/// How many rows one statement gives up or deletes at most.
pub(super) const MANY: i64 = 1_000;

diesel::define_sql_function! {
    /// The earlier of two times.
    fn least(one: Timestamptz, other: Timestamptz) -> Timestamptz;
}

/// Those that are neither sent nor given up.
#[diesel::dsl::auto_type]
fn unfinished() -> _ {
    mails::table.filter(mails::sent_at.is_null()).filter(mails::gave_up_at.is_null())
}

/// Whether there is anything to send or to give up.
pub(super) async fn is_anything_due(mut connection: &AsyncPgConnection) -> QueryResult<bool> {
    let due = unfinished().filter(mails::next_attempt_at.le(now));
    diesel::select(exists(due)).get_result(&mut connection).await
}

#[derive(QueryableByName)]
struct ClaimedRow {
    #[diesel(sql_type = diesel::sql_types::Uuid)]
    id: Uuid,
    #[diesel(sql_type = Text)]
    kind: String,
    #[diesel(sql_type = Text)]
    language: String,
    #[diesel(sql_type = Nullable<Text>)]
    recipient: Option<String>,
    #[diesel(sql_type = Nullable<diesel::sql_types::Bytea>)]
    sealed_token: Option<Vec<u8>>,
    #[diesel(sql_type = Timestamptz)]
    expires_at: OffsetDateTime,
    #[diesel(sql_type = Integer)]
    attempts: i32,
    #[diesel(sql_type = Timestamptz)]
    claimed_at: OffsetDateTime,
}

/// The mails that are due, at most `limit`, of each address the first only: they are the caller's to send for as long as
/// `lease` says. What another replica is about to claim is left to it.
pub(super) async fn claim(
    connection: &mut AsyncPgConnection,
    limit: usize,
    lease: Duration,
) -> QueryResult<Vec<Claimed>> {
    // MATERIALIZED: a plan that ran the inner query more than once would claim more than it may.
    let sql = "WITH due AS MATERIALIZED (
            SELECT id FROM mails
            WHERE sent_at IS NULL AND gave_up_at IS NULL AND next_attempt_at <= now() AND expires_at > now()
                AND user_id IS NOT NULL AND kind = ANY($1)
                AND NOT EXISTS (SELECT FROM mails AS earlier
                    WHERE earlier.address_digest = mails.address_digest AND earlier.id < mails.id
                        AND earlier.sent_at IS NULL AND earlier.gave_up_at IS NULL)
            ORDER BY next_attempt_at LIMIT $2 FOR UPDATE SKIP LOCKED
        )
        UPDATE mails SET attempts = attempts + 1, next_attempt_at = now() + $3 * interval '1 second'
        WHERE id IN (SELECT id FROM due)
        RETURNING id, kind, language, recipient, sealed_token, expires_at, attempts, now() AS claimed_at";
    let rows: Vec<ClaimedRow> = diesel::sql_query(sql)
        .bind::<diesel::sql_types::Array<Text>, _>(Kind::ALL.map(Kind::as_str).to_vec())
        .bind::<BigInt, _>(i64::try_from(limit).unwrap_or(i64::MAX))
        .bind::<BigInt, _>(i64::try_from(lease.as_secs()).unwrap_or(i64::MAX))
        .load(connection)
        .await?;
    Ok(rows.into_iter().filter_map(to_claimed).collect())
}

/// `None` for a kind that a newer version knows; such a row is not asked for.
fn to_claimed(row: ClaimedRow) -> Option<Claimed> {
    Some(Claimed {
        id: row.id.into(),
        kind: Kind::of(&row.kind)?,
        language: row.language,
        recipient: row.recipient,
        sealed_token: row.sealed_token,
        expires_at: row.expires_at.into(),
        attempts: row.attempts,
        now: row.claimed_at.into(),
    })
}

type GivenUpRow = (Uuid, String, i32, Option<String>, Option<Uuid>);
const GIVEN_UP: (mails::id, mails::kind, mails::attempts, mails::last_error, mails::user_id) =
    (mails::id, mails::kind, mails::attempts, mails::last_error, mails::user_id);

fn to_given_up((id, kind, attempts, last_error, user): GivenUpRow) -> Option<GivenUp> {
    Some(GivenUp { id: id.into(), kind: Kind::of(&kind)?, attempts, last_error, is_orphan: user.is_none() })
}

/// Gives up what has expired, unless it is being sent, and what is for nobody any more.
pub(super) async fn give_up_hopeless(connection: &mut AsyncPgConnection) -> QueryResult<Vec<GivenUp>> {
    let hopeless = diesel::alias!(mails as hopeless);
    let is_for_nobody = hopeless.field(mails::user_id).is_null();
    let has_expired = hopeless.field(mails::expires_at).le(now);
    let is_sent_now = hopeless.field(mails::next_attempt_at).gt(now);
    let hopeless = hopeless
        .filter(hopeless.field(mails::sent_at).is_null())
        .filter(hopeless.field(mails::gave_up_at).is_null())
        .filter(is_for_nobody.or(has_expired.and(not(is_sent_now))))
        .select(hopeless.field(mails::id))
        .limit(MANY)
        .for_update()
        .skip_locked();
    let rows: Vec<GivenUpRow> = diesel::update(mails::table.filter(mails::id.eq_any(hopeless)))
        .set((
            mails::gave_up_at.eq(now.into_sql::<Nullable<Timestamptz>>()),
            mails::recipient.eq(None::<String>),
            mails::sealed_token.eq(None::<Vec<u8>>),
        ))
        .returning(GIVEN_UP)
        .get_results(connection)
        .await?;
    Ok(rows.into_iter().filter_map(to_given_up).collect())
}

/// Gives up one mail; `None` if it is finished already.
pub(super) async fn give_up(
    connection: &mut AsyncPgConnection,
    id: MailId,
    why: &str,
) -> QueryResult<Option<GivenUp>> {
    let row: Option<GivenUpRow> = diesel::update(unfinished().filter(mails::id.eq(id.as_uuid())))
        .set((
            mails::gave_up_at.eq(now.into_sql::<Nullable<Timestamptz>>()),
            mails::recipient.eq(None::<String>),
            mails::sealed_token.eq(None::<Vec<u8>>),
            mails::last_error.eq(why),
        ))
        .returning(GIVEN_UP)
        .get_result(connection)
        .await
        .optional()?;
    Ok(row.and_then(to_given_up))
}

/// Notes that a mail was sent, also when it was given up meanwhile: it was sent.
pub(super) async fn mark_sent(connection: &mut AsyncPgConnection, id: MailId) -> QueryResult<usize> {
    diesel::update(mails::table.find(id.as_uuid()).filter(mails::sent_at.is_null()))
        .set((
            mails::sent_at.eq(now.into_sql::<Nullable<Timestamptz>>()),
            mails::gave_up_at.eq(None::<OffsetDateTime>),
            mails::recipient.eq(None::<String>),
            mails::sealed_token.eq(None::<Vec<u8>>),
            mails::last_error.eq(None::<String>),
        ))
        .execute(connection)
        .await
}

/// Puts a mail off that was claimed and not sent, unless somebody else has claimed it since.
pub(super) async fn put_off(
    connection: &mut AsyncPgConnection,
    mail: &Claimed,
    why: &str,
    pause: Duration,
) -> QueryResult<usize> {
    let pause = i64::try_from(pause.as_millis()).unwrap_or(i64::MAX);
    let next = now.into_sql::<Timestamptz>() + pause.milliseconds();
    let claimed =
        unfinished().filter(mails::id.eq(mail.id.as_uuid())).filter(mails::attempts.eq(mail.attempts));
    diesel::update(claimed)
        .set((mails::last_error.eq(why), mails::next_attempt_at.eq(least(next, mails::expires_at))))
        .execute(connection)
        .await
}

/// Deletes what was sent and does not count any more, and what was given up a week ago.
pub(super) async fn delete_old(connection: &mut AsyncPgConnection) -> QueryResult<usize> {
    let old = diesel::alias!(mails as old);
    let counts_not = old.field(mails::sent_at).assume_not_null().le(now.into_sql::<Timestamptz>() - 1.hour());
    let was_given_up =
        old.field(mails::gave_up_at).assume_not_null().le(now.into_sql::<Timestamptz>() - 1.week());
    let old = old
        .filter(counts_not.or(was_given_up))
        .select(old.field(mails::id))
        .limit(MANY)
        .for_update()
        .skip_locked();
    diesel::delete(mails::table.filter(mails::id.eq_any(old))).execute(connection).await
}

type UnsentRow = (Uuid, String, OffsetDateTime, i32, OffsetDateTime, Option<String>, Option<OffsetDateTime>);

/// The mails that are not sent, the oldest first.
pub(super) async fn list_unsent(connection: &mut AsyncPgConnection, limit: i64) -> QueryResult<Vec<Unsent>> {
    let rows: Vec<UnsentRow> = mails::table
        .filter(mails::sent_at.is_null())
        .order(mails::id)
        .limit(limit)
        .select((
            mails::id,
            mails::kind,
            mails::created_at,
            mails::attempts,
            mails::next_attempt_at,
            mails::last_error,
            mails::gave_up_at,
        ))
        .load(connection)
        .await?;
    let to_unsent = |(id, kind, created_at, attempts, next, last_error, gave_up_at): UnsentRow| Unsent {
        id: id.into(),
        kind,
        created_at: created_at.into(),
        attempts,
        next_attempt_at: next.into(),
        last_error,
        gave_up_at: gave_up_at.map(Into::into),
    };
    Ok(rows.into_iter().map(to_unsent).collect())
}

/// The tokens that are to be mailed, sealed, which nobody can change until the transaction ends.
pub(super) async fn lock_tokens(connection: &mut AsyncPgConnection) -> QueryResult<Vec<(Uuid, Vec<u8>)>> {
    mails::table
        .filter(mails::sealed_token.is_not_null())
        .select((mails::id, mails::sealed_token.assume_not_null()))
        .for_update()
        .load(connection)
        .await
}

/// Stores a token as it is sealed now.
pub(super) async fn reseal(
    connection: &mut AsyncPgConnection,
    id: Uuid,
    sealed: &[u8],
) -> QueryResult<usize> {
    diesel::update(mails::table.find(id)).set(mails::sealed_token.eq(sealed)).execute(connection).await
}
