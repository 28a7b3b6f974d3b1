//! `identity-service mail`.

use std::time::SystemTime;

use portcullis_proto::email::Email;
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

use super::{DATABASE_HELP, Failure};
use crate::config::Vars;
use crate::mail::operator::{self, Unsent};

const MAIL_HELP: &str = "Exit code 0: the mail was taken; 1: it was not; 2: the configuration is wrong.\n\n\
     Environment: MAIL or MAIL_FILE says how mails are sent, MAIL_FROM who writes them; \
     `identity-service --help` lists all variables.";

/// What can be done about mails.
#[derive(clap::Subcommand)]
pub enum Command {
    /// List the mails that are not sent: id, kind, when they were written, tries, what comes next, and the last error. Those
    /// that were given up are shown for a week
    #[command(after_help = DATABASE_HELP)]
    List,
    /// Send a mail that says nothing to an address, now, and say what came of it
    #[command(after_help = MAIL_HELP)]
    Test {
        /// To whom
        address: String,
    },
}

impl Command {
    pub(super) async fn run(self, vars: &Vars<'_>) -> Result<(), Failure> {
        match self {
            Self::List => {
                for mail in operator::list(&super::database(vars)?).await? {
                    println!("{}", describe(&mail));
                }
                Ok(())
            }
            Self::Test { address } => test(vars, &address).await,
        }
    }
}

async fn test(vars: &Vars<'_>, address: &str) -> Result<(), Failure> {
    let config = vars.mail()?;
    let config = config.ok_or_else(|| Failure::Refused("no mail can be sent: MAIL is not set".to_owned()))?;
    let parsed = Email::parse(address);
    let parsed = parsed.map_err(|_| Failure::Refused(format!("{address} is not an e-mail address")))?;
    match operator::test(&config, &parsed).await {
        Ok(()) => {
            println!("the mail was taken");
            Ok(())
        }
        Err(failure) => Err(Failure::Refused(format!("the mail was not sent: {failure}"))),
    }
}

fn describe(mail: &Unsent) -> String {
    let Unsent { id, kind, created_at, attempts, next_attempt_at, last_error, gave_up_at } = mail;
    let next = match gave_up_at {
        Some(gave_up_at) => format!("given up {}", text(*gave_up_at)),
        None => format!("next {}", text(*next_attempt_at)),
    };
    let error = last_error.as_deref().unwrap_or("-");
    let tries = if *attempts == 1 { "try" } else { "tries" };
    format!("{}  {kind:<16}  {}  {attempts} {tries}  {next}  {error}", id.as_uuid(), text(*created_at))
}

/// To the second: what is before it is of no use here.
fn text(time: SystemTime) -> String {
    let time = OffsetDateTime::from(time).truncate_to_second();
    time.format(&Rfc3339).unwrap_or_default()
}
