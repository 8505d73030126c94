//! `config init`: a configuration to start with.

use crate::error::{CommandResult, Outcome};
use crate::ui::screen::Screen;
use clap::Args;

/// Print a configuration to start with
///
/// It has the newest version of the format, no node and no caller, and explains in comments how to
/// add them. It is printed and not written, because only the administrator writes the configuration.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  pulse-sensorctl config init
  pulse-sensorctl config init > config.toml && pulse-sensorctl config check config.toml")]
pub(crate) struct Options {}

/// The file.
const TEXT: &str = r#"# The configuration of pulse-sensor-proxy, which reads it at its start and on
# systemctl reload pulse-sensor-proxy
# Check a change with: pulse-sensorctl config check
# A key that is missing here has its default; the manual page
# pulse-sensor-proxy-config(5) explains every key.

# The newest version of this format: nodes on which the daemon's key has no forced command are
# refused.
config_version = 2

# Nodes: a file for each, named after it, in the directory nodes.d beside this file. The daemon
# reads it on reload. For example nodes.d/pve1.toml:
#
#   name = "pve1"
#   address = "192.0.2.11"
#
# Without an address, /etc/hosts is searched for the name. port and user may be added. Nodes can
# also be listed here; each is either in this list or in nodes.d:
#
#   allowed_nodes = ["pve2", { name = "pve3", address = "192.0.2.13" }]

# Callers: the user ids that may read. If Pulse runs in a privileged container, that is 0. An
# unprivileged container needs no entry: the default of allow_idmapped_root permits its root.
#
#   allowed_peers = [0]"#;

/// Carries the command out.
///
/// # Errors
/// When the text cannot be written.
pub(super) fn run(_: Options) -> CommandResult {
    Screen::plain().print_text(TEXT)?;
    Ok(Outcome::Fine)
}
