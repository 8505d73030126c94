//! The argument vector and the command of the SSH client.
//!
//! sshd runs a forced command with the arguments that the administrator wrote, and sets
//! `SSH_ORIGINAL_COMMAND` to the client's command. The client controls that variable alone, so it
//! takes precedence over command words in the argument vector, and it is never parsed for options.

use crate::confinement::Mode;
use crate::error::{EXIT_CODES, HelperError};
use pulse_sensors::command::{CommandError, NodeCommand};
use pulse_usage::{Entry, Opt, Section, Usage, Value};
use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::OsStrExt;
use std::path::PathBuf;

/// The mount point of sysfs.
const DEFAULT_ROOT: &str = "/sys";

/// The maximum length of an unknown option in an error message, in characters.
const MAX_OPTION_CHARS: usize = 64;

/// The program and its version, as `version` and `--version` print it.
pub(crate) const VERSION_LINE: &str =
    concat!("pulse-sensor-node ", env!("CARGO_PKG_VERSION"), "\n");

/// The parsed command line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Invocation {
    /// The root of the sensor files.
    pub sys_root: PathBuf,
    /// The behaviour if a confinement layer is not in force.
    pub confinement: Mode,
    /// The request.
    pub request: Request,
}

/// A request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Request {
    /// `--help`.
    Help,
    /// `--version`.
    Version,
    /// A command.
    Command(NodeCommand),
}

impl Invocation {
    /// Parses the arguments after the program's name, and `SSH_ORIGINAL_COMMAND` if it is set.
    ///
    /// # Errors
    /// [`HelperError::NoCommand`], [`HelperError::Refused`] or [`HelperError::Option`].
    pub fn parse(
        arguments: impl IntoIterator<Item = OsString>,
        original: Option<&OsStr>,
    ) -> Result<Self, HelperError> {
        let vector = ArgumentVector::parse(arguments)?;
        let request = match original {
            Some(text) => command(NodeCommand::parse(text.as_bytes()))?,
            None => vector.request()?,
        };
        Ok(Self {
            sys_root: vector.sys_root,
            confinement: vector.confinement,
            request,
        })
    }
}

/// The argument vector: options, then command words.
struct ArgumentVector {
    sys_root: PathBuf,
    confinement: Mode,
    /// `--help` or `--version`.
    information: Option<Request>,
    words: Vec<OsString>,
}

impl ArgumentVector {
    fn parse(arguments: impl IntoIterator<Item = OsString>) -> Result<Self, HelperError> {
        let mut arguments = arguments.into_iter().peekable();
        let mut vector = Self {
            sys_root: DEFAULT_ROOT.into(),
            confinement: Mode::default(),
            information: None,
            words: Vec::new(),
        };
        // Options end at the first word: the rest is the command, which has options of its own.
        while let Some(option) = arguments.next_if(|a| a.as_bytes().starts_with(b"-")) {
            match USAGE
                .option(option.to_str().unwrap_or_default())
                .map(|found| found.id)
            {
                Some(Flag::Help) => vector.information = Some(Request::Help),
                Some(Flag::Version) => vector.information = Some(Request::Version),
                _ => vector.set(&option, || arguments.next())?,
            }
        }
        vector.words = arguments.collect();
        Ok(vector)
    }

    /// Sets an option with a value, which follows `=` or is the next argument.
    fn set(
        &mut self,
        option: &OsStr,
        next: impl FnOnce() -> Option<OsString>,
    ) -> Result<(), HelperError> {
        let text = option.to_str().ok_or_else(|| unknown(option))?;
        let (name, joined) = match text.split_once('=') {
            Some((name, value)) => (name, Some(OsString::from(value))),
            None => (text, None),
        };
        let value = || joined.or_else(next);
        match USAGE.option(name).map(|found| found.id) {
            Some(Flag::SysRoot) => {
                self.sys_root = value()
                    .ok_or_else(|| wrong("--sys-root needs a directory"))?
                    .into();
            }
            Some(Flag::Confinement) => {
                self.confinement = value()
                    .and_then(|value| Mode::parse(value.to_str()?))
                    .ok_or_else(|| wrong("--confinement is required, best-effort or off"))?;
            }
            // These take no value.
            Some(Flag::Version | Flag::Help) | None => return Err(unknown(option)),
        }
        Ok(())
    }

