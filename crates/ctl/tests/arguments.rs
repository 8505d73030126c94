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
    for command in ["status", "test", "replay", "accept-loss"] {
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
fn usage_errors_are_json_on_request() {
    for (arguments, message, remedy) in [
        (
            &["tempss", "--json"][..],
            "unrecognized subcommand 'tempss'",
            "a similar subcommand exists: 'temps'",
        ),
        (
            &["audit", "tail", "--json", "--bogus"],
            "unexpected argument '--bogus' found",
            "see `pulse-sensorctl audit tail --help`",
        ),
        (
            &["rpc", "--json"],
            "the following required arguments were not provided: <METHOD>",
            "see `pulse-sensorctl rpc --help`",
        ),
        (
            &["temps", "--color", "a\n\u{1b}[2J", "--json"],
            "invalid value 'a \u{1b}[2J' for '--color <WHEN>' [possible values: auto, always, never]",
            "see `pulse-sensorctl temps --help`",
        ),
        (
            &["--json", "temps"],
            "unexpected argument '--json' found",
            "'temps --json' exists",
        ),
    ] {
        let run = run(arguments);
        assert_eq!((run.code, run.output.as_str()), (Some(64), ""), "{run:?}");
        assert!(!run.errors.contains('\u{1b}'), "{run:?}");
        let printed: serde_json::Value = serde_json::from_str(&run.errors).unwrap();
        let error = serde_json::json!({"code": "usage", "message": message, "remedy": remedy});
        assert_eq!(printed, serde_json::json!({"version": 1, "error": error}));
    }
    // Behind "--", it is a value.
    let value = run(&["temps", "--bogus", "--", "--json"]);
    assert_eq!(value.code, Some(64));
    assert!(value.errors.starts_with("error: "), "{value:?}");
    for help in ["--help", "--version"] {
        let help = run(&[help, "--json"]);
        assert_eq!((help.code, help.errors.as_str()), (Some(0), ""));
        assert!(!help.output.starts_with('{'), "{help:?}");
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

#[test]
fn quoted_arguments_are_escaped() {
    for argument in ["\u{1b}[2J", "a\u{202e}b"] {
        let run = run(&["audit", argument]);
        assert_eq!(run.code, Some(64));
        let active = |c: char| c != '\n' && (c.is_control() || c == '\u{202e}');
        assert!(!run.errors.contains(active), "{:?}", run.errors);
        assert!(run.errors.contains("\\u{"), "{:?}", run.errors);
    }
}
