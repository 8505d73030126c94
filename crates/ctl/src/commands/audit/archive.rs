//! `audit archive`: sealed segments, compressed, in another directory.
//!
//! An archive has its name only when it is complete: it is written under another name, synced,
//! read back and compared with the segment, and then renamed. So one that has its name is left
//! as it is, and the command can be run again after any failure. The log is only read.

use super::change::ChangeError;
use super::files::{ReadError, archives, open_file};
use super::packed::{SUFFIX, Unpacked, pack};
use super::place::LogOptions;
use crate::error::{CommandError, CommandResult, ErrorCode, Outcome};
use crate::ui::escape::escape;
use crate::ui::line::{Line, Tone};
use crate::ui::progress::Progress;
use crate::ui::screen::{ColorOption, Screen};
use clap::{Args, ValueHint};
use pulse_audit::show::{Filter, last, records};
use pulse_audit::verify::Source;
use pulse_audit::{LIVE, LogEventType, RegularFile, SEALS, segment_start};
use pulse_core::audit_log::growth::readable;
use serde_json::json;
use std::borrow::Cow;
use std::collections::BTreeMap;
use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::{self, BufRead, BufReader, ErrorKind, Read, Seek, SeekFrom, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

/// The mode of the log's own files.
const FILE_MODE: u32 = 0o640;
const DIRECTORY_MODE: u32 = 0o700;
/// No line of a log is longer.
const MAX_LINE_BYTES: u64 = 4096;

/// Copy and compress sealed segments, before retention removes them
///
/// Each segment that a seal covers to its end is written to DIR with ".zst" after its name,
/// read back and compared. Archived segments are left as they are, so a timer can run this.
/// Nothing is removed from the log. The seals of what retention removed are copied too.
///
/// "audit verify DIR LOG" reads archives and log as one, and so does zstd(1).
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  pulse-sensorctl audit archive /srv/archive/pve1
  pulse-sensorctl audit verify --key KEY /srv/archive/pve1 /var/log/pulse/sensor-proxy
  pulse-sensorctl audit show --log /srv/archive/pve1 --node pve1")]
pub(crate) struct Options {
    /// The directory for archives; created for its owner alone where it is missing
    #[arg(value_name = "DIR", value_hint = ValueHint::DirPath)]
    directory: PathBuf,

    #[command(flatten)]
    place: LogOptions,

    /// Print the result as JSON
    #[arg(long)]
    json: bool,

    #[command(flatten)]
    color: ColorOption,
}

/// Why a log is not archived.
#[derive(Debug, thiserror::Error)]
enum Error {
    /// The archive's directory is the log's.
    #[error("an archive beside the log is lost with it: name another directory")]
    SameDirectory,
    /// An archive is of another log.
    #[error("{}: it is of another log", .0.display())]
    OtherLog(PathBuf),
}

impl CommandError for Error {
    fn code(&self) -> ErrorCode {
        match self {
            Self::SameDirectory => ErrorCode::Usage,
            Self::OtherLog(_) => ErrorCode::CannotCreate,
        }
    }

    fn remedy(&self) -> Option<Cow<'static, str>> {
        match self {
            Self::SameDirectory => None,
            Self::OtherLog(_) => Some("name another directory for this one".into()),
        }
    }
}

/// A segment, and the last record that can be in it.
struct Segment {
    path: PathBuf,
    name: String,
    first: u64,
    last: u64,
}

/// The result.
#[derive(Default)]
struct Done {
    /// Names, bytes before and after.
    written: Vec<(String, u64, u64)>,
    /// Segments that were archived before.
    kept: u64,
    /// Segments that no seal covers whole yet.
    unsealed: u64,
    /// The records of all that are archived now.
    records: Option<(u64, u64)>,
    /// The bytes of the seals of what was removed.
    seals: Option<u64>,
}

