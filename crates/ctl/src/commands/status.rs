//! `status`: is the daemon running, and what may this user do.

use super::QueryOptions;
use crate::client::{Client, DaemonError};
use crate::error::{CommandResult, Outcome};
use crate::runtime::block_on;
use crate::ui::escape::escape;
use crate::ui::line::{Line, Tone};
use crate::ui::screen::Screen;
use clap::Args;
use serde::{Deserialize, Serialize};
use serde_json::Value;

/// Show the daemon's version, its key and what you may do
///
/// Asks the daemon. The capabilities are read, write and admin: temperatures need read,
/// forwarding needs admin.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  pulse-sensorctl status
  pulse-sensorctl status --json | jq -r .public_key")]
pub(crate) struct Options {
    #[command(flatten)]
    query: QueryOptions,
}

/// Carries the command out.
///
/// # Errors
/// Those of the daemon and of stdout.
pub(super) fn run(Options { query }: Options) -> CommandResult {
    let mut screen = Screen::new(query.color);
    let status = block_on(Status::request(&query.daemon.client()))?;
    if query.json {
        screen.print_json(&status)?;
    } else {
        let rows = [
            (
                "daemon",
                format!("pulse-sensor-proxy {}", status.daemon_version),
            ),
            ("socket", status.socket.clone()),
            ("you may", status.capabilities.join(", ")),
            ("ssh dir", status.ssh_dir.clone()),
            ("public key", status.public_key.clone()),
        ];
        screen.print(&rows.map(|(name, value)| {
            Line::new(Tone::Faint, format!("{name:<12}")).and(Tone::Plain, escape(&value))
        }))?;
    }
    Ok(Outcome::Fine)
}

/// The data of `get_status`.
// Members have defaults, so that the tool of another version than the daemon shows what there is.
#[derive(Deserialize, Serialize)]
pub(super) struct Status {
    /// The socket that answered.
    #[serde(skip_deserializing)]
    socket: String,
    // In JSON output, "version" is the output's.
    #[serde(default, rename(deserialize = "version"))]
    daemon_version: String,
    #[serde(default)]
    pub(super) public_key: String,
    #[serde(default)]
    ssh_dir: String,
    #[serde(default)]
    capabilities: Vec<String>,
}

impl Status {
    /// Requests it.
    ///
    /// # Errors
    /// [`DaemonError`].
    pub(super) async fn request(client: &Client) -> Result<Self, DaemonError> {
        let response = client.ask("get_status", Value::Null).await?;
        let data = response.outcome.map_err(DaemonError::Refused)?;
        let status: Self =
            serde_json::from_str(data.get()).map_err(|_| DaemonError::Data("no status"))?;
        Ok(Self {
            socket: response.socket.display().to_string(),
            ..status
        })
    }
}
