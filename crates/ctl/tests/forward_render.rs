//! `forward render` as an administrator sees it.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

mod common;

use common::{control, run};

const SENDER: [&str; 5] = [
    "forward",
    "render",
    "rsyslog-sender",
    "--collector",
    "logs.example",
];
const COLLECTOR: [&str; 5] = [
    "forward",
    "render",
    "rsyslog-collector",
    "--permitted",
    "pve1.example",
];

#[test]
fn help_teaches_both_sides() {
    for role in ["rsyslog-sender", "rsyslog-collector"] {
        let help = run(&["forward", "render", role, "--help"]);
        let example = format!("\n  pulse-sensorctl forward render {role}");
        assert!(help.output.contains(&example), "{}", help.output);
        assert!(help.output.contains("rsyslogd -N1"), "{}", help.output);
    }
}

#[test]
fn a_sender_has_the_configured_log() {
    let directory = tempfile::tempdir().unwrap();
    let config = directory.path().join("c.toml");
    common::write_config(&config, "[audit]\nlog = '/x/audit.log'\n");
    let mut command = control();
    let output = command.args(SENDER).arg("--config").arg(&config).output();
    let run: common::Run = output.unwrap().into();
    assert_eq!((run.code, run.errors.as_str()), (Some(0), ""), "{run:?}");
    for part in [
        "file=\"/x/audit.log\"",
        "target=\"logs.example\" port=\"6514\"",
        "tls.permittedPeer=[\"logs.example\"]",
        "tls.myPrivKey=\"/etc/pulse/log-forwarding/key.pem\"",
    ] {
        assert!(run.output.contains(part), "{part}: {}", run.output);
    }
    assert!(run.output.ends_with("\n}\n"), "{}", run.output);
}

#[test]
fn no_path_that_rsyslog_misreads() {
    let directory = tempfile::tempdir().unwrap();
    let config = directory.path().join("c.toml");
    common::write_config(&config, "[audit]\nlog = '/x\"y/audit.log'\n");
    let mut command = control();
    let output = command.args(SENDER).arg("--config").arg(&config).output();
    let run: common::Run = output.unwrap().into();
    assert_eq!((run.code, run.output.as_str()), (Some(64), ""), "{run:?}");
    assert!(run.errors.contains("--log"), "{}", run.errors);
}

#[test]
fn no_escape_from_quotes() {
    for (command, option, value) in [
        (SENDER, "--log", "/a\" tls=\"off"),
        (SENDER, "--spool", "spool"),
        (SENDER, "--ca", "/a\nb"),
        (SENDER, "--permitted", "*"),
        (COLLECTOR, "--directory", "/a/%msg%"),
        (COLLECTOR, "--listen", "localhost\""),
        (COLLECTOR, "--syslog-port", "0"),
        (COLLECTOR, "--permitted", "a\"]"),
    ] {
        let run = run(&[&command[..], &[option, value]].concat());
        assert_eq!((run.code, run.output.as_str()), (Some(64), ""), "{run:?}");
    }
    // Without --permitted, everybody would be let in.
    assert_eq!(run(&COLLECTOR[..3]).code, Some(64));
}

#[test]
fn every_permitted_name_is_listed() {
    let two = run(&[&COLLECTOR[..], &["--permitted", "pve2.example"]].concat());
    let listed = "ermittedPeer=[\"pve1.example\", \"pve2.example\"]";
    assert_eq!(two.output.matches(listed).count(), 2, "{}", two.output);
}
