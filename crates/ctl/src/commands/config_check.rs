//! `config check`: the mistake in a configuration or a node's file, or what they allow.

use crate::config::{ConfigError as Unusable, ConfigText, file_or_default};
use crate::error::{CommandResult, Outcome};
use crate::ui::escape::escape;
use crate::ui::excerpt::excerpt;
use crate::ui::line::{Line, Tone};
use crate::ui::screen::{ColorOption, Screen};
use crate::ui::width::{pad, width};
use crate::ui::wrap::wrapped;
use clap::{Args, ValueHint};
use pulse_core::callers::capability::Capabilities;
use pulse_core::config::{Config, ConfigError, Keys, NODES_DIRECTORY, NodeSettings, unread_remark};
use pulse_core::metrics::host_header::HostName;
use pulse_core::nodes::name::NodeName;
use pulse_core::trust::Untrusted;
use pulse_trust::Reader;
use pulse_trust::node_files::{NodesError, OnUntrusted, add_nodes};
use pulse_trust::paths::{self, Flaw};
use serde_json::{Value, json};
use std::path::{Path, PathBuf};

/// Find the mistake in a configuration, or show what it allows
///
/// Reads the file and the nodes' files in nodes.d beside it, and checks who can change them and what
/// they name. No daemon needs to run. The exit code is 1 when there is a mistake.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  pulse-sensorctl config check
  pulse-sensorctl config check ./config.toml
  pulse-sensorctl config check --json | jq .nodes")]
pub(crate) struct Options {
    /// The file [env: PULSE_SENSOR_PROXY_CONFIG]
    /// [default: /etc/pulse-sensor-proxy/config.toml]
    #[arg(value_hint = ValueHint::FilePath)]
    file: Option<PathBuf>,

    /// Print the result as JSON
    #[arg(long)]
    json: bool,

    #[command(flatten)]
    color: ColorOption,
}

/// Carries the command out.
///
/// # Errors
/// When the file cannot be read or the result not written.
pub(super) fn run(options: Options) -> CommandResult {
    let mut screen = Screen::new(options.color);
    let file = file_or_default(options.file);
    let opened = match ConfigText::read(&file) {
        Ok(opened) => opened,
        Err(source) => return Err(Unusable::Unreadable { path: file, source }.into()),
    };
    let checked = check(&file, opened)?;
    if options.json {
        screen.print_json(&as_json(&file, &checked))?;
    } else {
        let columns = screen.columns();
        let mut lines = match &checked.outcome {
            Ok(found) if checked.untrusted.is_empty() => allowed(&file, found),
            Ok(_) => Vec::new(),
            Err(mistake) => pointed_at(mistake, columns),
        };
        for text in &checked.untrusted {
            for part in wrapped(text, columns) {
                lines.push(Line::new(Tone::Bad, part));
            }
        }
        screen.print(&lines)?;
    }
    Ok(Outcome::fine_if(
        checked.outcome.is_ok() && checked.untrusted.is_empty(),
    ))
}

/// The findings in a configuration.
struct Checked {
    outcome: Result<Found, Mistake>,
    /// Everything that the daemon would refuse because other users can change it, as sentences.
    untrusted: Vec<String>,
}

/// A configuration without a mistake.
struct Found {
    config: Config,
    /// A sentence on files of `nodes.d` that are not read.
    unread: Option<String>,
    /// A sentence for each file that the daemon's user cannot read.
    unreadable: Vec<String>,
}

/// The first mistake, and its file.
struct Mistake {
    file: PathBuf,
    text: String,
    error: ConfigError,
}

/// Checks the configuration and the files of `nodes.d` as the daemon does.
///
/// # Errors
/// [`Unusable::Unreadable`] for `nodes.d` or a file in it.
fn check(file: &Path, opened: ConfigText) -> Result<Checked, Unusable> {
    // A file that others can change is parsed all the same: the operator sees both faults at once,
    // and this command applies no setting.
    let mut untrusted: Vec<Untrusted> = opened.untrusted.into_iter().collect();
    let owners = pulse_trust::owners_and_service();
    // Every directory of the path is examined, so it has to be absolute.
    let path = std::path::absolute(file).map_err(|source| Unusable::Unreadable {
        path: file.to_owned(),
        source,
    })?;
    let flaws = OnUntrusted::Collect(&mut untrusted);
    let mut outcome = match Keys::parse(&opened.text) {
        Err(error) => Err(Mistake {
            file: file.to_owned(),
            text: opened.text,
            error,
        }),
        Ok(keys) => match add_nodes(&path, keys, &owners, flaws) {
            Ok(all) => Ok(Found {
                unread: unread_remark(&all.unread),
                unreadable: Vec::new(),
                config: all.keys.into(),
            }),
            Err(NodesError::Mistake { path, text, source }) => Err(Mistake {
                file: path,
                text,
                error: source,
            }),
            Err(NodesError::Unreadable { path, source, .. }) => {
                return Err(Unusable::Unreadable { path, source });
            }
            Err(NodesError::Untrusted(refused)) => return Err(Unusable::Untrusted(refused)),
        },
    };
    // A flaw of a directory above both is found twice.
    untrusted.dedup();
    let mut untrusted: Vec<_> = untrusted
        .iter()
        .map(|flaw| format!("the configuration is refused: {flaw}"))
        .collect();
    // The paths of a configuration with a mistake are not known.
    if let Ok(found) = &mut outcome {
        let config = &found.config;
        for place in [paths::directories(config), paths::files(config)].concat() {
            if let Some(Flaw::Refused(flaw)) = place.flaw(&owners) {
                untrusted.push(format!("{} is refused: {flaw}", place.name));
            }
        }
        let known_hosts = config.ssh_dir.join("known_hosts");
        found.unreadable = unreadable(&path, &known_hosts);
    }
    Ok(Checked { outcome, untrusted })
}

