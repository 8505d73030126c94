//! The verifier: is this the log that was written, and if not, what was done?
//!
//! It needs the lines and the first public key, nothing else. One pass, a bounded
//! memory, whatever the log's size: every line is hashed and must go on from the
//! line before; every seal must be signed by the key that the seal before named.
//! Where the chain first breaks, the rest is read for evidence of what was done.
//!
//! That the log's end is there cannot be told from the log. The private key in the state
//! directory tells it, a record that was noted elsewhere, or another copy.

mod against;
mod chain;
mod collected;
mod evidence;
pub(crate) mod lines;
mod recent;
mod report;
mod since;
mod source;
mod state;
pub(crate) mod torn_filter;

pub use against::verify_against;
pub use collected::{Collected, Collection, Missing, verify_collected};
pub use report::{Attack, Finding, Note, NoteKind, Proof, Report, Verdict, Witness};
pub use since::{InvalidSince, Since};
pub use source::{LogFiles, Seals, Source, narrowed, open_directory, open_log, open_seals};
pub use state::StateKeys;

use crate::key::PublicKey;
use crate::record::{Head, MAX_LINE_BYTES};
use crate::text::Hex;
use crate::time::Timestamp;
use chain::Chain;
use chain::pruned::KeptSeals;
use lines::{Lines, RawLine};
use pulse_core::ordinal::Ordinal;
use pulse_core::retention::Limits;
use report::PendingReport;
use since::SinceFilter;
use std::io;
use std::time::Duration;
use torn_filter::{LogItem, TornFilter};

/// What is known from elsewhere, and what is to be forgiven.
#[derive(Clone, Debug)]
pub struct Options {
    /// The verification key that `audit init` printed. Without it, the log's own
    /// word is taken, and the verdict says so.
    pub key: Option<PublicKey>,
    /// Records that the log must hold, as somebody noted them elsewhere.
    pub heads: Vec<Head>,
    /// The private keys: the log must have come to the one that its end calls for.
    pub state: Option<StateKeys>,
    /// A copy that may lag behind its log is given: that it ends anywhere is no finding, and
    /// that nothing proves its end does not make it unproven.
    pub lagging: bool,
    /// The record with which verification begins.
    pub start: Start,
    /// Nothing is read after the first good seal that covers this record.
    pub until_sealed: Option<u64>,
    /// The last file is being written: its last line may be unfinished.
    pub live: bool,
    /// Exact repetitions are skipped, as a collector may have them.
    pub repetitions: bool,
    /// How long a record may stand unsealed.
    pub max_unsealed: Duration,
    /// The limits of retention; none when they are not known.
    pub retention: Option<Limits>,
    /// The present time, when the end of the log must not be unsealed for longer.
    pub now: Option<Timestamp>,
}

/// The record with which verification begins.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Start {
    /// Record 1, or the first one that retention left.
    #[default]
    FirstRecord,
    /// Any record: a part of a log is given.
    AnyRecord,
    /// The first record of this place: those before it are skipped, and not verified.
    Since(Since),
}

impl Start {
    /// The place up to which records are skipped.
    #[must_use]
    pub fn since(self) -> Option<Since> {
        match self {
            Self::Since(since) => Some(since),
            Self::FirstRecord | Self::AnyRecord => None,
        }
    }
}

impl From<Option<Since>> for Start {
    fn from(since: Option<Since>) -> Self {
        since.map_or(Self::FirstRecord, Self::Since)
    }
}

impl Default for Options {
    fn default() -> Self {
        Self {
            key: None,
            heads: Vec::new(),
            state: None,
            lagging: false,
            start: Start::FirstRecord,
            until_sealed: None,
            live: false,
            repetitions: false,
            max_unsealed: Duration::from_secs(120),
            retention: None,
            now: None,
        }
    }
}

impl Head {
    /// From a record's number and its hash, 64 hexadecimal digits. `None` when the number is
    /// over [`Ordinal::MAX`].
    #[must_use]
    pub fn from_parts(seq: u64, hash: &str) -> Option<Self> {
        let seq = Ordinal::new(seq)?.get();
        let hash: Hex = hash.as_bytes().try_into().ok()?;
        let digits = hash
            .iter()
            .all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'));
        digits.then_some(Self { seq, hash })
    }
}

