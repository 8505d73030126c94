//! What the daemon says of forwarding.
//!
//! It gives a caller two requests at once and then one in five seconds, root as well.
//! These commands need two in a row, so they wait their turn instead of failing.

use crate::client::{Client, ClientError, Response};
use crate::failure::Failure;
use pulse_forward::status::Status;
use serde::Deserialize;
use serde_json::Value;
use serde_json::value::RawValue;
use std::time::Duration;
use tokio::time::{Instant, sleep};

/// What the limiter says to those who come too soon.
const TOO_SOON: &str = "rate limit exceeded";

/// A little longer than the limiter has callers wait, unless its configuration says so.
pub(super) const TURN: Duration = Duration::from_millis(5500);

/// The daemon's answer, as it came and taken apart.
pub(super) struct Answer {
    pub(super) data: Box<RawValue>,
    pub(super) status: Status,
}

#[derive(Deserialize)]
struct Data {
    forwarding: Status,
}

impl Answer {
    /// Asks for it.
    ///
    /// # Errors
    /// [`Failure`] when the daemon does not answer, or refuses.
    pub(super) async fn of(client: &Client) -> Result<Self, Failure> {
        let data = ask(client, "get_forwarding", Value::Null).await?;
        let parsed: Result<Data, _> = serde_json::from_str(data.get());
        let Data { forwarding } = parsed.map_err(|_| Failure::Answer("no state of forwarding"))?;
        Ok(Self {
            data,
            status: forwarding,
        })
    }
}

/// Asks, and again when that was too soon, for as long as an answer is waited for.
///
/// # Errors
/// As [`Answer::of`].
pub(super) async fn ask(
    client: &Client,
    method: &str,
    params: Value,
) -> Result<Box<RawValue>, Failure> {
    let end = Instant::now() + client.patience();
    loop {
        let response: Result<Response, ClientError> = client.ask(method, params.clone()).await;
        match response?.outcome {
            Ok(data) => return Ok(data),
            Err(error) if error == TOO_SOON && Instant::now() + TURN < end => sleep(TURN).await,
            Err(error) => return Err(Failure::Refused(error)),
        }
    }
}