/// A sentence for each file that the daemon's user cannot read, though we can: root reads them all.
fn unreadable(configuration: &Path, known_hosts: &Path) -> Vec<String> {
    let Some(reader) = Reader::service() else {
        return Vec::new();
    };
    let nodes = configuration.with_file_name(NODES_DIRECTORY);
    let files = std::fs::read_dir(&nodes).into_iter().flatten().flatten();
    let mut files: Vec<PathBuf> = files
        .map(|entry| entry.path())
        .filter(|file| {
            file.extension()
                .is_some_and(|extension| extension == "toml")
        })
        .collect();
    files.sort();
    let paths = [configuration, &nodes].map(Path::to_owned);
    let mut sentences: Vec<String> = paths
        .into_iter()
        .chain(files)
        .chain([known_hosts.to_owned()])
        .filter_map(|path| reader.obstacle(&path))
        .collect();
    // A directory above several of them.
    sentences.dedup();
    sentences
}

fn pointed_at(mistake: &Mistake, columns: Option<usize>) -> Vec<Line> {
    let Mistake { file, text, error } = mistake;
    let ConfigError {
        line,
        column,
        message,
    } = error;
    // The form of compilers' errors, by which editors jump to the place.
    let place = format!("{}:{line}:{column}:", file.display());
    let mut parts = wrapped(&format!("{place} {}", escape(message)), columns).into_iter();
    let first = parts.next().unwrap_or_default();
    // A path without blanks stays whole, and so its place does.
    let head = match first.strip_prefix(&place) {
        Some(rest) => Line::new(Tone::Strong, place).and(Tone::Bad, rest),
        None => Line::new(Tone::Bad, first),
    };
    std::iter::once(head)
        .chain(parts.map(|part| Line::new(Tone::Bad, part)))
        .chain(excerpt(text, *line, *column))
        .collect()
}

fn allowed(file: &Path, found: &Found) -> Vec<Line> {
    let config = &found.config;
    let node = |(name, node): (&NodeName, &NodeSettings)| {
        let address = node.address.map_or_else(
            || "the address in /etc/hosts".to_owned(),
            |address| address.to_string(),
        );
        (
            name.to_string(),
            format!("{address}, port {}, as user {}", node.port, node.user),
        )
    };
    let nodes = if config.nodes.is_empty() {
        vec![("none".to_owned(), String::new())]
    } else {
        config.nodes.iter().map(node).collect()
    };
    let sections = [
        ("Nodes that may be read", nodes),
        ("Callers that may ask", peers(config)),
        ("How often, how long", limits(config)),
        ("Where", places(config)),
    ];
    let mut lines = vec![
        Line::new(Tone::Strong, format!("{}: ", file.display())).and(Tone::Good, "no mistakes"),
    ];
    for (title, entries) in sections {
        lines.extend([Line::default(), Line::new(Tone::Strong, title)]);
        // Two columns, the first as wide as its widest entry.
        let widest = entries.iter().map(|(name, _)| width(name)).max();
        lines.extend(entries.iter().map(|(name, value)| {
            Line::plain(format!("  {}  {value}", pad(name, widest.unwrap_or(0))))
        }));
    }
    lines.extend(remarks(found));
    lines
}

fn peers(config: &Config) -> Vec<(String, String)> {
    let access = &config.access;
    let mut entries = vec![(
        "root, and the daemon's own user".to_owned(),
        names(Capabilities::all()),
    )];
    entries.extend(
        uids(config)
            .iter()
            .map(|(uid, held)| (format!("user id {uid}"), names(*held))),
    );
    let read = || names(Capabilities::read_only());
    entries.extend(
        access
            .gids
            .iter()
            .map(|gid| (format!("group id {gid}"), read())),
    );
    if access.allow_idmapped_root && !access.idmap_users.is_empty() {
        entries.push((
            format!("root of containers of {}", access.idmap_users.join(", ")),
            read(),
        ));
    }
    entries
}

