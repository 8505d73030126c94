//! What is asked on the command line, and the help that teaches it.

#![expect(
    clippy::doc_markdown,
    reason = "these comments are what --help prints, on a terminal"
)]

use crate::audit::AuditCommand;
use crate::failure::{EXIT_CODES, USAGE, VERIFY_USAGE};
use crate::forward::ForwardCommand;
use clap::builder::NonEmptyStringValueParser;
use clap::{Args, CommandFactory, FromArgMatches, Parser, Subcommand, ValueEnum, ValueHint};
use pulse_core::nodes::name::NodeName;
use serde_json::Value;
use std::ffi::OsString;
use std::path::PathBuf;
use std::time::Duration;

/// The heading of what can be given with every command.
const EVERYWHERE: &str = "Options of every command";

/// The limiter gives one reading per node and this long.
const WATCH_EVERY: &str = "5";

/// A longer time is a typing mistake.
const LONGEST: Duration = Duration::from_hours(24);

/// See temperatures, ask the daemon, check its configuration, try it all out.
///
/// pulse-sensorctl talks to a running pulse-sensor-proxy over its Unix sockets. Root
/// uses the control socket and has every capability; other users use the socket that
/// Pulse uses, and have what allowed_peers in the configuration gives them.
#[derive(Debug, Parser)]
#[command(name = "pulse-sensorctl", version, after_long_help = EXAMPLES)]
pub(crate) struct Arguments {
    /// The daemon's Unix socket [default: the control socket where your user can open
    /// it, else the callers' socket]
    #[arg(
        long,
        global = true,
        help_heading = EVERYWHERE,
        value_name = "PATH",
        env = "PULSE_SENSOR_PROXY_SOCKET",
        hide_env_values = true,
        value_hint = ValueHint::FilePath
    )]
    pub(crate) socket: Option<PathBuf>,

    /// The daemon's control socket, tried before the other one
    #[arg(
        long,
        global = true,
        help_heading = EVERYWHERE,
        value_name = "PATH",
        env = "PULSE_SENSOR_PROXY_CONTROL_SOCKET",
        hide_env_values = true,
        value_hint = ValueHint::FilePath
    )]
    pub(crate) control_socket: Option<PathBuf>,

    /// How long to wait for an answer
    #[arg(
        long,
        global = true,
        help_heading = EVERYWHERE,
        value_name = "SECONDS",
        default_value = "30",
        value_parser = seconds
    )]
    pub(crate) timeout: Duration,

    /// Whether to colour what is shown
    ///
    /// "auto" colours on a terminal, unless NO_COLOR is set.
    #[arg(
        long,
        global = true,
        help_heading = EVERYWHERE,
        value_name = "WHEN",
        value_enum,
        default_value_t = When::Auto,
        hide_possible_values = true
    )]
    pub(crate) color: When,

    #[command(subcommand)]
    pub(crate) command: Command,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum When {
    /// On a terminal, unless NO_COLOR is set
    Auto,
    /// Always
    Always,
    /// Never
    Never,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    Temps(TempsOptions),

    /// Show the daemon's version, its key and what you may do
    #[command(after_help = "\
Examples:
  pulse-sensorctl status
  pulse-sensorctl status --json | jq -r .public_key")]
    Status {
        /// Print the daemon's data as JSON
        #[arg(long)]
        json: bool,
    },

    /// Send a request as it is and show the response
    ///
    /// The methods are get_status, get_temperature and get_temperatures, and for
    /// administrators get_forwarding and replay_forwarding. The exit code is 1 when the
    /// response has "success": false.
    #[command(after_help = "\
Examples:
  pulse-sensorctl rpc get_status
  pulse-sensorctl rpc get_temperature '{\"node\": \"pve1\"}'
  pulse-sensorctl rpc get_temperatures '{\"nodes\": [\"pve1\", \"pve2\"]}'")]
    Rpc {
        /// The method
        #[arg(value_parser = NonEmptyStringValueParser::new())]
        method: String,
        /// Its parameters: a JSON object
        #[arg(value_parser = parameters)]
        params: Option<Value>,
    },

    /// The daemon's configuration
    #[command(subcommand)]
    Config(ConfigCommand),

    /// The daemon's SSH key
    #[command(subcommand)]
    Keys(KeysCommand),

    /// The audit log: begin it, prove it, read it
    ///
    /// Every decision of the daemon is on record, in a chain of hashes with seals
    /// that the key printed by audit init verifies.
    #[command(subcommand)]
    Audit(AuditCommand),

    /// Bring the audit log to a collector: is it there, try the way, send again
    #[command(subcommand)]
    Forward(ForwardCommand),
}

