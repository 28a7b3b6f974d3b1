//! What a flood of logins may do, and whether it did more.

use std::time::Duration;

use crate::harness::{Sample, percentile, rate, rounds};

/// How much of what it can do without a flood a system must still do, in the short tier and in the long. Refusing takes
/// time from the hashes: in programs that are not optimised some 3 ms of a core each, the client's share included. At the
/// low cost of the short tier there are 200 refusals a second, so that it can only show that nothing collapses.
const KEPT: (f64, f64) = (0.6, 0.9);
/// How many of the reads must succeed.
const SERVED: f64 = 0.999;
/// Within which time a login must be refused; where a read may take longer, because the machine has other things to do,
/// so may a refusal.
const REFUSAL: Duration = Duration::from_millis(250);
/// How long a client may be told to wait, in seconds.
const RETRY_AFTER: std::ops::RangeInclusive<u64> = 1..=10;
/// How much a process may grow, in bytes.
const GROWTH: u64 = 50 * 1024 * 1024;

/// Reads at a steady rate, and logins one after the other beside them.
pub struct Calm {
    pub reads: Vec<Sample>,
    pub logins: Vec<Sample>,
}

/// What was seen before, in and after a flood.
pub struct Figures {
    /// How many logins a second succeed when nobody comes in vain.
    pub capacity: f64,
    /// How long a read may take.
    pub read_bound: Duration,
    /// How long the flood lasted.
    pub lasted: Duration,
    /// The logins and the reads of the flood.
    pub logins: Vec<Sample>,
    pub reads: Vec<Sample>,
    /// By how many bytes each process grew.
    pub growth: Vec<u64>,
    /// How it was before, and how soon after it.
    pub before: Calm,
    pub after: Calm,
}

impl Figures {
    /// What is not as it must be. The first word of each says what it is about.
    pub fn complaints(&self) -> Vec<String> {
        [self.of_reads(), self.of_logins(), self.of_refusals(), self.of_growth(), self.of_the_time_after()]
            .concat()
    }

    fn of_reads(&self) -> Vec<String> {
        let served = self.reads.iter().filter(|read| read.is(200)).count() as f64 / self.reads.len() as f64;
        let slowest = percentile(99, &self.reads);
        [
            complaint(served >= SERVED, format!("reads: only {served} were served")),
            complaint(slowest <= self.read_bound, format!("reads: {slowest:?} > {:?}", self.read_bound)),
        ]
        .concat()
    }

    fn of_logins(&self) -> Vec<String> {
        let kept = rate(&self.logins, 200, self.lasted) / self.capacity;
        let odd = self.logins.iter().find(|login| !login.is(200) && !login.is(503));
        [
            complaint(kept >= rounds(KEPT.0, KEPT.1), format!("logins: only {kept} of the capacity succeed")),
            complaint(odd.is_none(), format!("logins: {odd:?} is neither success nor refusal")),
        ]
        .concat()
    }

    fn of_refusals(&self) -> Vec<String> {
        let refused: Vec<_> = self.logins.iter().filter(|login| login.is(503)).collect();
        if refused.is_empty() {
            return vec!["refusals: there are none, of ten times what can be done".to_owned()];
        }
        let slowest = percentile(99, refused.iter().copied());
        let bound = REFUSAL.max(self.read_bound);
        let says_when =
            |login: &&Sample| login.retry_after.parse().is_ok_and(|seconds| RETRY_AFTER.contains(&seconds));
        [
            complaint(slowest <= bound, format!("refusals: {slowest:?} > {bound:?}")),
            complaint(refused.iter().all(says_when), "refusals: not each says when to come back".to_owned()),
        ]
        .concat()
    }

    fn of_growth(&self) -> Vec<String> {
        let most = self.growth.iter().max().copied().unwrap_or(0);
        complaint(most <= GROWTH, format!("growth: a process grew by {most} bytes"))
    }

    /// The usual is what is seen half of the time; on a machine that does other things too, the rest says little.
    fn of_the_time_after(&self) -> Vec<String> {
        let served = self.after.reads.iter().all(|read| read.is(200))
            && self.after.logins.iter().all(|login| login.is(200));
        let slower = |of: fn(&Calm) -> &[Sample]| {
            let (before, after) = (percentile(50, of(&self.before)), percentile(50, of(&self.after)));
            let bound = 2 * before + Duration::from_millis(5);
            complaint(after <= bound, format!("after: {after:?}, and {before:?} before"))
        };
        [
            complaint(served, "after: not all are served".to_owned()),
            slower(|calm| &calm.reads),
            slower(|calm| &calm.logins),
        ]
        .concat()
    }

    /// The figures in one line.
    pub fn summary(&self) -> String {
        let refused: Vec<_> = self.logins.iter().filter(|login| login.is(503)).collect();
        let refusal = (!refused.is_empty()).then(|| percentile(99, refused.iter().copied()));
        let usual = |calm: &Calm| (percentile(50, &calm.reads), percentile(50, &calm.logins));
        format!(
            "capacity {:.1}/s; of {} logins in {:?} {:.1}/s succeed and {} are refused, p99 {refusal:?}; \
             reads: p99 {:?} (bound {:?}); growth {:?}; before {:?}, after {:?}",
            self.capacity,
            self.logins.len(),
            self.lasted,
            rate(&self.logins, 200, self.lasted),
            refused.len(),
            percentile(99, &self.reads),
            self.read_bound,
            self.growth,
            usual(&self.before),
            usual(&self.after),
        )
    }
}

/// What is to be said unless all is well.
fn complaint(is_well: bool, otherwise: String) -> Vec<String> {
    if is_well { Vec::new() } else { vec![otherwise] }
}
