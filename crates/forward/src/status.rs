//! The status of forwarding, for operators and metrics. The streams keep it up to date.

use crate::problem::Problem;
use pulse_core::causes::Causes;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{SystemTime, UNIX_EPOCH};

/// The status of all streams.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Status {
    /// The last record on disk.
    pub seq: u64,
    /// The first record of the log: earlier ones were removed.
    #[serde(default)]
    pub first_seq: u64,
    /// The streams, which are independent of each other.
    pub streams: Vec<StreamStatus>,
    /// The expiry of the certificates.
    pub certificates: Certificates,
}

impl Status {
    /// The lost records up to this one as a text, as in `failover: 6 to 10, 14`; none when there
    /// are none. No more than a record of the audit log can hold.
    #[must_use]
    pub fn lost_through(&self, through: u64) -> Option<String> {
        const MAX_SHOWN: usize = 16;
        let of_stream = |stream: &StreamStatus| {
            let lost = stream.lost_through(through);
            let mut texts: Vec<String> = lost.iter().map(LostRange::to_string).collect();
            if let Some(more @ 1..) = texts.len().checked_sub(MAX_SHOWN) {
                texts.truncate(MAX_SHOWN);
                texts.push(format!("and {more} more ranges"));
            }
            (!texts.is_empty()).then(|| format!("{}: {}", stream.name, texts.join(", ")))
        };
        let streams: Vec<String> = self.streams.iter().filter_map(of_stream).collect();
        (!streams.is_empty()).then(|| streams.join("; "))
    }
}

/// A stream to one collector, or to the first of several that accepts.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct StreamStatus {
    /// Its name.
    pub name: String,
    /// All records up to this one are acknowledged.
    pub acknowledged_seq: u64,
    /// The position of its cursor on disk; none before it is written.
    #[serde(default)]
    pub stored_seq: Option<u64>,
    /// Why retention keeps old segments for this stream.
    #[serde(default)]
    pub keeps_segments: Option<String>,
    /// Records that are not acknowledged.
    pub queue: u64,
    /// Records acknowledged since the start.
    pub acknowledged: u64,
    /// The time of the last acknowledgement, in seconds since 1970.
    pub last_ack: Option<u64>,
    /// Connections since the start.
    pub connections: u64,
    /// Records that were removed from the log before this stream had sent them, until an
    /// operator accepts the loss. Ordered by number, without overlaps.
    #[serde(default)]
    pub lost: Vec<LostRange>,
    /// The time since which records are overdue, in seconds since 1970: they remain unacknowledged
    /// for minutes. None while there are no such records.
    #[serde(default)]
    pub queue_grows_since: Option<u64>,
    /// The reason that the cursor cannot be written, as of the last attempt.
    #[serde(default)]
    pub cursor_error: Option<String>,
    /// The daemon's own messages; absent when they are not forwarded.
    pub messages: Option<MessagesStatus>,
    /// In the order of preference.
    pub collectors: Vec<CollectorStatus>,
}

impl StreamStatus {
    /// The lost records up to this one.
    #[must_use]
    pub fn lost_through(&self, through: u64) -> Vec<LostRange> {
        let lost = self.lost.iter().filter(|range| range.first <= through);
        let lost = lost.map(|range| LostRange {
            last: range.last.min(through),
            ..*range
        });
        lost.collect()
    }

    /// The number of lost records.
    #[must_use]
    pub fn lost_records(&self) -> u64 {
        self.lost
            .iter()
            .fold(0, |sum, range| sum.saturating_add(range.count()))
    }
}

/// Records that are neither on disk nor delivered.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LostRange {
    /// The number of the first.
    pub first: u64,
    /// The number of the last, which is not less.
    pub last: u64,
}

impl LostRange {
    /// The number of records.
    #[must_use]
    pub fn count(self) -> u64 {
        self.last.saturating_sub(self.first).saturating_add(1)
    }
}

impl std::fmt::Display for LostRange {
    /// As in `6 to 10`, or `6`.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        if self.first == self.last {
            write!(f, "{}", self.first)
        } else {
            write!(f, "{} to {}", self.first, self.last)
        }
    }
}

/// The status of the daemon's own messages in a stream.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct MessagesStatus {
    /// All messages up to this one are acknowledged.
    pub acknowledged: u64,
    /// Messages that are not acknowledged.
    pub queue: u64,
    /// Messages dropped since the start, because no collector took them in time.
    pub dropped: u64,
}

