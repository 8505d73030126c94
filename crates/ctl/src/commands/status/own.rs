//! `status --self`: the daemon's version and key, and what this user may do.

use crate::client::{Client, DaemonError};
use crate::ui::escape::escape;
use crate::ui::line::{Line, Tone};
use serde::{Deserialize, Serialize};
use serde_json::Value;

/// The data of `get_status`.
// Members have defaults, so that the tool of another version than the daemon shows what there is.
#[derive(Deserialize, Serialize)]
pub(in crate::commands) struct Status {
    /// The socket that answered.
    #[serde(skip_deserializing)]
    socket: String,
    // In JSON output, "version" is the output's.
    #[serde(default, rename(deserialize = "version"))]
    daemon_version: String,
    #[serde(default)]
    pub(in crate::commands) public_key: String,
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
    pub(in crate::commands) async fn request(client: &Client) -> Result<Self, DaemonError> {
        let response = client.ask("get_status", Value::Null).await?;
        let data = response.outcome.map_err(DaemonError::Refused)?;
        let status: Self =
            serde_json::from_str(data.get()).map_err(|_| DaemonError::Data("no status"))?;
        Ok(Self {
            socket: response.socket.display().to_string(),
            ..status
        })
    }

    /// The lines for people.
    pub(super) fn lines(&self) -> Vec<Line> {
        let rows = [
            (
                "daemon",
                format!("pulse-sensor-proxy {}", self.daemon_version),
            ),
            ("socket", self.socket.clone()),
            ("you may", self.capabilities.join(", ")),
            ("ssh dir", self.ssh_dir.clone()),
            ("public key", self.public_key.clone()),
        ];
        let line = |(name, value): (&str, String)| {
            Line::new(Tone::Faint, format!("{name:<12}")).and(Tone::Plain, escape(&value))
        };
        rows.map(line).to_vec()
    }
}
