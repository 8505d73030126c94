//! What is asked: the argument vector, and what came over SSH.
//!
//! Where the helper is a forced command, sshd runs it with the arguments that the
//! administrator wrote and puts what the caller asked for into
//! `SSH_ORIGINAL_COMMAND`. That variable is all the caller controls, so it wins
//! over words in the argument vector, and it never reaches an option.

use crate::confinement::Mode;
use crate::failure::{EXIT_CODES, Failure};
use pulse_sensors::command::{CommandError, NodeCommand};
use std::ffi::{OsStr, OsString};
use std::fmt::Write;
use std::os::unix::ffi::OsStrExt;
use std::path::PathBuf;

/// Where the kernel shows its devices.
const DEFAULT_ROOT: &str = "/sys";

/// How much of an unknown option an error shows, in characters.
const MAX_SHOWN: usize = 64;

/// The program and its version, as `version` and `--version` print it.
pub const VERSION_LINE: &str = concat!("pulse-sensor-node ", env!("CARGO_PKG_VERSION"), "\n");

/// What to do, and on which tree.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Invocation {
    /// The root of the tree of devices.
    pub sys_root: PathBuf,
    /// What if the kernel cannot hold the helper.
    pub confinement: Mode,
    /// What is asked.
    pub request: Request,
}

/// What is asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Request {
    /// `--help`.
    Help,
    /// `--version`.
    Version,
    /// One of the commands.
    Command(NodeCommand),
}

impl Invocation {
    /// Takes the arguments after the program's name, and `SSH_ORIGINAL_COMMAND`
    /// when it is set.
    ///
    /// # Errors
    /// [`Failure::NoCommand`], [`Failure::Refused`] or [`Failure::Option`].
    pub fn parse(
        arguments: impl IntoIterator<Item = OsString>,
        original: Option<&OsStr>,
    ) -> Result<Self, Failure> {
        let given = Given::parse(arguments)?;
        let request = match original {
            Some(text) => command(NodeCommand::parse(text.as_bytes()))?,
            None => given.request()?,
        };
        Ok(Self {
            sys_root: given.sys_root,
            confinement: given.confinement,
            request,
        })
    }
}

/// The argument vector: options first, then words.
struct Given {
    sys_root: PathBuf,
    confinement: Mode,
    shown: Option<Request>,
    words: Vec<OsString>,
}

impl Given {
    fn parse(arguments: impl IntoIterator<Item = OsString>) -> Result<Self, Failure> {
        let mut arguments = arguments.into_iter().peekable();
        let mut given = Self {
            sys_root: DEFAULT_ROOT.into(),
            confinement: Mode::default(),
            shown: None,
            words: Vec::new(),
        };
        while let Some(option) = arguments.next_if(|a| a.as_bytes().starts_with(b"-")) {
            match option.to_str() {
                Some("--help" | "-h") => given.shown = Some(Request::Help),
                Some("--version" | "-V") => given.shown = Some(Request::Version),
                _ => given.take(&option, || arguments.next())?,
            }
        }
        given.words = arguments.collect();
        Ok(given)
    }

    /// An option with a value, which is `next` or stands in the option, after `=`.
    fn take(
        &mut self,
        option: &OsStr,
        next: impl FnOnce() -> Option<OsString>,
    ) -> Result<(), Failure> {
        let text = option.to_str().ok_or_else(|| unknown(option))?;
        let (name, joined) = match text.split_once('=') {
            Some((name, value)) => (name, Some(OsString::from(value))),
            None => (text, None),
        };
        let value = || joined.or_else(next);
        match name {
            "--sys-root" => self.sys_root = directory(value())?,
            "--confinement" => self.confinement = mode(value().as_deref())?,
            _ => return Err(unknown(option)),
        }
        Ok(())
    }

    fn request(&self) -> Result<Request, Failure> {
        if let Some(shown) = self.shown {
            return Ok(shown);
        }
        if self.words.is_empty() {
            return Err(Failure::NoCommand);
        }
        let words: Option<Vec<&str>> = self.words.iter().map(|word| word.to_str()).collect();
        let words = words.ok_or(CommandError::InvalidUtf8);
        command(words.and_then(|words| NodeCommand::from_words(&words)))
    }
}

fn command(parsed: Result<NodeCommand, CommandError>) -> Result<Request, Failure> {
    parsed.map(Request::Command).map_err(Failure::Refused)
}

fn directory(value: Option<OsString>) -> Result<PathBuf, Failure> {
    let missing = || Failure::Option("--sys-root needs a directory".to_owned());
    value.map(PathBuf::from).ok_or_else(missing)
}

fn mode(value: Option<&OsStr>) -> Result<Mode, Failure> {
    let mode = value.and_then(OsStr::to_str).and_then(Mode::parse);
    let wrong = "--confinement is required, best-effort or off";
    mode.ok_or_else(|| Failure::Option(wrong.to_owned()))
}

fn unknown(option: &OsStr) -> Failure {
    let shown: String = option
        .to_string_lossy()
        .escape_debug()
        .take(MAX_SHOWN)
        .collect();
    Failure::Option(format!("unknown option \"{shown}\""))
}

/// What `--help` prints.
#[must_use]
pub fn help() -> String {
    let mut text = HELP.to_owned();
    for (code, meaning) in EXIT_CODES {
        // Writing to a string cannot fail.
        let _ = writeln!(text, "  {code:>2}  {meaning}");
    }
    text
}

const HELP: &str = "\
Reads the temperatures of this machine from /sys, for pulse-sensor-proxy.

Usage: pulse-sensor-node [OPTION]... COMMAND

Commands:
  read                 print one document (a line of JSON)
  serve                answer each line \"read\" on standard input with a document
  version              print the version
  sensors -j           print the same temperatures as \"sensors -j\" does
  ipmitool sdr [type temperature|elist|list]
  ipmitool sensor      print what ipmitool says, if it is installed

Options:
  --sys-root DIR       read DIR instead of /sys
  --confinement required|best-effort|off
                       what if the kernel cannot hold the helper to what it
                       needs: end, say so and go on (the default), do not ask it
  --help, --version    print this text, or the version

No root needed. Where sshd runs it as a forced command, the command is taken
from SSH_ORIGINAL_COMMAND and from nowhere else. In authorized_keys:

  restrict,command=\"/usr/libexec/pulse-sensor-node\" ssh-ed25519 AAAA...

Exit codes:
";
