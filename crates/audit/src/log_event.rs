//! Events of the log about itself: their types, and the records that the writer makes of them.
//!
//! Events of the daemon are [`Event`](pulse_core::event::Event)s. These are the writer's own;
//! they make the log verifiable, so no other code can write them.

use crate::key::PublicKey;
use crate::record::{Body, Head};
use crate::text::hex;
use crate::watch::ChangedFile;
use pulse_core::audit_log::retention;
use sha2::{Digest, Sha256};

/// The type of an event of the log about itself (docs/audit-format.md).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum LogEventType {
    /// The log begins, with the verification key.
    Open,
    /// All records since the seal before are signed.
    Sealed,
    /// A segment ends.
    Rotated,
    /// A segment begins, or the writer starts or recovers.
    Resumed,
    /// A segment is about to be removed.
    Pruned,
    /// Records that no request awaited found no room in the queue.
    Dropped,
    /// A write was torn, or failed.
    Recovered,
    /// Another program changed a file of the log.
    Disturbed,
    /// An operator accepted such a change, and the log continues.
    LossAccepted,
}

impl LogEventType {
    /// Every type.
    pub const ALL: [Self; 9] = [
        Self::Open,
        Self::Sealed,
        Self::Rotated,
        Self::Resumed,
        Self::Pruned,
        Self::Dropped,
        Self::Recovered,
        Self::Disturbed,
        Self::LossAccepted,
    ];

    /// The name on record.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Open => "log.open",
            Self::Sealed => "log.sealed",
            Self::Rotated => "log.rotated",
            Self::Resumed => "log.resumed",
            Self::Pruned => "log.pruned",
            Self::Dropped => "log.dropped",
            Self::Recovered => "log.recovered",
            Self::Disturbed => "log.disturbed",
            Self::LossAccepted => "log.loss_accepted",
        }
    }

    /// The type with this name on record. `None` for the daemon's events, and for those of a
    /// later release.
    #[must_use]
    pub fn from_name(name: &[u8]) -> Option<Self> {
        Self::ALL
            .into_iter()
            .find(|event| event.as_str().as_bytes() == name)
    }
}

/// The log and its current key: a verifier needs both to begin at this record.
#[derive(Clone, Copy, Debug)]
pub(crate) struct LogKey<'a> {
    pub(crate) log_id: &'a str,
    pub(crate) epoch: u64,
    pub(crate) key: PublicKey,
}

/// An event of the log about itself.
#[derive(Clone, Copy, Debug)]
pub(crate) enum LogEvent<'a> {
    Open {
        log: LogKey<'a>,
        host: &'a str,
    },
    Sealed {
        epoch: u64,
        key: PublicKey,
        next_key: PublicKey,
    },
    Rotated {
        segment: &'a str,
    },
    Resumed {
        log: LogKey<'a>,
        reason: ResumeReason,
        /// The segment before, where the record begins a file.
        segment: Option<&'a str>,
    },
    Pruned {
        first_seq: u64,
        end: Head,
        epoch: u64,
        reason: retention::Reason,
    },
    Dropped {
        count: u64,
    },
    Recovered {
        torn: Option<TornBytes<'a>>,
        /// The error of the write that failed. Its caller was refused.
        failure: Option<&'a str>,
    },
    Disturbed(&'a ChangedFile),
    LossAccepted {
        /// The user that accepted it, as records name a peer.
        peer: &'a str,
        /// The number of changed files.
        files: u64,
    },
}

/// The reason for which a log continues.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum ResumeReason {
    /// The writer starts.
    Start,
    /// A new segment begins.
    Rotation,
    /// A new file begins with this record before that of a failed write. Further records are
    /// refused until writing is possible again.
    Failure,
    /// As [`Failure`](Self::Failure): the disk is full, and a segment will be removed.
    Pruning,
    /// Writing is possible again, after this many refused records.
    Recovery { refused: u64 },
}

impl ResumeReason {
    const fn as_str(self) -> &'static str {
        match self {
            Self::Start => "start",
            Self::Rotation => "rotation",
            Self::Failure => "failure",
            Self::Pruning => "pruning",
            Self::Recovery { .. } => "recovery",
        }
    }
}

/// Bytes of a torn write, which were moved to a file.
#[derive(Clone, Copy, Debug)]
pub(crate) struct TornBytes<'a> {
    pub(crate) content: &'a [u8],
    /// The name of that file.
    pub(crate) file: &'a str,
}

