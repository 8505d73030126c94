//! Callers that connect without a pause: number and duration of another caller's successful
//! readings, compared with attackers that only use the CPU; and growth of the log.
//!
//! The reader does not wait when the backlog is full, as Pulse's client does not: its reading
//! fails. Both kinds alternate, so that both meet the same load of the machine.

use crate::Effort;
use crate::measure::{Times, milliseconds};
use crate::promise::{FLOOD_LOG, FLOOD_MEDIAN, FLOOD_SERVED};
use crate::report::{Report, rounded};
use pulse_e2e::flood::{Attack, Flood, FullBacklog, PollOutcome};
use pulse_e2e::programs::{Need, skipped};
use pulse_e2e::sim::{self, Fleet};
use pulse_e2e::{Config, wait};
use std::fs;
use std::path::PathBuf;
use std::time::{Duration, Instant};

const TURNS: usize = 4;
const INTERVAL: Duration = Duration::from_millis(50);

/// A user without a capability, and the users of a subordinate range.
const STRANGER: Attack = Attack::Connect {
    first: 61_001,
    count: 1,
};
const RANGE: Attack = Attack::Connect {
    first: 2_000_000,
    count: 65_536,
};

const CLOSED: &str = "pulse_proxy_connections_closed_unread_total";

/// Runs the suite.
pub(crate) fn measure(effort: Effort, report: &mut Report) {
    if skipped(&[Need::Root]) {
        return;
    }
    report.step("readings while two processes connect without a pause (about half a minute)");
    let config = Config::new().set("log_level", "'warn'");
    let target = FloodTarget {
        fleet: Fleet::start(config, [("pve1", sim::healthy())]),
        program: std::env::current_exe().unwrap(),
    };
    readings(effort, report, &target);
    report.step("growth of the log while two processes connect as 65,536 users");
    growth(effort, report, &target);
}

struct FloodTarget {
    fleet: Fleet,
    /// This program, which is also the attacker's.
    program: PathBuf,
}

impl FloodTarget {
    fn start(&self, attack: Attack) -> Flood {
        let daemon = &self.fleet.daemon;
        let before = daemon.metric(CLOSED);
        let flood = Flood::start(&self.program, &daemon.home().socket(), attack);
        // From the thousandth connection on: the attackers are processes, which take time to start.
        if attack != Attack::Spin {
            wait::until("a flood", || daemon.metric(CLOSED) > before + 1_000.0);
        }
        flood
    }
}

fn readings(effort: Effort, report: &mut Report, target: &FloodTarget) {
    let socket = target.fleet.daemon.home().socket();
    let count = u32::try_from(effort.samples / TURNS).unwrap();
    // The first reading connects to the node.
    assert!(target.fleet.daemon.temperature("pve1").is_ok());
    let mut kinds = [
        (Attack::Spin, Readings::default()),
        (STRANGER, Readings::default()),
    ];
    for _ in 0..TURNS {
        for (attack, kind) in &mut kinds {
            let flood = target.start(*attack);
            let began = Instant::now();
            let polled =
                PollOutcome::readings(&socket, "pve1", count, INTERVAL, FullBacklog::GiveUp);
            for time in polled.times {
                kind.times.push(milliseconds(time));
            }
            kind.failures.extend(polled.failures);
            kind.seconds += began.elapsed().as_secs_f64();
            kind.connections += flood.stop();
        }
    }
    let [(_, spinning), (_, connecting)] = kinds;
    // Processes that spin take processor time too: the ratio shows what connecting adds.
    let served = |kind: &Readings| kind.times.count() as f64;
    report.figure(
        FLOOD_SERVED,
        served(&connecting) / served(&spinning) * 100.0,
    );
    report.figure(
        FLOOD_MEDIAN,
        connecting.times.median() / spinning.times.median(),
    );
    report.note(spinning.described("reading while two processes only use the CPU"));
    report.note(connecting.described("reading while they connect without a pause"));
}

/// Readings during one kind of attack.
#[derive(Default)]
struct Readings {
    times: Times,
    failures: Vec<String>,
    connections: u64,
    seconds: f64,
}

impl Readings {
    fn described(&self, what: &str) -> String {
        let failures = match self.failures.first() {
            Some(first) => format!(
                "; {} readings failed, the first with: {first}",
                self.failures.len()
            ),
            None => String::new(),
        };
        format!(
            "{}; {} connections/s by the two processes{failures}",
            self.times.described(what),
            rounded(self.connections as f64 / self.seconds)
        )
    }
}

fn growth(effort: Effort, report: &mut Report, target: &FloodTarget) {
    let home = target.fleet.daemon.home();
    let length = || fs::metadata(home.audit_log()).unwrap().len();
    let flood = target.start(RANGE);
    let (before, began) = (length(), Instant::now());
    std::thread::sleep(INTERVAL * u32::try_from(effort.samples).unwrap());
    let (grown, seconds) = (length() - before, began.elapsed().as_secs_f64());
    let connections = flood.stop();
    report.figure(FLOOD_LOG, grown as f64 / seconds / 1000.0);
    report.note(format!(
        "growth of the log: {connections} connections as 65,536 users, in about {} s",
        rounded(seconds)
    ));
}
