//! F05, F06: a change is torn at every step of its transaction, and never done by halves.

mod flows;
mod judge;
mod panics;
mod trap;

pub use judge::{Change, Left, judge};
