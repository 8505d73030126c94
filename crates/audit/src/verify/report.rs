//! The report of the verifier.

use serde::Serialize;

/// The verdict on a log.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Verdict {
    /// The log is as it was written, by the given key, and something outside of it
    /// [proves](Report::proofs) that its end is not missing.
    Intact,
    /// There is no contradiction, but the key, the records before a part, or the end of the log
    /// are known from the log alone.
    Unproven,
    /// The log is not as it was written.
    Broken,
}

/// A kind of change of a log.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Attack {
    /// A record's bytes were changed.
    Edited,
    /// A record was inserted.
    Inserted,
    /// Records were deleted.
    Deleted,
    /// Records were reordered.
    Reordered,
    /// A record is repeated.
    Duplicated,
    /// The end was cut off.
    Truncated,
    /// The log was replaced by an older copy.
    RolledBack,
    /// A segment was replaced or moved.
    SegmentSwapped,
    /// Two records continue the same one.
    Forked,
    /// Records and their hashes were rewritten; the seal is not of them.
    Rewritten,
    /// A seal was made with another key than the current one.
    Resealed,
    /// A seal is missing.
    Unsealed,
    /// Another log continues where this one stops.
    Spliced,
    /// The first key of the log is not the given one.
    WrongKey,
    /// The end was cut off after a seal: the private key is of a later epoch.
    CutAtSeal,
    /// An erased private key was restored.
    KeyRestored,
    /// The private key is another log's.
    WrongState,
    /// A segment's first record is not the one in its name.
    SegmentMisnamed,
    /// Records were pruned although no limit of retention was exceeded.
    PrunedEarly,
}

/// A defect of the log.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Finding {
    /// Its kind.
    pub attack: Attack,
    /// The number of the first bad record.
    pub record: u64,
    /// The file's name.
    pub source: String,
    /// The line in the file, from 1.
    pub line: u64,
    /// The defect in a sentence.
    pub detail: String,
}

/// Something notable that is not a defect.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum NoteKind {
    /// The key is known from the log alone.
    KeyFromLog,
    /// The log does not begin with record 1.
    Partial,
    /// The clock went back.
    ClockStepped,
    /// Torn bytes, for which a record accounts.
    TornWrite,
    /// Records at the end are not sealed yet.
    Pending,
    /// Records at the end should be sealed by now, by this host's clock.
    EndUnsealed,
    /// The last line is incomplete.
    Unfinished,
    /// Exact repetitions were skipped.
    Repeated,
    /// The second copy ends before the first.
    Behind,
    /// Nothing shows whether a collector's file ends too early.
    EndUnknown,
    /// Lines of other programs in a collector's file.
    Others,
    /// Retention removed the beginning of the log, which is on record.
    Pruned,
    /// Nothing shows whether the end of the log was cut off.
    EndUnproven,
    /// The private key of the last seal is not erased yet, as after a crash.
    KeyNotErased,
}

/// Evidence from outside of a log that records are not missing at its end.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Witness {
    /// The private key in the state directory, which a record announced.
    StateKey,
    /// A [head](super::Options::heads) that was kept elsewhere.
    Head,
    /// Another copy with the same records.
    Copy,
    /// The collector's acknowledgement.
    Acknowledged,
}

/// A proof that no record up to `through` is missing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct Proof {
    /// The evidence.
    pub by: Witness,
    /// The last record that it covers.
    pub through: u64,
}

/// A note about a record.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Note {
    /// Its kind.
    pub kind: NoteKind,
    /// The record's number.
    pub record: u64,
    /// The note in a sentence.
    pub detail: String,
}

/// The report on a log.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Report {
    /// The verdict.
    pub verdict: Verdict,
    /// Defects by record; about 100, `findings_left_out` counts the rest.
    pub findings: Vec<Finding>,
    /// The number of further findings.
    pub findings_left_out: u64,
    /// Notes; at most 100, `notes_left_out` counts the rest.
    pub notes: Vec<Note>,
    /// The number of further notes.
    pub notes_left_out: u64,
    /// The log's id.
    pub log_id: Option<String>,
    /// The verification key that was used.
    pub key: Option<String>,
    /// The number of good records.
    pub records: u64,
    /// The number of good seals.
    pub seals: u64,
    /// The number of the first record.
    pub first_seq: u64,
    /// Retention removed the records up to this one; 0 for none.
    pub pruned_through: u64,
    /// The number of the last good record.
    pub last_seq: u64,
    /// The hash of the last good record.
    pub last_hash: String,
    /// The last record covered by a good seal.
    pub sealed_through: u64,
    /// The epoch after the last good seal.
    pub epoch: Option<u64>,
    /// Proofs that the end of the log is not missing.
    pub proofs: Vec<Proof>,
    /// The number of bytes read.
    pub bytes: u64,
}

impl Report {
    /// The last record up to which records are proven to be complete; 0 for none.
    #[must_use]
    pub fn proved_through(&self) -> u64 {
        self.proofs
            .iter()
            .map(|proof| proof.through)
            .max()
            .unwrap_or(0)
    }

    /// Adds a note regardless of the limit on notes.
    pub(super) fn note_beside(&mut self, kind: NoteKind, record: u64, detail: String) {
        self.notes.push(Note {
            kind,
            record,
            detail,
        });
    }
}

/// A report before its verdict: a comparison with another copy may add to it.
pub(super) struct PendingReport {
    pub(super) report: Report,
    /// See [`super::Options::lagging`].
    pub(super) lagging: bool,
    /// The first record at the end that is not sealed yet, and need not be.
    pub(super) pending: Option<u64>,
}

impl PendingReport {
    pub(super) fn prove(&mut self, by: Witness, through: u64) {
        if through > 0 {
            self.report.proofs.push(Proof { by, through });
        }
    }

    /// Adds a finding in the order of records.
    pub(super) fn find(&mut self, finding: Finding) {
        let findings = &mut self.report.findings;
        let at = findings.partition_point(|known| known.record <= finding.record);
        findings.insert(at, finding);
    }

    pub(super) fn judge(mut self) -> Report {
        let report = &mut self.report;
        // A head or another copy protects the records before it, sealed or not; the private key
        // protects sealed ones only.
        let protected = report
            .proofs
            .iter()
            .filter(|proof| proof.by != Witness::StateKey)
            .map(|proof| proof.through)
            .max()
            .unwrap_or(0);
        let first = self.pending.map(|first| first.max(protected + 1));
        if let Some(first) = first.filter(|first| *first <= report.last_seq) {
            let text = "records from here on are not sealed yet: nothing but the file's \
                        permissions protects them";
            report.note_beside(NoteKind::Pending, first, text.to_owned());
        }
        let mut report = self.report;
        // A key from the log itself proves nothing about the log, and a part of a log proves
        // nothing about the rest.
        let on_its_word = |note: &Note| {
            matches!(
                note.kind,
                NoteKind::KeyFromLog | NoteKind::Partial | NoteKind::EndUnsealed
            )
        };
        let mut is_unproven = report.notes.iter().any(on_its_word);
        if report.findings.is_empty() && report.proofs.is_empty() && !self.lagging {
            report.note_beside(
                NoteKind::EndUnproven,
                report.last_seq + 1,
                "whether the log's end was cut off is not known".to_owned(),
            );
            is_unproven = true;
        }
        report.verdict = if !report.findings.is_empty() {
            Verdict::Broken
        } else if is_unproven {
            Verdict::Unproven
        } else {
            Verdict::Intact
        };
        report
    }
}
