//! The table `mails`.

use diesel::dsl::{IntervalDsl as _, now};
use diesel::prelude::*;
use diesel::sql_types::Timestamptz;
use diesel_async::{AsyncPgConnection, RunQueryDsl};
use time::OffsetDateTime;

use super::model::{Kind, Letter};
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

/// How many mails with tokens were written to an address in the last hour, whatever became of them.
pub(super) async fn count_lately(
    connection: &mut AsyncPgConnection,
    address_digest: &[u8],
) -> QueryResult<i64> {
    mails::table
        .filter(mails::address_digest.eq(address_digest))
        .filter(mails::kind.eq_any([Kind::Reset, Kind::Verify].map(Kind::as_str)))
        .filter(mails::created_at.gt(now.into_sql::<Timestamptz>() - 1.hour()))
        .count()
        .get_result(connection)
        .await
}
