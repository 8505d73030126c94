//! Something other than a regular file under a file's name: the daemon, its forwarder and
//! readers report it and do not block.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

mod common;

use common::{at, settings};
use nix::sys::stat::Mode;
use pulse_audit::show::{Filter, Follower};
use pulse_audit::verify::open_directory;
use pulse_audit::{Change, Directory, Log, LogError, LogReader};
use pulse_core::causes::Causes;
use std::fs;
use std::io;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};

type Put = fn(&Path);

const IMPOSTORS: [(&str, Put); 2] = [
    ("a FIFO", |path| {
        nix::unistd::mkfifo(path, Mode::S_IRWXU).unwrap();
    }),
    ("a symbolic link", |path| {
        symlink("/etc/passwd", path).unwrap();
    }),
];

struct Place(tempfile::TempDir);

impl Place {
    /// A log of two segments and a live file, at rest in epoch 3.
    fn new() -> Self {
        let place = Self(tempfile::tempdir().unwrap());
        fs::create_dir(place.log()).unwrap();
        let mut log = place.open().unwrap();
        for second in 0..2 {
            common::write(&mut log, second, "x");
            log.rotate(at(second)).unwrap();
        }
        log.seal(at(3)).unwrap();
        place
    }

    fn open(&self) -> Result<Log<Directory>, LogError> {
        let storage = Directory::lock(&self.log(), &self.state()).unwrap();
        Log::open(storage, settings(), at(4))
    }

    fn log(&self) -> PathBuf {
        self.0.path().join("log")
    }

    fn state(&self) -> PathBuf {
        self.0.path().join("state")
    }
}

fn assert_named(error: &dyn std::error::Error, path: &Path, what: &str) {
    let expected = format!("{}: {what}, not a regular file", path.display());
    let text = Causes(error).to_string();
    assert!(text.contains(&expected), "{text}");
}

#[test]
fn readers_name_the_impostor() {
    for (what, put) in IMPOSTORS {
        for name in ["audit.log", "audit.log-000000000001"] {
            let place = Place::new();
            let (path, aside) = (place.log().join(name), place.0.path().join("aside"));
            fs::rename(&path, &aside).unwrap();
            put(&path);
            let mut reader = LogReader::from(&place.log(), 1);
            assert_named(&reader.next(u64::MAX).unwrap_err(), &path, what);
            let mut follower = Follower::new(&place.log(), 0, Filter::default());
            assert_named(&follower.next_shown().unwrap_err(), &path, what);
            let error = open_directory(&place.log()).err().unwrap();
            assert_eq!(error.kind(), io::ErrorKind::InvalidInput);
            assert_named(&error, &path, what);
            fs::rename(&aside, &path).unwrap();
            assert_eq!(reader.next(u64::MAX).unwrap().unwrap().head.seq, 1);
            assert_eq!(follower.next_shown().unwrap().unwrap().seq, 1);
        }
    }
}

#[test]
fn the_writer_refuses_impostors() {
    for (what, put) in IMPOSTORS {
        for path in ["log/audit.log", "state/seal-key-3"] {
            let place = Place::new();
            let path = place.0.path().join(path);
            fs::remove_file(&path).unwrap();
            put(&path);
            let error = place.open().err().unwrap();
            if path.ends_with("log/audit.log") {
                assert!(
                    matches!(&error, LogError::Disturbed(file) if file.change == Change::Replaced),
                    "{error}"
                );
            } else {
                assert_named(&error, &path, what);
            }
        }
        // Nor is the next key's temporary file written through it.
        let place = Place::new();
        let mut log = place.open().unwrap();
        let path = place.state().join("seal-key-4.new");
        put(&path);
        assert_named(&log.seal(at(5)).unwrap_err(), &path, what);
    }
}
