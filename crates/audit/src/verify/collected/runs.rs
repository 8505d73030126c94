//! An index of the records in a collector's files.
//!
//! Records are usually consecutive; a reconnection or a replay starts again at an earlier one.
//! So the index has *runs* of consecutive records, and its size grows with the number of
//! reconnections only. It is bounded: a file with more disorder than a forwarder causes is
//! refused.

use super::claims::claims;
use crate::regular::RegularFile;
use crate::verify::Source;
use crate::verify::chain::Location;
use crate::verify::lines::Lines;
use std::io::{self, Read};
use std::rc::Rc;

/// The longest line with a header and a record, in bytes.
const LONGEST_LINE: usize = 8 * 1024;
/// The most runs: 10 MiB, at 40 bytes each.
const MAX_RUNS: usize = 1 << 18;
const INDEXING_BUFFER: usize = 256 * 1024;
pub(super) const READING_BUFFER: usize = 32 * 1024;

/// Consecutive records, perhaps with other lines between them.
#[derive(Clone, Copy, Debug)]
pub(super) struct Run {
    pub(super) first: u64,
    count: u64,
    /// The offset of the first one's line, and the number of lines before it.
    offset: u64,
    lines: u64,
    /// The number of claims before it on that line.
    skip: u32,
    file: u32,
}

// docs/audit.md states it.
const _: () = assert!(MAX_RUNS * size_of::<Run>() <= 10 << 20);

/// The runs of all files.
pub(super) struct Index {
    files: Vec<(Rc<RegularFile>, String)>,
    pub(super) runs: Vec<Run>,
    host: Option<String>,
    /// Lines without a claim.
    pub(super) others: u64,
    pub(super) bytes: u64,
}

impl Index {
    pub(super) fn of(
        sources: Vec<Source>,
        host: Option<&str>,
        progress: &mut dyn FnMut(u64),
    ) -> io::Result<Self> {
        let mut index = Self {
            files: Vec::new(),
            runs: Vec::new(),
            host: host.map(str::to_owned),
            others: 0,
            bytes: 0,
        };
        for source in sources {
            let name = source.name().to_owned();
            let no_file = || io::Error::other(format!("{name}: it cannot be read twice"));
            let file = Rc::new(source.into_file()?.ok_or_else(no_file)?);
            index.files.push((Rc::clone(&file), name));
            index.read(FileSpan::from(file, 0), progress)?;
        }
        // Copies of a record stay in the order of their arrival. A stable sort would need 8 MiB more.
        index
            .runs
            .sort_unstable_by_key(|run| (run.first, run.file, run.offset, run.skip));
        Ok(index)
    }

    fn read(&mut self, file: FileSpan, progress: &mut dyn FnMut(u64)) -> io::Result<()> {
        let mut lines = Lines::with_limits(file, INDEXING_BUFFER, LONGEST_LINE);
        // The file's place in `files`, in the 32 bits that a run has for it.
        let number = u32::try_from(self.files.len() - 1).map_err(io::Error::other)?;
        let (mut run, mut before, mut offset): (Option<Run>, u64, u64) = (None, 0, 0);
        while let Some(raw) = lines.next()? {
            let length = (raw.text.len() + usize::from(raw.ended)) as u64;
            let mut skip = 0;
            for claim in claims(raw.text, raw.ended, self.host.as_deref()) {
                match &mut run {
                    Some(run) if claim.seq == run.first + run.count => run.count += 1,
                    _ => {
                        let begun = Run {
                            first: claim.seq,
                            count: 1,
                            offset,
                            lines: before,
                            skip,
                            file: number,
                        };
                        keep(&mut self.runs, run.replace(begun))?;
                    }
                }
                skip += 1;
            }
            self.others += u64::from(skip == 0);
            before += u64::from(raw.ended);
            offset += length;
            if lines.read_since() > 1024 * 1024 {
                progress(lines.take_read());
            }
        }
        progress(lines.take_read());
        self.bytes += offset;
        keep(&mut self.runs, run)
    }

    /// The name of the first file.
    pub(super) fn name(&self) -> &str {
        self.files.first().map_or("", |(_, name)| name)
    }

    /// Opens a run, whose records are read again.
    #[expect(
        clippy::indexing_slicing,
        reason = "a run is of one of these files, by its place"
    )]
    pub(super) fn open(&self, run: &Run) -> RunReader {
        let (file, name) = &self.files[run.file as usize];
        RunReader {
            lines: Lines::with_limits(
                FileSpan::from(Rc::clone(file), run.offset),
                READING_BUFFER,
                LONGEST_LINE,
            ),
            location: Location {
                source: name.clone(),
                line: run.lines,
            },
            next: run.first,
            left: run.count,
            skip: run.skip,
            ready: Vec::new(),
            host: self.host.clone(),
        }
    }
}

fn keep(runs: &mut Vec<Run>, run: Option<Run>) -> io::Result<()> {
    if runs.len() == MAX_RUNS {
        return Err(io::Error::other(format!(
            "its records are in disorder in more than {MAX_RUNS} places"
        )));
    }
    runs.extend(run);
    Ok(())
}

/// A copy of a record.
#[derive(Clone, Debug)]
pub(super) struct RecordCopy {
    pub(super) seq: u64,
    pub(super) text: Vec<u8>,
    pub(super) is_cut_short: bool,
    pub(super) location: Location,
}

/// A run that is being read.
pub(super) struct RunReader {
    lines: Lines<FileSpan>,
    location: Location,
    /// The number of the next record.
    pub(super) next: u64,
    pub(super) left: u64,
    skip: u32,
    /// The rest of a line's claims, the last one first.
    ready: Vec<RecordCopy>,
    host: Option<String>,
}

impl RunReader {
    /// The next record.
    ///
    /// # Errors
    /// When the file cannot be read, or was changed meanwhile.
    pub(super) fn next(&mut self) -> io::Result<RecordCopy> {
        while self.ready.is_empty() && self.read_line()? {}
        let wanted = self.next;
        (self.next, self.left) = (wanted + 1, self.left - 1);
        let found = self.ready.pop().filter(|found| found.seq == wanted);
        found.ok_or_else(|| {
            io::Error::other(format!(
                "{}: it was changed while it was read",
                self.location.source
            ))
        })
    }

    fn read_line(&mut self) -> io::Result<bool> {
        let Some(raw) = self.lines.next()? else {
            return Ok(false);
        };
        let location = Location {
            source: self.location.source.clone(),
            line: self.location.line + 1,
        };
        self.location.line += u64::from(raw.ended);
        let found = claims(raw.text, raw.ended, self.host.as_deref()).map(|claim| RecordCopy {
            seq: claim.seq,
            text: claim.text.to_vec(),
            is_cut_short: claim.is_cut_short,
            location: location.clone(),
        });
        self.ready = found
            .skip(std::mem::take(&mut self.skip) as usize)
            .collect();
        self.ready.reverse();
        Ok(true)
    }
}

/// A file from an offset on, with a position of its own.
struct FileSpan {
    file: Rc<RegularFile>,
    at: u64,
}

impl FileSpan {
    fn from(file: Rc<RegularFile>, at: u64) -> Self {
        Self { file, at }
    }
}

impl Read for FileSpan {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let count = self.file.read_at(buffer, self.at)?;
        self.at += count as u64;
        Ok(count)
    }
}
