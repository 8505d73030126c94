//! No rule of the confinement is there for nothing: each is left out in turn, and
//! then something goes wrong that does not otherwise.
//!
//! What nobody misses is to be taken out of the tables, or its need there corrected.

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

/// Scenarios wait most of the time, so that several go together on any machine.
const AT_ONCE: usize = 6;
/// For what will not come because a rule is missing. What comes too late by this
/// counts as missed, which is the only mistake that haste can make here.
const SHORT_PATIENCE: Duration = Duration::from_secs(4);

/// `TCP_QUICKACK`: the second line of setsockopt(2).
const QUICK_ACKNOWLEDGEMENT: &str = "setsockopt line 1";

#[test]
fn every_sandbox_rule_is_needed() {
    if skipped(&[Need::NoUnit("its own rules are left out")]) {
        return;
    }
    let _collector = collector::Kept::start();
    scenario::play(None);
    let rules = Mutex::new(needed().iter().filter(|rule| can_be_tried(rule)));
    let next = || rules.lock().unwrap().next();
    let not_missed = Mutex::new(Vec::new());
    thread::scope(|scope| {
        for _ in 0..AT_ONCE {
            scope.spawn(|| {
                wait::set_patience(SHORT_PATIENCE);
                while let Some(rule) = next() {
                    match catch_unwind(|| scenario::play(Some(rule))) {
                        Ok(()) => not_missed.lock().unwrap().push(rule),
                        Err(why) => println!("{rule}: {}", text(&*why)),
                    }
                }
            });
        }
    });
    let not_missed = not_missed.into_inner().unwrap();
    assert!(not_missed.is_empty(), "nobody misses {not_missed:?}");
}

/// The rules that the program's build needs.
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
        "socket line 1" if !has_ipv6() => "there is no IPv6 here",
        _ if !collector::is_tried(rule) => "there is no collector here",
        // These look up the container of a caller.
        "getsockopt line 2" | "poll" | "/proc ReadFile" if !ControlGroup::can_be_made() => {
            "no control group can be made here"
        }
        _ if is_missing(rule) => "there is no such file here",
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
