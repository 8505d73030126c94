//! Failures of `accept(2)`, for every kind of listening socket.

use std::io;
use std::time::Duration;

/// The pause after a failure: with no descriptor left (`EMFILE`), accept(2) fails again at
/// once, and the loop would only spin.
pub(crate) const RETRY_DELAY: Duration = Duration::from_millis(50);

/// Logs a failure and waits for [`RETRY_DELAY`].
pub(crate) async fn pause(listener: &str, error: &io::Error) {
    warn(listener, error);
    tokio::time::sleep(RETRY_DELAY).await;
}

/// Logs a failure; `listener` names the socket.
pub(crate) fn warn(listener: &str, error: &io::Error) {
    tracing::warn!("cannot accept a connection on the {listener} socket: {error}");
}
