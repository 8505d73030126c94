//! Beginning a log, and the key that is kept elsewhere.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

mod common;

use common::log::Home;
use serde_json::Value;
use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt, chown};
use tempfile::TempDir;

fn init(home: &TempDir, arguments: &[&str]) -> common::Run {
    let mut command = common::control();
    command.args(["audit", "init", "--log"]);
    command.arg(home.path().join("new/log/audit.log"));
    command
        .arg("--state-dir")
        .arg(home.path().join("new/state"));
    command.args(arguments).output().unwrap().into()
}

#[test]
fn stdout_has_the_key_only() {
    let home = tempfile::tempdir().unwrap();
    let run = init(&home, &[]);
    assert_eq!(run.code, Some(0), "{run:?}");
    assert_eq!((run.output.lines().count(), run.output.len()), (1, 45));
    assert!(run.errors.contains("audit verify --key"), "{}", run.errors);
    for (directory, mode) in [("new/log", 0o750), ("new/state", 0o700)] {
        let made = fs::metadata(home.path().join(directory)).unwrap();
        assert_eq!(made.permissions().mode() & 0o777, mode, "{directory}");
    }
    let log = home.path().join("new/log");
    let mut verify = common::control();
    verify.args(["audit", "verify", "--key", run.output.trim()]);
    verify.arg("--state-dir").arg(home.path().join("new/state"));
    let verified = common::Run::from(verify.arg(log).output().unwrap());
    assert_eq!(verified.code, Some(0), "{verified:?}");
}

#[test]
fn an_existing_log_is_kept() {
    let home = tempfile::tempdir().unwrap();
    let first = init(&home, &["--json"]);
    let told: Value = serde_json::from_str(&first.output).unwrap();
    assert_eq!(told["key"].as_str().unwrap().len(), 44);
    let live = fs::read(told["log"].as_str().unwrap()).unwrap();
    let again = init(&home, &[]);
    assert_eq!(
        (again.code, again.output.as_str()),
        (Some(73), ""),
        "{again:?}"
    );
    assert!(
        again
            .errors
            .contains("move the log and its state directory aside"),
        "{again:?}"
    );
    assert_eq!(fs::read(told["log"].as_str().unwrap()).unwrap(), live);
}

#[test]
fn a_locked_log_is_kept() {
    let home = Home::begun();
    fs::remove_file(home.live()).unwrap();
    let lock = fs::File::open(home.state()).unwrap();
    lock.lock().unwrap();
    let run = home.run(&["init"]);
    assert_eq!(run.code, Some(73), "{run:?}");
    assert!(
        run.errors.contains("another process writes this log"),
        "{run:?}"
    );
}

#[test]
fn both_directories_are_required() {
    let run = common::run(&["audit", "init", "--log", "/nonexistent/audit.log"]);
    assert_eq!(run.code, Some(64), "{run:?}");
    assert!(run.errors.contains("--state-dir"), "{run:?}");
}

#[test]
fn a_new_log_has_the_owner() {
    let home = tempfile::tempdir().unwrap();
    if chown(home.path(), Some(4711), Some(4712)).is_err() {
        eprintln!("skipped: only root makes files for others");
        return;
    }
    let run = init(&home, &["--json"]);
    assert_eq!(run.code, Some(0), "{run:?}");
    let told: Value = serde_json::from_str(&run.output).unwrap();
    assert_eq!(told["owner"]["uid"], 4711);
    for name in ["log", "log/audit.log", "state", "state/seal-key-0"] {
        let made = fs::metadata(home.path().join("new").join(name)).unwrap();
        assert_eq!((made.uid(), made.gid()), (4711, 4712), "{name}");
    }
    let nobody = init(
        &tempfile::tempdir().unwrap(),
        &["--owner", "no-such-user-here"],
    );
    assert_eq!(nobody.code, Some(64), "{nobody:?}");
    assert!(nobody.errors.contains("no-such-user-here"), "{nobody:?}");
}
