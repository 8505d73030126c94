//! The seals that were kept of a removed beginning (`audit.seals`): whether they lead from the
//! first key to the current one, and equal those that the log has too.
//!
//! The seals of the epochs before the first record that is left prove its key. They cannot
//! prove the removed records, whose signed bytes are gone.

use super::{Chain, Location};
use crate::key::PublicKey;
use crate::line::RecordLine;
use crate::log_event::LogEventType;
use crate::tail::{members, ordinal};
use crate::time::Timestamp;
use crate::verify::lines::Lines;
use crate::verify::report::{Attack, Finding, NoteKind};
use crate::verify::source::Seals;
use std::collections::VecDeque;
use std::io::{self, Read};

/// The number of seals whose times are kept, for detecting early removals: those of six weeks
/// with one seal per minute.
const MAX_TIMES: usize = 1 << 16;

const ANOTHER_RECORD: &str = "the log has another record than this seal";

/// The reader of `audit.seals`.
pub(in crate::verify) enum KeptSeals {
    /// It is unknown whether there is such a file.
    Unknown,
    /// There is none.
    Missing(Location),
    Here {
        lines: Lines<Box<dyn Read>>,
        location: Location,
        next: NextSeal,
        /// The numbers and times of the last seals read.
        times: VecDeque<(u64, Timestamp)>,
    },
}

/// The next seal of the file.
pub(in crate::verify) enum NextSeal {
    /// It is read from the file.
    File,
    /// It was read and put back.
    PutBack(KeptSeal),
    /// There is none, or no more are read.
    None,
}

/// A seal of the file.
pub(in crate::verify) struct KeptSeal {
    seq: u64,
    ts: Timestamp,
    text: Vec<u8>,
    location: Location,
}

impl KeptSeals {
    /// Opens the file, if there is one.
    ///
    /// # Errors
    /// The operating system's.
    pub(in crate::verify) fn open(seals: Seals) -> io::Result<Self> {
        Ok(match seals {
            Seals::Unknown => Self::Unknown,
            Seals::Missing(name) => Self::Missing(Location::start_of(&name)),
            Seals::Here(source) => Self::Here {
                location: Location::start_of(source.name()),
                lines: Lines::new(source.open()?),
                next: NextSeal::File,
                times: VecDeque::new(),
            },
        })
    }

    /// The next seal; `Err` with its position when the line is not a seal.
    fn next(&mut self) -> io::Result<Option<Result<KeptSeal, Location>>> {
        let Self::Here {
            lines,
            location,
            next,
            ..
        } = self
        else {
            return Ok(None);
        };
        match std::mem::replace(next, NextSeal::File) {
            NextSeal::File => (),
            NextSeal::PutBack(seal) => return Ok(Some(Ok(seal))),
            NextSeal::None => {
                *next = NextSeal::None;
                return Ok(None);
            }
        }
        let Some(raw) = lines.next()? else {
            return Ok(None);
        };
        location.line += 1;
        let seal = raw
            .record()
            .filter(|line| line.log_event() == Some(LogEventType::Sealed));
        Ok(Some(match seal {
            Some(line) => Ok(KeptSeal {
                seq: line.seq,
                ts: line.ts,
                text: raw.text.to_owned(),
                location: location.clone(),
            }),
            None => Err(location.clone()),
        }))
    }

    fn continue_with(&mut self, following: NextSeal) {
        if let Self::Here { next, .. } = self {
            *next = following;
        }
    }

    fn location(&self) -> Location {
        match self {
            Self::Unknown => Location::default(),
            Self::Missing(location) | Self::Here { location, .. } => location.clone(),
        }
    }
}

