//! `audit rotate`, with a writer and without, with `chattr +a` and without.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

mod common;

use common::log::Home;
use pulse_audit::{Directory, Settings, Writer};
use rustix::fs::{IFlags, ioctl_getflags, ioctl_setflags};
use serde_json::Value;
use std::fs::{self, File};
use std::os::unix::fs::{MetadataExt, chown};
use std::path::Path;
use std::sync::Arc;
use tokio::signal::unix::{SignalKind, signal};

/// A writer in this process, which follows when it is told, as the daemon does.
struct Daemon {
    writer: Arc<Writer>,
    _runtime: tokio::runtime::Runtime,
}

impl Daemon {
    fn start(home: &Home, follows: bool) -> Self {
        let storage = Directory::lock(&home.log(), &home.state()).unwrap();
        let writer = Arc::new(Writer::start(storage, Settings::default()).unwrap());
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(1)
            .enable_all()
            .build()
            .unwrap();
        let told = Arc::clone(&writer);
        let mut signals = {
            let _context = runtime.enter();
            signal(SignalKind::user_defined1()).unwrap()
        };
        runtime.spawn(async move {
            while signals.recv().await.is_some() {
                if follows {
                    told.reopen();
                }
            }
        });
        Self {
            writer,
            _runtime: runtime,
        }
    }
}

/// Marks a file append-only; false, with a message, where that is not possible.
fn mark(path: &Path, wanted: bool) -> bool {
    let file = File::open(path).unwrap();
    let set = ioctl_getflags(&file).and_then(|mut flags| {
        flags.set(IFlags::APPEND, wanted);
        ioctl_setflags(&file, flags)
    });
    if let Err(error) = &set {
        eprintln!("skipped: no file can be marked append-only here: {error}");
    }
    set.is_ok()
}

fn is_marked(path: &Path) -> bool {
    let flags = ioctl_getflags(File::open(path).unwrap()).unwrap();
    flags.contains(IFlags::APPEND)
}

#[test]
fn a_running_writer_follows() {
    let home = Home::begun();
    let daemon = Daemon::start(&home, true);
    let run = home.run(&["rotate", "--json"]);
    assert_eq!(run.code, Some(0), "{run:?}");
    let told: Value = serde_json::from_str(&run.output).unwrap();
    assert_eq!(told["pid"], std::process::id());
    assert!(home.log().join("audit.log-000000000001").exists());
    let again = home.run(&["rotate"]);
    assert!(again.output.starts_with("rotated: process "), "{again:?}");
    daemon.writer.stop();
    let verified = home.verify(&["--json"]);
    assert_eq!(verified.code, Some(0), "{verified:?}");
}

#[test]
fn the_mark_is_on_both_files() {
    let home = Home::begun();
    let daemon = Daemon::start(&home, true);
    if !mark(&home.live(), true) {
        return;
    }
    let run = home.run(&["rotate"]);
    let segment = home.log().join("audit.log-000000000001");
    let marked = [is_marked(&segment), is_marked(&home.live())];
    let written = daemon.writer.stop();
    mark(&segment, false);
    mark(&home.live(), false);
    assert_eq!((run.code, marked), (Some(0), [true, true]), "{run:?}");
    assert!(run.output.contains("append-only"), "{run:?}");
    assert_eq!(written.last_error, None, "{written:?}");
    assert_eq!(home.verify(&[]).code, Some(0));
}

#[test]
fn idle_logs_are_rotated_here() {
    let home = Home::sample();
    let is_markable = mark(&home.live(), true);
    let before = home.joined().len();
    let run = home.run(&["rotate"]);
    let segments = fs::read_dir(home.log())
        .unwrap()
        .map(|entry| entry.unwrap().path());
    let segments: Vec<_> = segments.filter(|path| path != &home.live()).collect();
    let marked = segments
        .iter()
        .filter(|path| is_markable && is_marked(path))
        .count();
    let live_is_marked = is_markable && is_marked(&home.live());
    if is_markable {
        for path in segments.iter().chain([&home.live()]) {
            mark(path, false);
        }
    }
    assert_eq!(run.code, Some(0), "{run:?}");
    assert!(run.output.contains("no process writes it now"), "{run:?}");
    assert_eq!((segments.len(), marked), (3, usize::from(is_markable)));
    assert_eq!(live_is_marked, is_markable);
    assert!(home.joined().len() > before);
    assert_eq!(home.verify(&[]).code, Some(0));
}

#[test]
fn rotation_keeps_the_owner() {
    let home = Home::sample();
    for path in [home.log(), home.live(), home.state()] {
        if chown(&path, Some(4711), Some(4712)).is_err() {
            eprintln!("skipped: only root makes files for others");
            return;
        }
    }
    // The directory above is root's alone; the daemon's user must come through.
    fs::set_permissions(
        home.path(""),
        std::os::unix::fs::PermissionsExt::from_mode(0o755),
    )
    .unwrap();
    for entry in fs::read_dir(home.state()).unwrap() {
        chown(entry.unwrap().path(), Some(4711), Some(4712)).unwrap();
    }
    let run = home.run(&["rotate"]);
    assert_eq!(run.code, Some(0), "{run:?}");
    for directory in [home.log(), home.state()] {
        for entry in fs::read_dir(directory).unwrap() {
            let entry = entry.unwrap();
            let is_segment = entry.file_name().to_string_lossy().contains("log-");
            let owner = entry.metadata().unwrap().uid();
            assert!(owner == 4711 || is_segment, "{entry:?}");
        }
    }
}

#[test]
fn a_writer_that_does_not_follow() {
    let home = Home::begun();
    let daemon = Daemon::start(&home, false);
    let run = home.run(&["rotate"]);
    assert_eq!(run.code, Some(69), "{run:?}");
    for part in [
        "within 5 s",
        "audit.log-000000000001",
        "Nothing is lost",
        "kill -USR1",
    ] {
        assert!(
            run.errors.contains(part),
            "{part:?} is not in: {}",
            run.errors
        );
    }
    // It was no empty promise.
    daemon.writer.reopen();
    daemon.writer.stop();
    assert_eq!(home.verify(&[]).code, Some(0));
}

#[test]
fn no_signal_without_handler() {
    let home = Home::sample();
    let mut child = std::process::Command::new("sleep")
        .arg("30")
        .spawn()
        .unwrap();
    let run = home.run(&["rotate", "--pid", &child.id().to_string()]);
    assert!(child.try_wait().unwrap().is_none());
    child.kill().unwrap();
    child.wait().unwrap();
    assert_eq!(run.code, Some(73), "{run:?}");
    assert!(run.errors.contains("does not handle SIGUSR1"), "{run:?}");
    let segments = fs::read_dir(home.log()).unwrap().count();
    assert_eq!(segments, 3);
}

#[test]
fn there_must_be_a_log() {
    let home = Home::begun();
    fs::remove_file(home.live()).unwrap();
    let run = home.run(&["rotate"]);
    assert_eq!(run.code, Some(66), "{run:?}");
    assert!(run.errors.contains("no audit log here"), "{run:?}");
    assert!(!home.live().exists());
}
