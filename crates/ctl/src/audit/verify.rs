//! `audit verify`: is this the log that was written?

use super::arguments::VerifyOptions;
use super::files::may_be_written;
use super::heads;
use super::place::Place;
use super::progress::Progress;
use super::report::Answer;
use super::spool::{STDIN, Spool};
use super::state_key::StateKey;
use super::writer;
use super::{AuditError, print_json};
use crate::failure::{Ending, Failure};
use crate::screen::Screen;
use pulse_audit::verify::{
    Collected, Collection, LogFiles, Options, Report, Source, narrowed, retried, verify,
    verify_against, verify_collected,
};
use pulse_audit::{HeadLine, PublicKey, Timestamp};
use pulse_core::audit_log::retention::Limits;
use std::fs::File;
use std::io::{self, Read};
use std::path::{Path, PathBuf};
use std::time::Duration;

/// A key is 44 characters; a file that is longer is not one.
const MAX_KEY_BYTES: u64 = 4096;

/// Carries the command out.
///
/// # Errors
/// [`Failure`] when there is nothing to verify, or it cannot be read.
pub(crate) fn run(mut screen: Screen, options: &VerifyOptions) -> Result<Ending, Failure> {
    let task = Task::of(options)?;
    let answer = task.carry_out().map_err(Failure::Unverified)?;
    if options.json {
        print_json(&mut screen, &answer.as_json())?;
    } else {
        screen.print(&answer.lines(screen.columns()))?;
    }
    Ok(Ending::Verified(answer.report.verdict))
}

/// On a collector's file, and on the log if it was named.
type Found = (Report, Collected, Option<Report>);

/// What is to be verified, and what is known of it.
struct Task {
    paths: Vec<PathBuf>,
    against: Option<PathBuf>,
    /// The paths are a collector's files.
    collection: Option<Collection>,
    state: StateKey,
    heads: Vec<HeadLine>,
    options: Options,
}

impl Task {
    fn of(asked: &VerifyOptions) -> Result<Self, Failure> {
        let key = key(asked).map_err(Failure::Unverified)?;
        let heads = heads::given(asked).map_err(Failure::Unverified)?;
        let (paths, state) = if asked.paths.is_empty() {
            let place = Place::find(&asked.place)?;
            (vec![place.log], place.state)
        } else {
            (asked.paths.clone(), asked.place.state_dir.clone())
        };
        let named = paths.iter().chain(&asked.against);
        if named.filter(|path| is_stdin(path)).count() > 1 {
            return Err(Failure::VerifyUsage(
                "standard input can be given once only",
            ));
        }
        // Read before the log, which must have reached what is in it by then.
        let state = StateKey::read(state.as_deref());
        let is_written = state.directory().is_some_and(writer::is_held);
        let collection = asked.collected.then(|| Collection {
            host: asked.host.clone(),
            acknowledged: asked.acknowledged,
        });
        let log = match collection {
            Some(_) => asked.against.as_ref(),
            None => paths.last(),
        };
        let options = Options {
            key,
            heads: heads.iter().map(|line| line.head).collect(),
            state: state.keys().cloned(),
            start: asked.since.into(),
            repetitions: asked.repetitions,
            retention: limits(asked)?,
            live: log.is_some_and(|path| may_be_written(path)),
            now: is_written.then(Timestamp::now),
            ..Options::default()
        };
        Ok(Self {
            paths,
            against: asked.against.clone(),
            collection,
            state,
            heads,
            options,
        })
    }

    fn carry_out(self) -> Result<Answer, AuditError> {
        let (report, second, collected) = match (&self.collection, &self.against) {
            (Some(collection), _) => {
                let (report, collected, second) = self.collected(collection)?;
                (report, second, Some(collected))
            }
            (None, None) => (self.alone()?, None, None),
            (None, Some(second)) => {
                let (report, second) = self.compared(second)?;
                (report, Some(second), None)
            }
        };
        Ok(Answer {
            report,
            second,
            collected,
            state: self.state,
            heads: self.heads,
        })
    }

