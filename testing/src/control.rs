//! `pulse-sensorctl`, started by the tests' user or by another one.

use crate::daemon::{Ended, ended};
use crate::home::Home;
use crate::programs::{self, Need, assert_success, skipped};
use crate::python::User;
use std::io::Write;
use std::os::unix::process::CommandExt;
use std::process::{Command, Stdio};

/// Runs it. Its environment has this home's sockets and configuration, and nothing else.
///
/// # Panics
/// When it cannot be started, or was killed.
#[must_use]
pub fn run(home: &Home, arguments: &[&str]) -> Ended {
    let mut command = Command::new(programs::control());
    set(&mut command, home, arguments);
    ended(command.output().unwrap())
}

/// [`run`] as another user, from a copy of the program: that user may not be able to enter
/// the directory of the build.
///
/// # Panics
/// As [`run`].
#[must_use]
pub fn run_as(user: User, home: &Home, arguments: &[&str]) -> Ended {
    let copy = home.unused_path("pulse-sensorctl");
    programs::copy(&programs::control(), &copy);
    let mut command = Command::new(copy);
    set(&mut command, home, arguments);
    command.uid(user.uid).gid(user.gid);
    ended(command.output().unwrap())
}

/// Validates the JSON of a run with its schema in `docs/schema`, where Python can.
///
/// # Panics
/// When it does not follow the schema.
pub fn assert_follows(schema: &str, ended: &Ended) {
    if skipped(&[Need::PythonModule("jsonschema")]) {
        return;
    }
    let root = concat!(env!("CARGO_MANIFEST_DIR"), "/..");
    let mut validator = Command::new("python3")
        .arg(format!("{root}/testing/validate_schema.py"))
        .arg(format!("{root}/docs/schema"))
        .stdin(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut stdin = validator.stdin.take().unwrap();
    for line in ended.output.lines() {
        writeln!(stdin, "{schema}\t{line}").unwrap();
    }
    drop(stdin);
    assert_success(
        format_args!("{ended:?}"),
        &validator.wait_with_output().unwrap(),
    );
}

fn set(command: &mut Command, home: &Home, arguments: &[&str]) {
    command
        .args(arguments)
        .env_clear()
        .env("PULSE_SENSOR_PROXY_SOCKET", home.socket())
        .env("PULSE_SENSOR_PROXY_CONTROL_SOCKET", home.control_socket())
        .env("PULSE_SENSOR_PROXY_CONFIG", home.config_file())
        .current_dir("/")
        .stdin(Stdio::null());
}
