//! Every rule of the confinement is needed: without it, one at a time, the scenario fails.
//!
//! A rule without which nothing fails has to be removed from the tables, or its need there
//! corrected.

#![allow(
    clippy::print_stdout,
    reason = "the runner shows it beside the failure"
)]

mod collector;
mod endings;
mod program;
mod scenario;

use pulse_e2e::programs::{Need, skipped};
use pulse_e2e::{ControlGroup, programs, wait};
use std::any::Any;
use std::net::TcpListener;
use std::panic::catch_unwind;
use std::path::Path;
use std::process::Command;
use std::sync::{Mutex, OnceLock};
use std::thread;
use std::time::Duration;

/// Scenarios run at a time; they wait most of the time, so this suits any machine.
const AT_ONCE: usize = 6;
/// Deadline of a state that a missing rule may prevent. A state that is merely late counts as
/// a need for the rule, which is the only error that a short deadline can cause.
const SHORT_TIMEOUT: Duration = Duration::from_secs(4);

/// `TCP_QUICKACK`: the second line of setsockopt(2).
const QUICK_ACKNOWLEDGEMENT: &str = "setsockopt line 1";

#[test]
fn every_sandbox_rule_is_needed() {
    if skipped(&[Need::NoUnit("its own rules are left out")]) {
        return;
    }
    let _collector = collector::Running::start();
    scenario::run(None);
    let rules = Mutex::new(needed().iter().filter(|rule| can_be_tried(rule)));
    let next = || rules.lock().unwrap().next();
    let not_needed = Mutex::new(Vec::new());
    thread::scope(|scope| {
        for _ in 0..AT_ONCE {
            scope.spawn(|| {
                wait::set_timeout(SHORT_TIMEOUT);
                while let Some(rule) = next() {
                    match catch_unwind(|| scenario::run(Some(rule))) {
                        Ok(()) => not_needed.lock().unwrap().push(rule),
                        Err(why) => println!("{rule}: {}", text(&*why)),
                    }
                }
            });
        }
    });
    let not_needed = not_needed.into_inner().unwrap();
    assert!(
        not_needed.is_empty(),
        "nothing fails without {not_needed:?}"
    );
}

/// The rules that this build of the program needs.
fn needed() -> &'static [String] {
    static NEEDED: OnceLock<Vec<String>> = OnceLock::new();
    NEEDED.get_or_init(|| {
        let output = Command::new(programs::lacking_daemon())
            .arg("--rules")
            .output();
        let text = String::from_utf8(output.unwrap().stdout).unwrap();
        let needed = text.lines().filter_map(|line| line.strip_prefix("needed "));
        needed.map(str::to_owned).collect()
    })
}

pub(crate) fn needs(rule: &str) -> bool {
    needed().iter().any(|needed| needed == rule)
}

fn can_be_tried(rule: &str) -> bool {
    let why_not = match rule {
        QUICK_ACKNOWLEDGEMENT => "sshd's handshake is 40 ms slower without it, and nothing else",
        "socket line 1" if !has_ipv6() => "this machine has no IPv6",
        _ if !collector::is_tried(rule) => "rsyslog is not installed",
        // Needed to look up the container of a caller.
        "getsockopt line 2" | "poll" | "/proc ReadFile" if !ControlGroup::is_available() => {
            "this process cannot make control groups"
        }
        _ if is_missing(rule) => "this machine has no such file",
        _ => return true,
    };
    println!("SKIPPED: {rule}: {why_not}");
    false
}

pub(crate) fn has_ipv6() -> bool {
    TcpListener::bind("[::1]:0").is_ok()
}

fn is_missing(rule: &str) -> bool {
    let path = rule.split(' ').next().unwrap_or_default();
    path.starts_with('/') && !Path::new(path).exists()
}

fn text(panic: &(dyn Any + Send)) -> &str {
    let text = panic.downcast_ref::<String>().map(String::as_str);
    text.or_else(|| panic.downcast_ref().copied())
        .unwrap_or("?")
}
