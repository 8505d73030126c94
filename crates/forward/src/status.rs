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
    /// The daemon's own messages; absent when they are not forwarded.
    pub messages: Option<MessagesStatus>,
    /// In the order of preference.
    pub collectors: Vec<CollectorStatus>,
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
    /// They do, with these TLS parameters.
    Up {
        /// As in `TLS 1.3, X25519MLKEM768`.
        tls: String,
    },
    /// They do not, because of this.
    Down(Trouble),
    /// They do not, and nothing is wrong: the collector was not tried yet, or another one of
    /// its stream serves.
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
            CollectorState::Down(trouble) => (false, None, Some(trouble)),
            CollectorState::Idle => (false, None, None),
        };
        Self { up, tls, trouble }
    }
}

impl From<StateMembers> for CollectorState {
    fn from(members: StateMembers) -> Self {
        match members.trouble {
            _ if members.up => Self::Up {
                tls: members.tls.unwrap_or_default(),
            },
            Some(trouble) => Self::Down(trouble),
            None => Self::Idle,
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
    /// True while records go there.
    #[must_use]
    pub fn is_up(&self) -> bool {
        matches!(self.state, CollectorState::Up { .. })
    }

    /// Why records do not go there.
    #[must_use]
    pub fn trouble(&self) -> Option<&Trouble> {
        match &self.state {
            CollectorState::Down(trouble) => Some(trouble),
            CollectorState::Up { .. } | CollectorState::Idle => None,
        }
    }

    /// Records a failure; true when its text differs from that of the last one.
    pub(crate) fn fail(&mut self, problem: &Problem) -> bool {
        *self.failures.entry(problem.step().to_owned()).or_default() += 1;
        let error = Causes(problem).to_string();
        let before = self.trouble();
        let is_news = before.is_none_or(|trouble| trouble.error != error);
        // Since the first failure of the series, whatever the later ones are.
        let since = before.map_or_else(now, |trouble| trouble.since);
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
}
