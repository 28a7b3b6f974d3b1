//! `identity-service token`.

use std::io::Read as _;
use std::time::{Duration, UNIX_EPOCH};

use portcullis_proto::access_token::{Claims, MAX_LENGTH, Refusal};
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

use super::Failure;
use crate::config::Vars;
use crate::trust;
use crate::users::operator;

const EXPLAIN_HELP: &str = "Exit code 0: the token is good now; 1: it would be refused, or that cannot be found out.\n\n\
     Environment: DATABASE_URL or DATABASE_URL_FILE names the database, ISSUER the issuer; \
     `identity-service --help` lists all variables.";

/// What can be done about access tokens.
#[derive(clap::Subcommand)]
pub enum Command {
    /// Read an access token from standard input, and say which check would refuse it and why
    #[command(after_help = EXPLAIN_HELP)]
    Explain,
}

impl Command {
    pub(super) async fn run(self, vars: &Vars<'_>) -> Result<(), Failure> {
        let Self::Explain = self;
        let issuer = vars.issuer()?;
        let database = super::database(vars)?;
        let token = read_token()?;
        let explained = trust::explain(&database, &issuer, &token).await?;
        if let Some(claims) = &explained.claims {
            show(claims);
        }
        let refusal = match explained.caller {
            Ok(caller) => operator::find_refusal(&database, &caller).await?,
            Err(refusal) => Some(refusal),
        };
        match refusal {
            None => {
                println!("good: every check passes");
                Ok(())
            }
            Some(refusal) => Err(Failure::Refused(format!("refused: {refusal}{}", hint(&refusal)))),
        }
    }
}

/// The token, without the white space and the words around it that come along when it is copied.
fn read_token() -> Result<String, Failure> {
    let mut text = String::new();
    // More than the longest token: the rest would not help.
    let limit = u64::try_from(4 * MAX_LENGTH).unwrap_or(u64::MAX);
    std::io::stdin().take(limit).read_to_string(&mut text).map_err(|error| {
        Failure::Refused(format!("the token cannot be read from standard input: {error}"))
    })?;
    let text = text.trim();
    let text = text.strip_prefix("Authorization:").unwrap_or(text).trim_start();
    let text = text.strip_prefix("Bearer").unwrap_or(text).trim();
    if text.is_empty() {
        return Err(Failure::Refused("there is no token on standard input".to_owned()));
    }
    Ok(text.to_owned())
}

/// What a genuine token says. It is no secret: who has the token can read it.
fn show(claims: &Claims) {
    println!("user       {}", claims.sub);
    println!("session    {}", claims.sid);
    println!("epoch      {}", claims.epoch);
    println!("issued     {}", time_of(claims.iat));
    println!("expires    {}", time_of(claims.exp));
}

fn time_of(seconds: u64) -> String {
    let time = UNIX_EPOCH.checked_add(Duration::from_secs(seconds)).map(OffsetDateTime::from);
    time.and_then(|time| time.format(&Rfc3339).ok()).unwrap_or_else(|| format!("{seconds} s after 1970"))
}

/// What helps to understand a refusal, where the reason alone does not.
fn hint(refusal: &Refusal) -> &'static str {
    match refusal {
        Refusal::Header => "; ours says {\"typ\":\"at+jwt\",\"alg\":\"EdDSA\",\"kid\":…} and nothing else",
        Refusal::UnknownKey => "; `identity-service key list` shows those that are known",
        Refusal::Issuer => "; ISSUER says which",
        Refusal::Expired | Refusal::IssuedInFuture | Refusal::NotYet => {
            "; if that surprises, look at the clock of the database"
        }
        Refusal::TooLong
        | Refusal::Signature
        | Refusal::Claims
        | Refusal::Audience
        | Refusal::Lifetime
        | Refusal::SessionEnded
        | Refusal::Revoked
        | Refusal::UserInactive
        | Refusal::UserGone => "",
    }
}
