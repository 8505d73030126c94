//! `status`: is the daemon there, and what may I do.

use crate::client::Client;
use crate::failure::{Ending, Failure};
use crate::line::{Line, Tone};
use crate::screen::Screen;
use crate::shown::shown;
use serde_json::Value;
use serde_json::value::RawValue;
use std::path::PathBuf;

/// Carries the command out.
///
/// # Errors
/// [`Failure`] when there is no answer to show.
pub(crate) async fn run(
    client: &Client,
    mut screen: Screen,
    json: bool,
) -> Result<Ending, Failure> {
    let status = Status::of(client).await?;
    if json {
        screen.print_text(status.data.get())?;
    } else {
        screen.print(&status.lines())?;
    }
    Ok(Ending::Done)
}

/// What `get_status` answers.
pub(crate) struct Status {
    socket: PathBuf,
    data: Box<RawValue>,
    members: Value,
}

impl Status {
    /// Asks for it.
    ///
    /// # Errors
    /// [`Failure`] when the daemon does not answer, or refuses.
    pub(crate) async fn of(client: &Client) -> Result<Self, Failure> {
        let response = client.ask("get_status", Value::Null).await?;
        let socket = response.socket;
        let data = response.outcome.map_err(Failure::Refused)?;
        let members = serde_json::from_str(data.get()).map_err(|_| Failure::Answer("no object"))?;
        Ok(Self {
            socket,
            data,
            members,
        })
    }

    /// A member that is text; empty when it is missing.
    pub(crate) fn text(&self, member: &str) -> &str {
        self.members[member].as_str().unwrap_or_default()
    }

    fn lines(&self) -> Vec<Line> {
        let capabilities = self.members["capabilities"].as_array();
        let capabilities: Vec<&str> = capabilities
            .into_iter()
            .flatten()
            .filter_map(Value::as_str)
            .collect();
        let socket = self.socket.display().to_string();
        let version = format!("pulse-sensor-proxy {}", self.text("version"));
        [
            ("daemon", version.as_str()),
            ("socket", &socket),
            ("you may", &capabilities.join(", ")),
            ("ssh dir", self.text("ssh_dir")),
            ("public key", self.text("public_key")),
        ]
        .map(|(name, value)| {
            Line::of(Tone::Faint, format!("{name:<12}")).and(Tone::Plain, shown(value))
        })
        .into()
    }
}