/// Carries the command out.
///
/// # Errors
/// When there is no log, or an archive or stdout cannot be written.
pub(super) fn run(options: &Options) -> CommandResult {
    let mut screen = Screen::new(options.color);
    let log = options.place.find()?;
    let to = &options.directory;
    // A directory that does not exist yet has no canonical path, and is not the log's.
    if matches!((log.canonicalize(), to.canonicalize()), (Ok(a), Ok(b)) if a == b) {
        return Err(Error::SameDirectory.into());
    }
    let done = archive(&log, to)?;
    if options.json {
        let written = done.written.iter().map(|(name, bytes, packed)| {
            json!({"segment": name, "bytes": bytes, "packed_bytes": packed})
        });
        screen.print_json(&json!({
            "written": written.collect::<Vec<_>>(),
            "already_archived": done.kept,
            "not_sealed_yet": done.unsealed,
            "records": done.records.map(|(from, to)| json!({"from": from, "to": to})),
            "seals_bytes": done.seals,
        }))?;
    } else {
        screen.print(&done.lines(to))?;
    }
    Ok(Outcome::Fine)
}

fn archive(log: &Path, to: &Path) -> Result<Done, Box<dyn CommandError>> {
    // The log comes first: a wrong path creates no directory.
    let (segments, sealed) = look(log)?;
    DirBuilder::new()
        .recursive(true)
        .mode(DIRECTORY_MODE)
        .create(to)
        .map_err(ChangeError::of(to, "create this directory"))?;
    let (sealed, unsealed): (Vec<_>, Vec<_>) =
        segments.into_iter().partition(|one| one.last <= sealed);
    let mut done = Done {
        unsealed: unsealed.len() as u64,
        ..Done::default()
    };
    let existing: BTreeMap<u64, PathBuf> = archives(to)
        .map_err(ReadError::of(to))?
        .into_iter()
        .collect();
    let total = sealed
        .iter()
        .filter(|one| !existing.contains_key(&one.first))
        .filter_map(|one| Some(fs::symlink_metadata(&one.path).ok()?.len()))
        .sum();
    let mut progress = Progress::on_stderr("archiving", Some(total));
    for segment in &sealed {
        match existing.get(&segment.first) {
            // It got its name after it was compared as a whole, so its first record suffices.
            Some(archived) => {
                check_same_log(segment, archived)?;
                done.kept += 1;
            }
            None => match segment.archive(to, &mut progress)? {
                Some(bytes) => done.written.push((segment.name.clone(), bytes.0, bytes.1)),
                // Retention removed it meanwhile.
                None => continue,
            },
        }
        let first = done.records.map_or(segment.first, |(first, _)| first);
        done.records = Some((first, segment.last));
    }
    done.seals = archive_seals(log, to)?;
    Ok(done)
}

/// The segments of a log, oldest first, and the last record that a seal covers.
fn look(log: &Path) -> Result<(Vec<Segment>, u64), ReadError> {
    let mut names = Vec::new();
    for entry in fs::read_dir(log).map_err(ReadError::of(log))? {
        let name = entry.map_err(ReadError::of(log))?.file_name();
        let name = name.into_string().unwrap_or_default();
        names.extend(segment_start(&name).map(|first| (first, name)));
    }
    names.sort_unstable();
    let live = log.join(LIVE);
    if !live.exists() && names.is_empty() {
        return Err(ReadError::NoLog(log.to_owned()));
    }
    // The last segment ends before the live file's first record. Without a live file that has
    // begun, that end is unknown, and the last segment is left for a later run.
    let begun = records(vec![Source::path(&live)], Filter::default()).next();
    let begun = match begun.transpose() {
        Err(error) if error.kind() == ErrorKind::NotFound => None,
        begun => begun.map_err(ReadError::from_library)?,
    };
    let end = begun.map(|record| record.seq).filter(|seq| *seq > 0);
    let nexts = names.iter().skip(1).map(|(first, _)| *first).chain(end);
    let segments: Vec<Segment> = names
        .iter()
        .zip(nexts)
        .map(|((first, name), next)| Segment {
            path: log.join(name),
            name: name.clone(),
            first: *first,
            last: next.saturating_sub(1),
        })
        .collect();
    // The seal that covers the last segment's end may be in the live file.
    let filter = Filter {
        event: Some(LogEventType::Sealed.as_str().to_owned()),
        ..Filter::default()
    };
    let sources = segments.iter().map(|one| Source::path(&one.path));
    let sources = sources.chain(end.map(|_| Source::path(&live))).collect();
    let seal = last(sources, &filter, 1).map_err(ReadError::from_library)?;
    Ok((segments, seal.first().map_or(0, |seal| seal.seq)))
}

