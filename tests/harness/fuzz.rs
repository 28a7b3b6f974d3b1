//! Millions of inputs for one check, and inputs that are nearly right.

use std::time::{Duration, Instant};

use proptest::prelude::*;
use proptest::sample::{Index, select};
use proptest::test_runner::{Config, TestRunner};

use super::rounds;

/// How many cases there are between two looks at the clock.
const BATCH: u32 = 1000;
/// How often the standard error is told how far it is.
const PROGRESS: Duration = Duration::from_secs(60);

/// Shows values to a check, which panics if something is wrong: a few thousand, and in the long tier ten million or
/// as many as ten minutes allow. What fails is made smaller and shown.
pub fn fuzz<S: Strategy>(strategy: S, check: impl Fn(S::Value)) {
    let (enough, limit) = rounds((4000, PROGRESS), (10_000_000, Duration::from_secs(600)));
    let (started, mut told, mut cases) = (Instant::now(), Duration::ZERO, 0);
    let target = std::thread::current().name().unwrap_or("fuzz").to_owned();
    loop {
        let config = Config { cases: BATCH, failure_persistence: None, ..Config::default() };
        let checked = TestRunner::new(config).run(&strategy, |value| {
            check(value);
            Ok(())
        });
        if let Err(failure) = checked {
            panic!("{target}: {failure}");
        }
        cases += BATCH;
        let took = started.elapsed();
        let is_over = cases >= enough || took >= limit;
        if is_over || took >= told + PROGRESS {
            told = took;
            eprintln!(
                "{target}: {cases} cases in {took:.0?}, {:.0} a second",
                f64::from(cases) / took.as_secs_f64()
            );
        }
        if is_over {
            return;
        }
    }
}

/// Any bytes.
pub fn any_bytes(most: usize) -> impl Strategy<Value = Vec<u8>> {
    prop::collection::vec(any::<u8>(), 0..most)
}

/// Bytes of a kind, mostly as they are or with one change, sometimes with more: something is taken out, something put
/// in, often one of these words.
pub fn nearly<S: AsRef<[u8]>>(
    valid: impl Strategy<Value = S>,
    words: &'static [&'static str],
) -> impl Strategy<Value = Vec<u8>> {
    let out = prop_oneof![4 => 0..2usize, 1 => 0..40usize];
    let within = prop_oneof![
        2 => Just(Vec::new()),
        3 => select(words).prop_map(|word| word.as_bytes().to_vec()),
        2 => any_bytes(3),
    ];
    let changes = prop_oneof![
        1 => prop::collection::vec((any::<Index>(), out.clone(), within.clone()), 0..2),
        1 => prop::collection::vec((any::<Index>(), out, within), 1..5),
    ];
    (valid, changes).prop_map(|(valid, changes)| {
        let mut bytes = valid.as_ref().to_vec();
        for (at, out, within) in changes {
            let at = at.index(bytes.len() + 1);
            bytes.splice(at..(at + out).min(bytes.len()), within);
        }
        bytes
    })
}

/// The bytes as text, what is not UTF-8 replaced.
pub fn lossy(bytes: impl Strategy<Value = Vec<u8>>) -> impl Strategy<Value = String> {
    bytes.prop_map(|bytes| String::from_utf8_lossy(&bytes).into_owned())
}
