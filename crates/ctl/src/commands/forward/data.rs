//! The state of forwarding, requested from the daemon.
//!
//! On the callers' socket the limiter gives a caller two requests at once and then one in five
//! seconds. These commands need two in a row, so they wait and try again instead of failing.

use crate::client::{Client, DaemonError};
use pulse_forward::status::Status;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use serde_json::value::RawValue;
use std::time::Duration;
use tokio::time::{Instant, sleep};

/// A little longer than the limiter's default interval.
pub(super) const RETRY_DELAY: Duration = Duration::from_millis(5500);

/// The data of `get_forwarding`.
#[derive(Serialize)]
pub(super) struct Forwarding {
    /// The state as the daemon sent it.
    #[serde(rename = "forwarding")]
    raw: Box<RawValue>,
    #[serde(skip)]
    pub(super) status: Status,
}

impl Forwarding {
    /// Requests it.
    ///
    /// # Errors
    /// [`DaemonError`].
    pub(super) async fn request(client: &Client) -> Result<Self, DaemonError> {
        #[derive(Deserialize)]
        struct Data {
            forwarding: Box<RawValue>,
        }
        let data = request(client, "get_forwarding", Value::Null).await?;
        let parsed = || {
            // Parsed twice: the raw value is passed on with members that this tool does not know.
            let raw = serde_json::from_str::<Data>(data.get())?.forwarding;
            Ok(Self {
                status: serde_json::from_str(raw.get())?,
                raw,
            })
        };
        parsed().map_err(|_: serde_json::Error| DaemonError::Data("no state of forwarding"))
    }
}

/// Sends a request, and again while the limiter refuses it, within the client's timeout.
///
/// # Errors
/// [`DaemonError`].
pub(super) async fn request(
    client: &Client,
    method: &str,
    params: Value,
) -> Result<Box<RawValue>, DaemonError> {
    let end = Instant::now() + client.timeout();
    loop {
        match client.data(method, params.clone()).await {
            Err(DaemonError::Refused(refusal)) if refusal.is_limit() => {
                let delay = refusal.retry_in.unwrap_or(RETRY_DELAY);
                // A retry that could not end within the timeout is not begun: the refusal is shown.
                if Instant::now() + delay >= end {
                    return Err(DaemonError::Refused(refusal));
                }
                sleep(delay).await;
            }
            done => return done,
        }
    }
}
