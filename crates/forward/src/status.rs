//! What operators and metrics are told: a snapshot, kept by the streams.

use crate::problem::Problem;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{SystemTime, UNIX_EPOCH};

/// Everything.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Status {
    /// The last record on disk.
    pub seq: u64,
    /// The first: what comes before it was removed.
    #[serde(default)]
    pub first_seq: u64,
    /// Each goes its own way at its own pace.
    pub streams: Vec<StreamStatus>,
    /// Ours, and the authorities that we trust.
    pub certificates: Certificates,
}

/// A way to one collector, or to the first of several.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct StreamStatus {
    /// What its cursor is named after.
    pub name: String,
    /// Everything up to this record is acknowledged.
    pub acknowledged_seq: u64,
    /// What of that its cursor on disk says; none before there is one.
    #[serde(default)]
    pub stored_seq: Option<u64>,
    /// Why old segments stay because of it, though they exceed a limit.
    #[serde(default)]
    pub keeps_segments: Option<String>,
    /// Records that are not.
    pub queue: u64,
    /// Acknowledgements since the start.
    pub acknowledged: u64,
    /// When the last came, in seconds since 1970.
    pub last_ack: Option<u64>,
    /// Connections since the start.
    pub connections: u64,
    /// The daemon's own messages; absent when they are not forwarded.
    pub messages: Option<MessagesStatus>,
    /// In the order of preference.
    pub collectors: Vec<CollectorStatus>,
}

/// The daemon's own messages on their way.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct MessagesStatus {
    /// Everything up to this message is acknowledged.
    pub acknowledged: u64,
    /// Messages that are not.
    pub queue: u64,
    /// Those that were left out since the start, because no collector took them in time.
    pub dropped: u64,
}

/// One collector.
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

/// Whether records go to a collector.
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

/// What is wrong with a collector.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Trouble {
    /// The step at which it was met.
    pub step: String,
    /// In words.
    pub error: String,
    /// What to do.
    pub remedy: String,
    /// Since when, in seconds since 1970.
    pub since: u64,
}

/// When certificates end, in seconds since 1970.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Certificates {
    /// The one that we show.
    pub own: Option<i64>,
    /// The first of the authorities'.
    pub authority: Option<i64>,
    /// Why they could not be read when that was last tried.
    pub error: Option<String>,
}

impl CollectorStatus {
    /// Whether records go there now.
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
        let error = problem.to_string();
        let before = self.trouble();
        let is_news = before.is_none_or(|trouble| trouble.error != error);
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

/// Where the streams write and everybody reads.
#[derive(Debug, Default)]
pub struct Board(Mutex<Status>);

impl Board {
    pub(crate) fn new(status: Status) -> Self {
        Self(Mutex::new(status))
    }

    pub(crate) fn lock(&self) -> MutexGuard<'_, Status> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// In seconds since 1970.
pub(crate) fn now() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH);
    since.map_or(0, |since| since.as_secs())
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
