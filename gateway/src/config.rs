//! Every variable: its name, default and meaning. The only place that reads the environment.

use std::ffi::OsString;
use std::fmt::Display;
use std::net::SocketAddr;
use std::ops::RangeInclusive;
use std::str::FromStr;
use std::thread::available_parallelism;
use std::time::Duration;

use url::Url;

use crate::auth::origin::Origin;
use crate::client::TrustedProxies;

/// An environment variable.
#[derive(Debug)]
pub struct Variable {
    /// Its name.
    pub name: &'static str,
    /// The value that an absent one stands for, or what is done then.
    pub default: &'static str,
    /// What it decides.
    pub meaning: &'static str,
}

/// Where to listen.
pub const LISTEN_ADDRESS: Variable = Variable {
    name: "LISTEN_ADDRESS",
    default: "127.0.0.1:8000",
    meaning: "IP address and port to serve HTTP on",
};
/// Where identity-service is.
pub const IDENTITY_SERVICE_URL: Variable = Variable {
    name: "IDENTITY_SERVICE_URL",
    default: "required",
    meaning: "where identity-service serves gRPC: http://HOST:PORT, comma-separated; each address of a name is a replica",
};
/// The origin under which browsers see the gateway.
pub const PUBLIC_ORIGIN: Variable = Variable {
    name: "PUBLIC_ORIGIN",
    default: "required",
    meaning: "the origin under which browsers see the gateway, such as http://localhost:8000",
};
/// Which other origins browsers may call from.
pub const CORS_ALLOWED_ORIGINS: Variable = Variable {
    name: "CORS_ALLOWED_ORIGINS",
    default: "none",
    meaning: "exact origins, comma-separated, whose pages may call with credentials",
};
/// How many checked tokens are remembered.
pub const TOKEN_CACHE_SIZE: Variable = Variable {
    name: "TOKEN_CACHE_SIZE",
    default: "10000",
    meaning: "how many tokens are remembered whose signature was found good, half a kilobyte each; 0 to 1000000",
};
/// How many proxies are believed.
pub const TRUSTED_PROXIES: Variable = Variable {
    name: "TRUSTED_PROXIES",
    default: "0",
    meaning: "how many proxies stand in front, each of which appends to X-Forwarded-For, 0 to 16",
};
/// How many threads serve HTTP.
pub const WORKERS: Variable =
    Variable { name: "WORKERS", default: "one a core", meaning: "how many threads serve HTTP, 1 to 512" };
/// How long to go on serving once asked to stop.
pub const SHUTDOWN_DELAY_SECONDS: Variable = Variable {
    name: "SHUTDOWN_DELAY_SECONDS",
    default: "0",
    meaning: "for how long to go on serving once told to stop, and not ready any more, so that callers notice in time, 0 to 300",
};
/// What is logged.
pub const LOG: Variable = Variable {
    name: "LOG",
    default: "info",
    meaning: "a filter of tracing, such as info or gateway=debug,warn",
};
/// How it is logged.
pub const LOG_FORMAT: Variable =
    Variable { name: "LOG_FORMAT", default: "text", meaning: "text or json, one event a line" };

/// Every variable there is, in the order in which they are explained.
pub const VARIABLES: &[Variable] = &[
    LISTEN_ADDRESS,
    IDENTITY_SERVICE_URL,
    PUBLIC_ORIGIN,
    CORS_ALLOWED_ORIGINS,
    TOKEN_CACHE_SIZE,
    TRUSTED_PROXIES,
    WORKERS,
    SHUTDOWN_DELAY_SECONDS,
    LOG,
    LOG_FORMAT,
];

/// The environment does not say what the gateway must know.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum ConfigError {
    /// A required variable is absent or empty.
    #[error("{name} is not set: {meaning}")]
    Missing {
        /// The variable.
        name: &'static str,
        /// What it decides.
        meaning: &'static str,
    },
    /// A variable has a value that does not mean anything.
    #[error("{name} is malformed: {problem}")]
    Malformed {
        /// The variable.
        name: &'static str,
        /// What is wrong with it.
        problem: String,
    },
}

/// How log events are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LogFormat {
    /// For people.
    Text,
    /// One JSON object a line.
    Json,
}

/// What the gateway is told by its environment, parsed once.
#[derive(Debug, Clone)]
pub struct Config {
    /// Where to listen.
    pub listen_address: SocketAddr,
    /// Where the replicas of identity-service are; at least one.
    pub identity_service_urls: Vec<Url>,
    /// The origin under which browsers see the gateway.
    pub public_origin: Origin,
    /// Which other origins browsers may call from.
    pub cors_allowed_origins: Vec<Origin>,
    /// How many checked tokens are remembered.
    pub token_cache_size: usize,
    /// How many proxies stand in front of the gateway.
    pub trusted_proxies: TrustedProxies,
    /// How many threads serve HTTP.
    pub workers: usize,
    /// How long to go on serving once asked to stop, while callers notice that this process is not ready any more.
    pub shutdown_delay: Duration,
    /// What is logged: a filter of tracing.
    pub log: String,
    /// How it is logged.
    pub log_format: LogFormat,
}

impl Config {
    /// Reads the process's environment.
    ///
    /// # Errors
    /// The first variable that is missing or malformed.
    pub fn from_environment() -> Result<Self, ConfigError> {
        Self::from_vars(environment)
    }

