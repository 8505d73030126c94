//! The `serve` command of the binary.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod common;

use common::{Serving, Tree, helper, json, text};
use pulse_sensor_node::VERSION;
use std::io::Write;
use std::process::Stdio;

const UNKNOWN: &str = "{\"error\":\"unknown request; send read\"}\n";

fn greeting() -> String {
    format!("{{\"pulse_sensor_node\":{{\"protocol\":1,\"version\":\"{VERSION}\"}}}}\n")
}

#[test]
fn requests_are_answered_until_the_end() {
    let tree = Tree::of("xeon");
    let mut serving = Serving::start(tree.root());
    assert_eq!(serving.line(), greeting());
    let core = "devices/platform/coretemp.0/hwmon/hwmon3/temp2_input";
    for temperature in [50, 51, 52] {
        tree.set(core, &format!("{temperature}000"));
        let answer = json(serving.ask(b"read\n"));
        let reading = &answer["sensors"]["coretemp-isa-0000"]["Core 0"]["temp2_input"];
        assert_eq!(reading.as_f64(), Some(f64::from(temperature)));
    }
    let output = serving.finish(b"");
    assert_eq!(output.status.code(), Some(0));
    assert!(output.stdout.is_empty() && output.stderr.is_empty());
}

#[test]
fn every_thread_is_confined() {
    let tree = Tree::of("ryzen");
    let mut serving = Serving::start(tree.root());
    serving.line();
    // A reading starts the second thread.
    serving.ask(b"read\n");
    let tasks = std::fs::read_dir(format!("/proc/{}/task", serving.child.id())).unwrap();
    let status = |task: std::path::PathBuf| std::fs::read_to_string(task.join("status")).unwrap();
    let threads: Vec<_> = tasks.map(|task| status(task.unwrap().path())).collect();
    assert!(threads.len() > 1);
    for line in ["NoNewPrivs:\t1\n", "Seccomp:\t2\n"] {
        assert!(threads.iter().all(|status| status.contains(line)), "{line}");
    }
    assert!(serving.finish(b"").stderr.is_empty());
}

#[test]
fn unknown_request_is_answered() {
    let tree = Tree::of("pi");
    let mut serving = Serving::start(tree.root());
    serving.line();
    let longest = [&[b'x'; 1024][..], b"\n"].concat();
    let unknown: [&[u8]; 7] = [
        b"\n",
        b"READ\n",
        b"read \n",
        b"read\r\n",
        b"\xff\0\n",
        b"quit\n",
        &longest,
    ];
    for request in unknown {
        assert_eq!(serving.ask(request), UNKNOWN);
        assert!(json(serving.ask(b"read\n"))["sensors"].is_object());
    }
}

#[test]
fn pipelined_requests_are_answered() {
    let tree = Tree::of("pi");
    let mut serving = Serving::start(tree.root());
    serving.line();
    serving.requests.write_all(b"read\nx\nread\nre").unwrap();
    assert!(json(serving.line())["sensors"].is_object());
    assert_eq!(serving.line(), UNKNOWN);
    assert!(json(serving.line())["sensors"].is_object());
    assert!(json(serving.ask(b"ad\n"))["sensors"].is_object());
}

#[test]
fn long_line_ends_the_channel() {
    let tree = Tree::of("pi");
    let endless = vec![b'x'; 1 << 20];
    for line in [&[&[b'x'; 1025][..], b"\nread\n"].concat(), &endless] {
        let mut serving = Serving::start(tree.root());
        serving.line();
        let output = serving.finish(line);
        assert_eq!(output.status.code(), Some(65));
        assert!(output.stdout.is_empty());
        let errors = text(&output.stderr);
        assert!(errors.starts_with("pulse-sensor-node: request line too long"));
    }
}

#[test]
fn incomplete_request_is_ignored() {
    let tree = Tree::of("pi");
    let mut serving = Serving::start(tree.root());
    serving.line();
    let output = serving.finish(b"read\nread");
    assert_eq!(output.status.code(), Some(0));
    assert_eq!(text(&output.stdout).lines().count(), 1);
}

#[test]
fn broken_pipe_is_no_error() {
    let tree = Tree::of("pi");
    let mut serving = Serving::start(tree.root());
    serving.line();
    drop(serving.answers);
    // The first reply meets the closed pipe; the helper may exit before it reads the rest.
    let _ = serving.requests.write_all(b"read\nread\nread\n");
    let output = serving.child.wait_with_output().unwrap();
    assert_eq!(output.status.code(), Some(0));
    assert!(output.stderr.is_empty());
}

#[test]
fn each_reply_is_one_write() {
    let Ok(probe) = std::process::Command::new("strace").arg("-V").output() else {
        eprintln!("skipped: strace is not installed");
        return;
    };
    assert!(probe.status.success());
    let tree = Tree::of("xeon");
    let trace = tree.path("trace");
    let plain = helper(tree.root());
    let mut command = std::process::Command::new("strace");
    command
        .args(["-e", "trace=write", "-o"])
        .arg(&trace)
        .arg(plain.get_program());
    command.args(plain.get_args()).arg("serve").env_clear();
    let mut child = command
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    child
        .stdin
        .take()
        .unwrap()
        .write_all(b"read\nread\n")
        .unwrap();
    let output = child.wait_with_output().unwrap();
    if !output.status.success() {
        eprintln!("skipped: strace may not trace here");
        return;
    }
    let trace = std::fs::read_to_string(trace).unwrap();
    let writes = trace
        .lines()
        .filter(|line| line.starts_with("write(1,"))
        .count();
    assert_eq!(writes, 3, "{trace}");
}
