//! Reading records for people: filtered, with their members.
//!
//! Nothing is verified here beyond each line's own hash; [`crate::verify`] does.

use crate::line::Line;
use crate::tail::next_line;
use crate::verify::Source;
use serde_json::{Map, Value};
use std::io::{self, BufReader, Read};

/// Which records are wanted. What is not set does not matter.
#[derive(Clone, Debug, Default)]
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
    /// Those of this time or later, as text: `2026-11-21` is the day's beginning.
    pub since: Option<String>,
}

/// A record, or a line that is none.
#[derive(Clone, Debug, PartialEq)]
pub struct Shown {
    /// The record's number; 0 when the line is none.
    pub seq: u64,
    /// Its members; empty when the line is none.
    pub members: Map<String, Value>,
    /// The line as it stands, without its newline.
    pub line: String,
    /// It hashes to what it says.
    pub is_whole: bool,
}

impl Shown {
    /// A text member.
    #[must_use]
    pub fn text(&self, name: &str) -> Option<&str> {
        self.members.get(name)?.as_str()
    }

    fn read(line: &[u8]) -> Self {
        let record = Line::parse(line);
        let members = record.and_then(|_| serde_json::from_slice(line).ok());
        Self {
            seq: record.map_or(0, |record| record.seq),
            is_whole: members.is_some() && record.is_some_and(|record| record.is_whole()),
            members: members.unwrap_or_default(),
            line: String::from_utf8_lossy(line).into_owned(),
        }
    }
}

impl Filter {
    /// Whether a record is wanted. A line that is no record always is, unless
    /// something is asked of it: it should be seen.
    #[must_use]
    pub fn wants(&self, record: &Shown) -> bool {
        let is = |name: &str, wanted: &Option<String>| {
            wanted
                .as_deref()
                .is_none_or(|wanted| record.text(name) == Some(wanted))
        };
        let uid = record.members.get("peer_uid").map(Value::to_string);
        let is_peer = self.peer.is_none() || uid == self.peer || is("peer", &self.peer);
        let is_event = self.event.as_deref().is_none_or(|wanted| {
            record.text("event_type").is_some_and(|found| {
                found == wanted || (wanted.ends_with('.') && found.starts_with(wanted))
            })
        });
        let is_recent = self
            .since
            .as_deref()
            .is_none_or(|since| record.text("ts").is_some_and(|ts| ts >= since));
        is("node", &self.node)
            && is("correlation_id", &self.correlation_id)
            && is_peer
            && is_event
            && is_recent
            && self.from_seq.is_none_or(|from| record.seq >= from)
    }
}

/// The wanted records of a log's files, in their order.
#[must_use]
pub fn records(sources: Vec<Source>, filter: Filter) -> Records {
    Records {
        sources: sources.into_iter(),
        file: None,
        filter,
    }
}

/// See [`records`].
pub struct Records {
    sources: std::vec::IntoIter<Source>,
    file: Option<BufReader<Box<dyn Read>>>,
    filter: Filter,
}

impl Records {
    fn next_shown(&mut self) -> io::Result<Option<Shown>> {
        let mut line = Vec::new();
        loop {
            let Some(file) = &mut self.file else {
                let Some(source) = self.sources.next() else {
                    return Ok(None);
                };
                self.file = Some(BufReader::new(source.open()?));
                continue;
            };
            if next_line(file, &mut line)? == 0 {
                self.file = None;
                continue;
            }
            let shown = Shown::read(line.strip_suffix(b"\n").unwrap_or(&line));
            if self.filter.wants(&shown) {
                return Ok(Some(shown));
            }
        }
    }
}

impl Iterator for Records {
    type Item = io::Result<Shown>;

    fn next(&mut self) -> Option<Self::Item> {
        self.next_shown().transpose()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::record::{Body, Head};
    use crate::time::Timestamp;
    use std::io::Cursor;

    fn shown(filter: Filter) -> Vec<u64> {
        let (mut head, mut lines) = (Head::START, Vec::new());
        for node in ["pve1", "pve2", "pve1"] {
            let body = Body::named("command.start")
                .with_number("peer_uid", 7)
                .with_text("node", node);
            head.extend(
                &mut lines,
                Timestamp::from_micros(head.seq * 86_400_000_000),
                &body,
            );
        }
        lines.extend_from_slice(b"rubbish");
        let source = Source::reader("x", Cursor::new(lines));
        records(vec![source], filter)
            .map(|record| record.unwrap().seq)
            .collect()
    }

    #[test]
    fn only_what_is_asked_for_is_shown() {
        assert_eq!(shown(Filter::default()), [1, 2, 3, 0]);
        let node = Some("pve1".to_owned());
        assert_eq!(
            shown(Filter {
                node,
                ..Filter::default()
            }),
            [1, 3]
        );
        let event = Some("command.".to_owned());
        assert_eq!(
            shown(Filter {
                event,
                ..Filter::default()
            }),
            [1, 2, 3]
        );
        let peer = Some("7".to_owned());
        assert_eq!(
            shown(Filter {
                peer,
                ..Filter::default()
            }),
            [1, 2, 3]
        );
        let since = Some("1970-01-02".to_owned());
        assert_eq!(
            shown(Filter {
                since,
                ..Filter::default()
            }),
            [2, 3]
        );
    }
}
