//! How `ipmitool` is run, with programs that stand for it.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod common;

use common::{Tree, helper, over_ssh, text};
use pulse_sensor_node::Failure;
use pulse_sensor_node::ipmitool::{Limits, PLACES, start};
use pulse_sensors::command::{NodeCommand, SdrView};
use std::path::Path;
use std::time::{Duration, Instant};

const MISSING: &str = "/nonexistent/ipmitool";

fn stand_in(name: &str) -> String {
    format!(
        "{}/tests/fixtures/ipmitool-{name}",
        env!("CARGO_MANIFEST_DIR")
    )
}

fn run(places: &[&str], command: NodeCommand, limits: Limits) -> Result<Vec<u8>, Failure> {
    start(places, command, limits)?.output()
}

fn run_stand_in(name: &str, limits: Limits) -> Result<Vec<u8>, Failure> {
    run(
        &[MISSING, &stand_in(name)],
        NodeCommand::IpmitoolSensor,
        limits,
    )
}

/// For programs that must be stopped by the clock.
const QUICK: Limits = Limits {
    time: Duration::from_millis(200),
    output: 4096,
};

/// For programs that must not be.
const PATIENT: Limits = Limits {
    time: Duration::from_mins(1),
    output: 4096,
};

#[test]
fn it_gets_exactly_the_words_of_the_table_and_no_environment() {
    for (command, arguments) in [
        (NodeCommand::IpmitoolSensor, &["sensor"][..]),
        (NodeCommand::IpmitoolSdr(SdrView::Plain), &["sdr"]),
        (
            NodeCommand::IpmitoolSdr(SdrView::Temperature),
            &["sdr", "type", "temperature"],
        ),
        (NodeCommand::IpmitoolSdr(SdrView::Elist), &["sdr", "elist"]),
        (NodeCommand::IpmitoolSdr(SdrView::List), &["sdr", "list"]),
    ] {
        let output = run(&[&stand_in("echo")], command, PATIENT).unwrap();
        let mut expected: Vec<String> = arguments.iter().map(|a| format!("argument {a}")).collect();
        expected.push("/".to_owned());
        assert_eq!(text(&output).lines().collect::<Vec<_>>(), expected);
    }
}

#[test]
fn one_that_does_not_end_is_stopped_in_time() {
    for name in ["slow", "silent"] {
        let start = Instant::now();
        let error = run_stand_in(name, QUICK).unwrap_err();
        assert!(matches!(error, Failure::IpmitoolSlow), "{name}: {error}");
        assert!(start.elapsed() < Duration::from_secs(60), "{name}");
    }
}

#[test]
fn one_that_never_stops_printing_is_stopped() {
    let error = run_stand_in("flood", PATIENT).unwrap_err();
    assert!(matches!(error, Failure::IpmitoolFlood), "{error}");
}

#[test]
fn one_that_fails_gives_nothing() {
    let error = run_stand_in("broken", PATIENT).unwrap_err();
    assert!(matches!(error, Failure::IpmitoolFailed(_)), "{error}");
    assert_eq!(error.exit_code(), 70);
}

#[test]
fn the_real_one_starts_under_the_rules_and_misses_its_device() {
    if !PLACES.iter().any(|place| Path::new(place).exists()) || Path::new("/dev/ipmi0").exists() {
        eprintln!("skipped: it takes ipmitool, and no BMC");
        return;
    }
    let mut command = helper(Tree::empty().root());
    command.env("SSH_ORIGINAL_COMMAND", "ipmitool sdr");
    let output = command.output().unwrap();
    let errors = text(&output.stderr);
    // Its own words, at the end of what it does before: libraries, manufacturers.
    assert!(
        errors.contains("Could not open device at /dev/ipmi0"),
        "{errors}"
    );
    assert!(
        !errors.contains("denied") && !errors.contains("not confined"),
        "{errors}"
    );
    assert_eq!(output.status.code(), Some(70), "{errors}");
}

#[test]
fn without_one_the_error_says_what_to_install() {
    let error = run(&[MISSING], NodeCommand::IpmitoolSensor, QUICK).unwrap_err();
    assert_eq!(error.exit_code(), 69);
    assert!(error.to_string().contains("install"));
    if PLACES.iter().any(|place| Path::new(place).exists()) {
        eprintln!("skipped: ipmitool is installed, so the binary cannot miss it");
        return;
    }
    for asked in [
        "ipmitool sdr",
        "ipmitool sensor",
        "ipmitool sdr type temperature",
    ] {
        let output = over_ssh(Tree::empty().root(), asked);
        assert_eq!(output.status.code(), Some(69), "{asked}");
        assert!(output.stdout.is_empty());
        assert!(text(&output.stderr).contains("not installed"));
    }
}
