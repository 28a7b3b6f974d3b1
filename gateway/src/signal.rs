//! How an operator asks the process to stop.

use tokio::signal::unix::{SignalKind, signal};

/// Resolves at the next SIGTERM or SIGINT.
pub async fn asked_to_stop() {
    let mut terminate = signal(SignalKind::terminate()).expect("SIGTERM can be listened for");
    let mut interrupt = signal(SignalKind::interrupt()).expect("SIGINT can be listened for");
    let name = tokio::select! {
        _ = terminate.recv() => "SIGTERM",
        _ = interrupt.recv() => "SIGINT",
    };
    tracing::info!(signal = name, "asked to stop");
}
