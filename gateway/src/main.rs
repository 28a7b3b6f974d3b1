//! The gateway's command line: it orders the steps, the library does them.

use std::net::TcpListener;
use std::process::ExitCode;

use anyhow::Context as _;
use clap::{Parser, Subcommand};
use gateway::config::{self, Config};
use gateway::healthcheck::{self, Question};

/// Translates the HTTP API of FastAPI Users into gRPC calls of identity-service.
#[derive(Parser)]
#[command(version)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Serve HTTP until SIGTERM or SIGINT, then finish what has begun.
    #[command(after_help = config::help())]
    Serve,
    /// Ask the gateway that listens on LISTEN_ADDRESS whether it is ready; exit with 0 if it is, else with 1.
    Healthcheck {
        /// Ask only whether it answers at all, and need not be restarted.
        #[arg(long)]
        live: bool,
    },
}

fn main() -> ExitCode {
    let result = match Cli::parse().command {
        Command::Serve => Config::from_environment().map(serve),
        Command::Healthcheck { live } => {
            let question = if live { Question::Live } else { Question::Ready };
            config::listen_address_from_environment().map(|address| healthcheck::run(address, question))
        }
    };
    match result {
        Ok(Ok(())) => ExitCode::SUCCESS,
        Ok(Err(error)) => {
            eprintln!("gateway: {error:#}");
            ExitCode::FAILURE
        }
        Err(error) => {
            eprintln!("gateway: {error}");
            ExitCode::from(2)
        }
    }
}

fn serve(config: Config) -> anyhow::Result<()> {
    gateway::telemetry::install(&config)?;
    let listener = TcpListener::bind(config.listen_address)
        .with_context(|| format!("cannot listen on {}", config.listen_address))?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    // The second begins to listen when the first has heard, so that it takes another signal.
    let [shutdown, hurry] = [gateway::signal::asked_to_stop(), gateway::signal::asked_to_stop()];
    let served = runtime.block_on(gateway::serve(config, listener, shutdown, hurry));
    // A name may be being looked up, for as long as the resolver likes.
    runtime.shutdown_background();
    Ok(served?)
}