/// Show the temperatures of nodes
///
/// One line for each processor, chip and disk. A "!" marks what is at its own
/// "max" or above, "!!" what is at "crit". Where a sensor has no limits, 70 and
/// 85 °C count for processors, 50 and 60 °C for disks.
///
/// The exit code is 1 when a node could not be read.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  pulse-sensorctl temps                 every node that may be read
  pulse-sensorctl temps pve1 pve2       these nodes
  pulse-sensorctl temps pve1 --all      every sensor that pve1 has
  pulse-sensorctl temps --watch         again every 5 seconds, until Ctrl-C
  pulse-sensorctl temps --json | jq -r '.nodes[] | select(.error) | .error'")]
pub(crate) struct TempsOptions {
    /// The nodes; all that may be read when none is given
    #[arg(value_name = "NODE", value_parser = NodeName::parse)]
    pub(crate) nodes: Vec<NodeName>,

    /// Show every sensor, not the summary
    #[arg(long, short)]
    pub(crate) all: bool,

    /// Print the daemon's data as JSON, one line a reading
    #[arg(long, conflicts_with = "all")]
    pub(crate) json: bool,

    /// Read again every so many seconds [5 when none are given]
    ///
    /// The daemon gives each caller one reading per node every 5 seconds unless
    /// its configuration says otherwise, so a smaller number mostly shows refusals.
    #[arg(
        long,
        short,
        value_name = "SECONDS",
        num_args = 0..=1,
        default_missing_value = WATCH_EVERY,
        value_parser = watch_seconds
    )]
    pub(crate) watch: Option<Duration>,
}

#[derive(Debug, Subcommand)]
pub(crate) enum ConfigCommand {
    /// Find the mistake in a configuration, or say what it allows
    ///
    /// Reads the file and nothing else: no daemon need run. The exit code is 78
    /// when there is a mistake.
    #[command(after_help = "\
Examples:
  pulse-sensorctl config check
  pulse-sensorctl config check ./config.toml
  pulse-sensorctl config check --json | jq .nodes")]
    Check {
        /// The file
        #[arg(
            env = "PULSE_SENSOR_PROXY_CONFIG",
            hide_env_values = true,
            default_value = pulse_core::config::DEFAULT_PATH,
            value_hint = ValueHint::FilePath
        )]
        file: PathBuf,
        /// Print the result as JSON
        #[arg(long)]
        json: bool,
    },
}

#[derive(Debug, Subcommand)]
pub(crate) enum KeysCommand {
    /// Print the line that lets the daemon in, for authorized_keys on the nodes
    ///
    /// The line goes to standard output, what to do with it to standard error.
    #[command(after_help = "\
Examples:
  pulse-sensorctl keys show
  pulse-sensorctl keys show --ssh-dir /var/lib/pulse-sensor-proxy/ssh
  pulse-sensorctl keys show 2>/dev/null >pulse-sensor.pub")]
    Show {
        /// Read the key from this directory instead of asking the daemon
        #[arg(long, value_name = "DIR", value_hint = ValueHint::DirPath)]
        ssh_dir: Option<PathBuf>,
        /// Print the line and its parts as JSON
        #[arg(long)]
        json: bool,
    },
}

const EXAMPLES: &str = "\
Examples:
  pulse-sensorctl temps                 the temperatures of every node
  pulse-sensorctl temps pve1 --watch    one node, again every 5 seconds
  pulse-sensorctl status                is the daemon there, what may I do
  pulse-sensorctl keys show             what to put on the nodes
  pulse-sensorctl config check          is the configuration right
  pulse-sensorctl audit tail            what the daemon did last
  pulse-sensorctl audit verify          is the audit log as it was written
  pulse-sensorctl forward status        does it get to its collectors";

