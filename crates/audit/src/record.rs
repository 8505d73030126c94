//! Encoding of an event as one line of the log.
//!
//! A line is made in two steps. The event is encoded at once by the caller's thread
//! ([`Body`]); number, time and hashes are added when the record's turn in the chain comes.
//! The order of members is fixed and the hash is the last one, so the hashed bytes can be
//! taken from the line: all that precede it.

use crate::text::{Hex, hex, push_number, push_string};
use crate::time::Timestamp;
use pulse_core::event::Event;
use sha2::{Digest, Sha256};

/// The longest line with its newline, which fits one syslog message.
pub const MAX_LINE_BYTES: usize = 4096;
/// The longest body, beside which number, time and hashes always fit.
pub(crate) const MAX_BODY_BYTES: usize = MAX_LINE_BYTES - 256;

// The longest texts in bytes, escapes included. Together they fit a body.
const ERROR_BYTES: usize = 1024;
const NAME_BYTES: usize = 256;
const ID_BYTES: usize = 128;

/// The members of a record besides number, time and hashes.
#[derive(Clone, Debug)]
pub struct Body(Vec<u8>);

impl Body {
    /// Encodes an event.
    #[must_use]
    pub fn of(event: &Event<'_>) -> Self {
        let members = event.members();
        let mut body = Self::named(members.event_type.as_str());
        body.optional("correlation_id", members.correlation_id, ID_BYTES);
        if let Some(peer) = members.peer {
            let who = peer.credentials;
            body.number("peer_uid", u64::from(who.uid));
            body.number("peer_gid", u64::from(who.gid));
            body.number("peer_pid", u64::from(who.pid));
            body.text("peer", &peer.id.to_string(), ID_BYTES);
            if let Some(container) = &peer.container {
                body.text("container", &container.to_string(), ID_BYTES);
            }
        }
        if let Some(node) = members.node {
            body.text("node", &node.to_string(), NAME_BYTES);
        }
        if let Some(exchange) = members.exchange {
            body.text("address", &exchange.address, NAME_BYTES);
            body.text("host_key", &exchange.host_key, ID_BYTES);
            body.text("command", &exchange.command.to_string(), NAME_BYTES);
        }
        body.text("decision", members.decision.as_str(), ID_BYTES);
        body.optional("reason", members.reason, NAME_BYTES);
        body.optional("limiter", members.limiter, ID_BYTES);
        if let Some(code) = members.exchange.and_then(|exchange| exchange.exit_code) {
            body.number("exit_code", u64::from(code));
        }
        if let Some(duration) = members.duration {
            body.milliseconds("duration_ms", duration);
        }
        if let Some(exchange) = members.exchange {
            // Hexadecimal digits need no escapes.
            body.name("stdout_sha256");
            body.0.push(b'"');
            body.0.extend_from_slice(&hex(&exchange.stdout_sha256));
            body.0.push(b'"');
            body.number("stdout_bytes", exchange.stdout_bytes);
        }
        body.optional("error", members.error.as_deref(), ERROR_BYTES);
        if let Some(suppressed) = members.suppressed {
            body.number("suppressed", suppressed.count.get());
            if let Some((first, last)) = suppressed.peers {
                body.text("first_peer", &first.to_string(), ID_BYTES);
                body.text("last_peer", &last.to_string(), ID_BYTES);
            }
        }
        body
    }

    /// The body of a record of the log about itself.
    pub(crate) fn named(event_type: &str) -> Self {
        let mut body = Self(Vec::with_capacity(512));
        body.text("event_type", event_type, ID_BYTES);
        body
    }

    pub(crate) fn with_text(mut self, name: &str, text: &str) -> Self {
        self.text(name, text, NAME_BYTES);
        self
    }

    pub(crate) fn with_optional(mut self, name: &str, text: Option<&str>) -> Self {
        self.optional(name, text, NAME_BYTES);
        self
    }

    pub(crate) fn with_number(mut self, name: &str, value: u64) -> Self {
        self.number(name, value);
        self
    }

    fn optional(&mut self, name: &str, text: Option<&str>, budget: usize) {
        if let Some(text) = text {
            self.text(name, text, budget);
        }
    }

    fn text(&mut self, name: &str, text: &str, budget: usize) {
        self.name(name);
        push_string(&mut self.0, text, budget);
    }

    fn number(&mut self, name: &str, value: u64) {
        self.name(name);
        push_number(&mut self.0, value);
    }

    fn milliseconds(&mut self, name: &str, duration: std::time::Duration) {
        let micros = u64::try_from(duration.as_micros()).unwrap_or(u64::MAX);
        self.number(name, micros / 1000);
        let thousandths = micros % 1000;
        self.0.push(b'.');
        for place in [100, 10, 1] {
            push_number(&mut self.0, thousandths / place % 10);
        }
    }

    fn name(&mut self, name: &str) {
        self.0.extend_from_slice(b",\"");
        self.0.extend_from_slice(name.as_bytes());
        self.0.extend_from_slice(b"\":");
    }

    /// Its length in bytes.
    pub(crate) fn len(&self) -> usize {
        self.0.len()
    }
}

/// The end of a chain, which the next record continues.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Head {
    /// The last record's number; 0 before the first.
    pub seq: u64,
    /// Its hash; 64 zeros before the first.
    pub(crate) hash: Hex,
}

