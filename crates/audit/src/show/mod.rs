//! Reading records for display: selected ones, the last ones, and new ones.
//!
//! Only each line's own hash is checked here; [`crate::verify`] verifies the chain.

mod filter;
mod follow;
mod last;
mod position;

pub use filter::Filter;
pub use follow::Follower;
pub use last::last;

use crate::line::RecordLine;
use crate::tail::next_line;
use crate::time::Timestamp;
use crate::verify::Source;
use serde_json::{Map, Value};
use std::io::{self, BufReader, Read};

/// A record, or a line that is not one.
#[derive(Clone, Debug, PartialEq)]
pub struct Shown {
    /// The record's number; 0 if the line is not a record.
    pub seq: u64,
    /// Its members; empty if the line is not a record.
    pub members: Map<String, Value>,
    /// The line, without its newline.
    pub line: String,
    /// Its hash is that of its bytes.
    pub is_whole: bool,
}

impl Shown {
    /// The record's time.
    #[must_use]
    pub fn ts(&self) -> Option<Timestamp> {
        Timestamp::parse(self.text("ts")?.as_bytes())
    }

    /// The type of its event; empty if the line is not a record.
    #[must_use]
    pub fn event(&self) -> &str {
        self.text("event_type").unwrap_or_default()
    }

    /// A member that is a number.
    #[must_use]
    pub fn number(&self, name: &str) -> Option<u64> {
        self.members.get(name)?.as_u64()
    }

    /// A text member.
    #[must_use]
    pub fn text(&self, name: &str) -> Option<&str> {
        self.members.get(name)?.as_str()
    }

    fn read(line: &[u8], record: Option<RecordLine<'_>>) -> Self {
        // A line that is not a record is not parsed, even if it is JSON: other parsers might read
        // it differently.
        let members = record.and_then(|_| serde_json::from_slice(line).ok());
        Self {
            seq: record.map_or(0, |record| record.seq),
            is_whole: members.is_some() && record.is_some_and(|record| record.is_whole()),
            members: members.unwrap_or_default(),
            line: String::from_utf8_lossy(line).into_owned(),
        }
    }
}

/// The selected records of a log's files, in order.
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
            if let Some(shown) = self.filter.read(&line) {
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
        lines.extend_from_slice(b"garbage");
        let source = Source::reader("x", Cursor::new(lines));
        records(vec![source], filter)
            .map(|record| record.unwrap().seq)
            .collect()
    }

    #[test]
    fn filters_select_records() {
        assert_eq!(shown(Filter::default()), [1, 2, 3, 0]);
        let node = Some("PVE1".to_owned());
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
        let since = Some(Timestamp::from_micros(86_400_000_000));
        assert_eq!(
            shown(Filter {
                since,
                ..Filter::default()
            }),
            [2, 3]
        );
    }
}