/// Takes the arguments, the program's name first.
///
/// # Errors
/// What is wrong with them, or the help that was asked for.
pub(crate) fn parse(arguments: &[OsString]) -> Result<Arguments, clap::Error> {
    let codes: Vec<String> = EXIT_CODES
        .iter()
        .map(|(code, meaning)| format!("  {code:>2}  {meaning}"))
        .collect();
    let help = format!("{EXAMPLES}\n\nExit codes:\n{}", codes.join("\n"));
    let command = Arguments::command().after_long_help(help);
    Arguments::from_arg_matches(&command.try_get_matches_from(arguments)?)
}

/// The exit code for arguments that were refused. They were not understood, so
/// which command was meant is told by its words alone.
pub(crate) fn usage_code(arguments: &[OsString]) -> u8 {
    let is_verify = arguments
        .windows(2)
        .any(|words| words[0] == "audit" && words[1] == "verify");
    if is_verify { VERIFY_USAGE } else { USAGE }
}

fn seconds(text: &str) -> Result<Duration, String> {
    let number = text.parse().ok();
    let length = number.and_then(|seconds| Duration::try_from_secs_f64(seconds).ok());
    match length {
        Some(length) if (Duration::from_millis(100)..=LONGEST).contains(&length) => Ok(length),
        _ => Err("expected a number of seconds from 0.1 to 86400".to_owned()),
    }
}

fn watch_seconds(text: &str) -> Result<Duration, String> {
    seconds(text).map_err(|problem| format!("{problem}; nodes are named before --watch"))
}

fn parameters(text: &str) -> Result<Value, String> {
    match serde_json::from_str(text) {
        Ok(object @ Value::Object(_)) => Ok(object),
        Ok(_) => Err("expected a JSON object, such as {\"node\": \"pve1\"}".to_owned()),
        Err(error) => Err(format!("this is no JSON: {error}")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(line: &str) -> Result<Arguments, String> {
        let words = std::iter::once("pulse-sensorctl").chain(line.split_whitespace());
        let words: Vec<OsString> = words.map(OsString::from).collect();
        parse(&words).map_err(|error| error.to_string())
    }

    fn temps(line: &str) -> TempsOptions {
        match parsed(line).unwrap().command {
            Command::Temps(options) => options,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn the_command_line_is_consistent() {
        Arguments::command().debug_assert();
    }

    #[test]
    fn watch_takes_a_number_or_none() {
        let seconds = Duration::from_secs;
        assert_eq!(temps("temps pve1").watch, None);
        assert_eq!(temps("temps pve1 --watch").watch, Some(seconds(5)));
        assert_eq!(temps("temps --watch 2 pve1").watch, Some(seconds(2)));
        let options = temps("temps pve1 ::1 -w 0.5 --all");
        assert_eq!(options.watch, Some(Duration::from_millis(500)));
        assert_eq!(options.nodes.len(), 2);
    }

    #[test]
    fn a_mistake_says_what_would_be_right() {
        for (line, part) in [
            ("temps --watch pve1", "nodes are named before --watch"),
            ("temps --watch 0", "from 0.1 to 86400"),
            ("temps -- -x", "starts with a letter or a digit"),
            ("rpc get_status [1]", "expected a JSON object"),
            ("rpc get_status {", "this is no JSON"),
            ("temps --json --all", "cannot be used with"),
            ("status --timeout nan", "from 0.1 to 86400"),
        ] {
            let error = parsed(line).unwrap_err();
            assert!(error.contains(part), "{line}: {error}");
        }
    }

    #[test]
    fn help_lists_every_exit_code_and_hides_what_is_not_for_people() {
        let help = parsed("--help").unwrap_err();
        for (code, meaning) in EXIT_CODES {
            assert!(help.contains(&format!("{code}  {meaning}")), "{code}");
        }
        assert!(help.contains("Examples:"));
        assert!(!help.contains("parent"), "{help}");
    }
}
