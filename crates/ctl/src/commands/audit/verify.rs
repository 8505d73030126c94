//! `audit verify`: is the log as it was written?

use super::files::{ReadError, may_be_written};
use super::head::read_file;
use super::place::LogOptions;
use super::report::Answer;
use super::spool::{STDIN, Spool};
use super::state_key::StateKey;
use super::writer;
use crate::error::{CommandError, CommandResult, ErrorCode, Outcome, file_remedy};
use crate::ui::progress::Progress;
use crate::ui::screen::{ColorOption, Screen};
use clap::{Args, ValueHint};
use pulse_audit::verify::{
    Collected, Collection, LogFiles, Options as VerifierOptions, Report, Since, Source, Verdict,
    narrowed, retried, verify, verify_against, verify_collected,
};
use pulse_audit::{HeadLine, InvalidKey, PublicKey, Timestamp};
use pulse_core::audit_log::retention::Limits;
use std::borrow::Cow;
use std::fs::File;
use std::io::{self, Read};
use std::path::{Path, PathBuf};
use std::time::Duration;

/// A key is 44 characters; a file that is longer is not one.
const MAX_KEY_BYTES: u64 = 4096;

/// Headings of `--help`.
const PLACE: &str = "Which log";
const RETENTION: &str = "Retention";
const COLLECTED: &str = "A collector's files";

/// Verify that a log is as it was written, or name what was done to it
///
/// Every record must hash to what it says and continue the one before; every seal
/// must be signed by the key that the seal before named, and the first one by the
/// key that `audit init` printed. Works while the daemon writes.
///
/// A missing end is detected with the private key in the state directory, a line
/// that `audit head` printed earlier, or another copy.
///
/// The exit code is 0 when the log is intact, 1 when it is not, and 3 when nothing
/// is wrong but something was taken on the log's own word (no --key, only a part,
/// nothing that proves its end).
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  pulse-sensorctl audit verify --key-file /root/audit.key
  pulse-sensorctl audit verify --key KEY --head-file heads.txt /mnt/backup/sensor-proxy
  pulse-sensorctl audit verify --key KEY --against /mnt/collector/audit.log
  pulse-sensorctl audit verify --key KEY --head \"$(tail -n 1 heads.txt)\"
  pulse-sensorctl audit verify --key KEY --collected /var/log/pulse.log
  pulse-sensorctl audit verify --since 2026-11-21 --json | jq .verdict")]
pub(crate) struct Options {
    /// A directory, files in their order, or - for standard input
    ///
    /// Without any, the log that the configuration names.
    #[arg(value_name = "PATH", conflicts_with = "log", value_hint = ValueHint::AnyPath)]
    paths: Vec<PathBuf>,

    #[command(flatten)]
    place: LogOptions,

    /// The private directory that holds the key of the next seal
    #[arg(long, value_name = "DIR", help_heading = PLACE, value_hint = ValueHint::DirPath)]
    state_dir: Option<PathBuf>,

    /// The verification key, as audit init printed it
    #[arg(long, value_name = "KEY")]
    key: Option<PublicKey>,

    /// A file with the verification key
    #[arg(long, value_name = "FILE", conflicts_with = "key", value_hint = ValueHint::FilePath)]
    key_file: Option<PathBuf>,

    /// A line that `audit head` printed: the log must hold this record (repeatable)
    ///
    /// It proves that nothing before the record is missing, also when the log and
    /// its private directory were put back to an older state together.
    #[arg(long = "head", value_name = "LINE")]
    heads: Vec<HeadLine>,

    /// A file with such lines, one for each head; "#" begins a comment
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath)]
    head_file: Option<PathBuf>,

    /// Compare with another copy: a directory, a file, or - for standard input
    ///
    /// It may lag behind, begin later and repeat records, as a collector's copy
    /// does; what it has must be in the log, unchanged. Standard input is kept in
    /// a temporary file meanwhile.
    #[arg(long, value_name = "PATH", value_hint = ValueHint::AnyPath)]
    against: Option<PathBuf>,

    /// Verify from this record or time (UTC) on only
    ///
    /// That is faster, and proves less: what comes before, and the key that was
    /// reached there, are taken on the log's own word.
    #[arg(long, value_name = "SEQ|TIME")]
    since: Option<Since>,

    /// Skip exact repetitions, as a collector's file may have them
    #[arg(long)]
    repetitions: bool,

    /// The paths are a collector's files: name every gap, and from where to replay
    ///
    /// Syslog headers and lines of others are passed over, records may come late, in
    /// any order and more than once, and the first may be missing. With --against, the
    /// log itself is named there.
    #[arg(
        long,
        help_heading = COLLECTED,
        requires = "paths",
        conflicts_with_all = ["since", "repetitions"]
    )]
    collected: bool,

    /// Only lines whose header has this word, where several hosts send to one file
    #[arg(long, value_name = "NAME", help_heading = COLLECTED, requires = "collected")]
    host: Option<String>,

    /// The last record that the collector acknowledged: then an end that was cut off
    /// is told from one that was not sent yet
    #[arg(long, value_name = "SEQ", help_heading = COLLECTED, requires = "collected")]
    acknowledged: Option<u64>,

    /// Records were to be kept for so many days: a removal that came earlier is named
    ///
    /// Without this and the next one, the limits of the configuration are taken.
    #[arg(
        long,
        value_name = "DAYS",
        help_heading = RETENTION,
        value_parser = clap::value_parser!(u32).range(1..)
    )]
    retain_days: Option<u32>,

    /// The log was to keep so many bytes
    #[arg(
        long,
        value_name = "BYTES",
        help_heading = RETENTION,
        value_parser = clap::value_parser!(u64).range(1..)
    )]
    retain_bytes: Option<u64>,

    /// Print the report as JSON
    #[arg(long)]
    json: bool,

    #[command(flatten)]
    color: ColorOption,
}

