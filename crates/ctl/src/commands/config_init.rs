//! `config init`: a configuration to start with.

use crate::config::file_or_default;
use crate::error::{CommandError, CommandResult, ErrorCode, Outcome};
use crate::ui::screen::Screen;
use clap::Args;
use pulse_core::config::{Config, ConfigError};
use pulse_core::nodes::name::NodeName;
use std::borrow::Cow;
use std::fmt::Write;
use std::fs::{self, OpenOptions, Permissions};
use std::io::{self, ErrorKind, Write as _};
use std::net::IpAddr;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::str::FromStr;

/// Print or write a configuration to start with
///
/// It has the newest version of the format, the nodes and callers that are given, and explains in
/// comments how to add others. With --write it becomes the daemon's configuration, unless there is
/// one: an existing file is never changed.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  pulse-sensorctl config init
  pulse-sensorctl config init --node pve1=192.0.2.11 --node pve2 --peer 0
  pulse-sensorctl config init --write --node pve1=192.0.2.11")]
pub(crate) struct Options {
    /// Write the daemon's configuration: the file that PULSE_SENSOR_PROXY_CONFIG names, or
    /// /etc/pulse-sensor-proxy/config.toml
    #[arg(long)]
    write: bool,

    /// A node that may be read; without an address, /etc/hosts is searched for the name
    #[arg(long = "node", value_name = "NAME[=ADDRESS]")]
    nodes: Vec<Node>,

    /// The user id of a caller that may read, as this host sees it
    #[arg(long = "peer", value_name = "UID")]
    peers: Vec<u32>,
}

/// A node of the list.
#[derive(Clone, Debug)]
struct Node {
    name: NodeName,
    address: Option<IpAddr>,
}

impl FromStr for Node {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (name, address) = match text.split_once('=') {
            Some((name, address)) => (name, Some(address)),
            None => (text, None),
        };
        let not_an_address = |_| "the text after \"=\" is not an IP address".to_owned();
        Ok(Self {
            name: NodeName::parse(name).map_err(|error| error.to_string())?,
            address: address
                .map(str::parse)
                .transpose()
                .map_err(not_an_address)?,
        })
    }
}

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

/// The reason that there is no configuration to start with.
#[derive(Debug, thiserror::Error)]
enum InitError {
    #[error("this would be no configuration")]
    Mistake(#[from] ConfigError),
    #[error("{} exists and stays as it is", .0.display())]
    Exists(PathBuf),
    #[error("{}", path.display())]
    Uncreatable { path: PathBuf, source: io::Error },
}

impl CommandError for InitError {
    fn code(&self) -> ErrorCode {
        match self {
            Self::Mistake(_) => ErrorCode::Usage,
            Self::Exists(_) | Self::Uncreatable { .. } => ErrorCode::CannotCreate,
        }
    }

    fn remedy(&self) -> Option<Cow<'static, str>> {
        match self {
            Self::Mistake(_) => None,
            Self::Exists(_) => Some("edit it, or move it away first".into()),
            Self::Uncreatable { source, path } => match source.kind() {
                ErrorKind::PermissionDenied => Some("run as root".into()),
                ErrorKind::NotFound => path.parent().map(|directory| {
                    format!("create its directory: mkdir -p {}", directory.display()).into()
                }),
                _ => pulse_files::disk_remedy(source).map(Into::into),
            },
        }
    }
}

/// Creates the file, which everybody can read whatever the umask is: it has no secret, and the
/// daemon is not root.
fn create(path: &Path, text: &str) -> io::Result<()> {
    let mut file = pulse_files::open_with(OpenOptions::new().write(true).create_new(true), path)?;
    let written = file
        .write_all(text.as_bytes())
        .and_then(|()| file.set_permissions(Permissions::from_mode(0o644)))
        .and_then(|()| file.sync_all());
    if written.is_err() {
        // Or the rest of it would be there for the next attempt to refuse.
        let _ = fs::remove_file(path);
    }
    written
}

/// Carries the command out.
///
/// # Errors
/// [`InitError`], or when the text cannot be printed.
pub(super) fn run(
    Options {
        nodes,
        peers,
        write,
    }: Options,
) -> CommandResult {
    let mut text = TEXT.to_owned();
    // Neither a name nor an address has a character that TOML would have to escape.
    if !nodes.is_empty() {
        text.push_str("\n\nallowed_nodes = [\n");
        for Node { name, address } in nodes {
            let _ = match address {
                Some(address) => {
                    writeln!(
                        text,
                        "    {{ name = \"{name}\", address = \"{address}\" }},"
                    )
                }
                None => writeln!(text, "    \"{name}\","),
            };
        }
        text.push(']');
    }
    if !peers.is_empty() {
        let _ = write!(text, "\n\nallowed_peers = {peers:?}");
    }
    // A node that is named twice, for example.
    Config::parse(&text).map_err(InitError::Mistake)?;
    if write {
        let path = file_or_default(None);
        text.push('\n');
        create(&path, &text).map_err(|source| match source.kind() {
            ErrorKind::AlreadyExists => InitError::Exists(path.clone()),
            _ => InitError::Uncreatable {
                path: path.clone(),
                source,
            },
        })?;
        text = format!("wrote {}", path.display());
    }
    Screen::plain().print_text(&text)?;
    Ok(Outcome::Fine)
}
