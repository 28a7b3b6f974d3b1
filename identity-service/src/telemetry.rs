//! The log: one line an event, to standard error; no secret, no e-mail address and no network address in it.

use crate::config::{LogConfig, LogFormat};

/// Starts logging. Once a process.
pub fn start(config: LogConfig) {
    let builder = tracing_subscriber::fmt().with_env_filter(config.filter).with_writer(std::io::stderr);
    match config.format {
        LogFormat::Text => builder.with_ansi(false).init(),
        LogFormat::Json => builder.json().init(),
    }
}
