//! The first process of a machine in user-mode Linux: prepares the machine as after an
//! installation, runs one job, exports the result and powers the machine off.
//!
//! `pulse_e2e::uml` starts it. Started by hand it would mount over and power off the real
//! machine, so it refuses to run as any other process than the first.
#![allow(clippy::unwrap_used, reason = "a job fails by panicking")]
#![allow(clippy::print_stderr, reason = "failures are printed on the console")]

mod harmful;
mod jobs;
mod kernel_log;
mod machine;

use machine::Machine;
use nix::sys::reboot::{RebootMode, reboot};
use pulse_e2e::uml;
use std::time::Duration;

/// Shorter than the host's limit, so that a failure is reported from inside.
const LIMIT: Duration = Duration::from_secs(90);

fn main() {
    if std::process::id() != 1 {
        eprintln!("pulse-uml-guest runs only as the first process of a virtual machine");
        std::process::exit(64);
    }
    let job = std::thread::spawn(do_job);
    let deadline = std::time::Instant::now() + LIMIT;
    while !job.is_finished() && std::time::Instant::now() < deadline {
        std::thread::sleep(Duration::from_millis(5));
    }
    if !job.is_finished() {
        eprintln!("the job timed out");
    }
    // If this fails, the host kills the machine after its own limit.
    let _ = reboot(RebootMode::RB_POWER_OFF);
}

fn do_job() {
    // The kernel appends its own arguments.
    let [job, mode, exchange, programs, profiles] =
        <[String; 5]>::try_from(std::env::args().skip(1).take(5).collect::<Vec<_>>()).unwrap();
    let machine = Machine::prepare(&exchange, &programs);
    machine.load_profiles(&profiles, &mode);
    // AppArmor's log matters most when the job failed.
    let answer = std::panic::catch_unwind(|| jobs::do_job(&job));
    // Before the log is read: the removal's line shows that no earlier one is missing.
    machine.unload_profiles(&profiles);
    machine.export(uml::APPARMOR, &kernel_log::of_apparmor());
    if let Ok(answer) = answer {
        machine.export(uml::ANSWER, &answer.to_string());
    }
}
