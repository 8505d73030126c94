//! From the log into a connection.

use super::Stream;
use crate::cursor::Place;
use crate::problem::Problem;
use pulse_audit::{After, Reader};
use pulse_core::config::forward::Protocol;
use pulse_relp::link::Link;
use tokio::time::Instant;

/// With less room than this, more is waited for: a few large writes cost less than many
/// small ones.
pub(super) const WORTHWHILE: usize = 64;
/// So many of the daemon's own messages go before records.
const MESSAGES: usize = WORTHWHILE / 2;

impl Stream {
    /// Begins again after what is acknowledged.
    pub(super) fn go_back(&mut self) -> Result<(), Problem> {
        if let Some(telling) = &mut self.parts.telling {
            telling.go_back();
        }
        let durable = *self.parts.durable.borrow();
        self.reader = match self.acknowledged {
            Place::From(seq) => Reader::from(&self.parts.log, seq),
            Place::After(head) => match Reader::after(&self.parts.log, head, durable)? {
                After::Here(reader) => reader,
                After::Removed(reader, first) => {
                    let (from, to) = (head.seq + 1, first - 1);
                    tracing::warn!(
                        "the audit log begins with record {first}: stream {} goes on there, and \
                         records {from} to {to} were removed though its cursor is before them",
                        self.stream_name()
                    );
                    reader
                }
                After::Other => {
                    tracing::error!(
                        seq = head.seq,
                        "the audit log does not hold the record any more up to which it was forwarded: all of it is sent again"
                    );
                    self.acknowledged = Place::START;
                    Reader::from(&self.parts.log, 1)
                }
            },
        };
        Ok(())
    }

    /// Gives the connection what there is and it has room for; true when nothing is left.
    pub(super) fn fill(&mut self, link: &mut Link, index: usize) -> Result<bool, Problem> {
        let is_relp = self.parts.routes[index].collector.protocol == Protocol::Relp;
        if link.room() < WORTHWHILE && link.on_their_way() > WORTHWHILE {
            return Ok(false);
        }
        let is_all_told = self.fill_messages(link);
        if self.parts.durable.has_changed().unwrap_or(false) {
            self.grown = Instant::now();
        }
        let durable = *self.parts.durable.borrow_and_update();
        while link.room() > 0 {
            let Some(record) = self.reader.next(durable)? else {
                return Ok(is_all_told);
            };
            self.message.clear();
            self.parts.records.write(&mut self.message, &record);
            let is_last = record.head.seq == durable;
            link.give(self.flight.tag(), &self.message);
            self.flight.record(record.head, is_relp || is_last);
        }
        Ok(false)
    }

    /// Gives it some of the daemon's own messages; true when none is left. However many
    /// there are, records go with them.
    fn fill_messages(&mut self, link: &mut Link) -> bool {
        let Some(telling) = &mut self.parts.telling else {
            return true;
        };
        for _ in 0..MESSAGES.min(link.room()) {
            let Some(message) = telling.next() else {
                return true;
            };
            self.message.clear();
            self.parts.messages.write(
                &mut self.message,
                message.severity,
                &message.when,
                "log",
                message.text.as_bytes(),
            );
            link.give(self.flight.tag(), &self.message);
            self.flight.message(message.number);
        }
        false
    }
}
