//! Heads: printed by `audit head`, and accepted by `audit verify --head`.

use super::place::{LogOptions, sources};
use crate::error::{CommandError, CommandResult, ErrorCode, Outcome, file_remedy};
use crate::ui::screen::Screen;
use clap::Args;
use pulse_audit::{HeadError, HeadLine};
use serde_json::json;
use std::borrow::Cow;
use std::fs::File;
use std::io::{self, Read};
use std::path::{Path, PathBuf};

/// Print the last record's number and hash as one line, to keep elsewhere
///
/// Keep it where this host cannot change it: mail it, print it, send it with each
/// backup. `audit verify --head LINE` then detects that the record is missing,
/// whatever was done to the log and its private directory.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  pulse-sensorctl audit head
  pulse-sensorctl audit head | mail -s audit-head keeper@example.org
  ssh pve1 pulse-sensorctl audit head >>heads-of-pve1.txt")]
pub(crate) struct Options {
    #[command(flatten)]
    place: LogOptions,

    /// Print it as JSON
    #[arg(long)]
    json: bool,
}

/// The log has no last record to print.
#[derive(Debug, thiserror::Error)]
#[error(transparent)]
struct NoHead(HeadError);

impl CommandError for NoHead {
    fn code(&self) -> ErrorCode {
        match self.0 {
            HeadError::Read(_) => ErrorCode::CannotRead,
            _ => ErrorCode::InvalidInput,
        }
    }

    fn remedy(&self) -> Option<Cow<'static, str>> {
        match &self.0 {
            HeadError::Read(error) => file_remedy(error),
            // Its own text has the remedy.
            _ => None,
        }
    }
}

/// Carries the command out.
///
/// # Errors
/// When the log has no last record, or stdout cannot be written.
pub(super) fn run(options: &Options) -> CommandResult {
    let line = HeadLine::of(sources(&options.place.find()?)?).map_err(NoHead)?;
    let mut screen = Screen::plain();
    if options.json {
        screen.print_json(&json!({
            "seq": line.head.seq,
            "epoch": line.epoch,
            "ts": line.ts.to_string(),
            "log_id": line.log_id,
            "event_hash": line.head.hash(),
            "line": line.to_string(),
        }))?;
    } else {
        screen.print_text(&line.to_string())?;
    }
    Ok(Outcome::Fine)
}

/// Why a file of heads cannot be used.
#[derive(Debug, thiserror::Error)]
pub(super) enum HeadFileError {
    /// The file cannot be read.
    #[error("{}", path.display())]
    Unreadable { path: PathBuf, source: io::Error },
    /// It does not hold heads.
    #[error("{}: {reason}", path.display())]
    Invalid { path: PathBuf, reason: String },
}

impl CommandError for HeadFileError {
    fn code(&self) -> ErrorCode {
        match self {
            Self::Unreadable { .. } => ErrorCode::CannotRead,
            Self::Invalid { .. } => ErrorCode::InvalidInput,
        }
    }

    fn remedy(&self) -> Option<Cow<'static, str>> {
        match self {
            Self::Unreadable { source, .. } => file_remedy(source),
            Self::Invalid { .. } => None,
        }
    }
}

/// 16 KiB hold some 100 heads, and one is enough.
const MAX_FILE_BYTES: u64 = 1024 * 1024;

/// The heads in a file, one on each line; empty lines and those that begin with "#" are skipped.
///
/// # Errors
/// [`HeadFileError`], also when there is none.
pub(super) fn read_file(path: &Path) -> Result<Vec<HeadLine>, HeadFileError> {
    let mut text = String::new();
    // The operator names it, and it may be a pipe.
    File::open(path)
        .and_then(|file| file.take(MAX_FILE_BYTES).read_to_string(&mut text))
        .map_err(|source| HeadFileError::Unreadable {
            path: path.to_owned(),
            source,
        })?;
    let wrong = |reason: String| HeadFileError::Invalid {
        path: path.to_owned(),
        reason,
    };
    // Whether more follows is not known: a line that was cut short would be reported as wrong.
    if text.len() as u64 == MAX_FILE_BYTES {
        return Err(wrong("it is too long for a file of heads".to_owned()));
    }
    // Numbered before lines are skipped: an error names the line as an editor counts it.
    let heads: Vec<HeadLine> = (1..)
        .zip(text.lines())
        .filter(|(_, line)| !line.trim().is_empty() && !line.starts_with('#'))
        .map(|(at, line)| {
            line.parse()
                .map_err(|error| wrong(format!("line {at}: {error}")))
        })
        .collect::<Result<_, _>>()?;
    // An empty file proves nothing, and `--head-file` was given as a proof.
    if heads.is_empty() {
        return Err(wrong("there is no head in it".to_owned()));
    }
    Ok(heads)
}
