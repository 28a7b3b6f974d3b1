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

/// A session that has just begun.
pub struct NewSession {
    /// The session.
    pub session: Session,
    /// Its first access token.
    pub access_token: String,
    /// For how long the token is good.
    pub expires_in: Duration,
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
