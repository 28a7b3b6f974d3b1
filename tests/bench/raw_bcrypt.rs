//! How many bcrypt hashes the machine computes: the ceiling of logins a second, for tests/bench/run.
//!
//! `raw_bcrypt COST THREADS SECONDS` hashes on so many threads for about so long, and prints the hashes a second.

use std::process::ExitCode;
use std::thread;
use std::time::{Duration, Instant};

/// As long as what identity-service gives to bcrypt: HMAC-SHA-384 in base64.
const PASSWORD: [u8; 64] = [b'x'; 64];

fn main() -> ExitCode {
    let numbers: Vec<u32> = std::env::args().skip(1).map_while(|argument| argument.parse().ok()).collect();
    let [cost, threads, seconds] = numbers[..] else {
        eprintln!("usage: raw_bcrypt COST THREADS SECONDS");
        return ExitCode::from(2);
    };
    let duration = Duration::from_secs(seconds.into());
    let threads: Vec<_> =
        (0..threads).map(|_| thread::spawn(move || hashes_a_second(cost, duration))).collect();
    let mut all = 0.0;
    for thread in threads {
        match thread.join() {
            Ok(Ok(rate)) => all += rate,
            Ok(Err(error)) => {
                eprintln!("raw_bcrypt: {error}");
                return ExitCode::FAILURE;
            }
            Err(_) => return ExitCode::FAILURE, // the panic has been printed
        }
    }
    println!("{all}");
    ExitCode::SUCCESS
}

/// The last hash is finished, however long it takes: only whole ones count.
fn hashes_a_second(cost: u32, duration: Duration) -> Result<f64, bcrypt::BcryptError> {
    let started = Instant::now();
    let mut count = 0.0;
    loop {
        bcrypt::hash(PASSWORD, cost)?;
        count += 1.0;
        let elapsed = started.elapsed();
        if elapsed >= duration {
            return Ok(count / elapsed.as_secs_f64());
        }
    }
}
