//! What was acknowledged stays, and nothing is done by halves, whatever is killed, cut or torn meanwhile (entries F of
//! the catalogue).

mod cancel;
mod cut;
mod history;
mod kills;
mod links;
mod load;
mod power;
mod scan;
mod torn;
mod unique;

use std::time::Duration;

/// A number below this one.
fn random(below: usize) -> usize {
    let below = u128::try_from(below).expect("fits");
    usize::try_from(uuid::Uuid::new_v4().as_u128() % below).expect("is below")
}

/// A time up to this one, in whole milliseconds.
fn random_time(most: Duration) -> Duration {
    let milliseconds = usize::try_from(most.as_millis()).expect("is short");
    Duration::from_millis(u64::try_from(random(milliseconds + 1)).expect("fits"))
}
