//! The command line as a whole. Each command's own options are with the command.

use crate::commands::Command;
use crate::error::{CommandError, EXIT_CODES, ErrorCode};
use crate::ui::escape::escape;
use crate::ui::line::{Line, Tone};
use crate::ui::screen::{is_coloured_by_default, stderr_columns};
use crate::ui::width::width;
use crate::ui::wrap::wrapped;
use clap::{ArgMatches, CommandFactory, FromArgMatches, Parser};
use std::borrow::Cow;
use std::ffi::OsString;
use std::io::{IsTerminal, Write, stderr, stdout};

/// Show temperatures, query the daemon, check its configuration, verify its audit log.
///
/// pulse-sensorctl talks to a running pulse-sensor-proxy over its Unix sockets. Root
/// uses the control socket and has every capability; other users use the socket that
/// Pulse uses, and have what allowed_peers in the configuration gives them.
#[derive(Debug, Parser)]
#[command(name = "pulse-sensorctl", version)]
pub(crate) struct Arguments {
    #[command(subcommand)]
    pub(crate) command: Command,

    /// Errors are printed as JSON: the command has --json, and it was given.
    #[clap(skip)]
    pub(crate) is_json: bool,
}

const EXAMPLES: &str = "\
Examples:
  pulse-sensorctl temps                 the temperatures of every node
  pulse-sensorctl temps pve1 --watch    one node, again every 5 seconds
  pulse-sensorctl status                what works, and what does not
  pulse-sensorctl keys show             the daemon's key, for the nodes
  pulse-sensorctl config check          is the configuration right
  pulse-sensorctl audit tail            the last records of the audit log
  pulse-sensorctl audit verify          is the audit log as it was written
  pulse-sensorctl forward status        do its collectors have all of it";

/// The command line with its examples and exit codes.
pub(crate) fn command() -> clap::Command {
    // An attribute takes constants, and the exit codes are rows of a table.
    let codes = EXIT_CODES.map(|(code, meaning)| format!("\n  {code:>2}  {meaning}"));
    Arguments::command().after_long_help(format!("{EXAMPLES}\n\nExit codes:{}", codes.concat()))
}

/// Parses the arguments, the program's name first.
///
/// # Errors
/// A mistake in them, or the help that was asked for.
pub(crate) fn parse(arguments: &[OsString]) -> Result<Arguments, clap::Error> {
    let matches = command().try_get_matches_from(arguments)?;
    Ok(Arguments {
        is_json: has_json(&matches),
        ..Arguments::from_arg_matches(&matches)?
    })
}

/// True when `--json` is among the arguments, for errors of the parser itself: the command that
/// has the option may not be known.
pub(crate) fn has_json_word(arguments: &[OsString]) -> bool {
    arguments
        .iter()
        .take_while(|argument| *argument != "--")
        .any(|argument| argument == "--json")
}

/// A mistake in the arguments that clap found.
#[derive(Debug, thiserror::Error)]
#[error("{message}")]
pub(crate) struct UsageError {
    message: String,
    remedy: String,
}

impl UsageError {
    /// clap's text in two parts, its tips being the remedy. Its heading and its usage are left
    /// out.
    pub(crate) fn new(error: &clap::Error, arguments: &[OsString]) -> Self {
        let text = error.to_string();
        // clap has no structured form of its messages: this is the layout of its RichFormatter.
        // A value may contain empty lines, so an empty line does not end the message.
        let message: Vec<&str> = text
            .lines()
            .take_while(|line| {
                !["  tip: ", "Usage: ", "For more information"]
                    .iter()
                    .any(|start| line.starts_with(start))
            })
            .map(str::trim)
            .filter(|line| !line.is_empty())
            .collect();
        let message = message.join(" ");
        let tips: Vec<&str> = text
            .lines()
            .filter_map(|line| line.strip_prefix("  tip: "))
            .collect();
        let mut remedy = tips.join("; ");
        if tips.is_empty() {
            // The help of the command that was named. Every option belongs to the innermost
            // command, so subcommands come first.
            let mut command = &Arguments::command();
            let mut path = command.get_name().to_owned();
            for argument in arguments.iter().skip(1) {
                let Some(inner) = command.find_subcommand(argument) else {
                    break;
                };
                command = inner;
                path = format!("{path} {}", command.get_name());
            }
            remedy = format!("see `{path} --help`");
        }
        Self {
            message: message.strip_prefix("error: ").unwrap_or(&message).into(),
            remedy,
        }
    }
}

impl CommandError for UsageError {
    fn code(&self) -> ErrorCode {
        ErrorCode::Usage
    }

    fn remedy(&self) -> Option<Cow<'static, str>> {
        Some(self.remedy.clone().into())
    }
}

