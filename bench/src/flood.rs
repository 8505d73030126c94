//! Callers that connect without a pause: how many readings of others succeed meanwhile and
//! how long they take, beside the same while the attackers only use the processors; and how
//! fast the log grows.
//!
//! The reader does not wait for a place in the backlog, as Pulse's client does not: where
//! there is none, its reading fails. Both kinds take turns, so that both meet the same
//! neighbours.

use crate::Effort;
use crate::measure::{Times, milliseconds};
use crate::promise::{FLOOD_LOG, FLOOD_MEDIAN, FLOOD_SERVED};
use crate::report::{Report, rounded};
use pulse_e2e::flood::{Attack, Flood, FullBacklog, Polled};
use pulse_e2e::programs::{Need, skipped};
use pulse_e2e::sim::{self, Fleet};
use pulse_e2e::{Config, wait};
use std::fs;
use std::path::PathBuf;
use std::time::{Duration, Instant};

const TURNS: usize = 4;
const INTERVAL: Duration = Duration::from_millis(50);

/// A user without a capability, and all of a subordinate range.
const STRANGER: Attack = Attack::Connect {
    first: 61_001,
    count: 1,
};
const RANGE: Attack = Attack::Connect {
    first: 2_000_000,
    count: 65_536,
};

const CLOSED: &str = "pulse_proxy_connections_closed_unread_total";

/// Measures and reports.
pub(crate) fn measure(effort: Effort, report: &mut Report) {
    if skipped(&[Need::Root]) {
        return;
    }
    report.step("readings while two processes connect without a pause (half a minute)");
    let config = Config::new().set("log_level", "'warn'");
    let place = Place {
        fleet: Fleet::start(config, [("pve1", sim::well())]),
        program: std::env::current_exe().unwrap(),
    };
    readings(effort, report, &place);
    report.step("the log while 65,536 users connect without a pause");
    growth(effort, report, &place);
}

struct Place {
    fleet: Fleet,
    /// Itself, as an attacker.
    program: PathBuf,
}

impl Place {
    fn start(&self, attack: Attack) -> Flood {
        let daemon = &self.fleet.daemon;
        let before = daemon.metric(CLOSED);
        let flood = Flood::start(&self.program, &daemon.home().socket(), attack);
        if attack != Attack::Spin {
            wait::until("a flood", || daemon.metric(CLOSED) > before + 1_000.0);
        }
        flood
    }
}

fn readings(effort: Effort, report: &mut Report, place: &Place) {
    let socket = place.fleet.daemon.home().socket();
    let count = u32::try_from(effort.samples / TURNS).unwrap();
    assert!(place.fleet.daemon.temperature("pve1").is_ok());
    let mut kinds = [(Attack::Spin, Kind::default()), (STRANGER, Kind::default())];
    for _ in 0..TURNS {
        for (attack, kind) in &mut kinds {
            let flood = place.start(*attack);
            let began = Instant::now();
            let full = FullBacklog::GiveUp;
            kind.add(&Polled::readings(&socket, "pve1", count, INTERVAL, full));
            kind.seconds += began.elapsed().as_secs_f64();
            kind.connections += flood.stop();
        }
    }
    let [(_, spinning), (_, connecting)] = kinds;
    let served = |kind: &Kind| kind.times.count() as f64;
    report.figure(
        FLOOD_SERVED,
        served(&connecting) / served(&spinning) * 100.0,
    );
    let longer = connecting.times.median() / spinning.times.median();
    report.figure(FLOOD_MEDIAN, longer);
    report.note(spinning.described("a reading while two processes spin"));
    report.note(connecting.described("a reading while they connect"));
}

/// Readings of one kind.
#[derive(Default)]
struct Kind {
    times: Times,
    failures: Vec<String>,
    connections: u64,
    seconds: f64,
}

impl Kind {
    fn add(&mut self, polled: &Polled) {
        for time in &polled.times {
            self.times.push(milliseconds(*time));
        }
        self.failures.extend(polled.failures.iter().cloned());
    }

    fn described(&self, what: &str) -> String {
        let failures = match self.failures.first() {
            Some(first) => format!("; {} failed, the first: {first}", self.failures.len()),
            None => String::new(),
        };
        let rate = rounded(self.connections as f64 / self.seconds);
        let times = self.times.described(what);
        format!("{times}; {rate} connections/s{failures}")
    }
}

fn growth(effort: Effort, report: &mut Report, place: &Place) {
    let home = place.fleet.daemon.home();
    let length = || fs::metadata(home.audit_log()).unwrap().len();
    let flood = place.start(RANGE);
    let (before, began) = (length(), Instant::now());
    std::thread::sleep(INTERVAL * u32::try_from(effort.samples).unwrap());
    let (grown, seconds) = (length() - before, began.elapsed().as_secs_f64());
    let connections = flood.stop();
    report.figure(FLOOD_LOG, grown as f64 / seconds / 1000.0);
    report.note(format!(
        "{connections} connections of 65,536 users in about {} s",
        rounded(seconds)
    ));
}
