//! `audit accept-loss`, with a daemon and without.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

mod common;

use common::log::Home;
use common::{Run, Script, Scripted};
use pulse_audit::{Directory, LIVE, Settings, Writer};
use serde_json::Value;
use std::fs;
use std::os::unix::fs::{PermissionsExt, chown};
use std::path::Path;
use std::time::Duration;

const SEGMENT: &str = "audit.log-000000000001";

/// A log that stopped because its first segment is gone, and whose daemon has ended.
fn stopped() -> Home {
    let home = Home::sample();
    let settings = Settings {
        check_interval: Duration::from_millis(2),
        ..Settings::default()
    };
    let storage = Directory::lock(&home.log(), &home.state()).unwrap();
    let writer = Writer::start(storage, settings).unwrap();
    fs::remove_file(home.log().join(SEGMENT)).unwrap();
    while writer.is_available() {
        std::thread::yield_now();
    }
    home
}

fn accept(home: &Home, more: &[&str]) -> Run {
    home.run(&[&["accept-loss"], more].concat())
}

#[test]
fn a_stopped_log_continues() {
    let home = stopped();
    let run = accept(&home, &["--json"]);
    assert_eq!(run.code, Some(0), "{run:?}");
    let told: Value = serde_json::from_str(&run.output).unwrap();
    assert_eq!(told["running"], false);
    assert_eq!(told["files"][0]["file"], SEGMENT);
    assert_eq!(told["files"][0]["change"], "removed");
    assert_eq!(told["files"][0]["first_seq"], 1);
    let shown = home.run(&["show", "--event", "log.loss_accepted", "--json"]);
    let record: Value = serde_json::from_str(&shown.output).unwrap();
    assert_eq!(
        record["record"]["peer"],
        format!("uid:{}", nix::unistd::getuid())
    );
    assert_eq!(
        home.verify(&[]).code,
        Some(1),
        "what is missing is still missing"
    );
    let again = accept(&home, &[]);
    assert_eq!(again.code, Some(73), "{again:?}");
    for part in ["there is no loss to accept", "audit verify"] {
        assert!(again.errors.contains(part), "{part}: {}", again.errors);
    }
}

/// Another program may have put it there, so its owner is not the one whose rights are used.
#[test]
fn the_live_files_owner_is_not_trusted() {
    if !nix::unistd::geteuid().is_root() {
        eprintln!("SKIPPED: only root can give files away");
        return;
    }
    let home = stopped();
    let (log, state) = (home.log(), home.state());
    let give = |path: &Path, owner| chown(path, Some(owner), Some(owner)).unwrap();
    for directory in [&log, &state] {
        for file in fs::read_dir(directory).unwrap() {
            give(&file.unwrap().path(), 1234);
        }
    }
    give(&state, 1234);
    give(&log.join(LIVE), 4321);
    for (path, mode) in [
        (log.parent().unwrap(), 0o755),
        (&log, 0o777),
        (&log.join(LIVE), 0o666),
    ] {
        fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
    }
    let run = accept(&home, &[]);
    assert_eq!(run.code, Some(0), "{run:?}");
}

#[test]
fn a_loss_without_a_daemon_is_shown_first() {
    let home = Home::sample();
    fs::remove_file(home.log().join(SEGMENT)).unwrap();
    // No start has reported it yet.
    let run = accept(&home, &[]);
    assert_eq!(run.code, Some(73), "{run:?}");
    let named = format!("{SEGMENT} was removed by another program");
    assert!(run.errors.contains(&named), "{run:?}");
    let run = accept(&home, &["--json"]);
    assert_eq!(run.code, Some(0), "{run:?}");
    let told: Value = serde_json::from_str(&run.output).unwrap();
    assert_eq!(told["files"][0]["file"], SEGMENT);
}

#[test]
fn a_running_daemon_is_asked() {
    let home = Home::sample();
    let _lock = Directory::lock(&home.log(), &home.state()).unwrap();
    let place = [home.log(), home.state()];
    let [log, state] = [&place[0], &place[1]].map(|path| path.to_str().unwrap());
    let asked = ["audit", "accept-loss", "--log", log, "--state-dir", state];
    let daemon = Scripted::daemon(Script::Says(
        r#"{"success":true,"data":{"files":[{"file":"audit.log","change":"cut","first_seq":5,"last_seq":9}]}}"#,
    ));
    let run = daemon.run(&asked);
    assert_eq!(run.code, Some(0), "{run:?}");
    assert_eq!(
        run.output,
        "accepted: the daemon continues the log\n  audit.log was cut, which had records 5 to 9\n"
    );
    let daemon = Scripted::daemon(Script::Says(
        r#"{"success":false,"error":"the audit log has no loss to accept"}"#,
    ));
    let run = daemon.run(&asked);
    assert_eq!(run.code, Some(69), "{run:?}");
}