/// Prints a mistake on stderr, or the help that was asked for on stdout. On a terminal, headings
/// are coloured: clap can do it too, with six crates more.
pub(crate) fn print(error: &clap::Error) {
    let text = error.to_string();
    let mut lines: Vec<String> = text.lines().map(str::to_owned).collect();
    let (is_terminal, mut stream): (bool, Box<dyn Write>) = if error.use_stderr() {
        // clap breaks the lines of help only. Those that fit are left alone: wrapping would join
        // the blanks by which they are indented.
        let columns = stderr_columns();
        let broken = |line: String| {
            // The text quotes arguments, which a script may have from anywhere.
            let line = escape(&line);
            if columns.is_some_and(|columns| width(&line) > columns) {
                wrapped(&line, columns)
            } else {
                vec![line]
            }
        };
        lines = lines.into_iter().flat_map(broken).collect();
        (columns.is_some(), Box::new(stderr()))
    } else {
        (stdout().is_terminal(), Box::new(stdout()))
    };
    // No --color here: the arguments are wrong, or not all of them were parsed.
    let is_coloured = is_coloured_by_default(is_terminal);
    let text: String = lines
        .iter()
        .map(|line| headed(line).render(is_coloured) + "\n")
        .collect();
    // Without an stdout or stderr there is still the exit code.
    let _ = stream.write_all(text.as_bytes());
}

/// A line of clap's, its heading in a tone of its own.
fn headed(line: &str) -> Line {
    for (heading, tone) in [("error:", Tone::Bad), ("Usage:", Tone::Strong)] {
        if let Some(rest) = line.strip_prefix(heading) {
            return Line::new(tone, heading).and(Tone::Plain, rest);
        }
    }
    let is_heading = line.ends_with(':') && !line.starts_with(' ');
    Line::new(
        if is_heading {
            Tone::Strong
        } else {
            Tone::Plain
        },
        line,
    )
}

/// True when the command, which is the innermost subcommand, was given `--json`.
fn has_json(matches: &ArgMatches) -> bool {
    match matches.subcommand() {
        Some((_, inner)) => has_json(inner),
        // `get_flag` panics for a command that does not have the option.
        None => matches
            .try_get_one("json")
            .is_ok_and(|json| json == Some(&true)),
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

    #[test]
    fn the_command_line_is_consistent() {
        Arguments::command().debug_assert();
    }

    #[test]
    fn watch_takes_a_number_or_none() {
        let parses = |line: &str, part: &str| {
            let arguments = format!("{:?}", parsed(line).unwrap());
            assert!(arguments.contains(part), "{line}: {arguments}");
        };
        parses("temps pve1", "watch: None");
        parses("temps pve1 --watch", "watch: Some(5s)");
        parses("temps --watch 2 pve1", "watch: Some(2s)");
        parses("temps pve1 ::1 -w 0.5 --all", "watch: Some(500ms)");
        parses("temps pve1 ::1 -w 0.5 --all", "all: true");
    }

    #[test]
    fn a_mistake_has_a_remedy() {
        for (line, part) in [
            ("temps --watch pve1", "nodes are named before --watch"),
            ("temps --watch 0", "from 0.1 to 86400"),
            ("temps -- -x", "starts with a letter or a digit"),
            ("rpc get_status [1]", "expected a JSON object"),
            ("rpc get_status {", "this is no JSON"),
            ("temps --json --all", "cannot be used with"),
            ("status --timeout nan", "from 0.1 to 86400"),
            ("stauts", "'status'"),
        ] {
            let error = parsed(line).unwrap_err();
            assert!(error.contains(part), "{line}: {error}");
        }
    }

    #[test]
    fn an_ignored_option_is_refused() {
        for line in [
            "--socket /x status",
            "config check --socket /x",
            "config check --timeout 5",
            "audit show --state-dir /x",
            "audit tail --timeout 5",
            "audit head --color never",
            "audit show --log /x --config /y",
            "audit init --log /x",
            "audit rotate --log /x",
            "audit verify --log /x --config /y",
            "audit archive /a --state-dir /x",
            "keys show --ssh-dir /x --socket /y",
            "keys show --color always",
            "rpc get_status --color always",
            "forward test --socket /x",
            "forward render rsyslog-sender --collector a --log /x --config /y",
            "forward render rsyslog-sender --collector a --json",
        ] {
            assert!(parsed(line).is_err(), "{line}");
        }
    }

    #[test]
    fn headings_of_help_are_coloured() {
        let coloured = |line| headed(line).render(true);
        assert_eq!(coloured("Usage: x"), "\x1b[1mUsage:\x1b[0m x");
        assert_eq!(coloured("Exit codes:"), "\x1b[1mExit codes:\x1b[0m");
        assert_eq!(coloured("error: no"), "\x1b[1;31merror:\x1b[0m no");
        assert_eq!(coloured("  tip: no heading:"), "  tip: no heading:");
    }

    #[test]
    fn json_of_the_innermost_command() {
        for (line, is_json) in [
            ("temps --json", true),
            ("audit verify --json /x", true),
            ("audit verify /x", false),
            ("forward render rsyslog-sender --collector a", false),
        ] {
            assert_eq!(parsed(line).unwrap().is_json, is_json, "{line}");
        }
    }

    #[test]
    fn help_lists_every_exit_code() {
        let help = parsed("--help").unwrap_err();
        for (code, meaning) in EXIT_CODES {
            assert!(help.contains(&format!("{code}  {meaning}")), "{code}");
        }
        assert!(
            help.contains("Examples:") && !help.contains('\u{1b}'),
            "{help}"
        );
    }
}
