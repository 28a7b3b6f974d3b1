//! What the environment says, and the only place that reads it.
//!
//! - `variables`: every variable
//! - `secrets`: those that nobody may see
//! - `lifetimes`: those about how long tokens and sessions are good
//! - `mail`: those about mails
//! - `user_schema`: the file with the operator's own fields

mod lifetimes;
mod mail;
mod secrets;
mod user_schema;
mod variables;

use std::net::SocketAddr;
use std::str::FromStr;
use std::time::Duration;

use tracing_subscriber::EnvFilter;

use crate::credentials::{PasswordRules, Peppers};
use crate::database::{self, Servers};
use crate::mail::MailConfig;
use crate::recovery::model::Lifetimes as RecoveryLifetimes;
use crate::sessions::model::Lifetimes;
use crate::trust::KeyEncryptionKey;
use crate::users::model::Verification;
use crate::users::profile::OwnFields;

use variables::{
    BCRYPT_COST, DATABASE_POOL_SIZE, DATABASE_URL, HASH_THREADS, ISSUER, KEY_ROTATION_DAYS, LISTEN_ADDRESS,
    LOG, LOG_FORMAT, MIGRATIONS, PASSWORD_MIN_LENGTH, REQUIRE_VERIFIED, SHUTDOWN_DELAY_SECONDS,
};
pub use variables::{VARIABLES, Variable};

/// The longest issuer. It stands in every token, and browsers keep no cookie of more than 4096 bytes (RFC 6265
/// section 6.1).
const MAX_ISSUER_LENGTH: usize = 512;

/// A variable that is missing or malformed: one line that names it.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error("{name} {problem}")]
pub struct ConfigError {
    name: &'static str,
    problem: String,
}

/// The variables of one process.
pub struct Vars<'a>(&'a dyn Fn(&str) -> Option<String>);

/// How to reach the database.
pub struct DatabaseConfig {
    /// Where it is and who we are there.
    pub servers: Servers,
    /// The most connections, but for one more that all point reads share.
    pub pool_size: usize,
}

/// How passwords are kept.
pub struct CredentialsConfig {
    /// The keys of their HMAC.
    pub peppers: Peppers,
    /// The cost of new hashes.
    pub bcrypt_cost: u32,
    /// How many are hashed at once.
    pub hash_threads: usize,
    /// What a new one must be like.
    pub rules: PasswordRules,
}

/// What `serve` needs.
pub struct Config {
    /// The database.
    pub database: DatabaseConfig,
    /// The passwords.
    pub credentials: CredentialsConfig,
    /// The claim `iss`.
    pub issuer: String,
    /// What seals the signing keys.
    pub key_encryption_key: KeyEncryptionKey,
    /// How old a key becomes that signs; `None` for ever.
    pub key_rotation: Option<Duration>,
    /// For how long tokens and sessions are good.
    pub lifetimes: Lifetimes,
    /// Whether users must be verified.
    pub verification: Verification,
    /// For how long mailed tokens are good.
    pub recovery_lifetimes: RecoveryLifetimes,
    /// How mails are sent; `None`: there is no recovery by mail.
    pub mail: Option<MailConfig>,
    /// The operator's own fields of users.
    pub own_fields: OwnFields,
    /// Who brings the database up to date.
    pub migrations: Migrations,
    /// How long to go on serving once told to stop, while callers notice that this process is no longer ready.
    pub shutdown_delay: Duration,
}

/// Who brings the database up to date.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Migrations {
    /// Whoever starts to serve.
    Apply,
    /// Somebody else, as `migrate` does, whom a process that starts waits for.
    Wait,
}

/// How the log is written.
pub enum LogFormat {
    /// For people.
    Text,
    /// For machines: one JSON object a line.
    Json,
}

/// What is logged, and how.
pub struct LogConfig {
    /// Which events.
    pub filter: EnvFilter,
    /// In which form.
    pub format: LogFormat,
}

impl<'a> Vars<'a> {
    /// The variables that a function knows; a test passes a map.
    #[must_use]
    pub fn new(get: &'a dyn Fn(&str) -> Option<String>) -> Self {
        Self(get)
    }

    /// What `serve` needs.
    ///
    /// # Errors
    /// The first variable that is missing or malformed.
    pub fn config(&self) -> Result<Config, ConfigError> {
        let mail = self.mail()?;
        Ok(Config {
            database: self.database()?,
            credentials: self.credentials()?,
            issuer: self.issuer()?,
            key_encryption_key: self.key_encryption_key()?,
            key_rotation: match self.number(&KEY_ROTATION_DAYS, 0, 3650)? {
                0 => None,
                days => Some(Duration::from_secs(days * 24 * 60 * 60)),
            },
            lifetimes: self.lifetimes()?,
            verification: self.verification(mail.as_ref())?,
            mail,
            recovery_lifetimes: self.recovery_lifetimes()?,
            own_fields: self.own_fields()?,
            migrations: self.migrations()?,
            shutdown_delay: Duration::from_secs(self.number(&SHUTDOWN_DELAY_SECONDS, 0, 300)?),
        })
    }

