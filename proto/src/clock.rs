//! Whether a clock can be trusted to say if a token is in time.

use std::time::{Duration, SystemTime};

use crate::access_token::LEEWAY;

/// How a process's clock compares with that of the database, which is everybody's.
#[derive(Debug, Default)]
pub struct Comparison {
    is_wrong: bool,
}

/// What a comparison has found, when it is another thing than the one before.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Change {
    /// The clocks are further apart than [`LEEWAY`]: by this.
    Wrong(Duration),
    /// They agree again.
    Right,
}

impl Comparison {
    /// Whether the clock was wrong when it was last compared.
    #[must_use]
    pub fn is_wrong(&self) -> bool {
        self.is_wrong
    }

    /// Compares the clocks.
    pub fn note(&mut self, own: SystemTime, database: SystemTime) -> Option<Change> {
        let apart = own.duration_since(database).unwrap_or_else(|behind| behind.duration());
        let is_wrong = apart > LEEWAY;
        let has_changed = std::mem::replace(&mut self.is_wrong, is_wrong) != is_wrong;
        has_changed.then_some(if is_wrong { Change::Wrong(apart) } else { Change::Right })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_change_is_told_once() {
        let database = SystemTime::UNIX_EPOCH + Duration::from_secs(1_000_000);
        let mut comparison = Comparison::default();
        let apart = Duration::from_secs(30);
        for (own, change, is_wrong) in [
            (database, None, false),
            (database + LEEWAY, None, false),
            (database + apart, Some(Change::Wrong(apart)), true),
            (database - apart, None, true),
            (database - LEEWAY, Some(Change::Right), false),
            (database - apart, Some(Change::Wrong(apart)), true),
        ] {
            assert_eq!(comparison.note(own, database), change);
            assert_eq!(comparison.is_wrong(), is_wrong);
        }
    }
}
