//! `keys show`: the line that lets the daemon into a node, and where to put it.

use crate::client::Client;
use crate::failure::{Ending, Failure};
use crate::screen::Screen;
use crate::status::Status;
use pulse_core::nodes::known_hosts::is_ed25519;
use serde_json::json;
use std::io::{self, Write};
use std::path::{Path, PathBuf};

/// The public half of the daemon's key, in its key store.
const FILE_NAME: &str = "id_ed25519.pub";

/// A public key is some 100 bytes.
const MAX_KEY_BYTES: usize = 16 * 1024;

/// Where the helper is on a node.
const HELPER: &str = "/usr/libexec/pulse-sensor-node";

/// The user on a node.
const USER: &str = "pulse-sensor";

/// The key cannot be used.
#[derive(Debug, thiserror::Error)]
#[error(
    "{source_name}: this is no Ed25519 public key: expected one line like \"ssh-ed25519 AAAA…\"; the daemon makes its key when it starts"
)]
pub(crate) struct KeyError {
    source_name: String,
}

/// Carries the command out.
///
/// # Errors
/// [`Failure`] when there is no key to show.
pub(crate) async fn run(
    client: &Client,
    mut screen: Screen,
    ssh_dir: Option<PathBuf>,
    json: bool,
) -> Result<Ending, Failure> {
    let key = match ssh_dir {
        Some(directory) => from_file(&directory.join(FILE_NAME))?,
        None => {
            let status = Status::of(client).await?;
            checked("the daemon", status.text("public_key"))?
        }
    };
    let line = authorized_keys_line(&key);
    if json {
        let object = json!({
            "authorized_keys": line,
            "public_key": key,
            "command": HELPER,
            "user": USER,
        });
        screen.print_text(&object.to_string())?;
    } else {
        screen.print_text(&line)?;
        // The line is what was asked for; the rest is courtesy.
        let _ = io::stderr().write_all(ADVICE.as_bytes());
    }
    Ok(Ending::Done)
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
the daemon's ssh_dir, and add the node to allowed_nodes in its configuration.
\"pulse-sensorctl temps NODE\" says what is still missing.
";

fn from_file(path: &Path) -> Result<String, Failure> {
    let failure = |error| Failure::File {
        path: path.to_owned(),
        error,
    };
    let text = pulse_files::read_text(path, MAX_KEY_BYTES).map_err(failure)?;
    Ok(checked(&path.display().to_string(), &text)?)
}

/// The key, when it is one: what stands in `authorized_keys` decides who may log
/// in, so nothing else may get there by way of this line.
fn checked(source_name: &str, text: &str) -> Result<String, KeyError> {
    let text = text.trim();
    if is_ed25519(text) && !text.chars().any(char::is_control) {
        return Ok(text.to_owned());
    }
    Err(KeyError {
        source_name: source_name.to_owned(),
    })
}

fn authorized_keys_line(key: &str) -> String {
    format!("restrict,command=\"{HELPER}\" {key}")
}

#[cfg(test)]
mod tests {
    use super::*;

    const KEY: &str = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIJdD7y3aLq454yWBdwLWbieU1ebz9/cu7/QEXn9OIeZJ pulse-sensor-proxy@pve";

    #[test]
    fn the_line_permits_the_helper_and_nothing_else() {
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
    fn what_is_no_key_never_becomes_a_line() {
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
