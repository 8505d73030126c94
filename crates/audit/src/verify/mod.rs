//! The verifier: whether a log is as it was written, and what was done to it if not.
//!
//! It needs the log's lines and the first public key. One pass with bounded memory: every
//! record must have the right hash and follow the one before; every seal must be signed with
//! the key that the seal before announced. After the first break, the rest is read as
//! evidence of what was done.
//!
//! Whether records are missing at the end cannot be seen from the log alone. The private key
//! in the state directory, a head that was kept elsewhere, or another copy can prove it.

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
use crate::record::Head;
use crate::text::Hex;
use crate::time::Timestamp;
use chain::Chain;
use chain::kept_seals::KeptSeals;
use lines::Lines;
use pulse_core::audit_log::retention::Limits;
use pulse_core::ordinal::Ordinal;
use report::PendingReport;
use since::SinceFilter;
use std::io;
use std::time::Duration;
use torn_filter::{LogItem, TornFilter};

/// Options of the verifier: knowledge from outside of the log, and permitted deviations.
#[derive(Clone, Debug)]
pub struct Options {
    /// The verification key that `audit init` printed. Without it, the key in the log is used,
    /// and the verdict is unproven.
    pub key: Option<PublicKey>,
    /// Heads that were kept elsewhere, which the log must have.
    pub heads: Vec<Head>,
    /// The private keys of the state directory, one of which must be that of the log's end.
    pub state: Option<StateKeys>,
    /// The log is a copy that may lag behind: its end is not checked, and needs no proof.
    pub lagging: bool,
    /// The beginning of verification.
    pub start: Start,
    /// Reading stops after the first good seal that covers this record.
    pub until_sealed: Option<u64>,
    /// The last file is being written: its last line may be incomplete.
    pub live: bool,
    /// Exact repetitions of records are skipped, as in a collector's copy.
    pub repetitions: bool,
    /// The longest time that a record may be unsealed.
    pub max_unsealed: Duration,
    /// The limits of retention; none if unknown.
    pub retention: Option<Limits>,
    /// The present time; if set, the records at the end may be unsealed no longer, either.
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
    /// From a record's number, at most [`Ordinal::MAX`], and its hash, 64 hexadecimal digits.
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

/// Verifies a log: its segments, oldest first, the live file, and the seals of removed segments.
/// `progress` gets the number of bytes read since its last call.
///
/// # Errors
/// The operating system's, when a file cannot be read. Defects of the log are in the report.
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
    // Torn bytes are separated before records are skipped or verified: both need to know which
    // lines are records of the chain.
    let mut torn = TornFilter::new(options.repetitions);
    let mut verifier = Verifier {
        chain: Chain::new(options),
        filter: options.start.since().map(SinceFilter::to),
    };
    verifier.chain.with_seals(KeptSeals::open(seals)?);
    for source in files {
        verifier.chain.begin_source(source.name());
        verifier.chain.expect_from_name(source.name());
        let mut lines = Lines::new(source.open()?);
        while !verifier.chain.is_sealed_enough()
            && let Some(line) = lines.next()?
        {
            torn.take(line, &mut |item| verifier.take(&item));
            verifier.outcome()?;
            if lines.read_since() > 1024 * 1024 {
                progress(lines.take_read());
            }
        }
        // Torn bytes do not extend over two files.
        torn.flush(&mut |item| verifier.take(&item));
        verifier.outcome()?;
        progress(lines.take_read());
    }
    // If the log ends before the place, the stray lines at its end are still to be judged.
    if let Some(filter) = verifier.reach_place() {
        for stray in filter.strays() {
            verifier.chain.begin_with(&stray);
        }
    }
    verifier.chain.finish_kept();
    verifier.outcome()?;
    Ok(verifier.chain.finish())
}

/// The most attempts at reading a log whose files are being removed.
const MAX_ATTEMPTS: u32 = 8;

/// Runs an operation that reads a log's files, again from the beginning when retention removed
/// one of them before it was opened.
///
/// # Errors
/// Those of `read`; `NotFound` when files keep disappearing.
pub fn retried<T>(read: &mut dyn FnMut() -> io::Result<T>) -> io::Result<T> {
    let mut attempts = 1;
    loop {
        match read() {
            Err(error) if error.kind() == io::ErrorKind::NotFound && attempts < MAX_ATTEMPTS => {
                attempts += 1;
            }
            outcome => return outcome,
        }
    }
}

/// The chain, and the filter of the records before it until the place is reached.
struct Verifier<'a> {
    chain: Chain<'a>,
    filter: Option<SinceFilter>,
}

impl Verifier<'_> {
    /// The error of reading the kept seals, if there was one.
    fn outcome(&mut self) -> io::Result<()> {
        self.chain.take_error().map_or(Ok(()), Err)
    }

    fn take(&mut self, item: &LogItem<'_>) {
        if let Some(filter) = &mut self.filter
            && filter.skips(item)
        {
            return self.chain.skip(item);
        }
        self.reach_place();
        // `TornFilter` may give several lines at once, and the first of them may be enough.
        if !self.chain.is_sealed_enough() {
            self.chain.take(item);
        }
    }

    /// The place is reached: the chain begins with the record before it.
    fn reach_place(&mut self) -> Option<SinceFilter> {
        let filter = self.filter.take();
        if let Some(before) = filter.as_ref().and_then(SinceFilter::before) {
            self.chain.begin_with(&before);
        }
        filter
    }
}
