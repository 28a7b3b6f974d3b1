//! `identity-service key`.

use std::sync::Arc;
use std::time::SystemTime;

use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;
use tokio::time::sleep;

use super::{DATABASE_HELP, Failure};
use crate::config::Vars;
use crate::database::Database;
use crate::trust::keys::life::{Keeper, Outcome};
use crate::trust::keys::model::{KEPT, KeyState, PUBLISHED, PublicKey};
use crate::trust::{self, keys};

const KEY_HELP: &str = "Environment: DATABASE_URL or DATABASE_URL_FILE names the database, KEY_ENCRYPTION_KEY or KEY_ENCRYPTION_KEY_FILE what seals the keys; `identity-service --help` lists all variables.";

/// What can be done about keys.
#[derive(clap::Subcommand)]
pub enum Command {
    /// List the signing keys: id, state, since when, and what comes next
    #[command(after_help = DATABASE_HELP)]
    List,
    /// Let the next signing key sign from now on. The tokens of the one before stay good until they expire
    #[command(after_help = KEY_HELP)]
    Rotate {
        /// Also if services that keep the public keys for a while may not know it yet
        #[arg(long)]
        now: bool,
    },
    /// Take a signing key out of use: it signs no more, and its tokens stay good until they expire
    #[command(after_help = KEY_HELP)]
    Retire {
        /// The key's id, as `key list` shows it
        #[arg(allow_hyphen_values = true)] // one of 64 begins with a hyphen
        kid: String,
        /// Somebody else may have the key: every token that it signed is refused from now on, everywhere
        #[arg(long)]
        compromised: bool,
    },
    /// Seal all keys anew with KEY_ENCRYPTION_KEY, also those that KEY_ENCRYPTION_KEY_OTHER has sealed
    #[command(after_help = KEY_HELP)]
    Reseal,
}

impl Command {
    pub(super) async fn run(self, vars: &Vars<'_>) -> Result<(), Failure> {
        let database = super::database(vars)?;
        match self {
            Self::List => {}
            Self::Rotate { now } => rotate(&keeper(vars, &database)?, now).await?,
            Self::Retire { kid, compromised } => retire(&keeper(vars, &database)?, kid, compromised).await?,
            Self::Reseal => {
                let count = keeper(vars, &database)?.reseal().await?;
                println!("{count} keys are sealed with KEY_ENCRYPTION_KEY");
                return Ok(());
            }
        }
        list(&database).await
    }
}

fn keeper(vars: &Vars<'_>, database: &Database) -> Result<Keeper, Failure> {
    Ok(Keeper { database: database.clone(), kek: Arc::new(vars.key_encryption_key()?), rotation: None })
}

async fn rotate(keeper: &Keeper, now: bool) -> Result<(), Failure> {
    loop {
        let outcome = keeper.rotate(now).await?;
        trust::announce(&keeper.database).await;
        match outcome {
            Outcome::TooEarly(wait) if now => sleep(wait).await,
            Outcome::TooEarly(wait) => {
                let seconds = wait.as_secs() + 1;
                return Err(Failure::Refused(format!(
                    "services that keep the public keys may not know the next one yet: try again in {seconds} s, or with --now"
                )));
            }
            Outcome::Done | Outcome::NothingToDo | Outcome::Unknown => return Ok(()),
        }
    }
}

async fn retire(keeper: &Keeper, kid: String, compromised: bool) -> Result<(), Failure> {
    loop {
        let outcome = keeper.retire(kid.clone(), compromised).await?;
        trust::announce(&keeper.database).await;
        match outcome {
            // The next key must sign now, and has just been made.
            Outcome::TooEarly(wait) => sleep(wait).await,
            Outcome::Unknown => {
                let known = "`identity-service key list` shows those that there are";
                return Err(Failure::Refused(format!("there is no signing key {kid}: {known}")));
            }
            Outcome::Done | Outcome::NothingToDo => return Ok(()),
        }
    }
}

async fn list(database: &Database) -> Result<(), Failure> {
    for key in keys::list(database).await? {
        let PublicKey { kid, state, since, .. } = &key.public;
        println!("{kid}  {:<7}  since {}, {}", state.as_str(), text(*since), what_next(*state, *since));
    }
    Ok(())
}

fn what_next(state: KeyState, since: SystemTime) -> String {
    match state {
        KeyState::Next => format!("known to everybody from {}", text(since + PUBLISHED)),
        KeyState::Current => "signs".to_owned(),
        KeyState::Retired => format!("its last token expires before {}", text(since + KEPT)),
    }
}

/// To the second: what is before it is of no use here.
fn text(time: SystemTime) -> String {
    let time = OffsetDateTime::from(time).truncate_to_second();
    time.format(&Rfc3339).unwrap_or_default()
}
