//! The demo with the shipped programs, which `cargo xtask test` builds.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use std::fs;
use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Child, ChildStdout, Command, Output, Stdio};
use std::time::{Duration, Instant};
use tempfile::TempDir;

/// A demo whose temporary directory is in one of ours, so that the test finds remaining files;
/// none when there are no programs.
fn demo(arguments: &[&str]) -> Option<(Command, TempDir)> {
    let Some(programs) = std::env::var_os("PULSE_BIN_DIR") else {
        eprintln!("skipped: PULSE_BIN_DIR is not set (cargo xtask test sets it)");
        return None;
    };
    let directory = TempDir::new().unwrap();
    let mut demo = Command::new(Path::new(&programs).join("pulse-demo"));
    demo.args(arguments).env("TMPDIR", directory.path());
    // The demo must not pass this variable on: it would override the daemon's configuration.
    demo.env("PULSE_SENSOR_PROXY_SOCKET", "/nonexistent/socket");
    Some((demo, directory))
}

/// Exit code and output of a run.
#[derive(Debug)]
struct Run {
    code: Option<i32>,
    output: String,
    errors: String,
}

impl From<Output> for Run {
    fn from(output: Output) -> Self {
        let text = |bytes| String::from_utf8(bytes).unwrap();
        Self {
            code: output.status.code(),
            output: text(output.stdout),
            errors: text(output.stderr),
        }
    }
}

/// Processes that have the directory in their arguments.
fn processes_of(directory: &TempDir) -> Vec<String> {
    let needle = directory.path().to_str().unwrap();
    let processes = fs::read_dir("/proc").unwrap().filter_map(Result::ok);
    processes
        .filter_map(|process| fs::read(process.path().join("cmdline")).ok())
        .map(|bytes| String::from_utf8_lossy(&bytes).replace('\0', " "))
        .filter(|line| line.contains(needle))
        .collect()
}

fn files_of(directory: &TempDir) -> usize {
    fs::read_dir(directory.path()).unwrap().count()
}

fn assert_nothing_left(directory: &TempDir) {
    assert_eq!(processes_of(directory), [""; 0]);
    assert_eq!(files_of(directory), 0);
}

#[test]
fn three_nodes_are_read() {
    let Some((mut demo, directory)) = demo(&["--rounds", "2"]) else {
        return;
    };
    let run = Run::from(demo.output().unwrap());
    assert_eq!((run.code, run.errors.as_str()), (Some(0), ""), "{run:?}");
    for part in [
        "\npi ",
        "\nryzen ",
        "\nxeon ",
        "Package id",
        "reading 1 of 2",
        "reading 2 of 2",
        " temps\n",
        "/metrics\n",
        "All of its processes and files are removed",
    ] {
        assert!(
            run.output.contains(part),
            "{part:?} is not in:\n{}",
            run.output
        );
    }
    assert!(!run.output.contains('\u{1b}'), "{:?}", run.output);
    let tables: Vec<&str> = run.output.split("NODE ").collect();
    assert_eq!(tables.len(), 3, "{}", run.output);
    let packages = tables[1..]
        .iter()
        .map(|table| line_with(table, "Package id"));
    let mut packages: Vec<&str> = packages.collect();
    packages.dedup();
    assert_eq!(packages.len(), 2, "temperatures change: {}", run.output);
    assert_nothing_left(&directory);
}

fn line_with<'a>(table: &'a str, part: &str) -> &'a str {
    table.lines().find(|line| line.contains(part)).unwrap()
}

/// Starts a demo and waits for its first table.
fn start(demo: &mut Command) -> (Child, BufReader<ChildStdout>) {
    let mut child = demo
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut output = BufReader::new(child.stdout.take().unwrap());
    let mut line = String::new();
    while !line.starts_with("reading 1") {
        line.clear();
        assert!(output.read_line(&mut line).unwrap() > 0, "ended early");
    }
    (child, output)
}

fn send(signal: Signal, child: &Child) {
    kill(Pid::from_raw(child.id().cast_signed()), signal).unwrap();
}

#[test]
fn signals_leave_nothing_behind() {
    for signal in [Signal::SIGINT, Signal::SIGTERM, Signal::SIGHUP] {
        let Some((mut demo, directory)) = demo(&["--seconds", "60"]) else {
            return;
        };
        let (child, _output) = start(&mut demo);
        let running = processes_of(&directory);
        for (program, count) in [
            ("pulse-sensor-proxy --config", 1),
            ("pulse-demo node", 3),
            ("pulse-sensor-node --sys-root", 3),
        ] {
            let found = running.iter().filter(|line| line.contains(program));
            assert_eq!(found.count(), count, "{program} in {running:#?}");
        }
        send(signal, &child);
        let run = Run::from(child.wait_with_output().unwrap());
        assert_eq!((run.code, run.errors.as_str()), (Some(0), ""), "{signal}");
        assert_nothing_left(&directory);
    }
}

#[test]
fn closed_output_ends_the_demo() {
    let Some((mut demo, directory)) = demo(&["--seconds", "60"]) else {
        return;
    };
    let (child, output) = start(&mut demo);
    drop(output);
    let run = Run::from(child.wait_with_output().unwrap());
    assert_eq!((run.code, run.errors.as_str()), (Some(0), ""));
    assert_nothing_left(&directory);
}

#[test]
fn killed_demo_leaves_no_process() {
    let Some((mut demo, directory)) = demo(&["--seconds", "60"]) else {
        return;
    };
    let (mut child, _output) = start(&mut demo);
    send(Signal::SIGKILL, &child);
    child.wait().unwrap();
    let deadline = Instant::now() + Duration::from_secs(10);
    while !processes_of(&directory).is_empty() && Instant::now() < deadline {
        std::thread::sleep(Duration::from_millis(10));
    }
    assert_eq!(processes_of(&directory), [""; 0]);
}

#[test]
fn dead_daemon_is_reported_with_log() {
    let Some((mut demo, directory)) = demo(&["--seconds", "60"]) else {
        return;
    };
    let (child, _output) = start(&mut demo);
    let daemon = daemon_of(&directory);
    kill(Pid::from_raw(daemon), Signal::SIGKILL).unwrap();
    let run = Run::from(child.wait_with_output().unwrap());
    assert_eq!(run.code, Some(70), "{run:?}");
    assert!(
        run.errors.contains("the daemon ended (signal: 9"),
        "{}",
        run.errors
    );
    let log = "the end of its log:\n2";
    assert!(run.errors.contains(log), "{}", run.errors);
    assert_nothing_left(&directory);
}

fn daemon_of(directory: &TempDir) -> i32 {
    let needle = directory.path().to_str().unwrap();
    let processes = fs::read_dir("/proc").unwrap().filter_map(Result::ok);
    let daemon = processes.into_iter().find(|process| {
        let line = fs::read_to_string(process.path().join("cmdline")).unwrap_or_default();
        line.contains("pulse-sensor-proxy\0--config") && line.contains(needle)
    });
    let daemon = daemon.unwrap().file_name();
    daemon.to_str().unwrap().parse().unwrap()
}