    /// The collector's files are read twice, and so is the log if it was named.
    fn collected(&self, collection: &Collection) -> Result<Found, AuditError> {
        let spool = self.spool()?;
        let files = spool.open_collected(&self.paths)?;
        let mut open = || {
            let log = self.against.as_slice();
            spool.open(log).map_err(io::Error::other)
        };
        let log: Option<&mut dyn FnMut() -> _> = match self.against {
            Some(_) => Some(&mut open),
            None => None,
        };
        let mut progress = Progress::on_stderr(VERIFYING, bytes(&files).map(|total| 2 * total));
        let mut advance = |bytes| progress.advance(bytes);
        verify_collected(files, collection, log, &self.options, &mut advance)
            .map_err(AuditError::reading)
    }

    /// With standard input kept, if it is to be read.
    fn spool(&self) -> Result<Spool, AuditError> {
        let mut spool = Spool::default();
        if self
            .paths
            .iter()
            .chain(&self.against)
            .any(|path| is_stdin(path))
        {
            spool.keep_stdin()?;
        }
        Ok(spool)
    }

    fn alone(&self) -> Result<Report, AuditError> {
        let spool = Spool::default();
        let mut log = Some(self.open(&spool, &self.paths)?);
        let total = log.as_ref().and_then(|log| bytes(&log.files));
        let mut progress = Progress::on_stderr(VERIFYING, total);
        let verified = retried(&mut || {
            let log = match log.take() {
                Some(log) => log,
                None => self.open(&spool, &self.paths).map_err(io::Error::other)?,
            };
            verify(log, &self.options, &mut |bytes| progress.advance(bytes))
        });
        verified.map_err(AuditError::reading)
    }

    /// Each copy is read twice: for itself, and beside the other.
    fn compared(&self, second: &PathBuf) -> Result<(Report, Report), AuditError> {
        let spool = self.spool()?;
        let second = std::slice::from_ref(second);
        let mut sources = self.open(&spool, &self.paths)?.files;
        sources.extend(self.open(&spool, second)?.files);
        let total = bytes(&sources).map(|total| 2 * total);
        let mut progress = Progress::on_stderr(VERIFYING, total);
        let mut open = |is_second| {
            let paths = if is_second { second } else { &self.paths };
            self.open(&spool, paths).map_err(io::Error::other)
        };
        let compared = retried(&mut || {
            let mut advance = |bytes| progress.advance(bytes);
            verify_against(&mut open, &self.options, &mut advance)
        });
        compared.map_err(AuditError::reading)
    }

    /// The files of a copy, without those that need not be read.
    fn open(&self, spool: &Spool, paths: &[PathBuf]) -> Result<LogFiles, AuditError> {
        let LogFiles { seals, files } = spool.open(paths)?;
        let files = match &self.options.start.since() {
            Some(since) => narrowed(files, since),
            None => files,
        };
        Ok(LogFiles { seals, files })
    }
}

/// What verifying is called while it goes on.
const VERIFYING: &str = "verifying";

/// The limits of retention: as they were given, else as the configuration says.
fn limits(asked: &VerifyOptions) -> Result<Option<Limits>, Failure> {
    if asked.retain_days.is_some() || asked.retain_bytes.is_some() {
        let days = asked.retain_days.map(u64::from);
        return Ok(Some(Limits {
            age: days.map(|days| Duration::from_secs(days * 86_400)),
            bytes: asked.retain_bytes,
            unacknowledged: false,
        }));
    }
    let is_configured = asked.paths.is_empty() || asked.place.config.is_some();
    if is_configured {
        return Ok(Place::find(&asked.place)?.retention());
    }
    Ok(None)
}

fn is_stdin(path: &Path) -> bool {
    path == Path::new(STDIN)
}

fn bytes(sources: &[Source]) -> Option<u64> {
    sources.iter().map(Source::bytes).sum()
}

fn key(asked: &VerifyOptions) -> Result<Option<PublicKey>, AuditError> {
    let Some(path) = &asked.key_file else {
        return Ok(asked.key);
    };
    let mut text = String::new();
    File::open(path)
        .and_then(|file| file.take(MAX_KEY_BYTES).read_to_string(&mut text))
        .map_err(|error| AuditError::unreadable(path, error))?;
    text.trim()
        .parse()
        .map(Some)
        .map_err(|reason: pulse_audit::InvalidKey| AuditError::KeyFile {
            path: path.clone(),
            reason: reason.to_string(),
        })
}
