//! The writer with retention on real files: it stays within the limit, can be read and verified
//! meanwhile, and recovers from a full disk.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

mod common;

use common::{at_most, pinned, record, settings, until};
use pulse_audit::show::{Filter, Follower};
use pulse_audit::verify::{Options, Report, StateKeys, Verdict, open_log, retried, verify};
use pulse_audit::{
    Blocked, Directory, Head, Health, LogReader, Resume, Retention, SEALS, Settings, Writer,
};
use pulse_core::audit_log::retention::{Hold, Limits, Stream};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

const SEGMENT: u64 = 4_000;
const LIMIT: u64 = 20_000;

struct Place {
    home: tempfile::TempDir,
}

impl Place {
    fn new() -> Self {
        let home = tempfile::tempdir().unwrap();
        std::fs::create_dir(home.path().join("log")).unwrap();
        Self { home }
    }

    fn log(&self) -> PathBuf {
        self.home.path().join("log")
    }

    fn state(&self) -> PathBuf {
        self.home.path().join("state")
    }

    fn start(&self) -> Writer {
        let settings = Settings {
            seal_after: Duration::from_millis(100),
            segment_bytes: SEGMENT,
            retry_after: Duration::from_millis(5),
            reserve_bytes: 16 * 1024,
            ..settings()
        };
        let storage = Directory::lock(&self.log(), &self.state()).unwrap();
        Writer::start(storage, settings).unwrap()
    }

    fn names(&self) -> Vec<String> {
        let names = std::fs::read_dir(self.log()).unwrap().flatten();
        let names = names.map(|entry| entry.file_name().into_string().unwrap());
        names.collect()
    }

    fn check(&self, options: &Options) -> Report {
        let log = self.log();
        retried(&mut || verify(open_log(&log)?, options, &mut |_| ())).unwrap()
    }
}

fn retain(writer: &Writer, limits: Limits) {
    writer.retain(Retention {
        limits,
        streams: Box::new(Vec::new),
    });
}

/// Reads the state first, as the operator's tool does.
fn options(key: &str, state: &Path) -> Options {
    Options {
        live: true,
        state: Some(StateKeys::read(state).unwrap()),
        lagging: false,
        retention: Some(at_most(LIMIT)),
        ..pinned(key.parse().unwrap())
    }
}

fn has_nothing_to_remove(health: &Health) -> bool {
    health.upkeep.bytes <= LIMIT
}

fn hold(health: &Health) -> Option<&Hold> {
    match &health.upkeep.blocked {
        Some(Blocked::Held { hold, .. }) => Some(hold),
        _ => None,
    }
}

#[test]
fn a_log_stays_within_its_limit() {
    let place = Place::new();
    let writer = place.start();
    let key = writer.health().key;
    retain(&writer, at_most(LIMIT));
    let is_over = AtomicBool::new(false);
    let mut verified = 0;
    std::thread::scope(|scope| {
        scope.spawn(|| {
            for _ in 0..1_000 {
                record(&writer).unwrap();
                // The limit, the live file, and what is written during a removal.
                assert!(writer.health().upkeep.bytes < LIMIT + 16 * SEGMENT);
            }
            is_over.store(true, Ordering::Relaxed);
        });
        while !is_over.load(Ordering::Relaxed) {
            let before = writer.health().seq;
            let report = place.check(&options(&key, &place.state()));
            assert_eq!(report.verdict, Verdict::Intact, "{report:#?}");
            assert!(report.last_seq >= before);
            verified += u32::from(report.pruned_through > 0);
        }
    });
    assert!(verified > 5, "{verified}");
    until(&writer, has_nothing_to_remove);
    let health = writer.stop();
    assert!(health.upkeep.removed_segments > 50, "{:?}", health.upkeep);
    assert_eq!(health.upkeep.failure(), None, "{:?}", health.upkeep);
    let report = place.check(&options(&key, &place.state()));
    assert_eq!(report.verdict, Verdict::Intact, "{report:#?}");
    assert!(report.records < report.last_seq / 5);
    assert_eq!(report.first_seq, health.upkeep.first);
    assert!(place.names().len() < 20, "{:?}", place.names());
    // It continues after a restart, without the removed records.
    let writer = place.start();
    record(&writer).unwrap();
    retain(&writer, at_most(LIMIT / 2));
    until(&writer, |health| health.upkeep.bytes <= LIMIT / 2);
    writer.stop();
    let report = place.check(&pinned(key.parse().unwrap()));
    assert_eq!(report.verdict, Verdict::Intact, "{report:#?}");
}

