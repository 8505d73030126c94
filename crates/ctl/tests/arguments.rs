//! What is asked for in a wrong way, or of nobody, is told with its remedy.

mod common;

use common::{control, run};

#[test]
fn help_teaches_and_is_no_failure() {
    let help = run(&["--help"]);
    assert_eq!((help.code, help.errors.as_str()), (Some(0), ""));
    for part in [
        "temps",
        "status",
        "rpc",
        "config",
        "keys",
        "audit",
        "forward",
        "Examples:",
        "Exit codes:",
    ] {
        assert!(
            help.output.contains(part),
            "{part:?} is not in:\n{}",
            help.output
        );
    }
    for command in ["temps", "status", "rpc"] {
        let help = run(&[command, "--help"]);
        assert!(help.output.contains("Examples:"), "{}", help.output);
    }
    for command in [
        "init", "verify", "head", "show", "tail", "explain", "rotate",
    ] {
        let help = run(&["audit", command, "--help"]);
        let example = format!("\n  pulse-sensorctl audit {command}");
        assert!(help.output.contains(&example), "{}", help.output);
        assert_eq!((help.code, help.errors.as_str()), (Some(0), ""));
    }
    for command in ["status", "test", "replay"] {
        let help = run(&["forward", command, "--help"]);
        let example = format!("\n  pulse-sensorctl forward {command}");
        assert!(help.output.contains(&example), "{}", help.output);
    }
}

#[test]
fn wrong_arguments_have_their_exit_code() {
    for arguments in [
        &[][..],
        &["nonsense"],
        &["temps", "-x"],
        &["temps", "a;b"],
        &["rpc"],
        &["rpc", "get_status", "7"],
        &["temps", "--color", "perhaps"],
        &["forward", "replay"],
        &["forward", "replay", "--from", "0"],
        &["forward", "test", "--collector", "a;b"],
    ] {
        let run = run(arguments);
        assert_eq!(run.code, Some(64), "{arguments:?}: {run:?}");
        assert!(!run.errors.is_empty() && run.output.is_empty(), "{run:?}");
    }
}

#[test]
fn a_missing_daemon_has_a_remedy() {
    let run = run(&["temps", "--socket", "/nonexistent/socket"]);
    assert_eq!(run.code, Some(69));
    for part in [
        "/nonexistent/socket",
        "is pulse-sensor-proxy running?",
        "--socket",
    ] {
        assert!(
            run.errors.contains(part),
            "{part:?} is not in: {}",
            run.errors
        );
    }
}

#[test]
fn a_stale_socket_has_a_remedy() {
    let directory = tempfile::tempdir().unwrap();
    let socket = directory.path().join("socket");
    drop(std::os::unix::net::UnixListener::bind(&socket).unwrap());
    let mut status = control();
    status
        .arg("status")
        .env("PULSE_SENSOR_PROXY_SOCKET", &socket);
    let run = common::Run::from(status.output().unwrap());
    assert_eq!(run.code, Some(69));
    assert!(run.errors.contains("has ended: start it"), "{}", run.errors);
}
