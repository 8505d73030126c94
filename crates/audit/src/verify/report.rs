//! What the verifier found, for people and for machines.

use serde::Serialize;

/// The answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Verdict {
    /// All of it is as it was written, by the key that was given, and something from
    /// outside of the log [proves](Report::proofs) that its end is there.
    Intact,
    /// Nothing contradicts itself, but something was taken on the log's own word:
    /// the key, what comes before the part that was given, or that it ends here.
    Unproven,
    /// It is not as it was written.
    Broken,
}

/// What was done to a log.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Attack {
    /// A record's bytes were changed.
    Edited,
    /// A record was put in.
    Inserted,
    /// Records were taken out.
    Deleted,
    /// Records stand in another order.
    Reordered,
    /// A record stands twice.
    Duplicated,
    /// The end was cut off.
    Truncated,
    /// An older state was put back.
    RolledBack,
    /// A segment is not the one that was here, or not in its place.
    SegmentSwapped,
    /// There are two different continuations.
    Forked,
    /// Records were rewritten with their hashes; a seal does not fit them.
    Rewritten,
    /// A seal was made with another key than the one it had to be made with.
    Resealed,
    /// There ought to be a seal, and there is none.
    Unsealed,
    /// Another log goes on where this one stops.
    Spliced,
    /// The log begins with another key than the one that was given.
    WrongKey,
    /// The end was cut off after a seal: the private key is a later one.
    CutAtSeal,
    /// A private key is there that was erased.
    KeyRestored,
    /// The private key is another log's.
    WrongState,
    /// A segment does not begin with the record that its name says.
    SegmentMisnamed,
    /// Records were removed, on record, though no limit of retention was exceeded.
    PrunedEarly,
}

/// What is wrong, and where first.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Finding {
    /// What was done.
    pub attack: Attack,
    /// The number of the first bad record.
    pub record: u64,
    /// The file.
    pub source: String,
    /// The line in it, from 1.
    pub line: u64,
    /// In a sentence.
    pub detail: String,
}

/// What is worth knowing and no attack.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum NoteKind {
    /// The key was taken from the log itself.
    KeyFromLog,
    /// The part that was given does not begin with record 1.
    Partial,
    /// The clock went back.
    ClockStepped,
    /// A torn write was recovered from.
    TornWrite,
    /// Records at the end are not sealed yet.
    Pending,
    /// The last line is being written.
    Unfinished,
    /// Exact repetitions were skipped.
    Repeated,
    /// The second copy does not have all of the first.
    Behind,
    /// Whether a collector's file ends too early cannot be told.
    EndUnknown,
    /// Lines of others in a collector's file.
    Others,
    /// Retention removed the log's beginning, on record.
    Pruned,
    /// Whether the log's end was cut off cannot be told.
    EndUnproven,
    /// The private key of the last seal is still there, as a crash leaves it.
    KeyNotErased,
}

/// What shows from outside of a log that records are there.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Witness {
    /// The private key in the state directory is the one that a record announced.
    StateKey,
    /// A record is the one that is [known](super::Options::heads) from elsewhere.
    Head,
    /// Another copy has the same records.
    Copy,
    /// The collector acknowledged them.
    Acknowledged,
}

/// No record up to this one is missing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct Proof {
    /// What shows it.
    pub by: Witness,
    /// The record's number.
    pub through: u64,
}

/// A note and the record that it is about.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Note {
    /// What it is about.
    pub kind: NoteKind,
    /// The record's number.
    pub record: u64,
    /// In a sentence.
    pub detail: String,
}

/// All that the verifier has to say.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Report {
    /// The answer.
    pub verdict: Verdict,
    /// What is wrong, the first first; about 100, `findings_left_out` counts the rest.
    pub findings: Vec<Finding>,
    /// How many more findings there would be.
    pub findings_left_out: u64,
    /// What is worth knowing; at most 100, `notes_left_out` counts the rest.
    pub notes: Vec<Note>,
    /// How many more notes there would be.
    pub notes_left_out: u64,
    /// The log's own name.
    pub log_id: Option<String>,
    /// The verification key that was used.
    pub key: Option<String>,
    /// Records that were good.
    pub records: u64,
    /// Seals that were good.
    pub seals: u64,
    /// The number of the first record.
    pub first_seq: u64,
    /// Records up to this one were removed by retention, on record; 0 is none.
    pub pruned_through: u64,
    /// The last good record's number.
    pub last_seq: u64,
    /// The last good record's hash.
    pub last_hash: String,
    /// The last record that a good seal covers.
    pub sealed_through: u64,
    /// The epoch after the last good seal.
    pub epoch: Option<u64>,
    /// What shows that the log was not cut off earlier.
    pub proofs: Vec<Proof>,
    /// Bytes that were read.
    pub bytes: u64,
}

impl Report {
    /// The last record up to which nothing can be missing; 0 where nothing shows it.
    #[must_use]
    pub fn proved_through(&self) -> u64 {
        let proofs = self.proofs.iter().map(|proof| proof.through);
        proofs.max().unwrap_or(0)
    }

    /// Adds a note that must not be left out.
    pub(super) fn note_beside(&mut self, kind: NoteKind, record: u64, detail: String) {
        self.notes.push(Note {
            kind,
            record,
            detail,
        });
    }
}

/// A report whose verdict is still open: what the log is compared with may tell more.
pub(super) struct Unjudged {
    pub(super) report: Report,
    /// See [`super::Options::lagging`].
    pub(super) lagging: bool,
    /// The first record at the end that is not sealed yet.
    pub(super) pending: Option<u64>,
}

impl Unjudged {
    pub(super) fn prove(&mut self, by: Witness, through: u64) {
        if through > 0 {
            self.report.proofs.push(Proof { by, through });
        }
    }

    /// Adds a finding where its record belongs.
    pub(super) fn find(&mut self, finding: Finding) {
        let findings = &mut self.report.findings;
        let at = findings.partition_point(|known| known.record <= finding.record);
        findings.insert(at, finding);
    }

    pub(super) fn judge(mut self) -> Report {
        self.note_pending();
        let mut report = self.report;
        let on_its_word =
            |note: &Note| matches!(note.kind, NoteKind::KeyFromLog | NoteKind::Partial);
        let mut is_unproven = report.notes.iter().any(on_its_word);
        if report.findings.is_empty() && report.proofs.is_empty() && !self.lagging {
            let text = "whether the log's end was cut off cannot be told".to_owned();
            report.note_beside(NoteKind::EndUnproven, report.last_seq + 1, text);
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

    /// Somebody else has the hash of a head, and a copy's records: these hold what comes
    /// before them in its place, sealed or not. The private key only vouches for seals.
    fn note_pending(&mut self) {
        let report = &mut self.report;
        let noted = report.proofs.iter();
        let noted = noted.filter(|proof| proof.by != Witness::StateKey);
        let noted = noted.map(|proof| proof.through).max().unwrap_or(0);
        let first = self.pending.map(|first| first.max(noted + 1));
        if let Some(first) = first.filter(|first| *first <= report.last_seq) {
            let text = "records from here on are not sealed yet: nothing but the file's \
                        permissions protects them";
            report.note_beside(NoteKind::Pending, first, text.to_owned());
        }
    }
}