/// The status of a collector.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct CollectorStatus {
    /// Its name.
    pub name: String,
    /// Its port.
    pub port: u16,
    /// `relp` or `syslog`.
    pub protocol: String,
    /// As the members `up`, `tls` and `trouble`.
    #[serde(flatten)]
    pub state: CollectorState,
    /// Failures since the start, by the step at which they were met.
    pub failures: BTreeMap<String, u64>,
}

/// The state of forwarding to a collector.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(from = "StateMembers", into = "StateMembers")]
pub enum CollectorState {
    /// The collector acknowledges records, or has none to acknowledge.
    Up {
        /// As in `TLS 1.3, X25519MLKEM768`.
        tls: String,
    },
    /// A connection is open on which the collector has not acknowledged anything yet.
    Connected {
        /// As above.
        tls: String,
        /// The failure before this connection, which lasts until the first acknowledgement.
        trouble: Option<Trouble>,
    },
    /// There is no connection, because of this.
    Down(Trouble),
    /// There is no connection, and nothing is wrong: the collector was not tried yet, or another
    /// one of its stream serves.
    #[default]
    Idle,
}

/// A [`CollectorState`] as JSON has it.
#[derive(Serialize, Deserialize)]
struct StateMembers {
    up: bool,
    tls: Option<String>,
    trouble: Option<Trouble>,
}

impl From<CollectorState> for StateMembers {
    fn from(state: CollectorState) -> Self {
        let (up, tls, trouble) = match state {
            CollectorState::Up { tls } => (true, Some(tls), None),
            CollectorState::Connected { tls, trouble } => (false, Some(tls), trouble),
            CollectorState::Down(trouble) => (false, None, Some(trouble)),
            CollectorState::Idle => (false, None, None),
        };
        Self { up, tls, trouble }
    }
}

impl From<StateMembers> for CollectorState {
    fn from(members: StateMembers) -> Self {
        match (members.tls, members.trouble) {
            (tls, _) if members.up => Self::Up {
                tls: tls.unwrap_or_default(),
            },
            (Some(tls), trouble) => Self::Connected { tls, trouble },
            (None, Some(trouble)) => Self::Down(trouble),
            (None, None) => Self::Idle,
        }
    }
}

/// A failure of a collector.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Trouble {
    /// The step that failed.
    pub step: String,
    /// The error and its causes.
    pub error: String,
    /// The remedy.
    pub remedy: String,
    /// Since when, in seconds since 1970.
    pub since: u64,
}

/// The expiry of certificates, in seconds since 1970.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Certificates {
    /// Of the client certificate.
    pub own: Option<i64>,
    /// Of the CA certificate that expires first.
    pub authority: Option<i64>,
    /// Why the files cannot be used, as of the last attempt.
    pub error: Option<String>,
}

impl CollectorStatus {
    /// True while the collector acknowledges what it is sent.
    #[must_use]
    pub fn is_up(&self) -> bool {
        matches!(self.state, CollectorState::Up { .. })
    }

    /// Why records do not go there.
    #[must_use]
    pub fn trouble(&self) -> Option<&Trouble> {
        match &self.state {
            CollectorState::Down(trouble) => Some(trouble),
            CollectorState::Connected { trouble, .. } => trouble.as_ref(),
            CollectorState::Up { .. } | CollectorState::Idle => None,
        }
    }

    /// A connection is open. A failure before it is not over until the first acknowledgement:
    /// otherwise a collector that accepts connections and no records would look up.
    pub(crate) fn connect(&mut self, tls: String) {
        self.state = CollectorState::Connected {
            tls,
            trouble: self.trouble().cloned(),
        };
    }

    /// The collector has acknowledged something, or has nothing to acknowledge; true when that
    /// is news. Without an open connection it has no effect.
    pub(crate) fn acknowledge(&mut self) -> bool {
        let CollectorState::Connected { tls, .. } = &mut self.state else {
            return false;
        };
        self.state = CollectorState::Up {
            tls: std::mem::take(tls),
        };
        true
    }

    /// The connection was closed in order.
    pub(crate) fn disconnect(&mut self) {
        self.state = match self.trouble() {
            Some(trouble) => CollectorState::Down(trouble.clone()),
            None => CollectorState::Idle,
        };
    }

    /// Records a failure; true when its text differs from that of the last one. `since` is the
    /// time of the last acknowledgement, in seconds since 1970, if this is the first failure
    /// after it.
    pub(crate) fn fail(&mut self, problem: &Problem, since: u64) -> bool {
        *self.failures.entry(problem.step().to_owned()).or_default() += 1;
        let error = Causes(problem).to_string();
        let before = self.trouble();
        let is_news = before.is_none_or(|trouble| trouble.error != error);
        // Neither another failure nor another connection starts the time anew.
        let since = before.map_or(since, |trouble| trouble.since);
        self.state = CollectorState::Down(Trouble {
            step: problem.step().to_owned(),
            error,
            remedy: problem.remedy().to_owned(),
            since,
        });
        is_news
    }
}

