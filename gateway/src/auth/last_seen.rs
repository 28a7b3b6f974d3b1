//! Lets identity-service see the sessions that are used where it is not asked, so that it knows when each was last seen.

use std::sync::Arc;
use std::time::{Duration, Instant};

use quick_cache::sync::Cache;
use secrecy::SecretString;
use tokio::sync::Semaphore;
use uuid::Uuid;

use crate::identity::Identity;

/// How often a session is shown.
const ONCE: Duration = Duration::from_secs(60);
/// How many sessions are remembered as shown, at some 50 bytes each. Another is shown more often than it need be.
const SESSIONS: usize = 50_000;
/// How many may be shown at once. When identity-service is slow, the rest is left out.
const AT_ONCE: usize = 16;

/// Which sessions were shown. Shared by all workers.
pub struct LastSeen {
    shown: Cache<Uuid, Instant>,
    places: Arc<Semaphore>,
}

impl Default for LastSeen {
    fn default() -> Self {
        Self { shown: Cache::new(SESSIONS), places: Arc::new(Semaphore::new(AT_ONCE)) }
    }
}

impl LastSeen {
    /// Shows a session, by a call in its user's name that nobody waits for, unless that was done a while ago.
    pub fn show(&self, now: Instant, session: Uuid, identity: &Identity, token: &SecretString) {
        if !self.is_due(now, session) {
            return;
        }
        let Ok(place) = Arc::clone(&self.places).try_acquire_owned() else { return };
        let (identity, token) = (identity.clone(), token.clone());
        actix_web::rt::spawn(async move {
            // What it answers does not matter: that a token has ended, the trust feed says.
            let _ = identity.get_session(&token).await;
            drop(place);
        });
    }

    /// Whether a session is to be shown now; if so, it is not for a minute.
    fn is_due(&self, now: Instant, session: Uuid) -> bool {
        let is_recent = |shown: Instant| now.saturating_duration_since(shown) < ONCE;
        if self.shown.get(&session).is_some_and(is_recent) {
            return false;
        }
        self.shown.insert(session, now);
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_session_is_shown_once_a_minute() {
        let last_seen = LastSeen::default();
        let (one, other, now) = (Uuid::from_u128(1), Uuid::from_u128(2), Instant::now());
        for (second, session, is_due) in [
            (0, one, true),
            (0, one, false),
            (59, one, false),
            (59, other, true),
            (60, one, true),
            (61, one, false),
        ] {
            assert_eq!(last_seen.is_due(now + Duration::from_secs(second), session), is_due, "{second}");
        }
    }
}
