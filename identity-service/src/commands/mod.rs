//! The command line: `serve`, `migrate`, `user`, `key`, `token`, `mail`, `healthcheck`.

mod key;
mod mail;
mod token;
mod user;

use std::io;
use std::net::SocketAddr;

use clap::Parser;
use tokio::net::TcpSocket;
use tokio::signal::unix::{SignalKind, signal};

use crate::config::{self, ConfigError, Vars};
use crate::database::Database;
use crate::error::Error;
use crate::server::{self, Question};
use crate::telemetry;

/// Owns users, credentials, sessions and signing keys in Postgres, and serves them over gRPC.
#[derive(Parser)]
#[command(version, after_help = config::help())]
pub enum Command {
    /// Bring the database up to date, or wait until it is, then serve the gRPC API until told to stop (SIGTERM or Ctrl-C)
    #[command(after_help = config::help())]
    Serve,
    /// Bring the database up to date, and say what was done
    #[command(after_help = MIGRATE_HELP)]
    Migrate,
    /// Create, list and change users, on the machine of the service
    #[command(subcommand)]
    User(user::Command),
    /// List, rotate, retire and seal anew the keys that access tokens are signed with
    #[command(subcommand)]
    Key(key::Command),
    /// Find out why an access token is refused
    #[command(subcommand)]
    Token(token::Command),
    /// List the mails that are not sent, and try whether mails can be sent
    #[command(subcommand)]
    Mail(mail::Command),
    /// Ask the service at LISTEN_ADDRESS whether it serves; exit code 0 means yes
    Healthcheck {
        /// Ask only whether it answers at all, and need not be restarted
        #[arg(long)]
        live: bool,
    },
}

/// What a command that only needs the database says of the environment.
const DATABASE_HELP: &str = "Environment: DATABASE_URL or DATABASE_URL_FILE names the database; `identity-service --help` lists all variables.";

/// The same of what also writes a log.
const MIGRATE_HELP: &str = "Environment: DATABASE_URL or DATABASE_URL_FILE names the database, LOG and LOG_FORMAT say what is logged; `identity-service --help` lists all variables.";

/// Why a command did not do what it was asked.
#[derive(Debug, thiserror::Error)]
pub enum Failure {
    /// The configuration is wrong: exit code 2.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// Anything else: exit code 1.
    #[error("{0}")]
    Refused(String),
}

impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        Self::Refused(match error {
            Error::DatabaseUnavailable(cause) => format!("the database cannot be used: {cause}"),
            Error::OutcomeUnknown(cause) => {
                format!(
                    "perhaps it is done, and perhaps not: the database was told to commit and then: {cause}"
                )
            }
            Error::Internal(cause) => cause.to_string(),
            other => other.to_string(),
        })
    }
}

impl Command {
    /// Runs the command.
    ///
    /// # Errors
    /// Why it failed, in one line.
    pub async fn run(self, vars: &Vars<'_>) -> Result<(), Failure> {
        match self {
            Self::Serve => serve(vars).await,
            Self::Migrate => migrate(vars).await,
            Self::User(command) => command.run(vars).await,
            Self::Key(command) => command.run(vars).await,
            Self::Token(command) => command.run(vars).await,
            Self::Mail(command) => command.run(vars).await,
            Self::Healthcheck { live } => {
                let (question, yes) =
                    if live { (Question::Live, "live") } else { (Question::Ready, "serving") };
                server::check_health(vars.listen_address()?, question).await.map_err(Failure::Refused)?;
                println!("{yes}");
                Ok(())
            }
        }
    }
}

async fn serve(vars: &Vars<'_>) -> Result<(), Failure> {
    telemetry::start(vars.log()?);
    let address = vars.listen_address()?;
    let config = vars.config()?;
    let socket = bind(address)
        .map_err(|error| Failure::Refused(format!("cannot listen on {address} (LISTEN_ADDRESS): {error}")))?;
    // The second begins to listen when the first has heard, so that it takes another signal.
    Ok(crate::serve(config, socket, told_to_stop(), told_to_stop()).await?)
}

/// Resolves at the next SIGTERM or SIGINT.
async fn told_to_stop() {
    let mut terminate = signal(SignalKind::terminate()).expect("SIGTERM can be listened for");
    let mut interrupt = signal(SignalKind::interrupt()).expect("SIGINT can be listened for");
    tokio::select! { _ = terminate.recv() => {}, _ = interrupt.recv() => {} }
}

/// Takes the port, so that a busy one is told before anything else is done.
fn bind(address: SocketAddr) -> io::Result<TcpSocket> {
    let socket = if address.is_ipv4() { TcpSocket::new_v4() } else { TcpSocket::new_v6() }?;
    socket.set_reuseaddr(true)?;
    socket.bind(address)?;
    Ok(socket)
}

async fn migrate(vars: &Vars<'_>) -> Result<(), Failure> {
    telemetry::start(vars.log()?);
    let applied = database(vars)?.migrate().await?;
    for migration in &applied {
        println!("applied {migration}");
    }
    println!("{} applied, the database is up to date", applied.len());
    Ok(())
}

fn database(vars: &Vars<'_>) -> Result<Database, ConfigError> {
    let config = vars.database()?;
    Ok(Database::new(config.servers, config.pool_size))
}
