//! `audit`: the daemon's audit log, for its operator.
//!
//! The log's own library does the work; here it is asked and its answers are
//! shown. Nothing of a record reaches the terminal unescaped: what callers and
//! nodes say is in them.
//!
//! | module | is about |
//! |---|---|
//! | `arguments`, `place` | what is asked, and of which log |
//! | `init`, `qr`, `owner` | beginning a log, for the daemon's user |
//! | `verify`, `state_key`, `snapshots`, `spool`, `progress`, `report` | proving it, and telling the verdict |
//! | `heads` | one record, noted elsewhere |
//! | `show`, `tail`, `row` | its records |
//! | `explain`, `evidence`, `story` | one reading from beginning to seal |
//! | `rotate`, `writer`, `flags` | ending a file that is marked append-only |
//! | `archive`, `packed`, `files` | segments kept elsewhere, packed; read with the log |

mod archive;
mod arguments;
mod evidence;
mod explain;
mod files;
mod flags;
mod heads;
mod init;
mod owner;
mod packed;
mod place;
mod progress;
mod qr;
mod report;
mod rotate;
mod row;
mod show;
mod snapshots;
mod spool;
mod state_key;
mod story;
mod tail;
mod verify;
mod writer;

pub(crate) use arguments::AuditCommand;
pub(crate) use place::{configured, host_name};

use crate::failure::{Ending, Failure, file_remedy};
use crate::screen::Screen;
use crate::shown::{shown, shown_json};
use pulse_audit::{HeadError, InitError, LogError};
use pulse_core::causes::Causes;
use serde_json::Value;
use std::io;
use std::path::{Path, PathBuf};

/// Carries one of the commands out.
///
/// # Errors
/// [`Failure`] when it cannot do what it is for.
pub(crate) fn run(screen: Screen, command: AuditCommand) -> Result<Ending, Failure> {
    match command {
        AuditCommand::Init(options) => init::run(screen, &options),
        AuditCommand::Verify(options) => verify::run(screen, &options),
        AuditCommand::Head(options) => heads::run(screen, &options),
        AuditCommand::Show(options) => show::run(screen, &options),
        AuditCommand::Tail(options) => tail::run(screen, &options),
        AuditCommand::Explain(options) => explain::run(screen, &options),
        AuditCommand::Rotate(options) => rotate::run(screen, &options),
        AuditCommand::Archive(options) => archive::run(screen, &options),
    }
}

/// Prints what a command found out, for programs.
pub(crate) fn print_json(screen: &mut Screen, value: &Value) -> io::Result<()> {
    screen.print_text(&shown_json(&value.to_string()))
}

/// Why something with an audit log cannot be done.
#[derive(Debug, thiserror::Error)]
pub(crate) enum AuditError {
    /// There is no log in the directory.
    #[error(
        "{}: there is no audit log here: `pulse-sensorctl audit init` begins one, and so does the daemon",
        .0.display()
    )]
    NoLog(PathBuf),
    /// A file cannot be read.
    #[error("{what}{error}{}", file_remedy(error))]
    Unreadable {
        /// Which one, with what parts it from the error.
        what: String,
        /// What the system said.
        error: io::Error,
    },
    /// What was named is no regular file.
    #[error("{0}: name the file itself, or - for standard input, which may be a pipe")]
    NotAFile(io::Error),
    /// What was given as a key is none.
    #[error("{}: {reason}", path.display())]
    KeyFile {
        /// Where it was read.
        path: PathBuf,
        /// What is wrong with it.
        reason: String,
    },
    /// What was given as heads is none.
    #[error("{}: {reason}", path.display())]
    HeadFile {
        /// Where it was read.
        path: PathBuf,
        /// What is wrong with it.
        reason: String,
    },
    /// The log has no head.
    #[error(transparent)]
    Head(HeadError),
    /// No record is what was asked for.
    #[error("{}: no record of the log has this number or correlation id: `pulse-sensorctl audit tail` shows the last ones", shown(.0))]
    NoRecord(String),
    /// A record is asked for that retention removed.
    #[error(
        "record {seq} is not in the log any more: retention removed what comes before record {first}. Name an archive of it with --log, if there is one"
    )]
    Removed {
        /// Which one.
        seq: u64,
        /// The first that there is.
        first: u64,
    },
    /// An archive is of another log.
    #[error("{}: it is of another log: name another directory for this one", .0.display())]
    OtherLog(PathBuf),
    /// The log cannot be begun.
    #[error("cannot begin an audit log: {}", Causes(.0))]
    Init(InitError),
    /// Something of a log's place cannot be made or changed.
    #[error(
        "{}cannot {doing}: {error}{}",
        name_before(path, error),
        permission_remedy(error)
    )]
    Change {
        /// What.
        path: PathBuf,
        /// What was being done.
        doing: &'static str,
        /// What the system said.
        error: io::Error,
    },
    /// There is no such user.
    #[error("there is no user \"{}\" here: create it first, or name another with --owner", shown(.0))]
    NoUser(String),
    /// The log cannot be opened to rotate it.
    #[error("cannot rotate the audit log: {}", Causes(.0))]
    Log(LogError),
    /// Whoever writes the log cannot be told.
    #[error("cannot rotate the audit log: {0}")]
    Writer(String),
    /// The file was renamed, and its writer did not begin a new one.
    #[error(
        "process {pid} has not begun a new file within {seconds} s. Nothing is lost: it goes on \
         writing to {}. See its log, tell it again with `kill -USR1 {pid}`, or restart it",
        segment.display()
    )]
    NotFollowed {
        /// Who writes it.
        pid: i32,
        /// How long it was waited for.
        seconds: u64,
        /// What the live file is called now.
        segment: PathBuf,
    },
}

impl AuditError {
    /// A file that cannot be read.
    pub(crate) fn unreadable(path: &Path, error: io::Error) -> Self {
        let what = name_before(path, &error);
        Self::Unreadable { what, error }
    }

    /// An error of the audit library, which names the file.
    pub(crate) fn reading(error: io::Error) -> Self {
        let what = String::new();
        Self::Unreadable { what, error }
    }

    /// One of the documented exit codes.
    pub(crate) fn exit_code(&self) -> u8 {
        match self {
            Self::NoRecord(_) | Self::Removed { .. } => 1,
            Self::NoLog(_)
            | Self::Unreadable { .. }
            | Self::NotAFile(_)
            | Self::KeyFile { .. }
            | Self::HeadFile { .. }
            | Self::Head(_) => 66,
            Self::NotFollowed { .. } => 69,
            Self::Init(_)
            | Self::Change { .. }
            | Self::OtherLog(_)
            | Self::NoUser(_)
            | Self::Log(_)
            | Self::Writer(_) => 73,
        }
    }
}

/// The name that goes before an error, which the library may have put there itself.
fn name_before(path: &Path, error: &io::Error) -> String {
    let path = path.display().to_string();
    if error.to_string().starts_with(&path) {
        String::new()
    } else {
        format!("{path}: ")
    }
}

fn permission_remedy(error: &io::Error) -> &'static str {
    match error.kind() {
        io::ErrorKind::PermissionDenied => ": try as root, or as the daemon's user",
        _ => "",
    }
}
