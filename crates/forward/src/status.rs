//! What operators and metrics are told: a snapshot, kept by the streams.

use crate::problem::Problem;
use serde::{Deserialize, Serialize};
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
    /// Records go there now.
    pub up: bool,
    /// What TLS agreed on.
    pub tls: Option<String>,
    /// What is wrong.
    pub trouble: Option<Trouble>,
    /// How often something was, by the step at which it was met.
    pub failures: std::collections::BTreeMap<String, u64>,
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
    /// Records go there.
    pub(crate) fn went_up(&mut self, tls: String) {
        self.up = true;
        self.tls = Some(tls);
        self.trouble = None;
    }

    /// They do not; true when that is news.
    pub(crate) fn went_down(&mut self, problem: Option<&Problem>) -> bool {
        self.up = false;
        self.tls = None;
        let Some(problem) = problem else {
            return false;
        };
        *self.failures.entry(problem.step().to_owned()).or_default() += 1;
        let error = problem.to_string();
        let before = self.trouble.take();
        let is_news = before.as_ref().is_none_or(|trouble| trouble.error != error);
        self.trouble = Some(Trouble {
            step: problem.step().to_owned(),
            error,
            remedy: problem.remedy().to_owned(),
            since: before.map_or_else(now, |trouble| trouble.since),
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
