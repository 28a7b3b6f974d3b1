//! `identity-service user`.

use std::io::{BufRead as _, IsTerminal as _, Write as _};
use std::sync::Arc;

use portcullis_proto::email::Email;

use super::{DATABASE_HELP, Failure};
use crate::config::Vars;
use crate::credentials::{self, Hasher, Password};
use crate::database::Database;
use crate::error::Error;
use crate::ids::UserId;
use crate::trust::Feed;
use crate::users::model::{Changes, User, Verification};
use crate::users::profile::{OwnFields, Profile, Setter};
use crate::users::{Registration, Users, operator};

/// How many users are read at a time.
const PAGE: usize = 500;

const CREATE_HELP: &str = "Environment: DATABASE_URL, PASSWORD_PEPPER and PASSWORD_PEPPER_OTHER (each also with _FILE), and the \
     rules for passwords and USER_SCHEMA as `serve` has them; `identity-service --help` lists all variables.";

/// What can be done about users.
#[derive(clap::Subcommand)]
pub enum Command {
    /// Create a user; the password is asked for, or read from the first line of standard input. Without --profile he
    /// has none of the fields of USER_SCHEMA, also not the required ones: he gives them with his first change of one
    #[command(after_help = CREATE_HELP)]
    Create {
        /// The e-mail address to log in with
        email: String,
        /// The user may act on other users
        #[arg(long)]
        superuser: bool,
        /// The address needs no verification
        #[arg(long)]
        verified: bool,
        /// The fields of USER_SCHEMA that he has, as a JSON object; also those that are readOnly
        #[arg(long, value_name = "JSON")]
        profile: Option<String>,
    },
    /// Let a user act on other users (a superuser)
    #[command(after_help = DATABASE_HELP)]
    Promote {
        /// The user's e-mail address
        email: String,
    },
    /// Say that a user's e-mail address is his, without a mail
    #[command(after_help = DATABASE_HELP)]
    Verify {
        /// The user's e-mail address
        email: String,
    },
    /// List all users: id, flags, e-mail address
    #[command(after_help = DATABASE_HELP)]
    List,
    /// Let a deactivated user log in again; ended sessions stay ended
    #[command(after_help = DATABASE_HELP)]
    Activate {
        /// The user's e-mail address
        email: String,
    },
    /// Keep a user from logging in, and end all his sessions
    #[command(after_help = DATABASE_HELP)]
    Deactivate {
        /// The user's e-mail address
        email: String,
    },
    /// Delete a user with all that belongs to him; there is no way back
    #[command(after_help = DATABASE_HELP)]
    Delete {
        /// The user's e-mail address
        email: String,
    },
}

impl Command {
    pub(super) async fn run(self, vars: &Vars<'_>) -> Result<(), Failure> {
        let database = super::database(vars)?;
        match self {
            Self::Create { email, superuser, verified, profile } => {
                let own_fields = vars.own_fields()?;
                let profile = profile.map(|text| parse_profile(&own_fields, &text)).transpose()?;
                let new = New { email: &email, superuser, verified, profile: profile.unwrap_or_default() };
                let user = create(vars, database, own_fields, new).await?;
                show("created", &user);
            }
            Self::Promote { email } => {
                let changes = Changes { is_superuser: Some(true), ..Changes::default() };
                show("promoted", &update(&database, &email, changes).await?);
            }
            Self::Verify { email } => {
                let changes = Changes { is_verified: Some(true), ..Changes::default() };
                show("verified", &update(&database, &email, changes).await?);
            }
            Self::List => list(&database).await?,
            Self::Activate { email } => {
                let changes = Changes { is_active: Some(true), ..Changes::default() };
                show("activated", &update(&database, &email, changes).await?);
            }
            Self::Deactivate { email } => {
                let changes = Changes { is_active: Some(false), ..Changes::default() };
                show("deactivated", &update(&database, &email, changes).await?);
            }
            Self::Delete { email } => {
                let user =
                    operator::delete(&database, parse(&email)?).await.map_err(|error| name(error, &email))?;
                show("deleted", &user);
            }
        }
        Ok(())
    }
}

