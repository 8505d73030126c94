//! `audit rotate`: the live file becomes a segment, and the log goes on in a new one.

use super::arguments::RotateOptions;
use super::flags::Lifted;
use super::owner::{Owner, with_rights_of};
use super::place::Place;
use super::writer;
use super::{AuditError, print_json};
use crate::failure::{Ending, Failure};
use crate::line::{Line, Tone};
use crate::screen::Screen;
use pulse_audit::{Directory, LIVE, Log, LogError, Rotation, Settings, Timestamp, rename_live};
use serde_json::json;
use std::io::{self, ErrorKind};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

/// How long the daemon may take to begin a new file.
const PATIENCE: Duration = Duration::from_secs(5);

/// How often it is looked for.
const EVERY: Duration = Duration::from_millis(20);

/// Carries the command out.
///
/// # Errors
/// [`Failure`] when it cannot be rotated, or the daemon does not follow.
pub(crate) fn run(mut screen: Screen, options: &RotateOptions) -> Result<Ending, Failure> {
    let place = Place::find(&options.place)?;
    let (log, state) = place.both()?;
    let live = log.join(LIVE);
    let pid = options.pid.or_else(|| writer::holder(state));
    if let Some(pid) = pid {
        writer::check(pid)?;
    }
    let mark = Lifted::off(&live).map_err(|error| cannot_lift(log, &live, error))?;
    let segment = match pid {
        Some(pid) => for_writer(log, pid)?,
        None => alone(log, state, place.settings())?,
    };
    mark.also_on(&live).map_err(|error| AuditError::Change {
        path: live.clone(),
        doing: "mark the new file append-only",
        error,
    })?;
    if options.json {
        let segment = segment.display().to_string();
        let told = json!({"segment": segment, "pid": pid, "append_only": mark.was_set()});
        print_json(&mut screen, &told)?;
    } else {
        screen.print(&told(&segment, pid, mark.was_set()))?;
    }
    Ok(Ending::Done)
}

fn cannot_lift(log: &Path, live: &Path, error: io::Error) -> AuditError {
    match error.kind() {
        ErrorKind::NotFound => AuditError::NoLog(log.to_owned()),
        _ => AuditError::Change {
            path: live.to_owned(),
            doing: "rotate this file",
            error,
        },
    }
}

/// Renames the file, and waits until its writer began another.
fn for_writer(log: &Path, pid: i32) -> Result<PathBuf, AuditError> {
    let segment = rename_live(log).map_err(|error| cannot_lift(log, &log.join(LIVE), error))?;
    writer::tell(pid)?;
    let begin = Instant::now();
    while !log.join(LIVE).exists() {
        if begin.elapsed() > PATIENCE {
            return Err(AuditError::NotFollowed {
                pid,
                seconds: PATIENCE.as_secs(),
                segment,
            });
        }
        std::thread::sleep(EVERY);
    }
    Ok(segment)
}

/// Nobody writes: does what the daemon would do, with the rights it would have.
fn alone(log: &Path, state: &Path, settings: Settings) -> Result<PathBuf, AuditError> {
    let not_root = |path: &Path| Owner::of_nearest(path).filter(|owner| owner.uid != 0);
    let owner = not_root(log).or_else(|| not_root(&log.join(LIVE)));
    let rotation = with_rights_of(owner, || {
        let storage = Directory::lock(log, state).map_err(|error| cannot_lock(state, error))?;
        let now = Timestamp::now();
        let rotate = || -> Result<_, LogError> { Log::open(storage, settings, now)?.rotate(now) };
        rotate().map_err(AuditError::Log)
    });
    match rotation.map_err(|error| cannot_lock(state, error))?? {
        Rotation::Done(name) => Ok(log.join(name)),
        Rotation::NotPermitted(why) => Err(AuditError::Writer(format!("{why}: try as root"))),
    }
}

fn cannot_lock(state: &Path, error: io::Error) -> AuditError {
    match error.kind() {
        ErrorKind::WouldBlock => AuditError::Writer(
            "a daemon writes it, but /proc/locks does not tell which process: name it with --pid"
                .to_owned(),
        ),
        _ => AuditError::Change {
            path: state.to_owned(),
            doing: "use the state directory",
            error,
        },
    }
}

fn told(segment: &Path, pid: Option<i32>, is_marked: bool) -> Vec<Line> {
    let who = match pid {
        Some(pid) => format!(": process {pid} goes on in a new {LIVE}"),
        None => format!(": a new {LIVE} is begun; nobody writes it now"),
    };
    let line = Line::of(Tone::Good, "rotated").and(Tone::Plain, who);
    let segment = Line::plain(format!("  {}", segment.display()));
    let marked = is_marked.then(|| Line::plain("  both are marked append-only (chattr +a)"));
    [line, segment].into_iter().chain(marked).collect()
}
