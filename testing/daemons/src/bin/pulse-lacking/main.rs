//! The daemon with one rule of its confinement left out: a rule without which every test
//! still passes is not needed. For tests only; the shipped daemon has no such setting.
//!
//! `pulse-lacking --rules` lists the rules, and whether this build needs them.
//! `PULSE_LACKING` names the rule to leave out; without it all are in force. With `PULSE_END`
//! the daemon ends right after confining itself, by `abort` or by `exit` with code 3, while its
//! threads run.

#![allow(
    clippy::print_stdout,
    reason = "the list of rules is for a test that reads it"
)]

mod rules;

use pulse_sandbox::tables::Syscall;
use pulse_sandbox::{Kernel, LandlockRules, LayerStatus, Layers, ServiceUser, permit_only};
use pulse_sensor_proxy::{Parts, main_with};
use rules::Tables;
use std::env;
use std::process::ExitCode;

/// As in the daemon, so that the two differ in nothing else.
#[cfg(target_env = "musl")]
#[global_allocator]
static ALLOCATOR: dlmalloc::GlobalDlmalloc = dlmalloc::GlobalDlmalloc;

fn main() -> ExitCode {
    let arguments = || env::args_os().skip(1);
    if arguments().eq(["--rules"]) {
        for rule in rules::all() {
            let need = if rule.need.applies_here() {
                "needed"
            } else {
                "spare"
            };
            println!("{need} {}", rule.name);
        }
        return ExitCode::SUCCESS;
    }
    let Some(tables) = tables() else {
        eprintln!("pulse-lacking: PULSE_LACKING names no rule; --rules lists them");
        return ExitCode::from(64);
    };
    let parts = Parts {
        layers: &Lacking(tables),
        ..Parts::default()
    };
    main_with(arguments(), &parts)
}

/// The tables without the rule that is to be left out.
fn tables() -> Option<Tables> {
    match env::var("PULSE_LACKING") {
        Ok(name) => rules::all()
            .into_iter()
            .find(|rule| rule.name == name)
            .map(|rule| rule.others),
        Err(_) => Some(Tables::whole()),
    }
}

/// Puts these tables in force instead of the daemon's.
struct Lacking(Tables);

impl Layers for Lacking {
    fn drop_privileges(&self, user: &ServiceUser) -> LayerStatus {
        Kernel.drop_privileges(user)
    }

    fn forbid_new_privileges(&self) -> LayerStatus {
        Kernel.forbid_new_privileges()
    }

    fn restrict_access(&self, rules: &LandlockRules) -> LayerStatus {
        Kernel.restrict_access(&self.0.of(rules))
    }

    fn set_limits(&self) -> LayerStatus {
        Kernel.set_limits()
    }

    fn filter_calls(&self, _: &[Syscall]) -> LayerStatus {
        // The calls of these tables, whatever the daemon's own table permits.
        let hold = permit_only(&self.0.calls);
        match env::var("PULSE_END").as_deref() {
            Ok("abort") => std::process::abort(),
            Ok(_) => std::process::exit(3),
            Err(_) => hold,
        }
    }
}
