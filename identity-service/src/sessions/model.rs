//! A session: one login of one user.

use std::time::{Duration, SystemTime};

use super::client::Client;
use crate::ids::{SessionId, UserId};

/// One login of one user. No `Debug`: whence he logged in must not reach a log.
#[derive(Clone)]
pub struct Session {
    /// The session's id, the claim `sid` of its tokens.
    pub id: SessionId,
    /// Who logged in.
    pub user: UserId,
    /// When.
    pub created_at: SystemTime,
    /// When a token of it was last used, as far as that was written.
    pub last_seen_at: SystemTime,
    /// When it ends by itself.
    pub expires_at: SystemTime,
    /// From where.
    pub client: Client,
}

/// The sessions of a page of a list.
pub struct Listed {
    /// The sessions.
    pub sessions: Vec<Session>,
    /// After which the next page begins; none if this one is the last.
    pub next: Option<SessionId>,
}

/// A session that has just begun. No `Debug`, as [`Session`].
pub struct NewSession {
    /// The session.
    pub session: Session,
    /// Its first tokens.
    pub tokens: Tokens,
}

/// What a user is given to prove later who he is. No `Debug`: a token must not reach a log.
pub struct Tokens {
    /// The session that they belong to.
    pub session: SessionId,
    /// The access token.
    pub access_token: String,
    /// For how long it is good.
    pub expires_in: Duration,
    /// The refresh token, if one was asked for.
    pub refresh: Option<RefreshToken>,
}

/// A refresh token that is given out.
pub struct RefreshToken {
    /// The token.
    pub token: String,
    /// What ends its session, and can do nothing else.
    pub end_token: String,
    /// For how long it is good, unless it is used before.
    pub expires_in: Duration,
}

/// What an access token is to say.
#[derive(Debug, Clone, Copy)]
pub struct Grant {
    /// The session that it belongs to.
    pub session: SessionId,
    /// The user.
    pub user: UserId,
    /// His revocation counter.
    pub epoch: i64,
    /// When it is issued.
    pub issued_at: SystemTime,
    /// When it expires; never later than the session.
    pub expires_at: SystemTime,
}

/// For how long things are good.
#[derive(Debug, Clone, Copy)]
pub struct Lifetimes {
    /// An access token.
    pub access: Duration,
    /// A session, from the login on, however often it is refreshed.
    pub longest: Duration,
    /// A session that is not refreshed any more; no shorter than an access token.
    pub idle: Duration,
    /// A refresh token that has been used, for whoever lost the answer.
    pub grace: Duration,
}

/// Who calls, as his access token says and before the database has confirmed it.
#[derive(Debug, Clone, Copy)]
pub struct Caller {
    /// The user: the claim `sub`.
    pub user: UserId,
    /// The session: the claim `sid`.
    pub session: SessionId,
    /// The user's revocation counter at the time: the claim `epoch`.
    pub epoch: i64,
}

/// A session that a caller names.
#[derive(Debug, Clone, Copy)]
pub enum Target {
    /// The one that his access token belongs to.
    Current,
    /// The one with this id; `None` for text that is no id, and so names no session.
    Id(Option<SessionId>),
}

impl Target {
    /// The id of the session, for this caller.
    #[must_use]
    pub fn of(self, caller: &Caller) -> Option<SessionId> {
        match self {
            Self::Current => Some(caller.session),
            Self::Id(id) => id,
        }
    }
}
