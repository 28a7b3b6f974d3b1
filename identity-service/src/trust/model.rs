//! Tokens that have ended, and what a reader knows of them.

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use portcullis_proto::access_token::LEEWAY;
use portcullis_proto::clock::FAR;
use uuid::Uuid;

use super::keys::model::PublicKey;
use crate::ids::{SessionId, UserId};

/// Which tokens are good no longer, for ever.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Revoked {
    /// Those of a session.
    Session(SessionId),
    /// Those of a user with a lower epoch.
    User {
        /// The user.
        user: UserId,
        /// The first epoch that is good.
        epoch: i64,
    },
}

/// That tokens are good no longer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Revocation {
    /// Which.
    pub revoked: Revoked,
    /// For how long such a token can still come that has not expired.
    pub remaining: Duration,
}

/// For how long the revocation of a token that expires after `lifetime` is kept.
#[must_use]
pub fn kept_for(lifetime: Duration) -> Duration {
    lifetime + LEEWAY + FAR
}

/// Until where a reader knows all revocations: within one life of the server, the transactions that were over when he
/// read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Position {
    /// The life of the server in which the numbers of transactions mean this.
    pub feed: String,
    /// A `pg_snapshot` as text: `xmin:xmax:xip,xip`.
    pub snapshot: String,
}

/// What a read has found.
pub struct Read {
    /// How many reads had begun when this one did, itself included; 0 for one that no other follower is told of.
    pub number: u64,
    /// The keys then, or a little later; nothing where only revocations were looked up.
    pub keys: Option<Arc<[PublicKey]>>,
    /// What has ended.
    pub revocations: Vec<Revocation>,
    /// Until where a follower then knows everything; nothing while more of a snapshot follows.
    pub position: Option<Position>,
    /// What the clock of the database said.
    pub time: SystemTime,
}

/// Longer positions are refused. Each transaction under way takes a number of at most 20 digits.
const MAX_POSITION_LENGTH: usize = 32 * 1024;

impl Position {
    /// Reads what [`Position::to_text`] wrote; `None` for anything else, so that nothing gets to the database that it
    /// would choke on.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let (feed, snapshot) = text.split_once('/').filter(|_| text.len() <= MAX_POSITION_LENGTH)?;
        let (id, start) = feed.split_once('@')?;
        Uuid::try_parse(id).ok().filter(|_| !start.is_empty())?;
        let is_of_number = |byte: u8| byte.is_ascii_digit() || byte == b'.';
        let is_snapshot = start.bytes().all(is_of_number) && is_snapshot(snapshot)?;
        is_snapshot.then(|| Self { feed: feed.to_owned(), snapshot: snapshot.to_owned() })
    }

    /// As text, to be given back.
    #[must_use]
    pub fn to_text(&self) -> String {
        format!("{}/{}", self.feed, self.snapshot)
    }
}

/// Whether a text is a `pg_snapshot`: numbers of transactions that rise from xmin to below xmax.
fn is_snapshot(text: &str) -> Option<bool> {
    let mut parts = text.split(':');
    let number = |text: &str| text.parse::<u64>().ok().filter(|number| *number > 0);
    let (xmin, xmax) = (number(parts.next()?)?, number(parts.next()?)?);
    let running = parts.next()?.split(',').filter(|part| !part.is_empty());
    let running: Vec<u64> = running.map(number).collect::<Option<_>>()?;
    let is_in_order = running.is_sorted_by(|one, next| one < next);
    let are_within = running.iter().all(|xid| (xmin..xmax).contains(xid));
    Some(parts.next().is_none() && xmin <= xmax && is_in_order && are_within)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_position_is_read_back_and_nothing_else_is_read() {
        let feed = "01a21031-c949-413c-a0c5-a39a7d927455@1764090000.123456";
        for snapshot in ["10:20:", "10:20:10,14,19", "7:7:", "18446744073709551614:18446744073709551615:"] {
            let text = format!("{feed}/{snapshot}");
            assert_eq!(Position::parse(&text).map(|position| position.to_text()), Some(text));
        }
        for snapshot in [
            "",
            "10",
            "10:20",
            "20:10:",
            "10:20:20",
            "10:20:9",
            "10:20:14,12",
            "10:20:12,12",
            "0:5:",
            "-1:5:",
            "10:20:;DROP",
            "10:20::",
            "a:b:",
            "10:99999999999999999999:",
            " 10:20:",
        ] {
            assert_eq!(Position::parse(&format!("{feed}/{snapshot}")), None, "{snapshot}");
        }
        for text in ["", "/", "x@1/1:1:", "01a21031-c949-413c-a0c5-a39a7d927455/1:1:"] {
            assert_eq!(Position::parse(text), None, "{text}");
        }
        let long = (1..9_000).map(|xid| xid.to_string()).collect::<Vec<_>>().join(",");
        assert_eq!(Position::parse(&format!("{feed}/1:9000:{long}")), None);
    }
}