    /// What every command that touches the database needs.
    ///
    /// # Errors
    /// The first variable that is missing or malformed.
    pub fn database(&self) -> Result<DatabaseConfig, ConfigError> {
        let url = self.secret(&DATABASE_URL)?;
        let servers = database::parse_url(&url).map_err(|problem| error(&DATABASE_URL, &problem))?;
        Ok(DatabaseConfig { servers, pool_size: self.number(&DATABASE_POOL_SIZE, 1, 1000)? })
    }

    /// What every command that touches a password needs.
    ///
    /// # Errors
    /// The first variable that is missing or malformed.
    pub fn credentials(&self) -> Result<CredentialsConfig, ConfigError> {
        let cores = std::thread::available_parallelism().map_or(1, usize::from);
        Ok(CredentialsConfig {
            peppers: self.peppers()?,
            bcrypt_cost: self.number(&BCRYPT_COST, 10, 14)?,
            hash_threads: match self.number(&HASH_THREADS, 0, 256)? {
                0 => cores,
                threads => threads,
            },
            rules: PasswordRules { min_length: self.number(&PASSWORD_MIN_LENGTH, 1, 128)? },
        })
    }

    /// Where the gRPC API is.
    ///
    /// # Errors
    /// The variable is malformed.
    pub fn listen_address(&self) -> Result<SocketAddr, ConfigError> {
        let text = self.value(&LISTEN_ADDRESS)?;
        text.parse().map_err(|_| error(&LISTEN_ADDRESS, "is not an address and port like 127.0.0.1:50051"))
    }

    /// What is logged, and how.
    ///
    /// # Errors
    /// The first variable that is malformed.
    pub fn log(&self) -> Result<LogConfig, ConfigError> {
        let filter = EnvFilter::builder()
            .parse(self.value(&LOG)?)
            .map_err(|problem| error(&LOG, &format!("is not a filter: {problem}")))?;
        let format = match self.value(&LOG_FORMAT)?.as_str() {
            "text" => LogFormat::Text,
            "json" => LogFormat::Json,
            _ => return Err(error(&LOG_FORMAT, "is neither text nor json")),
        };
        Ok(LogConfig { filter, format })
    }

    /// Who issues the access tokens.
    ///
    /// # Errors
    /// If it is missing or malformed.
    pub fn issuer(&self) -> Result<String, ConfigError> {
        let issuer = self.value(&ISSUER)?;
        if !issuer.starts_with("https://") && !issuer.starts_with("http://") {
            return Err(error(&ISSUER, "is not a URL like https://id.example.com"));
        }
        if issuer.len() > MAX_ISSUER_LENGTH || !issuer.bytes().all(|byte| byte.is_ascii_graphic()) {
            let problem = format!("is not a URL of at most {MAX_ISSUER_LENGTH} visible ASCII characters");
            return Err(error(&ISSUER, &problem));
        }
        Ok(issuer)
    }

    fn migrations(&self) -> Result<Migrations, ConfigError> {
        match self.value(&MIGRATIONS)?.as_str() {
            "apply" => Ok(Migrations::Apply),
            "wait" => Ok(Migrations::Wait),
            _ => Err(error(&MIGRATIONS, "is neither apply nor wait")),
        }
    }

    fn verification(&self, mail: Option<&MailConfig>) -> Result<Verification, ConfigError> {
        match (self.value(&REQUIRE_VERIFIED)?.as_str(), mail) {
            ("true", None) => Err(error(
                &REQUIRE_VERIFIED,
                "is wanted and MAIL is not set: nobody could verify his e-mail address",
            )),
            ("true", Some(_)) => Ok(Verification::Required),
            ("false", _) => Ok(Verification::Optional),
            _ => Err(error(&REQUIRE_VERIFIED, "is neither true nor false")),
        }
    }

    fn number<T>(&self, variable: &Variable, min: T, max: T) -> Result<T, ConfigError>
    where
        T: FromStr + PartialOrd + std::fmt::Display + Copy,
    {
        let number = self.value(variable)?.parse().ok().filter(|number| (min..=max).contains(number));
        number.ok_or_else(|| error(variable, &format!("is not a whole number from {min} to {max}")))
    }

    fn value(&self, variable: &Variable) -> Result<String, ConfigError> {
        (self.0)(variable.name)
            .or_else(|| variable.default.map(str::to_owned))
            .ok_or_else(|| error(variable, &format!("is not set: {}", variable.meaning)))
    }
}

/// The variables of this process.
#[must_use]
#[expect(clippy::disallowed_methods, reason = "this is the one place that reads the environment")]
pub fn environment(name: &str) -> Option<String> {
    std::env::var(name).ok()
}

fn error(variable: &Variable, problem: &str) -> ConfigError {
    ConfigError { name: variable.name, problem: problem.to_owned() }
}

/// All variables as text, for `--help`.
#[must_use]
pub fn help() -> String {
    let lines = VARIABLES.iter().map(|Variable { name, default, meaning }| {
        let default = match default {
            None => "required",
            Some("") => "default none",
            Some(default) => &format!("default {default}"),
        };
        format!("  {name} ({default})\n      {meaning}\n")
    });
    format!(
        "Environment:\n{}  A secret can also be given as a file, by the name with _FILE.",
        lines.collect::<String>()
    )
}

#[cfg(test)]
mod tests;
