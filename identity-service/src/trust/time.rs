//! What time it is: as the database says, whatever this machine's clock says.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant, SystemTime};

use portcullis_proto::access_token::{LEEWAY, MAX_LIFETIME};
use portcullis_proto::clock::{Change, Clock, FAR};
use tracing::{info, warn};

/// The time, as all parts of the process know it.
#[derive(Default)]
pub(super) struct Time(Mutex<Clock>);

impl Time {
    /// Notes what the database said when it was asked then.
    pub(super) fn note(&self, asked: Instant, database: SystemTime) {
        let change = self.clock().note(asked, database, SystemTime::now());
        match change {
            Some(Change::Wrong(apart)) => {
                let seconds = apart.as_secs();
                warn!(
                    seconds,
                    "this clock and that of the database are far apart: that of the database is used"
                );
            }
            Some(Change::Right) => info!("this clock agrees with that of the database again"),
            None => {}
        }
    }

    /// What time it is; by this machine's clock as long as the database has not said.
    pub(super) fn now(&self) -> SystemTime {
        self.clock().at(Instant::now()).unwrap_or_else(SystemTime::now)
    }

    /// Whether what has expired by the clock of the database may be forgotten.
    pub(super) fn may_forget(&self) -> bool {
        self.clock().apart().is_some_and(|apart| apart <= FAR)
    }

    /// For how much longer than the database says something must be known, since perhaps it is its clock that is wrong.
    pub(super) fn slack(&self) -> Duration {
        let apart = self.clock().apart().unwrap_or_default();
        if apart <= LEEWAY { Duration::ZERO } else { apart.min(MAX_LIFETIME) }
    }

    fn clock(&self) -> MutexGuard<'_, Clock> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