/// The user ids with their capabilities, in the order of the ids: a map has none.
fn uids(config: &Config) -> Vec<(u32, Capabilities)> {
    let uids = config.access.uids.iter();
    let mut uids: Vec<_> = uids.map(|(uid, held)| (*uid, *held)).collect();
    uids.sort_by_key(|(uid, _)| *uid);
    uids
}

fn names(capabilities: Capabilities) -> String {
    if capabilities.is_empty() {
        "nothing".to_owned()
    } else {
        capabilities.names().collect::<Vec<_>>().join(", ")
    }
}

fn limits(config: &Config) -> Vec<(String, String)> {
    let seconds = |length: std::time::Duration| format!("{} s", length.as_secs_f64());
    let limits = &config.limits;
    let entry = |name: &str, value: String| (name.to_owned(), value);
    vec![
        entry(
            "each caller, each node",
            format!(
                "one reading every {}, {} at once",
                seconds(limits.interval),
                limits.burst
            ),
        ),
        entry(
            "at the same time",
            format!(
                "{} for a caller, {} in all",
                config.caps.per_peer, config.caps.total
            ),
        ),
        entry("a sample is given again for", seconds(config.cache_ttl)),
        entry("a reading may take", seconds(config.timeouts.request)),
        entry(
            "in the background",
            config.poll_interval.map_or("never".to_owned(), |every| {
                format!("every node every {}", seconds(every))
            }),
        ),
    ]
}

fn places(config: &Config) -> Vec<(String, String)> {
    let access = &config.socket_access;
    let connecting = match &access.group {
        Some(group) => format!("mode {}, group {group}", access.mode),
        None if access.is_narrow() => format!("mode {}, the daemon's own group", access.mode),
        None => "anybody".to_owned(),
    };
    let metrics = config.metrics_address.map_or_else(
        || "not served".to_owned(),
        |address| format!("http://{address}/metrics"),
    );
    let mut places = vec![
        ("socket".to_owned(), config.socket.display().to_string()),
        ("may connect to it".to_owned(), connecting),
        ("ssh dir".to_owned(), config.ssh_dir.display().to_string()),
        ("metrics".to_owned(), metrics),
    ];
    for name in config.metrics.host_names.iter() {
        places.push(("metrics are also for".to_owned(), name.to_string()));
    }
    places
}

/// Notes on settings that are valid, but perhaps not meant.
fn remarks(found: &Found) -> Vec<Line> {
    let config = &found.config;
    let mut remarks: Vec<&str> = found.unread.as_deref().into_iter().collect();
    remarks.extend(found.unreadable.iter().map(String::as_str));
    if config.nodes.is_empty() {
        remarks.push("no node can be read: name some in allowed_nodes, or add files to nodes.d");
    }
    if config.access.uids.values().any(|held| held.is_empty()) {
        remarks.push("an entry of allowed_peers gives nothing");
    }
    if config
        .metrics_address
        .is_some_and(|a| !a.ip().is_loopback())
    {
        remarks.push("metrics_address is not loopback: whoever reaches it reads the metrics");
        if config.metrics.host_names.is_empty() {
            remarks.push("metrics are served under IP addresses alone: a scraper that uses a name needs it in host_names of [metrics]");
        }
    }
    let gap = (!remarks.is_empty()).then(Line::default);
    let lines = remarks
        .into_iter()
        .map(|text| Line::new(Tone::Warm, "note: ").and(Tone::Plain, text));
    gap.into_iter().chain(lines).collect()
}

