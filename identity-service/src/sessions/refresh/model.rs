//! What becomes of a session when a refresh token of it is used.
//!
//! Its tokens are a chain, of which only the newest may be used. Of an honest client another comes all the same: an
//! answer was lost, or two tabs ask at once. Then it comes soon, and gets what the first one got. When it comes later,
//! two have the token, and one of them is a thief: the session ends, since nobody can say which (RFC 9700 section
//! 4.14.2).

use std::time::{Duration, SystemTime};

use super::token::RefreshKey;
use crate::ids::SessionId;
use crate::secret::Secret;
use crate::sessions::model::Lifetimes;

/// How many tokens before the newest are known by when they were first used.
pub const REMEMBERED: usize = 16;
/// An access token that is good for less is none: its times are whole seconds.
const SHORTEST: Duration = Duration::from_secs(1);

/// The chain of a session's refresh tokens.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Chain {
    /// The digest of the newest token's secret.
    pub digest: Vec<u8>,
    /// When those before it were first used, oldest first: of the last [`REMEMBERED`].
    pub uses: Vec<SystemTime>,
    /// When the session began.
    pub created_at: SystemTime,
    /// When the session ends by itself.
    pub expires_at: SystemTime,
    /// When the last access token of the session expires; never later than the session.
    pub access_expires_at: SystemTime,
}

/// What the use of a token leads to.
#[must_use]
pub enum Use {
    /// It is the newest: this one follows, and the chain is another.
    Advance(Secret, Chain),
    /// It was used a moment ago: this one has followed, and nothing changes. The access token is good until then.
    Repeat(Secret, SystemTime),
    /// It was used before, and not a moment ago.
    Reuse,
    /// The session is over, or as good as over.
    Expired,
}

/// Why a refresh token is refused: for the log.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum RefreshRefusal {
    /// We never gave it out.
    #[error("it is not of our making")]
    Foreign,
    /// Its session has ended.
    #[error("its session has ended")]
    SessionEnded,
    /// Its session has expired.
    #[error("its session has expired")]
    Expired,
    /// The user is inactive, has another password, or all his tokens were ended.
    #[error("its user is not what he was")]
    UserChanged,
    /// It was used before.
    #[error("it was used before")]
    Reused,
}

impl Chain {
    /// That of a session which begins now, with a token whose secret has this digest.
    #[must_use]
    pub fn begin(digest: Vec<u8>, now: SystemTime, lifetimes: &Lifetimes) -> Self {
        let expires_at = now + lifetimes.idle.min(lifetimes.longest);
        let access_expires_at = expires_at.min(now + lifetimes.access);
        Self { digest, uses: Vec::new(), created_at: now, expires_at, access_expires_at }
    }

    /// What the use of a genuine token of this session leads to. A token that was never given out does not get here.
    pub fn take(
        self,
        key: &RefreshKey,
        session: SessionId,
        presented: &Secret,
        now: SystemTime,
        lifetimes: &Lifetimes,
    ) -> Use {
        if !is_worth_while(now, self.expires_at) {
            return Use::Expired;
        }
        let successor = key.successor(session, presented);
        match self.age(key, session, presented) {
            Some(0) => self.advance(successor, now, lifetimes),
            Some(age) if self.was_used_within(lifetimes.grace, age, now) => {
                let until = self.access_expires_at.min(now + lifetimes.access);
                if is_worth_while(now, until) { Use::Repeat(successor, until) } else { Use::Expired }
            }
            Some(_) | None => Use::Reuse,
        }
    }

    /// How many tokens have followed the presented one; `None` when they are more than are remembered.
    fn age(&self, key: &RefreshKey, session: SessionId, presented: &Secret) -> Option<usize> {
        if presented.digest() == self.digest {
            return Some(0);
        }
        let mut later = key.successor(session, presented);
        for age in 1..=self.uses.len() {
            if later.digest() == self.digest {
                return Some(age);
            }
            later = key.successor(session, &later);
        }
        None
    }

    /// Whether the token that so many have followed was first used less than `grace` ago. Whoever waited for the other
    /// use to end may have begun before it.
    fn was_used_within(&self, grace: Duration, age: usize, now: SystemTime) -> bool {
        let used = self.uses.len().checked_sub(age).and_then(|index| self.uses.get(index));
        used.is_some_and(|used| now.duration_since(*used).map_or(true, |ago| ago < grace))
    }

    fn advance(mut self, successor: Secret, now: SystemTime, lifetimes: &Lifetimes) -> Use {
        let end = (self.created_at + lifetimes.longest).min(now + lifetimes.idle);
        if !is_worth_while(now, end) {
            return Use::Expired;
        }
        self.uses.push(now);
        self.uses.drain(..self.uses.len().saturating_sub(REMEMBERED));
        self.digest = successor.digest();
        // Neither is shortened, should the lifetimes be others than before: an access token was given that lasts so long.
        self.access_expires_at = self.access_expires_at.max(end.min(now + lifetimes.access));
        self.expires_at = end.max(self.access_expires_at);
        Use::Advance(successor, self)
    }
}

fn is_worth_while(now: SystemTime, until: SystemTime) -> bool {
    now + SHORTEST <= until
}

#[cfg(test)]
mod tests;
