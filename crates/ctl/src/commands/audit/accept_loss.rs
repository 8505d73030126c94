//! `audit accept-loss`: a log that stopped because another program changed its files continues.

use super::change::ChangeError;
use super::owner::{Owner, with_rights_of};
use super::place::{WritableLog, WritableLogOptions};
use super::writer;
use crate::client::{Client, DaemonError, DaemonOptions};
use crate::error::{CommandError, CommandResult, ErrorCode, Outcome};
use crate::runtime::block_on;
use crate::ui::escape::escape;
use crate::ui::line::{Line, Tone};
use crate::ui::screen::{ColorOption, Screen};
use clap::Args;
use pulse_audit::{ChangedFile, Directory, LIVE, Log, LogError, Timestamp};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use std::borrow::Cow;
use std::io::ErrorKind;
use std::path::Path;

/// Accept that another program changed the log's files, and continue the log
///
/// The daemon stops its log, and refuses every request, when another program renames,
/// removes, cuts, extends or replaces a file of it. Put the files back as they were, and
/// the daemon continues by itself. Where that is not possible, this command continues the
/// log after its last record. A changed live file is kept under another name.
///
/// The acceptance is on record, with your user. It does not make the log intact: "audit
/// verify" reports the missing records as long as they are missing.
///
/// A running daemon is asked over its socket. Without one, this command opens the log
/// itself, with the rights of its owner.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  pulse-sensorctl audit verify          what is missing
  pulse-sensorctl audit accept-loss")]
pub(crate) struct Options {
    #[command(flatten)]
    place: WritableLogOptions,

    #[command(flatten)]
    daemon: DaemonOptions,

    /// Print the result as JSON
    #[arg(long)]
    json: bool,

    #[command(flatten)]
    color: ColorOption,
}

/// A file whose change was accepted, as the daemon sends it.
#[derive(Debug, Deserialize, Serialize)]
struct LostFile {
    file: String,
    change: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    first_seq: Option<u64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    last_seq: Option<u64>,
}

impl From<ChangedFile> for LostFile {
    fn from(changed: ChangedFile) -> Self {
        Self {
            file: changed.file,
            change: changed.change.as_str().to_owned(),
            first_seq: changed.records.map(|(first, _)| first),
            last_seq: changed.records.map(|(_, last)| last),
        }
    }
}

/// The reason that the loss is not accepted.
#[derive(Debug, thiserror::Error)]
#[error("cannot continue the audit log")]
struct Error(#[source] LogError);

impl CommandError for Error {
    fn code(&self) -> ErrorCode {
        ErrorCode::CannotCreate
    }

    fn remedy(&self) -> Option<Cow<'static, str>> {
        match self.0 {
            LogError::NothingLost => {
                Some("`pulse-sensorctl audit verify` says what is wrong with the log".into())
            }
            _ => None,
        }
    }
}

/// Carries the command out.
///
/// # Errors
/// When the log has no loss to accept or cannot be continued, those of the daemon, and when
/// stdout cannot be written.
pub(super) fn run(options: Options) -> CommandResult {
    let mut screen = Screen::new(options.color);
    let place = options.place.find()?;
    let client = options.daemon.client();
    let alone = if writer::is_held(&place.state) {
        None
    } else {
        alone(place)?
    };
    let is_running = alone.is_none();
    let files = match alone {
        Some(files) => files,
        None => ask(&client)?,
    };
    if options.json {
        screen.print_json(&json!({ "files": files, "running": is_running }))?;
        return Ok(Outcome::Fine);
    }
    let next = if is_running {
        ": the daemon continues the log"
    } else {
        ": the daemon can be started"
    };
    let mut lines = vec![Line::new(Tone::Good, "accepted").and(Tone::Plain, next)];
    lines.extend(files.iter().map(LostFile::line));
    screen.print(&lines)?;
    Ok(Outcome::Fine)
}

impl LostFile {
    fn line(&self) -> Line {
        let records = match (self.first_seq, self.last_seq) {
            (Some(first), Some(last)) => format!(", which had records {first} to {last}"),
            _ => String::new(),
        };
        Line::plain(format!(
            "  {} was {}{records}",
            escape(&self.file),
            escape(&self.change)
        ))
    }
}

/// Asks the daemon.
fn ask(client: &Client) -> Result<Vec<LostFile>, Box<dyn CommandError>> {
    #[derive(Deserialize)]
    struct Data {
        files: Vec<LostFile>,
    }
    block_on::<_, DaemonError>(async {
        let data = client.data("accept_loss", Value::Null).await?;
        let data: Data = serde_json::from_str(data.get())
            .map_err(|_| DaemonError::Data("no files of the audit log"))?;
        Ok(data.files)
    })
}

/// Continues a log that no process writes. None when one does.
fn alone(place: WritableLog) -> Result<Option<Vec<LostFile>>, Box<dyn CommandError>> {
    let (log, state) = (&place.directory, &place.state);
    let not_root = |path: &Path| Owner::of_nearest(path).filter(|owner| owner.uid != 0);
    // As for a rotation: the directory may be root's with files of the daemon's. The live file
    // comes last, because it may be the one that another user has put there.
    let owner = not_root(log)
        .or_else(|| not_root(state))
        .or_else(|| not_root(&log.join(LIVE)));
    let accept = || -> Result<Option<Vec<LostFile>>, Box<dyn CommandError>> {
        let storage = match Directory::lock(log, state) {
            Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(None),
            lock => lock.map_err(ChangeError::of(state, "use the state directory"))?,
        };
        let by = format!("uid:{}", nix::unistd::getuid());
        let (_, files) =
            Log::accept_loss(storage, place.settings, Timestamp::now(), &by).map_err(Error)?;
        Ok(Some(files.into_iter().map(LostFile::from).collect()))
    };
    with_rights_of(owner, accept).map_err(ChangeError::of(state, "use the state directory"))?
}
