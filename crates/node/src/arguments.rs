//! The argument vector and the command of the SSH client.
//!
//! sshd runs a forced command with the arguments that the administrator wrote, and sets
//! `SSH_ORIGINAL_COMMAND` to the client's command. The client controls that variable alone, so it
//! takes precedence over command words in the argument vector, and it is never parsed for options.

use crate::confinement::Mode;
use crate::error::{EXIT_CODES, HelperError};
use pulse_sensors::command::{CommandError, NodeCommand};
use std::ffi::{OsStr, OsString};
use std::fmt::Write;
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
            match option.to_str() {
                Some("--help" | "-h") => vector.information = Some(Request::Help),
                Some("--version" | "-V") => vector.information = Some(Request::Version),
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
        match name {
            "--sys-root" => {
                self.sys_root = value()
                    .ok_or_else(|| wrong("--sys-root needs a directory"))?
                    .into();
            }
            "--confinement" => {
                self.confinement = value()
                    .and_then(|value| Mode::parse(value.to_str()?))
                    .ok_or_else(|| wrong("--confinement is required, best-effort or off"))?;
            }
            _ => return Err(unknown(option)),
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

/// The text of `--help`.
pub(crate) fn help() -> String {
    let mut text = HELP.to_owned();
    for (code, meaning) in EXIT_CODES {
        // Writing to a String never fails.
        let _ = writeln!(text, "  {code:>2}  {meaning}");
    }
    text
}

const HELP: &str = "\
Reads the temperatures of this machine from /sys, for pulse-sensor-proxy.

Usage: pulse-sensor-node [OPTION]... COMMAND

Commands:
  read                 print one document (a line of JSON)
  serve                reply to each line \"read\" on standard input with a document
  version              print the version
  sensors -j           print the temperatures in the format of \"sensors -j\"
  ipmitool sdr [type temperature|elist|list]
  ipmitool sensor      run ipmitool, if it is installed, and print its output

Options:
  --sys-root DIR       read DIR instead of /sys
  --confinement required|best-effort|off
                       if the kernel lacks a layer of the confinement: fail, or warn
                       and go on (the default); off: do not confine the helper
  --help, --version    print this text, or the version

It needs no root. If sshd runs it as a forced command, it takes the command from
SSH_ORIGINAL_COMMAND alone. In authorized_keys:

  restrict,command=\"/usr/libexec/pulse-sensor-node\" ssh-ed25519 AAAA...

Exit codes:
";