#[test]
fn readers_follow_a_pruned_log() {
    let place = Place::new();
    let writer = place.start();
    // Nothing is removed that the reader has not read.
    let met = Arc::new(AtomicU64::new(0));
    let passed = Arc::clone(&met);
    writer.retain(Retention {
        limits: at_most(1),
        streams: Box::new(move || {
            vec![Stream {
                name: "reader".to_owned(),
                acknowledges: true,
                passed: Some(passed.load(Ordering::Relaxed)),
            }]
        }),
    });
    let mut reader = LogReader::from(&place.log(), 1);
    let mut follower = Follower::new(&place.log(), 0, Filter::default());
    let (mut wanted, mut shown) = (1, 0);
    let mut first = None;
    for _ in 0..200 {
        let durable = record(&writer).unwrap().seq;
        while let Some(record) = reader.next(durable).unwrap() {
            assert_eq!(record.head.seq, wanted);
            first.get_or_insert(record.head);
            wanted += 1;
        }
        while let Some(record) = follower.next_shown().unwrap() {
            assert!(record.is_whole && record.seq > shown, "{}", record.seq);
            shown = record.seq;
        }
        met.store(wanted - 1, Ordering::Relaxed);
    }
    until(&writer, |health| health.upkeep.removed_segments > 5);
    writer.stop();
    // A reader that is behind continues with the first record that is left.
    let kept = place.check(&Options::default()).first_seq;
    assert!(kept > 1);
    let mut late = LogReader::from(&place.log(), 1);
    assert_eq!(late.next(u64::MAX).unwrap().unwrap().head.seq, kept);
    let at = |from| LogReader::at(&place.log(), from, u64::MAX).unwrap();
    assert!(matches!(at(1), Resume::Removed(_, first) if first == kept));
    assert!(matches!(at(kept - 1), Resume::Removed(_, first) if first == kept));
    assert!(matches!(at(kept), Resume::Next(_)));
    let after = |head: Head| LogReader::after(&place.log(), head, u64::MAX).unwrap();
    let Resume::Removed(mut reader, from) = after(first.unwrap()) else {
        panic!("the first record is still there");
    };
    assert_eq!(from, kept);
    assert_eq!(reader.next(u64::MAX).unwrap().unwrap().head.seq, kept);
    let mut last = Head::START;
    while let Some(record) = late.next(u64::MAX).unwrap() {
        last = record.head;
    }
    assert!(matches!(after(last), Resume::Next(_)));
    let other = Head::from_parts(last.seq, &"a".repeat(64)).unwrap();
    assert!(matches!(after(other), Resume::NotFound));
    let ahead = Head::from_parts(last.seq + 9, &"a".repeat(64)).unwrap();
    assert!(matches!(after(ahead), Resume::NotFound));
}

#[test]
fn a_caught_up_reader_has_no_gap() {
    let place = Place::new();
    let writer = place.start();
    let mut reader = LogReader::from(&place.log(), 1);
    let mut heads = Vec::new();
    for _ in 0..60 {
        let durable = record(&writer).unwrap().seq;
        while let Some(record) = reader.next(durable).unwrap() {
            heads.push(record.head);
        }
    }
    let passed = heads.last().map(|head: &Head| head.seq);
    writer.retain(Retention {
        limits: at_most(1),
        streams: Box::new(move || {
            vec![Stream {
                name: "reader".to_owned(),
                acknowledges: true,
                passed,
            }]
        }),
    });
    until(&writer, |health| health.upkeep.removed_segments > 1);
    let health = writer.stop();
    let first = health.upkeep.removed_through + 1;
    let last_removed = heads[usize::try_from(first).unwrap() - 2];
    assert_eq!(last_removed.seq, first - 1);
    let Resume::Next(mut reader) = LogReader::after(&place.log(), last_removed, u64::MAX).unwrap()
    else {
        panic!("there is no gap");
    };
    assert_eq!(reader.next(u64::MAX).unwrap().unwrap().head.seq, first);
}

#[test]
fn a_held_segment_is_reported() {
    let place = Place::new();
    let writer = place.start();
    for _ in 0..60 {
        record(&writer).unwrap();
    }
    let passed = Arc::new(AtomicU64::new(0));
    let cursor = Arc::clone(&passed);
    writer.retain(Retention {
        limits: at_most(LIMIT / 4),
        streams: Box::new(move || {
            let stream = |acknowledges| Stream {
                name: "logs.example".to_owned(),
                acknowledges,
                passed: Some(cursor.load(Ordering::Relaxed)),
            };
            vec![stream(true), stream(false)]
        }),
    });
    until(&writer, |health| hold(health).is_some());
    let upkeep = writer.health().upkeep;
    let blocked = upkeep.blocked.as_ref();
    assert!(
        matches!(blocked, Some(Blocked::Held { hold: Hold::Behind { last, .. }, .. }) if *last > 1)
    );
    assert_eq!((upkeep.removed_segments, upkeep.first), (0, 1));
    assert_eq!(upkeep.pressing_hold(), None, "it may end by itself");
    passed.store(u64::MAX, Ordering::Relaxed);
    writer.retain(Retention {
        limits: at_most(LIMIT / 4),
        streams: Box::new(|| {
            vec![Stream {
                name: "s".to_owned(),
                acknowledges: false,
                passed: Some(u64::MAX),
            }]
        }),
    });
    until(&writer, |health| {
        matches!(hold(health), Some(Hold::Unacknowledged { .. }))
    });
    assert!(writer.health().upkeep.pressing_hold().is_some());
    writer.retain(Retention {
        limits: Limits::default(),
        streams: Box::new(Vec::new),
    });
    until(&writer, |health| hold(health).is_none());
    assert_eq!(writer.health().upkeep.removed_segments, 0);
    retain(&writer, at_most(LIMIT / 4));
    until(&writer, |health| health.upkeep.removed_segments > 0);
    writer.stop();
}

#[test]
fn a_changed_segment_is_kept() {
    let place = Place::new();
    let writer = place.start();
    for _ in 0..60 {
        record(&writer).unwrap();
    }
    let first = place.log().join("audit.log-000000000001");
    let text = std::fs::read_to_string(&first).unwrap();
    std::fs::write(&first, text.replacen("allowed", "refused", 1)).unwrap();
    retain(&writer, at_most(1));
    until(&writer, |health| health.upkeep.failure().is_some());
    let health = writer.health();
    let obstacle = health.upkeep.failure().unwrap();
    assert!(
        obstacle.contains("audit.log-000000000001 is not as it was written"),
        "{obstacle}"
    );
    record(&writer).unwrap();
    let health = writer.stop();
    assert_eq!(health.upkeep.removed_segments, 0);
    assert!(first.exists() && !place.log().join(SEALS).exists());
}
