//! Verification while the log is written, sealed and rotated: never a false alarm.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

mod common;

use common::{at, pinned, record, settings};
use pulse_audit::verify::{Options, StateKeys, Verdict, open_directory, verify};
use pulse_audit::{Directory, Log, Settings, Writer};
use std::collections::HashSet;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

/// Reads the state first, then the files, as the operator's tool does.
fn options(key: &str, state: &Path) -> Options {
    Options {
        live: true,
        state: Some(StateKeys::read(state).unwrap()),
        lagging: false,
        ..pinned(key.parse().unwrap())
    }
}

fn segments(log: &Path) -> HashSet<String> {
    let names = std::fs::read_dir(log).unwrap().flatten();
    let names = names.filter_map(|entry| entry.file_name().into_string().ok());
    names
        .filter(|name| name.starts_with("audit.log-"))
        .collect()
}

/// Stops the writing threads also when the test fails.
struct EndsOnDrop<'a>(&'a AtomicBool);

impl Drop for EndsOnDrop<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

#[test]
fn no_false_alarm_while_written() {
    let place = tempfile::tempdir().unwrap();
    let (log, state) = (place.path().join("log"), place.path().join("state"));
    std::fs::create_dir(&log).unwrap();
    let settings = Settings {
        seal_after: Duration::from_millis(1),
        segment_bytes: 3_000,
        ..settings()
    };
    let writer = Writer::start(Directory::lock(&log, &state).unwrap(), settings).unwrap();
    let key = common::first_key(&std::fs::read(log.join("audit.log")).unwrap()).to_string();
    let (is_over, mut overlapping) = (AtomicBool::new(false), 0);
    std::thread::scope(|scope| {
        let _ends = EndsOnDrop(&is_over);
        for _ in 0..4 {
            scope.spawn(|| {
                while !is_over.load(Ordering::Relaxed) {
                    record(&writer).unwrap();
                }
            });
        }
        for round in 0.. {
            if round >= 100 && overlapping > 20 {
                break;
            }
            let before = writer.health().seq;
            let options = options(&key, &state);
            let sources = open_directory(&log).unwrap();
            let report = verify(sources, &options, &mut |_| ()).unwrap();
            assert_eq!(
                report.verdict,
                Verdict::Intact,
                "round {round}: {:?}",
                report.findings
            );
            assert!(report.last_seq >= before, "what was on disk before is seen");
            overlapping += u32::from(writer.health().seq > before);
            // Waits for new records for the next round.
            while writer.health().seq < before + 4 {
                std::thread::yield_now();
            }
        }
    });
    assert!(segments(&log).len() > 20, "{:?}", segments(&log));
}

/// The files are opened, then the log changes, then they are read.
#[test]
fn changes_after_opening_are_fine() {
    type Step = fn(&mut Log<Directory>);
    let steps: [(&str, Step); 5] = [
        ("written", |log| common::write(log, 2, "x")),
        ("sealed", |log| assert!(log.seal(at(2)).unwrap())),
        ("rotated", |log| drop(log.rotate(at(2)).unwrap())),
        ("rotated twice", |log| {
            drop(log.rotate(at(2)).unwrap());
            drop(log.rotate(at(3)).unwrap());
        }),
        ("rotated and sealed", |log| {
            drop(log.rotate(at(2)).unwrap());
            assert!(log.seal(at(3)).unwrap());
        }),
    ];
    for segments in 0..3 {
        for (what, step) in &steps {
            let place = tempfile::tempdir().unwrap();
            let (directory, state) = (place.path().join("log"), place.path().join("state"));
            std::fs::create_dir(&directory).unwrap();
            let storage = Directory::lock(&directory, &state).unwrap();
            let mut log = Log::open(storage, settings(), at(0)).unwrap();
            let key = log.public_key().to_string();
            for _ in 0..segments {
                common::write(&mut log, 1, "x");
                log.rotate(at(1)).unwrap();
            }
            let before = log.head().seq;
            let options = options(&key, &state);
            let sources = open_directory(&directory).unwrap();
            step(&mut log);
            let report = verify(sources, &options, &mut |_| ()).unwrap();
            assert_eq!(
                report.verdict,
                Verdict::Intact,
                "{what}: {:?}",
                report.findings
            );
            assert!(report.last_seq >= before, "{what}");
        }
    }
}
