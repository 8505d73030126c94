//! Failures of `accept(2)`, for every kind of listening socket.

use std::io;
use std::time::Duration;

/// The pause after a connection could not be accepted: without descriptors left, accepting
/// again at once would only spin.
pub(crate) const AFTER_ACCEPT_ERROR: Duration = Duration::from_millis(50);

/// Says why a connection could not be accepted, and waits a little.
pub(crate) async fn after_accept_error(listener: &str, error: &io::Error) {
    warn_of_accept_error(listener, error);
    tokio::time::sleep(AFTER_ACCEPT_ERROR).await;
}

pub(crate) fn warn_of_accept_error(listener: &str, error: &io::Error) {
    tracing::warn!(listener, %error, "cannot accept a connection");
}
