//! `audit rotate`: the live file becomes a segment, and the log continues in a new one.

use super::change::ChangeError;
use super::files::ReadError;
use super::flags::Lifted;
use super::owner::{Owner, with_rights_of};
use super::place::{WritableLog, WritableLogOptions};
use super::writer;
use crate::error::{CommandError, CommandResult, ErrorCode, Outcome};
use crate::ui::line::{Line, Tone};
use crate::ui::screen::{ColorOption, Screen};
use clap::Args;
use pulse_audit::{Directory, LIVE, Log, LogError, Rotation, Timestamp, rename_live};
use serde_json::json;
use std::borrow::Cow;
use std::io::{self, ErrorKind};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

/// The time that the daemon has to begin a new file.
const NEW_FILE_TIMEOUT: Duration = Duration::from_secs(5);

/// The time between two looks for it.
const POLL_INTERVAL: Duration = Duration::from_millis(20);

/// End the live file and have the daemon begin a new one
///
/// The daemon rotates by itself, by size and age. It cannot where the live file is
/// marked append-only ("chattr +a"): then root does it with this command. The mark is
/// removed for the rename only, and set again, on the new live file too.
///
/// A running daemon is notified with SIGUSR1; it is the process that holds the lock
/// of the state directory (in /proc/locks). Without one, this command opens, seals and
/// rotates the log itself.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  pulse-sensorctl audit rotate
  pulse-sensorctl audit rotate --pid \"$(systemctl show -P MainPID pulse-sensor-proxy)\"")]
pub(crate) struct Options {
    #[command(flatten)]
    place: WritableLogOptions,

    /// The daemon's process, where /proc/locks does not name it
    #[arg(long, value_name = "PID", value_parser = clap::value_parser!(i32).range(1..))]
    pid: Option<i32>,

    /// Print the result as JSON
    #[arg(long)]
    json: bool,

    #[command(flatten)]
    color: ColorOption,
}

/// Why a log is not rotated.
#[derive(Debug, thiserror::Error)]
enum Error {
    /// A daemon has the log, but its process is not known.
    #[error("a daemon writes the log, but /proc/locks does not name its process")]
    UnknownWriter,
    /// The log cannot be opened, sealed or rotated.
    #[error("cannot rotate the audit log")]
    Log(#[from] LogError),
    /// The file system does not permit the rename.
    #[error("cannot rotate the audit log: {0}")]
    NotPermitted(String),
    /// The file was renamed, and its writer did not begin a new one.
    #[error(
        "process {pid} has not begun a new file within {} s. Nothing is lost: it continues to \
         write to {}",
        NEW_FILE_TIMEOUT.as_secs(),
        segment.display()
    )]
    NotFollowed { pid: i32, segment: PathBuf },
}

impl CommandError for Error {
    fn code(&self) -> ErrorCode {
        match self {
            Self::UnknownWriter | Self::Log(_) => ErrorCode::CannotCreate,
            Self::NotPermitted(_) => ErrorCode::PermissionDenied,
            Self::NotFollowed { .. } => ErrorCode::DaemonSilent,
        }
    }

    fn remedy(&self) -> Option<Cow<'static, str>> {
        match self {
            Self::UnknownWriter => Some("name it with --pid".into()),
            Self::Log(_) => None,
            Self::NotPermitted(_) => Some("run as root".into()),
            Self::NotFollowed { pid, .. } => Some(
                format!("see its log, notify it again with `kill -USR1 {pid}`, or restart it")
                    .into(),
            ),
        }
    }
}

/// Carries the command out.
///
/// # Errors
/// When the log cannot be rotated, the daemon does not begin a new file, or stdout cannot be
/// written.
pub(super) fn run(options: Options) -> CommandResult {
    let mut screen = Screen::new(options.color);
    let place = options.place.find()?;
    let log = place.directory.clone();
    let live = log.join(LIVE);
    let pid = options.pid.or_else(|| writer::holder(&place.state));
    // Before anything is renamed: a process that cannot be notified would not follow.
    if let Some(pid) = pid {
        writer::check(pid)?;
    }
    // The kernel refuses to rename an append-only file.
    let mark = Lifted::off(&live).map_err(|error| cannot_rename(&log, error))?;
    let segment = match pid {
        Some(pid) => notify_writer(&log, pid)?,
        None => alone(place)?,
    };
    mark.also_on(&live)
        .map_err(ChangeError::of(&live, "mark the new file append-only"))?;
    if options.json {
        screen.print_json(&json!({
            "segment": segment.display().to_string(),
            "pid": pid,
            "append_only": mark.was_set(),
        }))?;
    } else {
        let writer = match pid {
            Some(pid) => format!(": process {pid} continues in a new {LIVE}"),
            None => format!(": the log continues in a new {LIVE}; no process writes it now"),
        };
        let mut lines = vec![
            Line::new(Tone::Good, "rotated").and(Tone::Plain, writer),
            Line::plain(format!("  {}", segment.display())),
        ];
        if mark.was_set() {
            lines.push(Line::plain("  both are marked append-only (chattr +a)"));
        }
        screen.print(&lines)?;
    }
    Ok(Outcome::Fine)
}

/// The error of a live file that cannot be renamed: there may be none.
fn cannot_rename(log: &Path, error: io::Error) -> Box<dyn CommandError> {
    match error.kind() {
        ErrorKind::NotFound => ReadError::NoLog(log.to_owned()).into(),
        _ => ChangeError::of(&log.join(LIVE), "rotate this file")(error).into(),
    }
}

/// Renames the live file, and waits until its writer has begun another.
fn notify_writer(log: &Path, pid: i32) -> Result<PathBuf, Box<dyn CommandError>> {
    // As with logrotate(8), the writer continues in the renamed file until it reopens the log, so
    // no record is lost.
    let segment = rename_live(log).map_err(|error| cannot_rename(log, error))?;
    writer::notify(pid)?;
    // A signal has no reply; the new file shows that the writer has handled it.
    let begin = Instant::now();
    while !log.join(LIVE).exists() {
        if begin.elapsed() > NEW_FILE_TIMEOUT {
            return Err(Error::NotFollowed { pid, segment }.into());
        }
        std::thread::sleep(POLL_INTERVAL);
    }
    Ok(segment)
}

/// Rotates a log that no process writes, with the rights that the daemon has.
fn alone(place: WritableLog) -> Result<PathBuf, Box<dyn CommandError>> {
    let (log, state) = (&place.directory, &place.state);
    let not_root = |path: &Path| Owner::of_nearest(path).filter(|owner| owner.uid != 0);
    // The directory may be root's with a live file of the daemon's.
    let owner = not_root(log).or_else(|| not_root(&log.join(LIVE)));
    let rotate = || -> Result<Rotation, Box<dyn CommandError>> {
        let storage = Directory::lock(log, state).map_err(|error| cannot_lock(state, error))?;
        let now = Timestamp::now();
        Ok(Log::open(storage, place.settings, now)
            .and_then(|mut log| log.rotate(now))
            .map_err(Error::Log)?)
    };
    match with_rights_of(owner, rotate).map_err(|error| cannot_lock(state, error))?? {
        Rotation::Done(name) => Ok(log.join(name)),
        Rotation::NotPermitted(reason) => Err(Error::NotPermitted(reason).into()),
    }
}

fn cannot_lock(state: &Path, error: io::Error) -> Box<dyn CommandError> {
    match error.kind() {
        // A process has the lock, though /proc/locks did not name it.
        ErrorKind::WouldBlock => Error::UnknownWriter.into(),
        _ => ChangeError::of(state, "use the state directory")(error).into(),
    }
}
