//! What the commands make of a daemon's answers, good and bad.

mod common;

use common::{Script, Scripted};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde_json::{Value, json};
use std::io::{BufRead, BufReader};
use std::process::Stdio;
use std::time::{Duration, Instant};

const TEMPERATURES: &str = r#"{"correlation_id":"i","success":true,"data":{"nodes":[{"node":"pve1","temperature":{"sensors":{"k10temp-pci-00c3":{"Tctl":{"temp1_input":86.50}}},"smart":[]},"age_ms":120},{"node":"pve2","error":"node \"pve2\" did not answer in time"}]}}"#;

const STATUS: &str = r#"{"correlation_id":"i","success":true,"data":{"version":"0.1.0","public_key":"ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIJdD7y3aLq454yWBdwLWbieU1ebz9/cu7/QEXn9OIeZJ proxy@pve","ssh_dir":"/var/lib/x","capabilities":["read","admin"]}}"#;

const REFUSED: &str = r#"{"correlation_id":"i","success":false,"error":"unauthorized"}"#;

#[test]
fn a_failed_node_is_a_finding() {
    let daemon = Scripted::daemon(Script::Says(TEMPERATURES));
    let run = daemon.run(&["temps", "pve1", "pve2"]);
    let lines: Vec<&str> = run.output.lines().collect();
    assert!(lines[1].starts_with("pve1  k10temp"), "{run:?}");
    assert!(lines[1].contains("86.5 !!"), "{run:?}");
    assert_eq!(lines[2], "pve2  did not answer in time");
    assert_eq!((run.code, lines.len()), (Some(1), 3));
    // A bit less than its own timeout, so that the answer comes in time.
    let params = json!({"nodes": ["pve1", "pve2"], "wait_ms": 29_000});
    assert_eq!(
        daemon.request(),
        json!({"method": "get_temperatures", "params": params})
    );
}

#[test]
fn colours_only_on_request() {
    let daemon = Scripted::daemon(Script::Says(TEMPERATURES));
    assert!(!daemon.run(&["temps"]).output.contains('\u{1b}'));
    let coloured = daemon.run(&["temps", "--color", "always"]).output;
    assert!(coloured.contains("\u{1b}[1;31m  86.5 !!"), "{coloured:?}");
}

#[test]
fn json_has_the_daemons_numbers() {
    let daemon = Scripted::daemon(Script::Says(TEMPERATURES));
    let run = daemon.run(&["temps", "--json"]);
    let nodes = TEMPERATURES.split_once("\"nodes\":").unwrap().1;
    let nodes = nodes.strip_suffix("}}").unwrap();
    let expected = format!("{{\"version\":1,\"nodes\":{nodes}}}\n");
    assert_eq!(run.output, expected);
    assert_eq!(run.code, Some(1));
}

#[test]
fn a_refusal_says_what_to_do() {
    let daemon = Scripted::daemon(Script::Says(REFUSED));
    for command in ["temps", "status"] {
        let run = daemon.run(&[command]);
        assert_eq!((run.code, run.output.as_str()), (Some(77), ""));
        assert!(
            run.errors.contains("unauthorized: add your user id ("),
            "{}",
            run.errors
        );
    }
}

#[test]
fn rpc_shows_the_whole_response() {
    let daemon = Scripted::daemon(Script::Says(REFUSED));
    let run = daemon.run(&["rpc", "get_temperature", r#"{"node": "pve1"}"#]);
    let response: Value = serde_json::from_str(&run.output).unwrap();
    assert_eq!(response["error"], "unauthorized");
    assert!(
        run.output.contains("\n  \"success\": false\n}"),
        "{}",
        run.output
    );
    assert_eq!((run.code, run.errors.as_str()), (Some(1), ""));
    let request = json!({"method": "get_temperature", "params": {"node": "pve1"}});
    assert_eq!(daemon.request(), request);
}

#[test]
fn a_non_answer_is_named() {
    for (script, part) in [
        (Script::Closes, "closed without an answer"),
        (Script::Says("SSH-2.0-OpenSSH_9.2"), "no pulse-sensor-proxy"),
        (
            Script::Says("{\"success\":true,\"data\":7}"),
            "is the daemon of version",
        ),
        (Script::Waits, "no answer within 0.2 s"),
    ] {
        let run = Scripted::daemon(script).run(&["temps", "--timeout", "0.2"]);
        assert_eq!(run.code, Some(69), "{run:?}");
        assert!(
            run.errors.contains(part),
            "{part:?} is not in: {}",
            run.errors
        );
    }
}

#[test]
fn status_has_version_and_rights() {
    let run = Scripted::daemon(Script::Says(STATUS)).run(&["status", "--self"]);
    assert_eq!((run.code, run.errors.as_str()), (Some(0), ""));
    for part in [
        "pulse-sensor-proxy 0.1.0",
        "read, admin",
        "/var/lib/x",
        "ssh-ed25519 AAAA",
    ] {
        assert!(
            run.output.contains(part),
            "{part:?} is not in:\n{}",
            run.output
        );
    }
}

#[test]
fn stdout_has_the_key_line_only() {
    let daemon = Scripted::daemon(Script::Says(STATUS));
    let run = daemon.run(&["keys", "show"]);
    let start = "restrict,command=\"/usr/libexec/pulse-sensor-node\" ssh-ed25519 AAAA";
    assert!(
        run.output.starts_with(start) && run.output.lines().count() == 1,
        "{run:?}"
    );
    assert!(run.errors.contains("authorized_keys"), "{run:?}");
    let json: Value =
        serde_json::from_str(&daemon.run(&["keys", "show", "--json"]).output).unwrap();
    assert_eq!(json["authorized_keys"], run.output.trim_end());
}

#[test]
fn a_missing_key_has_a_remedy() {
    let directory = tempfile::tempdir().unwrap();
    let store = directory.path().to_str().unwrap();
    let show = || common::run(&["keys", "show", "--ssh-dir", store]);
    assert_eq!(show().code, Some(66));
    std::fs::write(directory.path().join("id_ed25519.pub"), "nonsense\n").unwrap();
    let run = show();
    assert_eq!((run.code, run.output.as_str()), (Some(66), ""));
    assert!(
        run.errors.contains("makes its key when it starts"),
        "{}",
        run.errors
    );
}

#[test]
fn ctrl_c_ends_a_watch() {
    let daemon = Scripted::daemon(Script::Says(TEMPERATURES));
    let mut watch = daemon.command(&["temps", "--watch", "0.1"]);
    let mut child = watch.stdout(Stdio::piped()).spawn().unwrap();
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
    let heads = lines
        .by_ref()
        .filter(|line| line.as_ref().unwrap().starts_with("NODE"));
    assert_eq!(heads.take(3).count(), 3);
    kill(Pid::from_raw(child.id().cast_signed()), Signal::SIGINT).unwrap();
    assert_eq!(child.wait().unwrap().code(), Some(0));
}

#[test]
fn a_closed_pipe_is_no_failure() {
    let daemon = Scripted::daemon(Script::Says(TEMPERATURES));
    let mut watch = daemon.command(&["temps", "--watch", "0.1"]);
    let mut child = watch
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let start = Instant::now();
    drop(child.stdout.take());
    let run = common::Run::from(child.wait_with_output().unwrap());
    assert_eq!((run.code, run.errors.as_str()), (Some(0), ""));
    assert!(start.elapsed() < Duration::from_secs(30));
}