/// Verifies a log: its segments, oldest first, then the live file, and the seals of those
/// that were removed. `progress` is told how many bytes were read since it was told last.
///
/// # Errors
/// The operating system's, when a file cannot be read. What is wrong with the log
/// is in the report.
pub fn verify(
    log: impl Into<LogFiles>,
    options: &Options,
    progress: &mut dyn FnMut(u64),
) -> io::Result<Report> {
    examine(log.into(), options, progress).map(PendingReport::judge)
}

fn examine(
    log: LogFiles,
    options: &Options,
    progress: &mut dyn FnMut(u64),
) -> io::Result<PendingReport> {
    let LogFiles { seals, files } = log;
    let mut pass = Pass::new(options);
    pass.verifier.chain.with_seals(KeptSeals::open(seals)?);
    for source in files {
        pass.verifier.chain.begin_source(source.name());
        pass.verifier.chain.hold_to_its_name(source.name());
        let mut lines = Lines::new(source.open()?);
        while !pass.is_over()
            && let Some(line) = lines.next()?
        {
            pass.take(line)?;
            if lines.read_since() > 1024 * 1024 {
                progress(lines.take_read());
            }
        }
        pass.end_source()?;
        progress(lines.take_read());
    }
    pass.finish()
}

/// A log is pruned no more often than this while it is read.
const MOST_ATTEMPTS: u32 = 8;

/// Does something that reads a log's files, and does it again from the beginning when one
/// of them was removed by retention before it was opened.
///
/// # Errors
/// Those of `read`; `NotFound` when files go on vanishing.
pub fn retried<T>(read: &mut dyn FnMut() -> io::Result<T>) -> io::Result<T> {
    let mut attempts = 1;
    loop {
        match read() {
            Err(error) if error.kind() == io::ErrorKind::NotFound && attempts < MOST_ATTEMPTS => {
                attempts += 1;
            }
            outcome => return outcome,
        }
    }
}

/// The chain, and the way to where it is followed from.
struct Pass<'a> {
    torn: TornFilter,
    verifier: Verifier<'a>,
}

struct Verifier<'a> {
    chain: Chain<'a>,
    filter: Option<SinceFilter>,
}

impl<'a> Pass<'a> {
    fn new(options: &'a Options) -> Self {
        let verifier = Verifier {
            chain: Chain::new(options),
            filter: options.start.since().map(SinceFilter::to),
        };
        Self {
            torn: TornFilter::new(options.repetitions),
            verifier,
        }
    }

    fn take(&mut self, line: RawLine<'_>) -> io::Result<()> {
        self.torn.take(line, &mut |met| self.verifier.take(&met));
        self.verifier.outcome()
    }

    /// What a crash tears, it tears within one file.
    fn end_source(&mut self) -> io::Result<()> {
        self.torn.flush(&mut |met| self.verifier.take(&met));
        self.verifier.outcome()
    }

    fn is_over(&self) -> bool {
        self.verifier.chain.is_sealed_enough()
    }

    fn finish(mut self) -> io::Result<PendingReport> {
        self.verifier.arrive_at_the_end();
        self.verifier.chain.finish_kept();
        self.verifier.outcome()?;
        Ok(self.verifier.chain.finish())
    }
}

impl Verifier<'_> {
    /// Whether all could be read that had to be.
    fn outcome(&mut self) -> io::Result<()> {
        self.chain.take_error().map_or(Ok(()), Err)
    }

    fn take(&mut self, met: &LogItem<'_>) {
        if let Some(filter) = &mut self.filter
            && filter.passes_over(met)
        {
            return self.chain.pass_over(met);
        }
        self.arrive();
        if !self.chain.is_sealed_enough() {
            self.chain.take(met);
        }
    }

    /// The place has come: the chain begins with the record before it.
    fn arrive(&mut self) -> Option<SinceFilter> {
        let filter = self.filter.take();
        if let Some(before) = filter.as_ref().and_then(SinceFilter::before) {
            self.chain.begin_with(&before);
        }
        filter
    }

    /// The place did not come.
    fn arrive_at_the_end(&mut self) {
        if let Some(filter) = self.arrive() {
            for stray in filter.strays() {
                self.chain.begin_with(&stray);
            }
        }
    }
}

/// No line that is taken for one is longer.
const MAX_TEXT: usize = MAX_LINE_BYTES;
