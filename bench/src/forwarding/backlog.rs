//! Readings while a backlog drains, and between: the collector sleeps and wakes in turns,
//! so that both kinds meet the same neighbours.
//!
//! The collector is to be another machine. Here it has a processor of its own, and
//! everything else shares the others.

use super::{home_with_a_log, log_bytes};
use crate::measure::Times;
use crate::process::resident_mib;
use crate::readings::Place;
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use pulse_e2e::certificates::Authority;
use pulse_e2e::forwarding::{collector, equip_well, is_done, to};
use pulse_e2e::programs::{self, find};
use pulse_e2e::rsyslog::{Input, Rsyslog, TlsLibrary};
use pulse_e2e::{Config, Home, wait};
use std::fs;
use std::process::Command;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// How long the collector sleeps or works.
const TURN: Duration = Duration::from_millis(250);

pub(super) struct Drained {
    /// Readings while it works.
    pub(super) during: Times,
    /// Readings while it sleeps.
    pub(super) between: Times,
    /// Of the daemon, in MiB, in the middle of it.
    pub(super) resident: f64,
    /// How much of that is for forwarding.
    pub(super) memory: f64,
}

pub(super) fn drain(records: u64) -> Drained {
    let without = resident_without(records);
    let authority = Authority::new();
    let rsyslog = collector(&authority, Input::Relp(TlsLibrary::OpenSsl));
    let _alone = Apart::from(rsyslog.pid());
    signal(&rsyslog, Signal::SIGSTOP);
    let home = home_with_a_log(records);
    equip_well(&home, &authority);
    let place = Place::with_helper_in(&home, &programs::daemon(), to(rsyslog.address()));
    place.read();
    let [mut during, mut between] = <[Times; 2]>::default();
    let mut resident: f64 = 0.0;
    let mut is_draining = true;
    while is_draining {
        turn(&place, &mut between);
        signal(&rsyslog, Signal::SIGCONT);
        turn(&place, &mut during);
        resident = resident.max(resident_mib(place.daemon().pid()));
        // What was read while nothing was left would not count.
        is_draining = !is_nearly_done(&home, &rsyslog);
        signal(&rsyslog, Signal::SIGSTOP);
    }
    signal(&rsyslog, Signal::SIGCONT);
    wait::until("the rest", || is_done(place.daemon()));
    assert!(is_nearly_done(&home, &rsyslog));
    Drained {
        during,
        between,
        resident,
        memory: resident - without,
    }
}

fn turn(place: &Place, times: &mut Times) {
    let started = Instant::now();
    // The first meets what the turn before has left.
    place.read();
    while started.elapsed() < TURN {
        times.add(1, || place.read());
    }
}

fn is_nearly_done(home: &Home, rsyslog: &Rsyslog) -> bool {
    let collected = fs::metadata(rsyslog.file()).map_or(0, |file| file.len());
    collected * 100 >= log_bytes(home) * 99
}

/// The same daemon with the same log, forwarding nothing, after as many readings as
/// make no more difference.
fn resident_without(records: u64) -> f64 {
    let home: Arc<Home> = home_with_a_log(records.min(1_000));
    let place = Place::with_helper_in(&home, &programs::daemon(), Config::new());
    turn(&place, &mut Times::default());
    resident_mib(place.daemon().pid())
}

fn signal(rsyslog: &Rsyslog, signal: Signal) {
    kill(Pid::from_raw(rsyslog.pid().try_into().unwrap()), signal).unwrap();
}

/// This process and what it starts are kept from the last processor, which is another
/// one's.
struct Apart {
    last: usize,
}

impl Apart {
    fn from(other: u32) -> Self {
        let last = std::thread::available_parallelism().unwrap().get() - 1;
        if last > 0 {
            bind(std::process::id(), &format!("0-{}", last - 1));
            bind(other, &last.to_string());
        }
        Self { last }
    }
}

impl Drop for Apart {
    fn drop(&mut self) {
        bind(std::process::id(), &format!("0-{}", self.last));
    }
}

/// All threads of a process, to these processors.
fn bind(pid: u32, processors: &str) {
    let mut taskset = Command::new(find("taskset").unwrap());
    let output = taskset
        .args(["-acp", processors, &pid.to_string()])
        .output();
    assert!(output.unwrap().status.success(), "{processors}");
}