impl Segment {
    /// Compresses it, and returns its bytes before and after; none when it was removed
    /// meanwhile.
    fn archive(
        &self,
        to: &Path,
        progress: &mut Progress,
    ) -> Result<Option<(u64, u64)>, Box<dyn CommandError>> {
        let mut file = match RegularFile::open(&self.path) {
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
            file => file.map_err(ReadError::from_library)?,
        };
        let archived = to.join(format!("{}{SUFFIX}", self.name));
        let (mut bytes, mut packed) = (0, 0);
        write_whole(&archived, |unfinished| {
            let counted = Progressing {
                inner: file.by_ref(),
                count: &mut bytes,
                progress,
            };
            pack(counted, &mut *unfinished)?;
            // Synced before it is read back: fsync(2) returns late errors of writing.
            unfinished.sync_all()?;
            packed = unfinished.stream_position()?;
            file.seek(SeekFrom::Start(0))?;
            unfinished.seek(SeekFrom::Start(0))?;
            compare(&mut file, &mut Unpacked::of(&mut *unfinished))
        })?;
        Ok(Some((bytes, packed)))
    }
}

/// Writes a file that gets its name when it is complete and on disk.
fn write_whole(
    path: &Path,
    write: impl FnOnce(&mut File) -> io::Result<()>,
) -> Result<(), ChangeError> {
    let directory = path.parent().unwrap_or(Path::new("/"));
    // Neither a segment's name nor an archive's begins with a dot, so no reader opens it.
    let unfinished = directory.join(format!(
        ".{}.new",
        path.file_name().unwrap_or_default().display()
    ));
    let write = || {
        // An earlier attempt may have left one.
        match fs::remove_file(&unfinished) {
            Err(error) if error.kind() != ErrorKind::NotFound => return Err(error),
            _ => (),
        }
        // O_EXCL follows no link that somebody else put there.
        let mut options = OpenOptions::new();
        options.read(true).write(true).create_new(true);
        let mut file = options.mode(FILE_MODE).open(&unfinished)?;
        write(&mut file)?;
        // The content is synced, then the name appears, then the name is synced (fsync(2)): after
        // a crash there is a complete archive or none.
        fs::rename(&unfinished, path)?;
        File::open(directory)?.sync_all()
    };
    let written = write();
    if written.is_err() {
        // Else the next attempt removes it.
        let _ = fs::remove_file(&unfinished);
    }
    written.map_err(ChangeError::of(path, "write this archive"))
}

/// Compares the bytes of two readers.
///
/// # Errors
/// Theirs, or that the bytes differ.
fn compare(one: &mut impl Read, other: &mut impl Read) -> io::Result<()> {
    let (mut one, mut other) = (BufReader::new(one), BufReader::new(other));
    loop {
        let (mine, theirs) = (one.fill_buf()?, other.fill_buf()?);
        // The buffers may hold different amounts: what both have is compared.
        let count = mine.len().min(theirs.len());
        if mine.is_empty() && theirs.is_empty() {
            return Ok(());
        }
        if count == 0 || mine[..count] != theirs[..count] {
            return Err(io::Error::other(
                "the bytes read back differ from those written: is the disk failing?",
            ));
        }
        one.consume(count);
        other.consume(count);
    }
}