    /// Reads the variables that `var` gives; an empty one counts as absent.
    ///
    /// # Errors
    /// The first variable that is missing or malformed.
    pub fn from_vars(var: impl Fn(&str) -> Option<OsString>) -> Result<Self, ConfigError> {
        let read = |variable: &Variable| text(variable, var(variable.name));
        let require = |variable: &Variable| read(variable)?.ok_or_else(|| missing(variable));
        Ok(Self {
            listen_address: listen_address(read(&LISTEN_ADDRESS)?)?,
            identity_service_urls: identity_service_urls(&require(&IDENTITY_SERVICE_URL)?)?,
            public_origin: origin(&PUBLIC_ORIGIN, &require(&PUBLIC_ORIGIN)?)?,
            cors_allowed_origins: origins(read(&CORS_ALLOWED_ORIGINS)?)?,
            token_cache_size: number(&TOKEN_CACHE_SIZE, read(&TOKEN_CACHE_SIZE)?, 0..=1_000_000)?,
            trusted_proxies: TrustedProxies(number(&TRUSTED_PROXIES, read(&TRUSTED_PROXIES)?, 0..=16)?),
            workers: workers(read(&WORKERS)?)?,
            shutdown_delay: Duration::from_secs(number(
                &SHUTDOWN_DELAY_SECONDS,
                read(&SHUTDOWN_DELAY_SECONDS)?,
                0..=300,
            )?),
            log: log(read(&LOG)?)?,
            log_format: log_format(read(&LOG_FORMAT)?)?,
        })
    }
}

/// The address that a gateway with the process's environment listens on.
///
/// # Errors
/// If it is malformed.
pub fn listen_address_from_environment() -> Result<SocketAddr, ConfigError> {
    listen_address(text(&LISTEN_ADDRESS, environment(LISTEN_ADDRESS.name))?)
}

/// The variables as `serve --help` explains them.
#[must_use]
pub fn help() -> String {
    let lines = VARIABLES.iter().map(|v| {
        format!("  {:<21} {} [default: {}]\n", v.name, v.meaning, v.default)
            .replace("[default: required]", "[required]")
    });
    format!("Environment variables:\n{}", lines.collect::<String>())
}

fn environment(name: &str) -> Option<OsString> {
    std::env::var_os(name)
}

/// The value as text; an empty one counts as absent.
fn text(variable: &Variable, value: Option<OsString>) -> Result<Option<String>, ConfigError> {
    let text = value.map(OsString::into_string).transpose();
    Ok(text.map_err(|_| malformed(variable, "not Unicode"))?.filter(|text| !text.is_empty()))
}

fn missing(variable: &Variable) -> ConfigError {
    ConfigError::Missing { name: variable.name, meaning: variable.meaning }
}

fn malformed(variable: &Variable, problem: impl Into<String>) -> ConfigError {
    ConfigError::Malformed { name: variable.name, problem: problem.into() }
}

fn listen_address(value: Option<String>) -> Result<SocketAddr, ConfigError> {
    let text = value.unwrap_or_else(|| LISTEN_ADDRESS.default.into());
    text.parse()
        .map_err(|_| malformed(&LISTEN_ADDRESS, "not an IP address and a port, such as 127.0.0.1:8000"))
}

fn identity_service_urls(text: &str) -> Result<Vec<Url>, ConfigError> {
    let urls = text.split(',').map(|url| identity_service_url(url.trim())).collect::<Result<Vec<_>, _>>()?;
    let is_repeated = |(index, url)| urls[..index].contains(url);
    if urls.iter().enumerate().any(is_repeated) {
        return Err(malformed(&IDENTITY_SERVICE_URL, "one replica twice"));
    }
    Ok(urls)
}

fn identity_service_url(text: &str) -> Result<Url, ConfigError> {
    let problem = "not a URL of the form http://HOST:PORT, or several with commas between them";
    let url = Url::parse(text).map_err(|_| malformed(&IDENTITY_SERVICE_URL, problem))?;
    let plain = url.path() == "/" && url.query().is_none() && url.fragment().is_none();
    let anonymous = url.username().is_empty() && url.password().is_none();
    if url.scheme() == "http" && url.has_host() && plain && anonymous {
        Ok(url)
    } else {
        Err(malformed(&IDENTITY_SERVICE_URL, problem))
    }
}

fn origin(variable: &Variable, text: &str) -> Result<Origin, ConfigError> {
    Origin::parse(text).map_err(|error| malformed(variable, error.to_string()))
}

fn origins(value: Option<String>) -> Result<Vec<Origin>, ConfigError> {
    let text = value.unwrap_or_default();
    let listed = text.split(',').map(str::trim).filter(|text| !text.is_empty());
    listed.map(|text| origin(&CORS_ALLOWED_ORIGINS, text)).collect()
}

fn workers(value: Option<String>) -> Result<usize, ConfigError> {
    match value {
        None => Ok(available_parallelism().map_or(1, usize::from)),
        some => number(&WORKERS, some, 1..=512),
    }
}

fn number<T: FromStr + PartialOrd + Display>(
    variable: &Variable,
    value: Option<String>,
    range: RangeInclusive<T>,
) -> Result<T, ConfigError> {
    let text = value.unwrap_or_else(|| variable.default.into());
    let number = text.parse().ok().filter(|number| range.contains(number));
    number
        .ok_or_else(|| malformed(variable, format!("not a number from {} to {}", range.start(), range.end())))
}

fn log(value: Option<String>) -> Result<String, ConfigError> {
    let text = value.unwrap_or_else(|| LOG.default.into());
    match tracing_subscriber::EnvFilter::try_new(&text) {
        Ok(_) => Ok(text),
        Err(_) => Err(malformed(&LOG, "not a filter of tracing")),
    }
}

fn log_format(value: Option<String>) -> Result<LogFormat, ConfigError> {
    match value.as_deref() {
        None | Some("text") => Ok(LogFormat::Text),
        Some("json") => Ok(LogFormat::Json),
        Some(_) => Err(malformed(&LOG_FORMAT, "neither text nor json")),
    }
}

#[cfg(test)]
mod tests;