impl Chain<'_> {
    /// Follows the kept seals of the `epochs` before record `first` to the key that is current
    /// there. Gives the first defect.
    pub(super) fn prove_key(&mut self, first: u64, epochs: u64) -> io::Result<Option<Finding>> {
        match &self.seals {
            KeptSeals::Unknown => return Ok(None),
            KeptSeals::Missing(_) if epochs == 0 => return Ok(None),
            KeptSeals::Missing(location) => {
                let detail = "the seals of the records that were removed are missing: keys \
                              cannot be proven from the first one on";
                return Ok(Some(finding(Attack::Deleted, 1, location, detail)));
            }
            KeptSeals::Here { .. } => (),
        }
        let mut reached: Option<(u64, PublicKey)> = None;
        let mut last_seq = 0;
        while reached.map_or(0, |(number, _)| number) < epochs {
            let wanted = reached.map_or(0, |(number, _)| number);
            let seal = match self.seals.next()? {
                Some(Ok(seal)) if seal.seq < first => seal,
                None | Some(Ok(_)) => {
                    let location = self.seals.location();
                    let detail = format!(
                        "the seals of epochs {wanted} to {} are missing, of records before \
                         {first}",
                        epochs - 1
                    );
                    let record = last_seq + 1;
                    return Ok(Some(finding(Attack::Deleted, record, &location, &detail)));
                }
                Some(Err(location)) => {
                    let detail = "this line is not a seal as it was written";
                    let record = last_seq + 1;
                    return Ok(Some(finding(Attack::Edited, record, &location, detail)));
                }
            };
            match self.check_kept(&seal, reached, last_seq)? {
                Ok((number, key)) => {
                    self.announce(number, key, seal.seq);
                    reached = Some((number, key));
                }
                Err(finding) => return Ok(Some(finding)),
            }
            // The latest times are kept: the removals that the log still has on record are of the
            // latest segments.
            if let KeptSeals::Here { times, .. } = &mut self.seals {
                if times.len() == MAX_TIMES {
                    times.pop_front();
                }
                times.push_back((seal.seq, seal.ts));
            }
            last_seq = seal.seq;
        }
        Ok(None)
    }

    /// The epoch and key after a kept seal, if it is the next one.
    fn check_kept(
        &mut self,
        seal: &KeptSeal,
        reached: Option<(u64, PublicKey)>,
        last_seq: u64,
    ) -> io::Result<Result<(u64, PublicKey), Finding>> {
        let members = members(&seal.text).unwrap_or_default();
        let key = |name: &str| -> Option<PublicKey> { members.get(name)?.as_str()?.parse().ok() };
        let wanted = reached.map_or(0, |(number, _)| number);
        let found = ordinal(&members, "epoch");
        if found != Some(wanted) {
            return self.judge_epoch(seal, found, wanted, last_seq).map(Err);
        }
        if reached.is_none() {
            match (self.options.key, key("key")) {
                (Some(pinned), Some(first)) if pinned != first => {
                    let detail = format!("the first seal is by the key {first}: another log's");
                    return Ok(Err(finding(
                        Attack::WrongKey,
                        seal.seq,
                        &seal.location,
                        &detail,
                    )));
                }
                (None, Some(first)) => {
                    self.report.key = Some(first.to_string());
                    self.note(
                        NoteKind::KeyFromLog,
                        seal.seq,
                        format!("the key {first} was taken from the first seal itself"),
                    );
                }
                _ => (),
            }
        }
        let current = reached
            .map(|(_, key)| key)
            .or(self.options.key)
            .or(key("key"));
        let line = RecordLine::parse(&seal.text);
        let signature = line.as_ref().and_then(|line| line.signature);
        let is_good = current.is_some_and(|current| {
            key("key") == Some(current)
                && signature.is_some_and(|(signed, signature)| current.verifies(signed, signature))
        });
        Ok(match key("next_key").filter(|_| is_good) {
            Some(next) if seal.seq > last_seq => Ok((wanted + 1, next)),
            Some(_) => {
                let detail = "its record's number is not above that of the seal before";
                Err(finding(Attack::Reordered, seal.seq, &seal.location, detail))
            }
            None => {
                let detail = "this seal was made with another key than it had to be";
                Err(finding(Attack::Resealed, seal.seq, &seal.location, detail))
            }
        })
    }

    /// The finding for a kept seal of another epoch than `wanted`.
    fn judge_epoch(
        &mut self,
        seal: &KeptSeal,
        found: Option<u64>,
        wanted: u64,
        last_seq: u64,
    ) -> io::Result<Finding> {
        let found = found.unwrap_or(0);
        let detail = format!("the seal of epoch {found} stands where that of {wanted} should");
        let (mut attack, mut record) = (Attack::Deleted, last_seq + 1);
        if found < wanted {
            (attack, record) = (Attack::Duplicated, seal.seq);
        } else {
            // The wanted seal may come later: the rest of the file decides.
            while let Some(line) = self.seals.next()? {
                let Ok(later) = line else { continue };
                let members = members(&later.text).unwrap_or_default();
                if ordinal(&members, "epoch") == Some(wanted) {
                    (attack, record) = (Attack::Reordered, later.seq);
                    break;
                }
            }
        }
        Ok(finding(attack, record, &seal.location, &detail))
    }

    /// Compares a seal of the log with the kept one of the same number: an interrupted removal
    /// leaves seals in both places, which must be equal.
    pub(super) fn compare_with_kept(&mut self, line: &RecordLine<'_>, text: &[u8]) {
        // A part may begin after those that are kept.
        if self.evidence.is_some() || self.is_part() {
            return;
        }
        loop {
            match self.seals.next() {
                Ok(Some(Ok(kept))) if kept.seq > line.seq => {
                    return self.seals.continue_with(NextSeal::PutBack(kept));
                }
                Ok(Some(Ok(kept))) if kept.seq == line.seq && kept.text == text => return,
                Ok(Some(Ok(kept))) => {
                    let found = finding(Attack::Forked, kept.seq, &kept.location, ANOTHER_RECORD);
                    self.report.findings.push(found);
                }
                // Torn bytes of an interrupted removal, which the next one cuts off.
                Ok(Some(Err(_)) | None) => return self.seals.continue_with(NextSeal::None),
                Err(error) => return self.error = Some(error),
            }
        }
    }

    /// At the end of the log: every kept seal must have been compared.
    pub(in crate::verify) fn finish_kept(&mut self) {
        // After a defect the log may end before these seals because of it.
        if self.evidence.is_some()
            || self.stray.is_some()
            || !self.report.findings.is_empty()
            || self.is_part()
        {
            return;
        }
        let kept = match self.seals.next() {
            Ok(Some(Ok(kept))) => kept,
            Ok(_) => return,
            Err(error) => return self.error = Some(error),
        };
        let end = self.head.seq;
        let found = if kept.seq > end {
            let detail = format!("the log ends at record {end}, but this later seal was kept");
            finding(Attack::RolledBack, end + 1, &kept.location, &detail)
        } else {
            finding(Attack::Forked, kept.seq, &kept.location, ANOTHER_RECORD)
        };
        self.report.findings.push(found);
    }
}

fn finding(attack: Attack, record: u64, location: &Location, detail: &str) -> Finding {
    Finding {
        attack,
        record,
        source: location.source.clone(),
        line: location.line,
        detail: detail.to_owned(),
    }
}

const _: () = assert!(MAX_TIMES * size_of::<(u64, Timestamp)>() <= 1 << 20);