/// Checks that an archive is of the same log, by its first record.
fn check_same_log(segment: &Segment, archived: &Path) -> Result<(), Box<dyn CommandError>> {
    let first_line = |reader: &mut dyn Read| {
        let mut line = Vec::new();
        BufReader::new(reader.take(MAX_LINE_BYTES)).read_until(b'\n', &mut line)?;
        io::Result::Ok(line)
    };
    let mut own = match RegularFile::open(&segment.path) {
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(()),
        own => own.map_err(ReadError::from_library)?,
    };
    let mut theirs = Unpacked::of(open_file(archived)?);
    let own = first_line(&mut own).map_err(ReadError::from_library)?;
    if own == first_line(&mut theirs).map_err(ReadError::of(archived))? {
        Ok(())
    } else {
        Err(Error::OtherLog(archived.to_owned()).into())
    }
}

/// Copies the seals of removed segments, and returns their bytes, if there are any.
fn archive_seals(log: &Path, to: &Path) -> Result<Option<u64>, Box<dyn CommandError>> {
    let path = log.join(SEALS);
    let file = match RegularFile::open(&path) {
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
        file => file.map_err(ReadError::from_library)?,
    };
    // What the daemon appends meanwhile comes with the next archive.
    let length = fs::symlink_metadata(&path).map_err(ReadError::from_library)?;
    let archived = to.join(SEALS);
    match RegularFile::open(&archived) {
        Err(error) if error.kind() == ErrorKind::NotFound => (),
        old => {
            let mut own = RegularFile::open(&path).map_err(ReadError::from_library)?;
            let old = old.map_err(ReadError::from_library)?;
            let known = fs::symlink_metadata(&archived).map_err(ReadError::from_library)?;
            // Seals are only appended, so the archived ones begin those of the same log.
            compare(
                &mut own.by_ref().take(known.len()),
                &mut old.take(known.len()),
            )
            .map_err(|_| Error::OtherLog(archived.clone()))?;
        }
    }
    write_whole(&archived, |unfinished| {
        io::copy(&mut file.take(length.len()), unfinished)?;
        unfinished.flush()?;
        unfinished.sync_all()
    })?;
    Ok(Some(length.len()))
}

/// A reader that reports its progress.
struct Progressing<'a, R> {
    inner: R,
    count: &'a mut u64,
    progress: &'a mut Progress,
}

impl<R: Read> Read for Progressing<'_, R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let read = self.inner.read(buffer)?;
        *self.count += read as u64;
        self.progress.advance(read as u64);
        Ok(read)
    }
}

impl Done {
    fn lines(&self, to: &Path) -> Vec<Line> {
        let count = |count: u64, of: &str| match count {
            1 => format!("1 {of}"),
            count => format!("{count} {of}s"),
        };
        let new = self.written.len() as u64;
        let (tone, head) = match new {
            0 => (Tone::Plain, "nothing new to archive".to_owned()),
            _ => (Tone::Good, format!("archived {}", count(new, "segment"))),
        };
        let mut lines = vec![Line::new(tone, head).and(
            Tone::Plain,
            format!(" in {}", escape(&to.display().to_string())),
        )];
        for (name, bytes, packed) in &self.written {
            lines.push(Line::plain(format!(
                "  {name}{SUFFIX}  {}, was {}",
                readable(*packed),
                readable(*bytes)
            )));
        }
        if self.kept > 0 {
            lines.push(Line::plain(format!(
                "  {} archived before",
                count(self.kept, "segment")
            )));
        }
        if let Some((first, last)) = self.records {
            lines.push(Line::plain(format!(
                "  records {first} to {last} of this log"
            )));
        }
        if let Some(bytes) = self.seals {
            lines.push(Line::plain(format!(
                "  {SEALS}, {}: the seals of what retention removed",
                readable(bytes)
            )));
        }
        if self.unsealed > 0 {
            lines.push(Line::plain(format!(
                "  {} not sealed to the end yet: the next seal, within a minute, does it",
                count(self.unsealed, "segment")
            )));
        }
        lines
    }
}
