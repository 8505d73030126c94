//! Runs of `ipmitool`, with scripts in its place.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod common;

use common::{Tree, helper, over_ssh, text};
use pulse_sensor_node::HelperError;
use pulse_sensor_node::ipmitool::{Limits, PROGRAMS, start};
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

fn run(programs: &[&str], command: NodeCommand, limits: Limits) -> Result<Vec<u8>, HelperError> {
    start(programs, command, limits)?.output()
}

fn run_stand_in(name: &str, limits: Limits) -> Result<Vec<u8>, HelperError> {
    run(
        &[MISSING, &stand_in(name)],
        NodeCommand::IpmitoolSensor,
        limits,
    )
}

/// For programs that the deadline has to stop.
const QUICK: Limits = Limits {
    time: Duration::from_millis(200),
    output: 4096,
};

/// For programs that end by themselves.
const LONG: Limits = Limits {
    time: Duration::from_mins(1),
    output: 4096,
};

#[test]
fn arguments_are_exact() {
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
        let output = run(&[&stand_in("echo")], command, LONG).unwrap();
        let mut expected: Vec<String> = arguments.iter().map(|a| format!("argument {a}")).collect();
        expected.push("/".to_owned());
        assert_eq!(text(&output).lines().collect::<Vec<_>>(), expected);
    }
}

#[test]
fn hanging_program_is_stopped() {
    for name in ["slow", "silent"] {
        let start = Instant::now();
        let error = run_stand_in(name, QUICK).unwrap_err();
        assert!(
            matches!(error, HelperError::IpmitoolSlow),
            "{name}: {error}"
        );
        assert!(start.elapsed() < Duration::from_secs(60), "{name}");
    }
}

#[test]
fn flooding_program_is_stopped() {
    let error = run_stand_in("flood", LONG).unwrap_err();
    assert!(matches!(error, HelperError::IpmitoolFlood), "{error}");
}

#[test]
fn failing_program_gives_no_output() {
    let error = run_stand_in("broken", LONG).unwrap_err();
    assert!(matches!(error, HelperError::IpmitoolFailed(_)), "{error}");
    assert_eq!(error.exit_code(), 70);
}

#[test]
fn ipmitool_runs_under_landlock() {
    if !PROGRAMS.iter().any(|program| Path::new(program).exists())
        || Path::new("/dev/ipmi0").exists()
    {
        eprintln!("skipped: needs ipmitool and a machine without BMC");
        return;
    }
    let mut command = helper(Tree::empty().root());
    command.env("SSH_ORIGINAL_COMMAND", "ipmitool sdr");
    let output = command.output().unwrap();
    let errors = text(&output.stderr);
    // The message of ipmitool, after it has loaded its libraries and the list of manufacturers.
    assert!(
        errors.contains("Could not open device at /dev/ipmi0"),
        "{errors}"
    );
    assert!(
        !errors.contains("denied") && !errors.contains("confinement"),
        "{errors}"
    );
    assert_eq!(output.status.code(), Some(70), "{errors}");
}

#[test]
fn missing_program_is_reported() {
    let error = run(&[MISSING], NodeCommand::IpmitoolSensor, QUICK).unwrap_err();
    assert_eq!(error.exit_code(), 69);
    assert!(error.to_string().contains("install"));
    if PROGRAMS.iter().any(|program| Path::new(program).exists()) {
        eprintln!("skipped: ipmitool is installed");
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
