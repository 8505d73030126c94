//! Which records are wanted.

use super::Shown;
use crate::line::RecordLine;
use crate::time::Timestamp;
use serde_json::Value;

/// Which records are wanted. What is not set does not matter.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Filter {
    /// Those that name this node.
    pub node: Option<String>,
    /// Those of this peer, as the record's `peer` says it, or of this user id.
    pub peer: Option<String>,
    /// Those of this type; `log.` is all that begins with it.
    pub event: Option<String>,
    /// Those of one request.
    pub correlation_id: Option<String>,
    /// Those with this number or a higher one.
    pub from_seq: Option<u64>,
    /// Those of this time or later.
    pub since: Option<Timestamp>,
}

impl Filter {
    /// Whether every line is wanted.
    pub(super) fn wants_all(&self) -> bool {
        *self == Self::default()
    }

    /// The record that `line` is, if it is wanted. Its members are read only when
    /// what can be told without them does not rule it out.
    pub(super) fn read(&self, line: &[u8]) -> Option<Shown> {
        let line = line.strip_suffix(b"\n").unwrap_or(line);
        let record = RecordLine::parse(line);
        if record.is_some_and(|record| self.rules_out(&record)) {
            return None;
        }
        let shown = Shown::read(line, record);
        self.wants(&shown).then_some(shown)
    }

    fn rules_out(&self, record: &RecordLine<'_>) -> bool {
        let is_other = |wanted: &String| !matches_event(wanted.as_bytes(), record.event_type);
        self.from_seq.is_some_and(|from| record.seq < from)
            || self.since.is_some_and(|since| record.ts < since)
            || self.event.as_ref().is_some_and(is_other)
    }

    /// Whether a record is wanted. A line that is no record is, unless something
    /// is asked of it: it should be seen.
    #[must_use]
    pub fn wants(&self, record: &Shown) -> bool {
        let is = |name: &str, wanted: &Option<String>| {
            wanted
                .as_deref()
                .is_none_or(|wanted| record.text(name) == Some(wanted))
        };
        let uid = record.members.get("peer_uid").map(Value::to_string);
        let is_peer = self.peer.is_none() || uid == self.peer || is("peer", &self.peer);
        let event = record.event().as_bytes();
        let is_event = |wanted: &String| matches_event(wanted.as_bytes(), event);
        // Names that differ in case are one node.
        let is_node = self.node.as_ref().is_none_or(|wanted| {
            let node = record.text("node");
            node.is_some_and(|node| node.eq_ignore_ascii_case(wanted))
        });
        is_node
            && is("correlation_id", &self.correlation_id)
            && is_peer
            && self.event.as_ref().is_none_or(is_event)
            && self
                .since
                .is_none_or(|since| record.ts().is_some_and(|ts| ts >= since))
            && self.from_seq.is_none_or(|from| record.seq >= from)
    }
}

/// `log.` is every event that begins with it.
fn matches_event(wanted: &[u8], found: &[u8]) -> bool {
    wanted == found || (wanted.ends_with(b".") && found.starts_with(wanted))
}