/// Why a log cannot be verified.
#[derive(Debug, thiserror::Error)]
enum Error {
    /// Two paths are standard input.
    #[error("standard input can be given once only")]
    StdinTwice,
    /// The file of the verification key cannot be read.
    #[error("{}", path.display())]
    KeyUnreadable { path: PathBuf, source: io::Error },
    /// The file does not hold a verification key.
    #[error("{}", path.display())]
    NotAKey { path: PathBuf, source: InvalidKey },
}

impl CommandError for Error {
    fn code(&self) -> ErrorCode {
        match self {
            Self::StdinTwice => ErrorCode::Usage,
            Self::KeyUnreadable { .. } => ErrorCode::CannotRead,
            Self::NotAKey { .. } => ErrorCode::InvalidInput,
        }
    }

    fn remedy(&self) -> Option<Cow<'static, str>> {
        match self {
            Self::KeyUnreadable { source, .. } => file_remedy(source),
            Self::StdinTwice | Self::NotAKey { .. } => None,
        }
    }
}

/// Carries the command out.
///
/// # Errors
/// When a key, a head or the log cannot be read, or stdout not written.
pub(super) fn run(options: Options) -> CommandResult {
    let mut screen = Screen::new(options.color);
    let is_json = options.json;
    let answer = Task::new(options)?.carry_out()?;
    if is_json {
        screen.print_json(&answer.as_json())?;
    } else {
        screen.print(&answer.lines(screen.columns()))?;
    }
    Ok(match answer.report.verdict {
        Verdict::Intact => Outcome::Fine,
        Verdict::Broken => Outcome::Finding,
        Verdict::Unproven => Outcome::Unproven,
    })
}

/// The report on a collector's files, and on the log if it was named.
type Found = (Report, Collected, Option<Report>);

/// A log to verify, and what is known of it.
struct Task {
    paths: Vec<PathBuf>,
    against: Option<PathBuf>,
    /// The paths are a collector's files.
    collection: Option<Collection>,
    state: StateKey,
    heads: Vec<HeadLine>,
    options: VerifierOptions,
}

impl Task {
    fn new(asked: Options) -> Result<Self, Box<dyn CommandError>> {
        let key = match &asked.key_file {
            Some(path) => Some(read_key(path)?),
            None => asked.key,
        };
        let mut heads = asked.heads.clone();
        if let Some(path) = &asked.head_file {
            heads.extend(read_file(path)?);
        }
        // The configuration is read only where it says which log, or where it was named.
        let config = if asked.place.config.config.is_some()
            || (asked.paths.is_empty() && asked.place.named().is_none())
        {
            Some(asked.place.config.read()?.audit)
        } else {
            None
        };
        // A copy was pruned by the limits of its own host, which the configuration here may not
        // have: limits on the command line replace the configured ones as a whole.
        let days = asked.retain_days.map(u64::from);
        let limits = (days.is_some() || asked.retain_bytes.is_some()).then(|| Limits {
            age: days.map(|days| Duration::from_secs(days * 86_400)),
            bytes: asked.retain_bytes,
            unacknowledged: false,
        });
        let retention = limits.or(config.as_ref().map(|audit| audit.retention));
        let (paths, state) = match (asked.place.named(), config) {
            (None, Some(audit)) if asked.paths.is_empty() => (
                vec![audit.directory().to_owned()],
                Some(asked.state_dir.unwrap_or(audit.state_dir)),
            ),
            (log, _) => (
                log.into_iter().chain(asked.paths).collect(),
                asked.state_dir,
            ),
        };
        let named = paths.iter().chain(&asked.against);
        if named.filter(|path| is_stdin(path)).count() > 1 {
            return Err(Error::StdinTwice.into());
        }
        // Read before the log, which must have reached what is in it by then.
        let state = StateKey::read(state.as_deref());
        // Only a log that a daemon writes now must have recent seals: an old copy need not.
        let is_written = state.directory().is_some_and(writer::is_held);
        let collection = asked.collected.then(|| Collection {
            host: asked.host.clone(),
            acknowledged: asked.acknowledged,
        });
        let log = match collection {
            Some(_) => asked.against.as_ref(),
            None => paths.last(),
        };
        let options = VerifierOptions {
            key,
            heads: heads.iter().map(|line| line.head).collect(),
            state: state.keys().cloned(),
            start: asked.since.into(),
            repetitions: asked.repetitions,
            retention,
            live: log.is_some_and(|path| may_be_written(path)),
            now: is_written.then(Timestamp::now),
            ..VerifierOptions::default()
        };
        Ok(Self {
            paths,
            against: asked.against,
            collection,
            state,
            heads,
            options,
        })
    }

