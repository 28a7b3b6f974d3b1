//! `identity-service key`.

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

use super::{DATABASE_HELP, Failure};
use crate::config::Vars;
use crate::database::Database;
use crate::trust::keys::life::{Fate, Haste, Keeper, Outcome};
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
        #[arg(allow_hyphen_values = true, required_unless_present = "all")]
        // one of 64 begins with a hyphen
        kid: Option<String>,
        /// Somebody else may have the key: every token that it signed is refused from now on, everywhere
        #[arg(long)]
        compromised: bool,
        /// Somebody else may have all keys: those from then on are new ones, and no refresh token is good any more
        #[arg(long, requires = "compromised", conflicts_with = "kid")]
        all: bool,
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
            Self::Rotate { now } => {
                rotate(&keeper(vars, &database)?, if now { Haste::Great } else { Haste::None }).await?;
            }
            Self::Retire { kid: Some(kid), compromised, .. } => {
                let fate = if compromised { Fate::Removed } else { Fate::Retired };
                retire(&keeper(vars, &database)?, &kid, fate).await?;
            }
            Self::Retire { kid: None, .. } => remove_all(&keeper(vars, &database)?).await?,
            Self::Reseal => {
                let count = keeper(vars, &database)?.reseal().await?;
                println!("sealed with KEY_ENCRYPTION_KEY: all {count} keys");
                return Ok(());
            }
        }
        list(&database).await
    }
}

fn keeper(vars: &Vars<'_>, database: &Database) -> Result<Keeper, Failure> {
    Ok(Keeper { database: database.clone(), kek: Arc::new(vars.key_encryption_key()?) })
}

async fn rotate(keeper: &Keeper, haste: Haste) -> Result<(), Failure> {
    let outcome = keeper.rotate(haste).await;
    trust::announce(&keeper.database).await;
    match outcome? {
        Outcome::TooEarly(wait) => Err(too_early(wait)),
        Outcome::Done | Outcome::NothingToDo | Outcome::Unknown => {
            println!("done");
            Ok(())
        }
    }
}

async fn retire(keeper: &Keeper, kid: &str, fate: Fate) -> Result<(), Failure> {
    let outcome = keeper.retire(kid.to_owned(), fate).await;
    trust::announce(&keeper.database).await;
    match outcome? {
        Outcome::TooEarly(wait) => return Err(too_early(wait)),
        Outcome::Unknown => {
            let known = "`identity-service key list` shows those that there are";
            return Err(Failure::Refused(format!("there is no signing key {kid}: {known}")));
        }
        Outcome::Done => println!("done"),
        Outcome::NothingToDo => println!("there is nothing to do"),
    }
    Ok(())
}

/// Makes a new refresh key, then removes all keys that there are: first those that sign nothing, so that the one that signs
/// last is a new one. For that one it waits; by then no replica takes a token of the old refresh key any more.
async fn remove_all(keeper: &Keeper) -> Result<(), Failure> {
    keeper.renew_refresh_key().await?;
    trust::announce(&keeper.database).await;
    let mut there = keys::list(&keeper.database).await?;
    there.sort_by_key(|key| key.public.state == KeyState::Current);
    for key in there {
        let outcome = keeper.retire(key.public.kid, Fate::Removed).await;
        trust::announce(&keeper.database).await;
        // It may have gone by itself.
        let (Outcome::Done | Outcome::Unknown | Outcome::NothingToDo | Outcome::TooEarly(_)) = outcome?;
    }
    println!("done");
    Ok(())
}

fn too_early(wait: Duration) -> Failure {
    let seconds = wait.as_secs() + 1;
    Failure::Refused(format!(
        "services that keep the public keys may not know the next one yet: try again in {seconds} s, or `key rotate --now`"
    ))
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
        KeyState::Next => format!("may sign from {} on", text(since + PUBLISHED)),
        KeyState::Current => "signs".to_owned(),
        KeyState::Retired => format!("its last token expires before {}", text(since + KEPT)),
    }
}

/// To the second: what is before it is of no use here.
fn text(time: SystemTime) -> String {
    let time = OffsetDateTime::from(time).truncate_to_second();
    time.format(&Rfc3339).unwrap_or_default()
}
