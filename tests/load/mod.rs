//! Many who come at once, and what the time that an answer takes gives away.

mod drain;
mod flood;
mod flood_verdict;
mod likeness;
mod slow_replica;
mod traffic;
mod uniform;
mod uniform_recovery;