    fn carry_out(self) -> Result<Answer, ReadError> {
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
    fn collected(&self, collection: &Collection) -> Result<Found, ReadError> {
        let spool = self.spool()?;
        let files = spool.open_collected(&self.paths)?;
        let mut open = || {
            spool
                .open(self.against.as_slice())
                .map_err(io::Error::other)
        };
        let log: Option<&mut dyn FnMut() -> _> = match self.against {
            Some(_) => Some(&mut open),
            None => None,
        };
        let mut progress = Progress::on_stderr(VERIFYING, bytes(&files).map(|total| 2 * total));
        let mut advance = |bytes| progress.advance(bytes);
        verify_collected(files, collection, log, &self.options, &mut advance)
            .map_err(ReadError::from_library)
    }

    /// With standard input kept, if it is to be read.
    fn spool(&self) -> Result<Spool, ReadError> {
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

    fn alone(&self) -> Result<Report, ReadError> {
        let spool = Spool::default();
        let mut log = Some(self.open(&spool, &self.paths)?);
        let total = log.as_ref().and_then(|log| bytes(&log.files));
        let mut progress = Progress::on_stderr(VERIFYING, total);
        // Retention may remove a segment between the listing and the reading: then the log is
        // listed again.
        let verified = retried(&mut || {
            let log = match log.take() {
                Some(log) => log,
                None => self.open(&spool, &self.paths).map_err(io::Error::other)?,
            };
            verify(log, &self.options, &mut |bytes| progress.advance(bytes))
        });
        verified.map_err(ReadError::from_library)
    }

    /// Each copy is read twice: for itself, and beside the other.
    fn compared(&self, second: &PathBuf) -> Result<(Report, Report), ReadError> {
        let spool = self.spool()?;
        let second = std::slice::from_ref(second);
        let mut sources = self.open(&spool, &self.paths)?.files;
        sources.extend(self.open(&spool, second)?.files);
        let mut progress = Progress::on_stderr(VERIFYING, bytes(&sources).map(|total| 2 * total));
        let mut open = |is_second| {
            self.open(&spool, if is_second { second } else { &self.paths })
                .map_err(io::Error::other)
        };
        let compared = retried(&mut || {
            let mut advance = |bytes| progress.advance(bytes);
            verify_against(&mut open, &self.options, &mut advance)
        });
        compared.map_err(ReadError::from_library)
    }

    /// The files of a copy, without those that need not be read.
    fn open(&self, spool: &Spool, paths: &[PathBuf]) -> Result<LogFiles, ReadError> {
        let LogFiles { seals, files } = spool.open(paths)?;
        let files = match &self.options.start.since() {
            Some(since) => narrowed(files, since),
            None => files,
        };
        Ok(LogFiles { seals, files })
    }
}

/// The name of the work in the progress bar.
const VERIFYING: &str = "verifying";

fn is_stdin(path: &Path) -> bool {
    path == Path::new(STDIN)
}

fn bytes(sources: &[Source]) -> Option<u64> {
    // None as soon as one is a pipe: its length is unknown.
    sources.iter().map(Source::bytes).sum()
}

/// The verification key in a file.
fn read_key(path: &Path) -> Result<PublicKey, Error> {
    let mut text = String::new();
    let path = path.to_owned();
    // Opened without the checks of `pulse_files`: the operator names it, and it may be a pipe.
    match File::open(&path).and_then(|file| file.take(MAX_KEY_BYTES).read_to_string(&mut text)) {
        Ok(_) => text
            .trim()
            .parse()
            .map_err(|source| Error::NotAKey { path, source }),
        Err(source) => Err(Error::KeyUnreadable { path, source }),
    }
}
