//! The command `identity-service`. What it does is in [`identity_service::commands`].

use std::process::ExitCode;

use clap::Parser as _;
use identity_service::commands::{Command, Failure};
use identity_service::config::{Vars, environment};

/// A read allocates a hundred times, and this one is quicker at it than that of the C library.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

#[tokio::main]
async fn main() -> ExitCode {
    let command = Command::parse();
    match command.run(&Vars::new(&environment)).await {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            eprintln!("identity-service: {failure}");
            match failure {
                Failure::Config(_) => ExitCode::from(2),
                Failure::Refused(_) => ExitCode::FAILURE,
            }
        }
    }
}
