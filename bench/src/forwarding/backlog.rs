//! Readings while a backlog is forwarded, and while the collector is suspended: both alternate,
//! so that they meet the same load of the machine.
//!
//! A real collector is another machine. Here it has a processor of its own, and everything
//! else shares the others.

use super::{home_with_a_log, log_bytes};
use crate::measure::Times;
use crate::process::resident_mib;
use crate::readings::MeasuredNode;
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use pulse_e2e::certificates::Authority;
use pulse_e2e::forwarding::{collector, forward_to, install_valid_credentials, is_queue_empty};
use pulse_e2e::programs::{self, find};
use pulse_e2e::rsyslog::{Input, Rsyslog, TlsLibrary};
use pulse_e2e::{Config, Home, wait};
use std::fs;
use std::process::Command;
use std::time::{Duration, Instant};

/// The duration for which the collector runs or is suspended.
const TURN: Duration = Duration::from_millis(250);

pub(super) struct Drained {
    /// Readings while the collector runs.
    pub(super) during: Times,
    /// Readings while the collector is suspended.
    pub(super) between: Times,
    /// The daemon's resident memory meanwhile, in MiB.
    pub(super) resident: f64,
    /// The part of it that forwarding uses.
    pub(super) memory: f64,
}

pub(super) fn drain(records: u64) -> Drained {
    // Resident memory of a daemon that forwards nothing, after a turn of readings.
    let without = {
        let home = home_with_a_log(records.min(1_000));
        let measured = MeasuredNode::with_helper_in(&home, &programs::daemon(), Config::new());
        turn(&measured, &mut Times::default());
        resident_mib(measured.daemon().pid())
    };
    let authority = Authority::new();
    let rsyslog = collector(&authority, Input::Relp(TlsLibrary::OpenSsl));
    let _alone = CpuSplit::from(rsyslog.pid());
    // Suspended before the daemon starts, so that the whole backlog is still there at the first
    // turn.
    signal(&rsyslog, Signal::SIGSTOP);
    let home = home_with_a_log(records);
    install_valid_credentials(&home, &authority);
    let measured =
        MeasuredNode::with_helper_in(&home, &programs::daemon(), forward_to(rsyslog.address()));
    measured.read();
    let [mut during, mut between] = <[Times; 2]>::default();
    let mut resident: f64 = 0.0;
    let mut is_draining = true;
    while is_draining {
        turn(&measured, &mut between);
        signal(&rsyslog, Signal::SIGCONT);
        turn(&measured, &mut during);
        resident = resident.max(resident_mib(measured.daemon().pid()));
        // Readings after the backlog's end would not count.
        is_draining = !is_nearly_done(&home, &rsyslog);
        // Suspended and not stopped: its connection stays open, and nothing is sent meanwhile.
        signal(&rsyslog, Signal::SIGSTOP);
    }
    signal(&rsyslog, Signal::SIGCONT);
    wait::until("the remaining acknowledgements", || {
        is_queue_empty(measured.daemon())
    });
    assert!(is_nearly_done(&home, &rsyslog));
    Drained {
        during,
        between,
        resident,
        memory: resident - without,
    }
}

fn turn(measured: &MeasuredNode, times: &mut Times) {
    let started = Instant::now();
    // Not measured: it may wait for work of the turn before.
    measured.read();
    while started.elapsed() < TURN {
        times.add(1, || measured.read());
    }
}

fn is_nearly_done(home: &Home, rsyslog: &Rsyslog) -> bool {
    // Not all of it: the readings themselves write further records.
    fs::metadata(rsyslog.file()).map_or(0, |file| file.len()) * 100 >= log_bytes(home) * 99
}

fn signal(rsyslog: &Rsyslog, signal: Signal) {
    kill(Pid::from_raw(rsyslog.pid().try_into().unwrap()), signal).unwrap();
}

/// Binds this process and its children to all processors but the last, which another process
/// gets; undone when dropped.
struct CpuSplit {
    last: usize,
}

impl CpuSplit {
    fn from(other: u32) -> Self {
        // With one processor there is nothing to split.
        let last = std::thread::available_parallelism().unwrap().get() - 1;
        if last > 0 {
            bind(std::process::id(), &format!("0-{}", last - 1));
            bind(other, &last.to_string());
        }
        Self { last }
    }
}

impl Drop for CpuSplit {
    fn drop(&mut self) {
        bind(std::process::id(), &format!("0-{}", self.last));
    }
}

/// Binds all threads of a process to these processors.
fn bind(pid: u32, processors: &str) {
    // sched_setaffinity(2) binds one thread; taskset(1) binds all (-a).
    let output = Command::new(find("taskset").unwrap())
        .args(["-acp", processors, &pid.to_string()])
        .output()
        .unwrap();
    assert!(output.status.success(), "{processors}");
}
