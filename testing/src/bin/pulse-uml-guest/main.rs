//! The first process of a machine in user-mode Linux: makes the machine one that
//! our package is installed on, does one job, hands back what came of it, and
//! switches the machine off.
//!
//! It is started by `pulse_e2e::uml`, never by hand: what it mounts and switches
//! off would be the real machine's.
#![allow(clippy::unwrap_used, reason = "a job fails by panicking")]
#![allow(
    clippy::print_stderr,
    reason = "the console is where failures are told"
)]

mod harmful;
mod jobs;
mod kernel_log;
mod machine;

use machine::Machine;
use nix::sys::reboot::{RebootMode, reboot};
use pulse_e2e::uml;
use std::time::Duration;

/// Less than the host's patience, so that what happened is told from inside.
const LIMIT: Duration = Duration::from_secs(90);

fn main() {
    if std::process::id() != 1 {
        eprintln!("this is the first process of a virtual machine and nothing else");
        std::process::exit(64);
    }
    let job = std::thread::spawn(do_job);
    let deadline = std::time::Instant::now() + LIMIT;
    while !job.is_finished() && std::time::Instant::now() < deadline {
        std::thread::sleep(Duration::from_millis(5));
    }
    if !job.is_finished() {
        eprintln!("out of time");
    }
    // Nothing is left to be told if this fails: the host's patience ends, too.
    let _ = reboot(RebootMode::RB_POWER_OFF);
}

fn do_job() {
    // The kernel adds words of its own.
    let words: Vec<String> = std::env::args().skip(1).take(5).collect();
    let [job, mode, exchange, programs, profiles] = <[String; 5]>::try_from(words).unwrap();
    let machine = Machine::prepare(&exchange, &programs);
    machine.load_profiles(&profiles, &mode);
    // What AppArmor said is of interest most of all when the job failed.
    let answer = std::panic::catch_unwind(|| jobs::do_job(&job));
    machine.unload_profiles(&profiles);
    machine.hand_back(uml::APPARMOR, &kernel_log::of_apparmor());
    if let Ok(answer) = answer {
        machine.hand_back(uml::ANSWER, &answer.to_string());
    }
}