/// The shared status: written by the streams, read by the daemon.
#[derive(Debug, Default)]
pub(crate) struct StatusBoard(Mutex<Status>);

impl StatusBoard {
    pub(crate) fn new(status: Status) -> Self {
        Self(Mutex::new(status))
    }

    pub(crate) fn lock(&self) -> MutexGuard<'_, Status> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The present time in seconds since 1970.
pub(crate) fn now() -> u64 {
    SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .map_or(0, |since| since.as_secs())
}

#[cfg(test)]
mod tests {
    use super::*;
    use pulse_relp::connection::{ConnectionError, Step};
    use serde_json::json;

    #[test]
    fn states_keep_their_json_members() {
        let trouble = Trouble {
            step: "tcp".to_owned(),
            error: "refused".to_owned(),
            remedy: "start it".to_owned(),
            since: 7,
        };
        let tls = "TLS 1.3, X25519".to_owned();
        for (state, members) in [
            (
                CollectorState::Up { tls: tls.clone() },
                json!({"up": true, "tls": tls, "trouble": null}),
            ),
            (
                CollectorState::Down(trouble.clone()),
                json!({"up": false, "tls": null, "trouble": trouble}),
            ),
            (
                CollectorState::Connected {
                    tls: tls.clone(),
                    trouble: None,
                },
                json!({"up": false, "tls": tls, "trouble": null}),
            ),
            (
                CollectorState::Connected {
                    tls: tls.clone(),
                    trouble: Some(trouble.clone()),
                },
                json!({"up": false, "tls": tls, "trouble": trouble}),
            ),
            (
                CollectorState::Idle,
                json!({"up": false, "tls": null, "trouble": null}),
            ),
        ] {
            let status = CollectorStatus {
                state,
                ..CollectorStatus::default()
            };
            let value = serde_json::to_value(&status).unwrap();
            for (name, member) in members.as_object().unwrap() {
                assert_eq!(value[name], *member, "{name}");
            }
            assert_eq!(
                serde_json::from_value::<CollectorStatus>(value).unwrap(),
                status
            );
        }
    }

    fn silent() -> Problem {
        ConnectionError::TimedOut(Step::Acknowledgement).into()
    }

    #[test]
    fn lost_records_are_named() {
        let range = |first, last| LostRange { first, last };
        let stream = |name: &str, lost: Vec<LostRange>| StreamStatus {
            name: name.to_owned(),
            lost,
            ..StreamStatus::default()
        };
        let status = Status {
            streams: vec![
                stream("a", vec![range(6, 10), range(14, 14)]),
                stream("b", Vec::new()),
                stream("c", (10..30).map(|seq| range(seq * 2, seq * 2)).collect()),
            ],
            ..Status::default()
        };
        assert_eq!(status.lost_through(5), None);
        assert_eq!(status.lost_through(9).as_deref(), Some("a: 6 to 9"));
        assert_eq!(
            status.lost_through(20).as_deref(),
            Some("a: 6 to 10, 14; c: 20")
        );
        let all = status.lost_through(100).unwrap();
        assert!(all.ends_with("48, 50, and 4 more ranges"), "{all}");
        assert_eq!(status.streams[0].lost_records(), 6);
    }

    #[test]
    fn a_connection_alone_is_not_up() {
        let mut collector = CollectorStatus::default();
        collector.connect("TLS 1.3".to_owned());
        assert!(!collector.is_up() && collector.trouble().is_none());
        assert!(collector.acknowledge() && collector.is_up());
        assert!(!collector.acknowledge(), "no news");
        // After the end of the connection, an acknowledgement is too late.
        collector.disconnect();
        assert!(!collector.acknowledge() && !collector.is_up());
    }

    #[test]
    fn trouble_outlives_reconnects() {
        let mut collector = CollectorStatus::default();
        collector.connect(String::new());
        collector.acknowledge();
        assert!(collector.fail(&silent(), 100));
        for now in [200, 300] {
            collector.connect(String::new());
            assert_eq!(collector.trouble().map(|trouble| trouble.since), Some(100));
            // The same failure again is not logged again.
            assert!(!collector.fail(&silent(), now));
            assert_eq!(collector.trouble().map(|trouble| trouble.since), Some(100));
        }
        collector.connect(String::new());
        collector.disconnect();
        assert_eq!(collector.trouble().map(|trouble| trouble.since), Some(100));
        collector.connect(String::new());
        collector.acknowledge();
        assert_eq!(collector.trouble(), None);
    }
}