impl Head {
    /// The end of an empty chain.
    pub const START: Self = Self {
        seq: 0,
        hash: [b'0'; 64],
    };

    /// Its hash, in hexadecimal digits.
    #[must_use]
    pub fn hash(&self) -> &str {
        std::str::from_utf8(&self.hash).unwrap_or_default()
    }

    /// Appends the line of the next record, and becomes the end of the chain with it.
    pub(crate) fn extend(&mut self, lines: &mut Vec<u8>, ts: Timestamp, body: &Body) {
        let start = self.begin(lines, ts, body);
        self.finish(lines, start);
    }

    /// As [`Head::extend`], with a signature of all members before it.
    pub(crate) fn extend_signed<F>(
        &mut self,
        lines: &mut Vec<u8>,
        ts: Timestamp,
        body: &Body,
        sign: F,
    ) where
        F: FnOnce(&[u8]) -> String,
    {
        let start = self.begin(lines, ts, body);
        let signature = sign(lines.get(start..).unwrap_or_default());
        lines.extend_from_slice(b",\"signature\":\"");
        lines.extend_from_slice(signature.as_bytes());
        lines.push(b'"');
        self.finish(lines, start);
    }

    fn begin(&self, lines: &mut Vec<u8>, ts: Timestamp, body: &Body) -> usize {
        let start = lines.len();
        lines.extend_from_slice(b"{\"seq\":");
        push_number(lines, self.seq + 1);
        lines.extend_from_slice(b",\"ts\":\"");
        lines.extend_from_slice(&ts.text());
        lines.push(b'"');
        lines.extend_from_slice(&body.0);
        lines.extend_from_slice(b",\"prev_hash\":\"");
        lines.extend_from_slice(&self.hash);
        lines.push(b'"');
        start
    }

    fn finish(&mut self, lines: &mut Vec<u8>, start: usize) {
        self.seq += 1;
        self.hash = hex(&Sha256::digest(lines.get(start..).unwrap_or_default()));
        lines.extend_from_slice(b",\"event_hash\":\"");
        lines.extend_from_slice(&self.hash);
        lines.extend_from_slice(b"\"}\n");
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use pulse_core::callers::capability::Capabilities;
    use pulse_core::callers::peer::{Credentials, Peer, PeerId};
    use pulse_core::event::{
        Access, Exchange, FailureReason, ReadingFailure, RequestId, Suppressed,
    };
    use pulse_core::nodes::name::NodeName;
    use pulse_sensors::command::NodeCommand;
    use std::num::NonZeroU64;
    use std::time::Duration;

    fn line(event: &Event<'_>) -> String {
        let (mut head, mut line) = (Head::START, Vec::new());
        let ts = Timestamp::from_micros(1_795_255_203_123_456);
        head.extend(&mut line, ts, &Body::of(event));
        String::from_utf8(line).unwrap()
    }

    fn peer() -> Peer {
        let (uid, gid, pid) = (u32::MAX, u32::MAX, u32::MAX);
        Peer {
            credentials: Credentials { uid, gid, pid },
            id: PeerId::Uid(uid),
            container: None,
            capabilities: Capabilities::NONE,
        }
    }

    fn exchange(text: &str) -> Exchange {
        Exchange {
            address: text.to_owned(),
            host_key: text.to_owned(),
            command: NodeCommand::SensorsJson,
            exit_code: Some(0),
            stdout_sha256: [0xab; 32],
            stdout_bytes: 3071,
        }
    }

    #[test]
    fn hash_is_over_all_before_it() {
        let line = line(&Event::ProxyStart);
        let (hashed, _) = line.split_once(",\"event_hash\"").unwrap();
        let hash = String::from_utf8(hex(&Sha256::digest(hashed)).to_vec()).unwrap();
        assert_eq!(line, format!("{hashed},\"event_hash\":\"{hash}\"}}\n"));
        serde_json::from_str::<serde_json::Value>(&line).unwrap();
    }

    /// No event has all of these members, so their budgets are more than enough.
    #[test]
    fn longest_records_fit_a_line() {
        let long = "\u{1b}\n\"é".repeat(5000);
        let (peer, exchange) = (peer(), exchange(&long));
        let node = NodeName::parse(&"n".repeat(60)).unwrap();
        let request = RequestId {
            correlation_id: &long,
            peer: &peer,
        };
        let finish = |outcome| Event::CommandFinish {
            request,
            node: &node,
            duration: Duration::MAX,
            outcome,
        };
        let failure = ReadingFailure {
            reason: FailureReason::KnownHostsUnusable,
            error: &long,
        };
        for event in [
            finish(Ok(&exchange)),
            finish(Err(failure)),
            Event::Confinement {
                active: &long,
                missing: &long,
            },
            Event::Access {
                access: Access::Unauthorized,
                peer: &peer,
                suppressed: Some(Suppressed {
                    count: NonZeroU64::MAX,
                    peers: Some((&peer.id, &peer.id)),
                }),
            },
        ] {
            assert!(Body::of(&event).len() + 2 * NAME_BYTES < MAX_BODY_BYTES);
            let line = line(&event);
            assert!(line.len() <= MAX_LINE_BYTES);
            serde_json::from_str::<serde_json::Value>(&line).unwrap();
        }
    }
}
