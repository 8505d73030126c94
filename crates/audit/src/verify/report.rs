//! What the verifier found, for people and for machines.

use serde::Serialize;

/// The answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Verdict {
    /// All of it is as it was written, by the key that was given.
    Intact,
    /// Nothing contradicts itself, but something was taken on the log's own word:
    /// the key, or what comes before the part that was given.
    Unproven,
    /// It is not as it was written.
    Broken,
}

impl Verdict {
    /// The exit code of a program that verifies: 0, 3 and 1. (2 is for a wrong
    /// command line, 4 for a file that cannot be read.)
    #[must_use]
    pub fn exit_code(self) -> u8 {
        match self {
            Self::Intact => 0,
            Self::Broken => 1,
            Self::Unproven => 3,
        }
    }
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
    /// Bytes that were read.
    pub bytes: u64,
}
