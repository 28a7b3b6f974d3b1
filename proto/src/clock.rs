//! What time it is. The clock of the database is everybody's; each process reads it from afar now and then, and goes on
//! from there by a clock that does not step.

use std::time::{Duration, Instant, SystemTime};

use crate::access_token::LEEWAY;

/// When a machine's clock and that of the database are further apart, it may be that of the database which is wrong. By
/// less a clock may step back, and brings no ended token back: so long is known what has ended, after the last token that
/// is concerned has expired.
pub const FAR: Duration = Duration::from_secs(10 * 60);

/// The clock of the database, as a process knows it.
#[derive(Debug, Default)]
pub struct Clock {
    /// When the database was asked, and what it said.
    told: Option<(Instant, SystemTime)>,
    /// How far this machine's own clock was from it then.
    apart: Duration,
}

/// What is to be said of this machine's own clock, when it is another thing than before.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Change {
    /// It is further from that of the database than [`LEEWAY`]: by this.
    Wrong(Duration),
    /// They agree again.
    Right,
}

impl Clock {
    /// Notes what the database said when it was asked then, while this machine's own clock says `own`.
    pub fn note(&mut self, asked: Instant, database: SystemTime, own: SystemTime) -> Option<Change> {
        let was_wrong = self.apart > LEEWAY;
        self.told = Some((asked, database));
        self.apart = own.duration_since(database).unwrap_or_else(|behind| behind.duration());
        let is_wrong = self.apart > LEEWAY;
        (is_wrong != was_wrong).then_some(if is_wrong { Change::Wrong(self.apart) } else { Change::Right })
    }

    /// What time it is: at the most later than it is by as long as the answer of the database took. `None` as long as it
    /// was not asked.
    #[must_use]
    pub fn at(&self, moment: Instant) -> Option<SystemTime> {
        let (asked, database) = self.told?;
        Some(database + moment.saturating_duration_since(asked))
    }

    /// How far this machine's own clock was from that of the database when it was last asked. `None` as long as it was not.
    #[must_use]
    pub fn apart(&self) -> Option<Duration> {
        self.told.map(|_| self.apart)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const APART: Duration = Duration::from_secs(30);

    #[test]
    fn a_wrong_clock_is_told_once_and_has_no_effect() {
        let (asked, database) = (Instant::now(), SystemTime::UNIX_EPOCH + Duration::from_secs(1_000_000));
        let mut clock = Clock::default();
        assert_eq!((clock.at(asked), clock.apart()), (None, None));
        for (own, change) in [
            (database, None),
            (database + LEEWAY, None),
            (database + APART, Some(Change::Wrong(APART))),
            (database - APART, None),
            (database - LEEWAY, Some(Change::Right)),
            (database - APART, Some(Change::Wrong(APART))),
        ] {
            assert_eq!(clock.note(asked, database, own), change);
            assert_eq!(clock.at(asked + APART), Some(database + APART));
        }
    }
}