/// Whom to create.
struct New<'a> {
    email: &'a str,
    superuser: bool,
    verified: bool,
    profile: Profile,
}

async fn create(
    vars: &Vars<'_>,
    database: Database,
    own_fields: OwnFields,
    new: New<'_>,
) -> Result<User, Failure> {
    let config = vars.credentials()?;
    let address = parse(new.email)?;
    let password = read_password()?;
    let peppers = credentials::register_peppers(&database, &config.peppers).await?;
    let hasher = Arc::new(Hasher::start(peppers, config.bcrypt_cost, 1)?);
    // Here nobody calls who would have to be verified.
    let verification = Verification::Optional;
    let feed = Feed::new(database.clone());
    let users = Users::new(database, hasher, feed, config.rules, own_fields, verification);
    let registration = Registration {
        id: UserId::new(),
        email: address,
        password,
        is_superuser: new.superuser,
        is_verified: new.verified,
        profile: new.profile,
    };
    users.register(registration).await.map_err(|error| name(error, new.email))
}

async fn update(database: &Database, email: &str, changes: Changes) -> Result<User, Failure> {
    operator::update(database, parse(email)?, changes).await.map_err(|error| name(error, email))
}

async fn list(database: &Database) -> Result<(), Failure> {
    let mut after = None;
    loop {
        let users = operator::list(database, after, PAGE).await?;
        users.iter().for_each(|user| show("", user));
        match users.last() {
            Some(last) => after = Some(last.id),
            None => return Ok(()),
        }
    }
}

fn parse(email: &str) -> Result<Email, Failure> {
    Email::parse(email)
        .map_err(|error| Failure::Refused(format!("{email:?} is not an e-mail address: {error}")))
}

/// Own fields as an operator writes them. One that there is not is more likely a slip than a wish.
fn parse_profile(own_fields: &OwnFields, text: &str) -> Result<Profile, Failure> {
    let refused = |problem: &str| Failure::Refused(format!("--profile: {problem}"));
    let given =
        serde_json::from_str(text).map_err(|problem| refused(&format!("no JSON object: {problem}")))?;
    if let Some(unknown) = own_fields.find_unknown(&given) {
        return Err(refused(&format!("USER_SCHEMA names no field {unknown:?}")));
    }
    own_fields.create(Setter::Superuser, given).map_err(|wrong| {
        let told = wrong.iter().map(|violation| format!("{}: {}", violation.field, violation.description));
        refused(&told.collect::<Vec<_>>().join("; "))
    })
}

/// Errors on the command line name the user: whoever reads them has just typed the address.
fn name(error: Error, email: &str) -> Failure {
    match error {
        Error::UserNotFound => Failure::Refused(format!("there is no user {email}")),
        Error::EmailTaken => Failure::Refused(format!("there is a user {email} already")),
        Error::PasswordRefused(rule) => Failure::Refused(rule.to_string()),
        other => other.into(),
    }
}

fn read_password() -> Result<Password, Failure> {
    let unreadable =
        |error: std::io::Error| Failure::Refused(format!("the password cannot be read: {error}"));
    let stdin = std::io::stdin();
    let text = if stdin.is_terminal() {
        let text = rpassword::prompt_password("Password: ").map_err(unreadable)?;
        if rpassword::prompt_password("Again: ").map_err(unreadable)? != text {
            return Err(Failure::Refused("the passwords differ".to_owned()));
        }
        text
    } else {
        let mut line = String::new();
        stdin.lock().read_line(&mut line).map_err(unreadable)?;
        line.trim_end_matches(['\r', '\n']).to_owned()
    };
    Password::new(text).map_err(|rule| Failure::Refused(rule.to_string()))
}

fn show(what: &str, user: &User) {
    let flag = |set, name| if set { name } else { "-" };
    let line = format!(
        "{what:<11} {}  {:<6}  {:<9}  {:<8}  {}",
        user.id.as_uuid(),
        flag(user.is_active, "active"),
        flag(user.is_superuser, "superuser"),
        flag(user.is_verified, "verified"),
        user.email
    );
    // A reader that closes the pipe (`| head`) is no fault.
    let _ = writeln!(std::io::stdout(), "{}", line.trim_start());
}
