//! Reading an audit log: tables, filters, JSON, and records as they come.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

mod common;

use common::log::Home;
use common::{Run, control};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde_json::Value;
use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::Stdio;

fn seqs(run: &Run) -> Vec<u64> {
    assert_eq!((run.code, run.errors.as_str()), (Some(0), ""));
    let record = |line: &str| serde_json::from_str::<Value>(line).unwrap();
    run.output
        .lines()
        .map(|line| record(line)["record"]["seq"].as_u64().unwrap())
        .collect()
}

#[test]
fn filters_select_unchanged_records() {
    let home = Home::sample();
    let all = home.run(&["show", "--json"]);
    let log = String::from_utf8(home.joined()).unwrap();
    let wrapped = |line: &str| format!("{{\"version\":1,\"record\":{line}}}\n");
    assert_eq!(all.output, log.lines().map(wrapped).collect::<String>());
    let everything = seqs(&all);
    assert_eq!(
        everything,
        (1..=everything.len() as u64).collect::<Vec<_>>()
    );
    let count = |arguments: &[&str]| {
        let run = home.run(&[&["show", "--json"], arguments].concat());
        seqs(&run).len()
    };
    assert_eq!(count(&["--node", "pve1"]), 6);
    assert_eq!(count(&["--peer", "1000"]), 12);
    assert_eq!(
        count(&["--peer", "uid:1000", "--event", "command.start"]),
        6
    );
    assert_eq!(count(&["--event", "command."]), 12);
    assert_eq!(count(&["--id", "second-1"]), 2);
    assert_eq!(count(&["--from-seq", "9"]), everything.len() - 8);
    assert_eq!(count(&["--since", "9"]), everything.len() - 8);
    assert_eq!(count(&["--since", "2000-01-01"]), everything.len());
    assert_eq!(count(&["--since", "2999-01-01T00:00"]), 0);
}

#[test]
fn tables_are_safe_for_terminals() {
    let home = Home::begun();
    let mut open = home.open();
    open.reading("pve1", "id-1");
    open.refusal();
    open.hostile_error();
    let run = home.run(&["show"]);
    let lines: Vec<&str> = run.output.lines().collect();
    assert!(lines[0].starts_with("UTC"), "{}", run.output);
    for part in ["command.finish", "uid:1000", "pve1", "completed", "12.034"] {
        assert!(lines[4].contains(part), "{part:?} is not in: {}", lines[4]);
    }
    assert!(lines[5].contains("not recorded: 41"), "{}", lines[5]);
    let harmful = ['\u{1b}', '\u{9b}', '\u{202e}'];
    assert!(!run.output.contains(harmful), "{:?}", run.output);
    assert!(!home.run(&["explain", "6"]).output.contains(harmful));
    assert!(!home.run(&["tail"]).output.contains(harmful));
    let coloured = home.run(&["show", "--color", "always"]).output;
    assert!(coloured.contains("\u{1b}[32mcompleted"), "{coloured:?}");
}

#[test]
fn lines_that_are_no_records() {
    let home = Home::sample();
    common::log::edit(&home.live(), 1, |_| "rub\u{1b}bish".to_owned());
    common::log::edit(&home.live(), 2, |line| line.replace("pve", "pvf"));
    let run = home.run(&["show"]);
    assert!(
        run.output.contains("not a record: rub\\u{1b}bish"),
        "{}",
        run.output
    );
    assert!(run.output.contains("changed: 2"), "{}", run.output);
    let json = home.run(&["show", "--json"]);
    for line in json.output.lines() {
        serde_json::from_str::<Value>(line).unwrap();
    }
    assert!(
        json.output
            .contains("{\"version\":1,\"not_a_record\":\"rub\\u001bbish\"}")
    );
}

#[test]
fn tail_shows_the_last_records() {
    let home = Home::sample();
    let all = seqs(&home.run(&["show", "--json"]));
    let last = |arguments: &[&str]| seqs(&home.run(&[&["tail", "--json"], arguments].concat()));
    assert_eq!(last(&["-n", "3"]), all[all.len() - 3..]);
    assert_eq!(last(&[]), all[all.len() - 20..]);
    assert_eq!(last(&["-n", "0"]), [0u64; 0]);
    assert_eq!(last(&["-n", "1", "--event", "log.open"]), [1]);
    assert_eq!(last(&["-n", "99", "--node", "pve2"]).len(), 6);
}

#[test]
fn follow_crosses_rotations() {
    let home = Home::sample();
    let mut open = home.open();
    let mut command = home.command(&["tail", "--follow", "--json", "-n", "2"]);
    let mut child = command.stdout(Stdio::piped()).spawn().unwrap();
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
    let mut next = || {
        let line = lines.next().unwrap().unwrap();
        serde_json::from_str::<Value>(&line).unwrap()["record"]["seq"]
            .as_u64()
            .unwrap()
    };
    let first = open.seq() - 1;
    assert_eq!((next(), next()), (first, first + 1));
    for _ in 0..3 {
        open.reading("pve1", "new");
        open.rotate();
    }
    open.reading("pve1", "new");
    for seq in first + 2..=open.seq() {
        assert_eq!(next(), seq);
    }
    kill(Pid::from_raw(child.id().cast_signed()), Signal::SIGINT).unwrap();
    assert_eq!(child.wait().unwrap().code(), Some(0));
}

#[test]
fn a_missing_log_has_a_remedy() {
    let empty = tempfile::tempdir().unwrap();
    let path = empty.path().to_str().unwrap();
    for command in ["show", "tail"] {
        let run = common::run(&["audit", command, "--log", path]);
        assert_eq!((run.code, run.output.as_str()), (Some(66), ""));
        assert!(
            run.errors.contains("`pulse-sensorctl audit init`"),
            "{run:?}"
        );
        let run = common::run(&["audit", command, "--log", "/nonexistent/audit.log"]);
        assert_eq!(run.code, Some(66), "{run:?}");
        assert!(run.errors.contains("/nonexistent"), "{run:?}");
    }
    let file = empty.path().join("one");
    std::fs::write(&file, "x\n").unwrap();
    let file = file.to_str().unwrap();
    let run = common::run(&["audit", "tail", "--follow", "--log", file]);
    assert_eq!(run.code, Some(64), "{run:?}");
}

#[test]
fn the_log_of_the_configuration() {
    let home = Home::sample();
    let file = home.path("config.toml");
    let table = format!(
        "[audit]\nlog = '{}'\nstate_dir = '{}'\n",
        home.live().display(),
        home.state().display()
    );
    common::write_config(&file, &table);
    let tail = |argument: Option<&Path>, variables: &[(&str, &Path)]| -> Run {
        let mut command = control();
        command.args(["audit", "tail", "-n", "1", "--json"]);
        if let Some(file) = argument {
            command.arg("--config").arg(file);
        }
        command.envs(variables.iter().copied());
        command.output().unwrap().into()
    };
    let (config, log) = ("PULSE_SENSOR_PROXY_CONFIG", "PULSE_SENSOR_PROXY_AUDIT_LOG");
    let named = tail(Some(&file), &[]);
    assert_eq!(seqs(&named).len(), 1);
    let in_environment = tail(None, &[(config, &file)]);
    assert_eq!(seqs(&in_environment).len(), 1);
    let stronger = tail(Some(&file), &[(log, Path::new("/nonexistent/audit.log"))]);
    assert_eq!(stronger.code, Some(66), "{stronger:?}");
    let wrong = tail(None, &[(log, Path::new("log"))]);
    assert_eq!(wrong.code, Some(78), "{wrong:?}");
}
