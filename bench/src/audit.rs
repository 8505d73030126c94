//! The audit log: the cost of a durable record, and the speed of verification.
//!
//! The log and raw writes to the same disk alternate, so that both meet the same load. The
//! disk is that of the build directory: a directory for temporary files may be in memory,
//! where a sync costs nothing.

mod callers;
mod scratch;
mod verifying;

use crate::Effort;
use crate::process::own_cpu;
use crate::promise::{AUDIT_CPU, AUDIT_RATE, AUDIT_WAIT};
use crate::report::{Report, rounded};
use callers::Callers;
use pulse_audit::{Body, Log, Settings, Timestamp};
use pulse_core::callers::capability::Capabilities;
use pulse_core::callers::peer::{Credentials, Peer, PeerId};
use pulse_core::event::{Event, Exchange, RequestId};
use pulse_core::nodes::name::NodeName;
use pulse_sensors::command::NodeCommand;
use scratch::Scratch;
use std::fs::File;
use std::io::Write;
use std::path::Path;
use std::time::{Duration, Instant};

pub(crate) use verifying::{SUBCOMMAND, verify_in_this_process};

/// The duration of a turn of the log or of raw writes.
const TURN: Duration = Duration::from_millis(150);
/// Bytes of a record of [`Reading::event`] in the log.
const RECORD_BYTES: usize = 600;
const CONCURRENT: usize = 64;

pub(crate) fn measure(effort: Effort, report: &mut Report) {
    let directory =
        tempfile::tempdir_in(std::env::current_exe().unwrap().parent().unwrap()).unwrap();
    report.step("the cost of an audit record");
    let now = Timestamp::now();
    let mut log = Log::open(Scratch::default(), Settings::default(), now).unwrap();
    let (reading, rounds) = (Reading::sample(), effort.audit_turns * 1_000);
    let before = own_cpu(std::process::id());
    for _ in 0..rounds {
        // Batches, as of a busy daemon; their bodies are encoded anew each time.
        let bodies: Vec<Body> = (0..50).map(|_| Body::of(&reading.event())).collect();
        log.append(now, &bodies).unwrap();
    }
    let used = own_cpu(std::process::id()) - before;
    report.figure(AUDIT_CPU, used * 1000.0 / (rounds * 50) as f64);
    let alone = CommitRate::measure(directory.path(), 1, effort.audit_turns);
    // One caller's record is a batch of its own, so the ratio of the rates is that of the times.
    report.figure(AUDIT_WAIT, 1.0 / alone.share);
    report.note(alone.described());
    let many = CommitRate::measure(directory.path(), CONCURRENT, effort.audit_turns);
    report.figure(AUDIT_RATE, many.share * 100.0);
    report.note(many.described());
    report.step("verification of an audit log");
    verifying::measure(directory.path(), effort, report);
}

/// A successful reading, whose record is the most frequent one.
pub(crate) struct Reading {
    peer: Peer,
    node: NodeName,
    exchange: Exchange,
}

impl Reading {
    pub(crate) fn sample() -> Self {
        let (uid, gid, pid) = (1000, 1000, 4242);
        Self {
            peer: Peer {
                credentials: Credentials { uid, gid, pid },
                id: PeerId::Uid(uid),
                container: None,
                capabilities: Capabilities::read_only(),
            },
            node: NodeName::parse("pve1").unwrap(),
            exchange: Exchange {
                address: "192.168.10.21:22".to_owned(),
                host_key: "SHA256:8Jx2hVWkJ0c8m7XGm1o0x5xS3o9p5oS1vYv3gk2Zs7Q".to_owned(),
                command: NodeCommand::SensorsJson,
                exit_code: Some(0),
                stdout_sha256: [0x5a; 32],
                stdout_bytes: 3071,
            },
        }
    }

    pub(crate) fn event(&self) -> Event<'_> {
        Event::CommandFinish {
            request: RequestId {
                correlation_id: "6fa459ea-ee8a-4ca4-894e-db77e160355e",
                peer: &self.peer,
            },
            node: &self.node,
            duration: Duration::from_micros(1234),
            outcome: Ok(&self.exchange),
        }
    }
}

/// The rate of durable records, compared with the rate of raw synced writes.
struct CommitRate {
    callers: usize,
    /// The log's rate divided by batch size times raw rate.
    share: f64,
    rate: f64,
    batch: f64,
    raw: f64,
}

impl CommitRate {
    /// Measures several turns and returns the median one.
    fn measure(directory: &Path, callers: usize, turns: usize) -> Self {
        let log = Callers::start(directory, callers);
        // A guess for the first turn. Later ones write as many bytes as the log's batches had.
        let mut bytes = RECORD_BYTES * callers.div_ceil(2);
        let turn = |_| {
            let raw = raw_syncs(directory, bytes);
            let turn = log.turn(TURN);
            bytes = RECORD_BYTES * usize::try_from(turn.records / turn.commits).unwrap().max(1);
            let rate = turn.records as f64 / turn.length.as_secs_f64();
            let batch = turn.records as f64 / turn.commits as f64;
            Self {
                callers,
                share: rate / (batch * raw),
                rate,
                batch,
                raw,
            }
        };
        let mut turns: Vec<Self> = (0..turns).map(turn).collect();
        // A whole turn, so that its figures belong together.
        turns.sort_by(|a, b| a.share.total_cmp(&b.share));
        turns.swap_remove(turns.len() / 2)
    }

    fn described(&self) -> String {
        format!(
            "durable records, {} callers: {} records/s in batches of {}; raw fdatasync: {} a second",
            self.callers,
            rounded(self.rate),
            rounded(self.batch),
            rounded(self.raw)
        )
    }
}

/// The rate of writes of `bytes`, each with fdatasync, per second.
fn raw_syncs(directory: &Path, bytes: usize) -> f64 {
    let path = directory.join("raw");
    let mut options = File::options();
    let mut file = options.create(true).append(true).open(&path).unwrap();
    let (lines, started, mut writes) = (vec![b'x'; bytes], Instant::now(), 0u32);
    // Appended, as the log is: each sync writes the file's new length too.
    while started.elapsed() < TURN {
        file.write_all(&lines).unwrap();
        file.sync_data().unwrap();
        writes += 1;
    }
    let rate = f64::from(writes) / started.elapsed().as_secs_f64();
    std::fs::remove_file(path).unwrap();
    rate
}
