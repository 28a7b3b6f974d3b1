//! Many who come at once, and what the time that an answer takes gives away.

mod flood;
mod flood_verdict;
mod likeness;
mod uniform;