impl LogEvent<'_> {
    /// The event's members. Their order is that of existing logs, whose bytes do not change.
    pub(crate) fn body(&self) -> Body {
        let body = Body::named(self.event_type().as_str());
        match *self {
            Self::Open { log, host } => body
                .with_text("log_id", log.log_id)
                .with_text("host", host)
                .with_number("epoch", log.epoch)
                .with_text("key", &log.key.to_string()),
            Self::Sealed {
                epoch,
                key,
                next_key,
            } => body
                .with_number("epoch", epoch)
                .with_text("key", &key.to_string())
                .with_text("next_key", &next_key.to_string()),
            Self::Rotated { segment } => body.with_text("segment", segment),
            Self::Resumed {
                log,
                reason,
                segment,
            } => {
                let mut body = body
                    .with_text("log_id", log.log_id)
                    .with_number("epoch", log.epoch)
                    .with_text("key", &log.key.to_string())
                    .with_text("reason", reason.as_str());
                if let ResumeReason::Recovery {
                    refused: refused @ 1..,
                } = reason
                {
                    body = body.with_number("suppressed", refused);
                }
                body.with_optional("segment", segment)
            }
            Self::Pruned {
                first_seq,
                end,
                epoch,
                reason,
            } => body
                .with_number("first_seq", first_seq)
                .with_number("last_seq", end.seq)
                .with_text("last_hash", end.hash())
                .with_number("epoch", epoch)
                .with_text("reason", reason.as_str()),
            Self::Dropped { count } => body
                .with_text("reason", "queue_full")
                .with_number("suppressed", count),
            Self::Recovered { torn, failure } => {
                let mut body = body;
                if let Some(torn) = torn {
                    let hash = hex(&Sha256::digest(torn.content));
                    body = body
                        .with_number("torn_bytes", torn.content.len() as u64)
                        .with_text("torn_sha256", &String::from_utf8_lossy(&hash))
                        .with_text("torn_file", torn.file);
                }
                body.with_optional("decision", failure.map(|_| "denied"))
                    .with_optional("error", failure)
            }
            Self::Disturbed(changed) => {
                let body = body
                    .with_text("file", &changed.file)
                    .with_text("reason", changed.change.as_str());
                match changed.records {
                    Some((first, last)) => body
                        .with_number("first_seq", first)
                        .with_number("last_seq", last),
                    None => body,
                }
            }
            Self::LossAccepted { peer, files } => {
                body.with_text("peer", peer).with_number("files", files)
            }
        }
    }

    fn event_type(&self) -> LogEventType {
        match self {
            Self::Open { .. } => LogEventType::Open,
            Self::Sealed { .. } => LogEventType::Sealed,
            Self::Rotated { .. } => LogEventType::Rotated,
            Self::Resumed { .. } => LogEventType::Resumed,
            Self::Pruned { .. } => LogEventType::Pruned,
            Self::Dropped { .. } => LogEventType::Dropped,
            Self::Recovered { .. } => LogEventType::Recovered,
            Self::Disturbed(_) => LogEventType::Disturbed,
            Self::LossAccepted { .. } => LogEventType::LossAccepted,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Timestamp;
    use crate::key::SealKey;
    use crate::watch::Change;
    use serde_json::{Map, Value};
    use std::collections::{BTreeMap, BTreeSet};

    /// Every event, with all members that it can have.
    fn events(key: PublicKey, changed: &ChangedFile) -> Vec<LogEvent<'_>> {
        let log = LogKey {
            log_id: "x",
            epoch: 0,
            key,
        };
        let torn = TornBytes {
            content: b"{",
            file: "x",
        };
        vec![
            LogEvent::Open { log, host: "x" },
            LogEvent::Sealed {
                epoch: 0,
                key,
                next_key: key,
            },
            LogEvent::Rotated { segment: "x" },
            LogEvent::Resumed {
                log,
                reason: ResumeReason::Recovery { refused: 1 },
                segment: Some("x"),
            },
            LogEvent::Pruned {
                first_seq: 1,
                end: Head::START,
                epoch: 0,
                reason: retention::Reason::Age,
            },
            LogEvent::Dropped { count: 1 },
            LogEvent::Recovered {
                torn: Some(torn),
                failure: Some("x"),
            },
            LogEvent::Disturbed(changed),
            LogEvent::LossAccepted {
                peer: "control:0",
                files: 1,
            },
        ]
    }

    /// The members of each event by docs/audit-format.md.
    fn documented() -> BTreeMap<String, BTreeSet<String>> {
        let page = include_str!("../../../docs/audit-format.md");
        let (_, section) = page.split_once("## Events of the log itself").unwrap();
        let (section, _) = section.split_once("\n## ").unwrap();
        let rows = section.lines().filter(|line| line.starts_with("| `"));
        let row = |line: &str| {
            let cells: Vec<&str> = line.split('|').map(str::trim).collect();
            // Example values in parentheses are not members.
            let members = cells[2].split(", `").map(|cell| {
                cell.trim_start_matches('`')
                    .split('`')
                    .next()
                    .unwrap()
                    .to_owned()
            });
            (cells[1].trim_matches('`').to_owned(), members.collect())
        };
        rows.map(row).collect()
    }

    #[test]
    fn documented_members_are_written() {
        let key = SealKey::generate("x", 0).unwrap().public();
        let changed = ChangedFile {
            file: "x".to_owned(),
            change: Change::Cut,
            records: Some((1, 2)),
            length: 3,
            is_recorded: false,
            needs_original: false,
            found: None,
        };
        let written = events(key, &changed).into_iter().map(|event| {
            let mut line = Vec::new();
            let mut head = Head::START;
            head.extend(&mut line, Timestamp::default(), &event.body());
            let record: Map<String, Value> = serde_json::from_slice(&line).unwrap();
            let chain = ["seq", "ts", "event_type", "prev_hash", "event_hash"];
            let members = record.keys().filter(|name| !chain.contains(&name.as_str()));
            let mut members: BTreeSet<String> = members.cloned().collect();
            if matches!(event, LogEvent::Sealed { .. }) {
                members.insert("signature".to_owned());
            }
            (record["event_type"].as_str().unwrap().to_owned(), members)
        });
        assert_eq!(written.collect::<BTreeMap<_, _>>(), documented());
    }

    #[test]
    fn names_are_those_of_types() {
        for event in LogEventType::ALL {
            assert_eq!(
                LogEventType::from_name(event.as_str().as_bytes()),
                Some(event)
            );
        }
        assert_eq!(LogEventType::from_name(b"log.other"), None);
        assert_eq!(LogEventType::from_name(b"proxy.start"), None);
    }
}