    fn request(&self) -> Result<Request, HelperError> {
        if let Some(information) = self.information {
            return Ok(information);
        }
        if self.words.is_empty() {
            return Err(HelperError::NoCommand);
        }
        command(
            self.words
                .iter()
                .map(|word| word.to_str())
                .collect::<Option<Vec<&str>>>()
                .ok_or(CommandError::InvalidUtf8)
                .and_then(|words| NodeCommand::from_words(&words)),
        )
    }
}

fn command(parsed: Result<NodeCommand, CommandError>) -> Result<Request, HelperError> {
    parsed.map(Request::Command).map_err(HelperError::Refused)
}

fn wrong(problem: &str) -> HelperError {
    HelperError::Option(problem.to_owned())
}

fn unknown(option: &OsStr) -> HelperError {
    let shown: String = option
        .to_string_lossy()
        .escape_debug()
        .take(MAX_OPTION_CHARS)
        .collect();
    HelperError::Option(format!("unknown option \"{shown}\""))
}

/// The options of the command line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Flag {
    /// `--sys-root`.
    SysRoot,
    /// `--confinement`.
    Confinement,
    /// `--version`.
    Version,
    /// `--help`.
    Help,
}

/// The command line, for the parser, `--help`, the manual page and the completions.
pub static USAGE: Usage<Flag> = Usage {
    name: "pulse-sensor-node",
    summary: "print the temperatures of this machine for pulse-sensor-proxy",
    description: "pulse-sensor-node reads the temperatures of this machine from /sys, for \
                  pulse-sensor-proxy. It needs no root.",
    synopsis: &["[OPTION]... COMMAND"],
    commands: &[
        Entry {
            term: "read",
            text: "print one document (a line of JSON)",
        },
        Entry {
            term: "serve",
            text: "reply to each line \"read\" on standard input with a document",
        },
        Entry {
            term: "version",
            text: "print the version",
        },
        Entry {
            term: "sensors -j",
            text: "print the temperatures in the format of \"sensors -j\"",
        },
        Entry {
            term: "ipmitool sdr [type temperature|elist|list]",
            text: "run ipmitool, if it is installed, and print its output",
        },
        Entry {
            term: "ipmitool sensor",
            text: "the same",
        },
    ],
    options: &[
        Opt {
            id: Flag::SysRoot,
            names: &["--sys-root"],
            value: Some(Value::Directory),
            text: "read DIR instead of /sys",
        },
        Opt {
            id: Flag::Confinement,
            names: &["--confinement"],
            value: Some(Value::OneOf("MODE", &["required", "best-effort", "off"])),
            text: "if the kernel lacks a layer of the confinement: required fails, best-effort \
                   warns and goes on (the default); off does not confine the helper",
        },
        Opt {
            id: Flag::Version,
            names: &["-V", "--version"],
            value: None,
            text: "print the version",
        },
        Opt {
            id: Flag::Help,
            names: &["-h", "--help"],
            value: None,
            text: "print this text",
        },
    ],
    sections: &[Section {
        heading: "Forced command",
        text: "If sshd runs it as a forced command, it takes the command from SSH_ORIGINAL_COMMAND \
               alone. In authorized_keys:",
        entries: &[],
        example: Some("restrict,command=\"/usr/libexec/pulse-sensor-node\" ssh-ed25519 AAAA..."),
    }],
    exit_codes: &EXIT_CODES,
};

#[cfg(test)]
mod tests {
    use super::*;

    /// Words of a command as it is typed, with one of its alternatives.
    #[test]
    fn commands_of_the_help_are_accepted() {
        for entry in USAGE.commands {
            let (word, optional) = entry.term.split_once(" [").unwrap_or((entry.term, ""));
            let optional = optional.trim_end_matches(']').split('|');
            for end in optional.chain([""]) {
                let words = format!("{word} {end}");
                let parsed = Invocation::parse(words.split_whitespace().map(OsString::from), None);
                assert!(parsed.is_ok(), "{words}");
            }
        }
    }

    #[test]
    fn confinement_takes_the_words_of_the_help() {
        let option = USAGE.option("--confinement").unwrap();
        let Some(Value::OneOf(_, words)) = option.value else {
            panic!("{option:?}");
        };
        assert!(words.iter().all(|word| Mode::parse(word).is_some()));
    }
}