fn as_json(file: &Path, checked: &Checked) -> Value {
    let untrusted = &checked.untrusted;
    match &checked.outcome {
        Err(Mistake { file, error, .. }) => json!({
            "file": file.display().to_string(), "valid": false, "line": error.line,
            "column": error.column, "message": error.message, "untrusted": untrusted,
        }),
        Ok(Found { config, .. }) => {
            let access = &config.access;
            let names = |held: Capabilities| held.names().collect::<Vec<_>>();
            let read = names(Capabilities::read_only());
            let uids = uids(config).into_iter();
            let mut peers: Vec<Value> = uids
                .map(|(uid, held)| json!({"uid": uid, "capabilities": names(held)}))
                .collect();
            for gid in &access.gids {
                peers.push(json!({"gid": gid, "capabilities": read}));
            }
            // Root of these users' containers is let in on this condition only.
            if access.allow_idmapped_root {
                for user in &access.idmap_users {
                    peers.push(json!({"containers_of": user, "capabilities": read}));
                }
            }
            json!({
                "file": file.display().to_string(),
                "valid": untrusted.is_empty(),
                "untrusted": untrusted,
                "nodes": config.nodes.iter().map(|(name, node)| json!({
                    "name": name.as_str(),
                    "address": node.address.map(|address| address.to_string()),
                    "port": node.port,
                    "user": node.user,
                })).collect::<Vec<_>>(),
                "peers": peers,
                "socket": config.socket.display().to_string(),
                "socket_mode": config.socket_access.mode.to_string(),
                "socket_group": config.socket_access.group.as_ref().map(ToString::to_string),
                "ssh_dir": config.ssh_dir.display().to_string(),
                "metrics_address": config.metrics_address.map(|address| address.to_string()),
                "metrics_host_names": config.metrics.host_names.iter().map(HostName::as_str).collect::<Vec<_>>(),
            })
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn drawn(lines: &[Line]) -> String {
        let lines: Vec<String> = lines.iter().map(|line| line.render(false)).collect();
        lines.join("\n")
    }

    fn outcome(file: &Path, text: &str) -> Result<Found, Mistake> {
        match Config::parse(text) {
            Ok(config) => Ok(Found {
                config,
                unread: None,
                unreadable: Vec::new(),
            }),
            Err(error) => Err(Mistake {
                file: file.to_owned(),
                text: text.to_owned(),
                error,
            }),
        }
    }

    fn report(text: &str) -> String {
        let file = Path::new("c.toml");
        drawn(&match outcome(file, text) {
            Ok(found) => allowed(file, &found),
            Err(mistake) => pointed_at(&mistake, None),
        })
    }

    #[test]
    fn a_mistake_is_shown_in_its_line() {
        let text = "log_level = 'info'\nallowed_nodes = ['pve1', '-x']\n";
        assert_eq!(
            report(text),
            "c.toml:2:26: \"-x\" is no node name: a node name starts with a letter or a digit\n  \
             |\n2 | allowed_nodes = ['pve1', '-x']\n  |                          ^"
        );
    }

    #[test]
    fn a_valid_file_shows_its_rights() {
        let text = "allowed_nodes = ['pve1', {name='pve2', address='192.0.2.2', port=23}]\n\
                    allowed_peers = [{uid=1000}, {uid=33, capabilities=['read','admin']}]\n\
                    allowed_peer_gids = [7]\nmetrics_address = '0.0.0.0:9456'";
        let named = format!("{text}\n[metrics]\nhost_names = ['Pve1.example.org']");
        let report = report(text);
        for part in [
            "c.toml: no mistakes",
            "\n  pve1  the address in /etc/hosts, port 22, as user pulse-sensor",
            "\n  pve2  192.0.2.2, port 23, as user pulse-sensor",
            "user id 33                       read, admin",
            "user id 1000                     read\n",
            "group id 7                       read\n",
            "root of containers of root       read\n",
            "one reading every 5 s, 2 at once",
            "note: metrics_address is not loopback",
            "note: metrics are served under IP addresses alone",
        ] {
            assert!(report.contains(part), "{part:?} is not in:\n{report}");
        }
        let report = self::report(&named);
        assert!(report.contains("  pve1.example.org"), "{report}");
        assert!(!report.contains("addresses alone"), "{report}");
    }

    #[test]
    fn an_empty_node_list_is_noted() {
        let report = report("allow_idmapped_root = false");
        assert!(report.contains("note: no node can be read"), "{report}");
        assert!(!report.contains("containers"), "{report}");
    }

    #[test]
    fn who_may_connect_is_shown() {
        for (text, expected) in [
            ("", "may connect to it  anybody"),
            ("socket_mode = '0600'", "mode 0600, the daemon's own group"),
            (
                "socket_mode = '0660'\nsocket_group = 'pulse'",
                "mode 0660, group pulse",
            ),
        ] {
            let report = report(text);
            assert!(
                report.contains(expected),
                "{expected:?} is not in:\n{report}"
            );
        }
    }

    #[test]
    fn json_says_the_same() {
        let file = Path::new("c");
        let json = |text: &str| {
            let checked = Checked {
                outcome: outcome(file, text),
                untrusted: Vec::new(),
            };
            as_json(file, &checked)
        };
        let right = json("allowed_nodes = ['::1']\nallowed_peers = [5]");
        assert_eq!(right["valid"], true);
        assert_eq!(right["nodes"][0]["address"], "::1");
        assert_eq!(
            right["peers"][0],
            json!({"uid": 5, "capabilities": ["read"]})
        );
        let wrong = json("\nx = 1");
        assert_eq!(
            (&wrong["valid"], &wrong["line"]),
            (&json!(false), &json!(2))
        );
    }
}
