//! What stands in a log's place and is no log: nothing hangs, nothing is followed, and
//! every error names what it is about.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

mod common;

use common::Run;
use common::log::Home;
use nix::sys::stat::{Mode, SFlag, makedev, mknod};
use nix::unistd::mkfifo;
use std::fs::{self, Permissions};
use std::os::unix::fs::{PermissionsExt, symlink};
use std::os::unix::net::UnixListener;
use std::os::unix::process::CommandExt;
use std::path::Path;

/// Puts something under a name; none where that takes rights that we have not.
type Put = fn(&Path) -> Option<()>;

const IMPOSTORS: [(&str, Put); 5] = [
    ("a FIFO", |path| mkfifo(path, Mode::S_IRWXU).ok()),
    ("a symbolic link", |path| symlink("/etc/passwd", path).ok()),
    ("a socket", |path| UnixListener::bind(path).ok().map(drop)),
    ("a directory", |path| fs::create_dir(path).ok()),
    ("a device", |path| {
        // /dev/zero: whoever reads it never ends.
        mknod(path, SFlag::S_IFCHR, Mode::S_IRWXU, makedev(1, 5)).ok()
    }),
];

fn text(path: &Path) -> &str {
    path.to_str().unwrap()
}

/// Nothing of the program's result, and the path with what it leads to.
fn assert_refused(run: &Run, code: i32, path: &Path, what: &str) {
    assert_eq!((run.code, run.output.as_str()), (Some(code), ""), "{run:?}");
    let said = format!("{}: {what}, not a regular file", path.display());
    assert!(run.errors.contains(&said), "{said:?}: {}", run.errors);
    assert_eq!(run.errors.matches(text(path)).count(), 1, "{run:?}");
}

#[test]
fn impostors_hang_no_command() {
    for (what, put) in IMPOSTORS {
        for name in [
            "audit.log",
            "audit.log-000000000001",
            "audit.log-000000000000",
        ] {
            let home = Home::sample();
            let path = home.log().join(name);
            if what == "a directory" && path == home.live() {
                // That is then the log's directory.
                continue;
            }
            let _ = fs::remove_file(&path);
            let Some(()) = put(&path) else {
                eprintln!("skipped: {what} cannot be made here");
                continue;
            };
            assert_refused(&home.verify(&[]), 66, &path, what);
            for command in [&["show"][..], &["tail"], &["explain", "5"]] {
                assert_refused(&home.run(command), 66, &path, what);
            }
            let log = home.log();
            let other = Home::sample();
            let run = other.verify(&["--against", text(&log)]);
            assert_refused(&run, 66, &path, what);
        }
    }
}

#[test]
fn named_impostors_are_refused() {
    for (what, put) in IMPOSTORS {
        let home = Home::sample();
        let path = home.path("named");
        if what == "a directory" || put(&path).is_none() {
            continue;
        }
        let own = home.log();
        for arguments in [
            &["verify", text(&path)][..],
            &["verify", text(&own), "--against", text(&path)],
            &["verify", "--collected", text(&path)],
            &[
                "verify",
                "--collected",
                text(&own.join("audit.log")),
                "--against",
                text(&path),
            ],
        ] {
            let run = common::run(&[&["audit"], arguments].concat());
            assert_refused(&run, 66, &path, what);
            assert!(run.errors.contains("- for standard input"), "{run:?}");
        }
        let run = common::run(&["audit", "show", "--log", text(&path)]);
        assert_refused(&run, 66, &path, what);
    }
}

#[test]
fn a_directory_is_no_collected_file() {
    let home = Home::sample();
    let log = home.log();
    let run = common::run(&["audit", "verify", "--collected", text(&log)]);
    assert_refused(&run, 66, &log, "a directory");
}

#[test]
fn nothing_but_a_file_is_rotated() {
    for (what, put) in IMPOSTORS {
        let home = Home::sample();
        fs::remove_file(home.live()).unwrap();
        if what == "a directory" || put(&home.live()).is_none() {
            continue;
        }
        assert_refused(&home.run(&["rotate"]), 73, &home.live(), what);
        assert!(fs::symlink_metadata(home.live()).is_ok());
    }
}

#[test]
fn an_unlistable_log_is_named() {
    if !nix::unistd::geteuid().is_root() {
        eprintln!("skipped: only root can be another user");
        return;
    }
    let home = Home::sample();
    let key = home.key.to_string();
    let log = home.log();
    // Its files may be read, and not be found.
    fs::set_permissions(&log, Permissions::from_mode(0o711)).unwrap();
    fs::set_permissions(home.path(""), Permissions::from_mode(0o755)).unwrap();
    for arguments in [
        &["verify", "--key", &key][..],
        &["show"],
        &["tail"],
        &["tail", "--follow"],
    ] {
        let run: Run = home.command(arguments).uid(65534).output().unwrap().into();
        assert_eq!(run.code, Some(66), "{run:?}");
        let said = format!("{}: Permission denied", log.display());
        assert!(run.errors.contains(&said), "{}", run.errors);
    }
}
