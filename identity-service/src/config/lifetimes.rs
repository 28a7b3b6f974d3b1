//! For how long tokens and sessions are good.

use std::time::Duration;

use portcullis_proto::access_token::MAX_LIFETIME;

use super::variables::{
    ACCESS_TOKEN_LIFETIME_SECONDS, REFRESH_GRACE_SECONDS, REFRESH_IDLE_SECONDS, REFRESH_LIFETIME_SECONDS,
    RESET_TOKEN_LIFETIME_SECONDS, VERIFY_TOKEN_LIFETIME_SECONDS, Variable,
};
use super::{ConfigError, Vars, error};
use crate::recovery::model::Lifetimes as RecoveryLifetimes;
use crate::sessions::model::Lifetimes;

const DAY: u64 = 24 * 60 * 60;
/// The most seconds that a session may last: a year.
const LONGEST_SESSION: u64 = 365 * DAY;

impl Vars<'_> {
    pub(super) fn lifetimes(&self) -> Result<Lifetimes, ConfigError> {
        let access = self.number(&ACCESS_TOKEN_LIFETIME_SECONDS, 60, MAX_LIFETIME.as_secs())?;
        let longest = self.number(&REFRESH_LIFETIME_SECONDS, 60, LONGEST_SESSION)?;
        let idle = self.number(&REFRESH_IDLE_SECONDS, 60, LONGEST_SESSION)?;
        let grace = self.number(&REFRESH_GRACE_SECONDS, 1, 60)?;
        let less_than = |other: &Variable, seconds| format!("is less than {}, {seconds}", other.name);
        if idle < access {
            return Err(error(&REFRESH_IDLE_SECONDS, &less_than(&ACCESS_TOKEN_LIFETIME_SECONDS, access)));
        }
        if longest < idle {
            return Err(error(&REFRESH_LIFETIME_SECONDS, &less_than(&REFRESH_IDLE_SECONDS, idle)));
        }
        let [access, longest, idle, grace] = [access, longest, idle, grace].map(Duration::from_secs);
        Ok(Lifetimes { access, longest, idle, grace })
    }

    pub(super) fn recovery_lifetimes(&self) -> Result<RecoveryLifetimes, ConfigError> {
        let reset = self.number(&RESET_TOKEN_LIFETIME_SECONDS, 60, DAY)?;
        let verify = self.number(&VERIFY_TOKEN_LIFETIME_SECONDS, 60, 30 * DAY)?;
        let [reset, verify] = [reset, verify].map(Duration::from_secs);
        Ok(RecoveryLifetimes { reset, verify })
    }
}
