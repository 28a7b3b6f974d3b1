//! The catalogue of threats: each entry that concerns what exists is the beginning of a test's name, so that
//! `tests/run j04` plays the tests of entry J04.

use crate::architecture::rust_files;
use crate::harness::repository;

/// The entries that must have a test: C for cookies and CSRF, F for faults, H for HTTP and gRPC, J for tokens, P for
/// passwords, T for times.
const ENTRIES: &str = "c01 c02 c03 c04 c05 \
    f01 f02 f03 f05 f06 f07 f08 f10 f12 f13 f15 f16 f18 f21 f22 f23 f25 f26 f27 f32 f33 f34 f35 f36 f37 f38 f39 f40 \
    h01 h02 h03 h04 h05 h06 h07 h08 h09 h10 h11 h13 h14 h15 h16 h17 h18 h19 h25 h26 h27 h28 h29 h30 \
    j01 j02 j03 j04 j05 j06 j07 j08 j09 j10 j11 j12 j13 j14 \
    p01 p02 p04 p05 p08 \
    t";

#[test]
fn every_entry_of_the_catalogue_is_the_name_of_a_test() {
    let files = rust_files(&repository().join("tests"));
    let sources: String = files.iter().map(|path| std::fs::read_to_string(path).unwrap()).collect();
    let is_tested = |entry: &str| sources.contains(&format!("fn {entry}_"));
    let untested: Vec<_> = ENTRIES.split_whitespace().filter(|entry| !is_tested(entry)).collect();
    assert!(untested.is_empty(), "no test is named after {untested:?}: begin its name with the entry");
}
