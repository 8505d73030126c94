//! What is put on record: one event for each decision.
//!
//! The names are those of the audit log's specification, so that whoever keeps
//! the records (a log of the system now, a chained file later) and whoever reads
//! them speak of the same things.

use crate::command::NodeCommand;
use crate::name::NodeName;
use crate::peer::Peer;
use std::collections::HashMap;
use std::time::{Duration, Instant};

/// What happened.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum EventType {
    /// The daemon serves.
    ProxyStart,
    /// The daemon ends.
    ProxyStop,
    /// The daemon has confined itself, as far as the kernel could.
    Confinement,
    /// The configuration was read anew.
    ConfigReloaded,
    /// A caller was let in.
    ConnectionAccepted,
    /// A caller without any capability was turned away.
    ConnectionDenied,
    /// The limiter refused a caller.
    LimiterRejection,
    /// A node is about to be asked.
    CommandStart,
    /// The outcome of a request to a node.
    CommandFinish,
    /// A request was malformed or forbidden.
    ValidationFailed,
    /// A node showed a host key that is not the pinned one.
    HostKeyMismatch,
    /// A node's address is not one that may be connected to.
    EgressDenied,
}

impl EventType {
    /// The name on record.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::ProxyStart => "proxy.start",
            Self::ProxyStop => "proxy.stop",
            Self::Confinement => "confinement",
            Self::ConfigReloaded => "config.reloaded",
            Self::ConnectionAccepted => "connection.accepted",
            Self::ConnectionDenied => "connection.denied",
            Self::LimiterRejection => "limiter.rejection",
            Self::CommandStart => "command.start",
            Self::CommandFinish => "command.finish",
            Self::ValidationFailed => "command.validation_failed",
            Self::HostKeyMismatch => "hostkey.mismatch",
            Self::EgressDenied => "egress.denied",
        }
    }
}

/// What was decided.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Decision {
    /// It may be done.
    Allowed,
    /// It may not.
    Denied,
    /// It was done.
    Completed,
    /// It was tried.
    Failed,
}

impl Decision {
    /// The name on record.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Allowed => "allowed",
            Self::Denied => "denied",
            Self::Completed => "completed",
            Self::Failed => "failed",
        }
    }
}

/// What an exchange with a node was and what came back.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Exchange {
    /// The address that was connected to.
    pub address: String,
    /// The fingerprint of the host key that it proved to have.
    pub host_key: String,
    /// What was run.
    pub command: NodeCommand,
    /// The exit code, when the command ended.
    pub exit_code: Option<u32>,
    /// SHA-256 of what it printed.
    pub stdout_sha256: [u8; 32],
    /// How much it printed, in bytes.
    pub stdout_bytes: u64,
}

/// One event. What does not apply is absent.
#[derive(Clone, Copy, Debug)]
pub struct Event<'a> {
    /// What happened.
    pub kind: EventType,
    /// What was decided.
    pub decision: Decision,
    /// The request's correlation id.
    pub correlation_id: Option<&'a str>,
    /// Who asked.
    pub peer: Option<&'a Peer>,
    /// Which node.
    pub node: Option<&'a NodeName>,
    /// The exchange that the answer came from.
    pub exchange: Option<&'a Exchange>,
    /// Why, as one of the protocol's reasons.
    pub reason: Option<&'a str>,
    /// Which part of the limiter refused.
    pub limiter: Option<&'a str>,
    /// The error's text.
    pub error: Option<&'a str>,
    /// How long it took.
    pub duration: Option<Duration>,
    /// How many like it were left out since the last one.
    pub suppressed: u64,
}

impl Event<'_> {
    /// An event with nothing but its type and decision.
    #[must_use]
    pub fn new(kind: EventType, decision: Decision) -> Self {
        Self {
            kind,
            decision,
            correlation_id: None,
            peer: None,
            node: None,
            exchange: None,
            reason: None,
            limiter: None,
            error: None,
            duration: None,
            suppressed: 0,
        }
    }
}

/// One record per second, UID and kind of event; the rest are counted. So no local
/// user can fill the disk by connecting or by being refused.
#[derive(Debug, Default)]
pub struct Suppression {
    seen: HashMap<(u32, EventType), (Instant, u64)>,
}

/// Pairs remembered at a time.
const MAX_SEEN: usize = 4096;
/// The time between two records of one pair.
const INTERVAL: Duration = Duration::from_secs(1);

impl Suppression {
    /// Whether this one is put on record, and then how many were left out before.
    pub fn note(&mut self, uid: u32, kind: EventType, now: Instant) -> Option<u64> {
        self.make_room_for((uid, kind), now);
        match self.seen.get_mut(&(uid, kind)) {
            Some((at, left_out)) if now < *at + INTERVAL => {
                *left_out += 1;
                None
            }
            _ => {
                let before = self.seen.insert((uid, kind), (now, 0));
                Some(before.map_or(0, |(_, left_out)| left_out))
            }
        }
    }

    /// Forgets first what has nothing left to say, then everything: what that
    /// loses is the count of one second.
    fn make_room_for(&mut self, key: (u32, EventType), now: Instant) {
        if self.seen.len() < MAX_SEEN || self.seen.contains_key(&key) {
            return;
        }
        let has_something = |at: &Instant, left_out: &u64| now < *at + INTERVAL || *left_out > 0;
        self.seen
            .retain(|_, (at, left_out)| has_something(at, left_out));
        if self.seen.len() >= MAX_SEEN {
            self.seen.clear();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn refusals_are_summed_up_and_none_is_lost() {
        let (mut suppression, start) = (Suppression::default(), Instant::now());
        let mut counted = 0;
        for i in 0..10_000u32 {
            let now = start + Duration::from_millis(u64::from(i));
            counted += suppression
                .note(7, EventType::ConnectionDenied, now)
                .map_or(0, |left_out| left_out + 1);
        }
        counted += suppression
            .note(
                7,
                EventType::ConnectionDenied,
                start + Duration::from_secs(60),
            )
            .unwrap();
        assert_eq!(counted, 10_000);
        let (denied, accepted) = (EventType::ConnectionDenied, EventType::ConnectionAccepted);
        assert_eq!(suppression.note(8, denied, start), Some(0));
        assert_eq!(
            suppression.note(8, accepted, start),
            Some(0),
            "another kind"
        );
    }

    #[test]
    fn the_number_of_remembered_users_is_bounded() {
        let (mut suppression, now) = (Suppression::default(), Instant::now());
        for uid in 0..100_000 {
            suppression.note(uid, EventType::ConnectionDenied, now);
            assert!(suppression.seen.len() <= MAX_SEEN);
        }
    }
}
