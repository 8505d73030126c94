//! Selection of records.

use super::Shown;
use crate::line::RecordLine;
use crate::time::Timestamp;
use serde_json::Value;

/// A selection of records, by all of the conditions that are set.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Filter {
    /// Records about this node.
    pub node: Option<String>,
    /// Records of this peer: its `peer` member, or its user id.
    pub peer: Option<String>,
    /// Records of this type; a type that ends with a dot, like `log.`, is a prefix.
    pub event: Option<String>,
    /// Records of this request.
    pub correlation_id: Option<String>,
    /// Records from this number on.
    pub from_seq: Option<u64>,
    /// Records from this time on.
    pub since: Option<Timestamp>,
}

impl Filter {
    /// True when no condition is set.
    pub(super) fn wants_all(&self) -> bool {
        *self == Self::default()
    }

    /// The record of a line, if it is selected. The members are parsed only when the conditions
    /// that do not need them are fulfilled.
    pub(super) fn read(&self, line: &[u8]) -> Option<Shown> {
        let line = line.strip_suffix(b"\n").unwrap_or(line);
        let record = RecordLine::parse(line);
        if let Some(record) = record {
            let is_other = |wanted: &String| !matches_event(wanted.as_bytes(), record.event_type);
            if self.from_seq.is_some_and(|from| record.seq < from)
                || self.since.is_some_and(|since| record.ts < since)
                || self.event.as_ref().is_some_and(is_other)
            {
                return None;
            }
        }
        let shown = Shown::read(line, record);
        self.wants(&shown).then_some(shown)
    }

    /// True when a record is selected. A line that is not a record is selected if no condition is
    /// set, so that readers notice it.
    #[must_use]
    pub fn wants(&self, record: &Shown) -> bool {
        let is = |name: &str, wanted: &Option<String>| {
            wanted
                .as_deref()
                .is_none_or(|wanted| record.text(name) == Some(wanted))
        };
        // A user id selects all callers of that user, of whatever kind.
        let is_peer = is("peer", &self.peer)
            || record.members.get("peer_uid").map(Value::to_string) == self.peer;
        // Host names are case-insensitive.
        let is_node = self.node.as_ref().is_none_or(|wanted| {
            let node = record.text("node");
            node.is_some_and(|node| node.eq_ignore_ascii_case(wanted))
        });
        is_node
            && is("correlation_id", &self.correlation_id)
            && is_peer
            && self
                .event
                .as_ref()
                .is_none_or(|wanted| matches_event(wanted.as_bytes(), record.event().as_bytes()))
            && self
                .since
                .is_none_or(|since| record.ts().is_some_and(|ts| ts >= since))
            && self.from_seq.is_none_or(|from| record.seq >= from)
    }
}

/// A wanted type that ends with a dot is a prefix.
fn matches_event(wanted: &[u8], found: &[u8]) -> bool {
    wanted == found || (wanted.ends_with(b".") && found.starts_with(wanted))
}
