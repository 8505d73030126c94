//! `keys show`: the line that lets the daemon into a node, and where to put it.

use super::status::Status;
use crate::client::DaemonOptions;
use crate::error::{CommandError, CommandResult, ErrorCode, Outcome, file_remedy};
use crate::runtime::block_on;
use crate::ui::screen::Screen;
use clap::{Args, ValueHint};
use pulse_core::nodes::known_hosts::is_ed25519;
use serde_json::json;
use std::borrow::Cow;
use std::io::{self, Write};
use std::path::PathBuf;

/// The public half of the daemon's key, in its key store.
const FILE_NAME: &str = "id_ed25519.pub";

/// A public key is some 100 bytes.
const MAX_KEY_BYTES: usize = 16 * 1024;

/// The helper's path on a node.
const HELPER: &str = "/usr/libexec/pulse-sensor-node";

/// The user on a node.
const USER: &str = "pulse-sensor";

/// Print the line that lets the daemon in, for authorized_keys on the nodes
///
/// The line goes to standard output; instructions for the nodes go to standard error.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  pulse-sensorctl keys show
  pulse-sensorctl keys show --ssh-dir /var/lib/pulse-sensor-proxy/ssh
  pulse-sensorctl keys show 2>/dev/null >pulse-sensor.pub
  pulse-sensorctl keys show --json | jq -r .public_key")]
pub(crate) struct Options {
    /// Read the key from this directory instead of asking the daemon
    #[arg(
        long,
        value_name = "DIR",
        value_hint = ValueHint::DirPath,
        conflicts_with_all = ["socket", "control_socket"]
    )]
    ssh_dir: Option<PathBuf>,

    /// Print the line and its parts as JSON
    #[arg(long)]
    json: bool,

    #[command(flatten)]
    daemon: DaemonOptions,
}

/// The reason that there is no key to show.
#[derive(Debug, thiserror::Error)]
enum Error {
    /// The file cannot be read.
    #[error("{}", path.display())]
    Unreadable { path: PathBuf, source: io::Error },
    /// The text is no key.
    #[error("{0}: this is no Ed25519 public key")]
    NotAKey(String),
}

impl CommandError for Error {
    fn code(&self) -> ErrorCode {
        match self {
            Self::Unreadable { .. } => ErrorCode::CannotRead,
            Self::NotAKey(_) => ErrorCode::InvalidInput,
        }
    }

    fn remedy(&self) -> Option<Cow<'static, str>> {
        match self {
            Self::Unreadable { source, .. } => file_remedy(source),
            Self::NotAKey(_) => Some(
                "expected one line like \"ssh-ed25519 AAAA…\"; the daemon makes its key when it \
                 starts"
                    .into(),
            ),
        }
    }
}

/// Carries the command out.
///
/// # Errors
/// Those of the daemon or of the key's file, and of stdout.
pub(super) fn run(options: Options) -> CommandResult {
    let key = match options.ssh_dir {
        // Needs no running daemon, but the right to read its directory.
        Some(directory) => {
            let path = directory.join(FILE_NAME);
            match pulse_files::read_text(&path, MAX_KEY_BYTES) {
                Ok(text) => checked(&path.display().to_string(), &text)?,
                Err(source) => return Err(Error::Unreadable { path, source }.into()),
            }
        }
        None => {
            let status = block_on(Status::request(&options.daemon.client()))?;
            checked("the daemon", &status.public_key)?
        }
    };
    let line = authorized_keys_line(&key);
    let mut screen = Screen::plain();
    if options.json {
        screen.print_json(&json!({
            "authorized_keys": line,
            "public_key": key,
            "command": HELPER,
            "user": USER,
        }))?;
    } else {
        screen.print_text(&line)?;
        // The line is the result; without an stderr it is still complete.
        let _ = io::stderr().write_all(ADVICE.as_bytes());
    }
    Ok(Outcome::Fine)
}

const ADVICE: &str = "
This line lets the daemon run the node helper, and nothing else. On each node:

  1. Install the helper: /usr/libexec/pulse-sensor-node
  2. Make its user, which has no password and no rights:
       useradd --system --home-dir / --shell /bin/sh --password '*' pulse-sensor
  3. Put the line into /etc/ssh/authorized_keys.d/pulse-sensor (root's, mode 0644);
     with from=\"ADDRESS\", before \"command\" it works from the daemon's host only
  4. Tell sshd where it is, in /etc/ssh/sshd_config.d/pulse-sensor.conf:
       Match User pulse-sensor
           AuthorizedKeysFile /etc/ssh/authorized_keys.d/%u
     and then: sshd -t && systemctl reload ssh

Then pin the node's host key, as its own administrator sees it, in known_hosts in
the daemon's ssh_dir, and list the node in nodes.d/NAME.toml beside the daemon's
configuration (name = \"NAME\", address = \"ADDRESS\").
\"pulse-sensorctl temps NODE\" says what is still missing.
";

/// The key, if it is one. A line of `authorized_keys` decides who can log in, so nothing else
/// may get into it.
fn checked(origin: &str, text: &str) -> Result<String, Error> {
    let text = text.trim();
    // A newline in the comment would be a second line, which permits another key or command.
    if is_ed25519(text) && !text.chars().any(char::is_control) {
        return Ok(text.to_owned());
    }
    Err(Error::NotAKey(origin.to_owned()))
}

fn authorized_keys_line(key: &str) -> String {
    // "restrict" refuses everything but the command, also what later versions of sshd add
    // (sshd(8), AUTHORIZED_KEYS FILE FORMAT).
    format!("restrict,command=\"{HELPER}\" {key}")
}

#[cfg(test)]
mod tests {
    use super::*;

    const KEY: &str = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIJdD7y3aLq454yWBdwLWbieU1ebz9/cu7/QEXn9OIeZJ pulse-sensor-proxy@pve";

    #[test]
    fn the_line_permits_the_helper() {
        let key = checked("x", &format!("{KEY}\n")).unwrap();
        let line = authorized_keys_line(&key);
        let start = "restrict,command=\"/usr/libexec/pulse-sensor-node\" ssh-ed25519 AAAA";
        assert!(line.starts_with(start), "{line}");
        assert!(
            line.ends_with(" pulse-sensor-proxy@pve") && !line.contains('\n'),
            "{line}"
        );
    }

    #[test]
    fn no_line_without_a_key() {
        let two = format!("{KEY}\n{KEY}");
        let options = format!("command=\"sh\" {KEY}");
        for text in ["", "ssh-ed25519 AAAA", &two, &options, &KEY[12..]] {
            let error = checked("the daemon", text).unwrap_err().to_string();
            assert!(
                error.starts_with("the daemon: this is no Ed25519"),
                "{error}"
            );
        }
    }
}
