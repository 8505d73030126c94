//! The writing thread: no acknowledged record is lost, nothing is acknowledged before it is on
//! disk, and writing resumes after failures.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

mod common;

use common::simulated::{EIO, ENOSPC, EROFS, Fault, Simulated};
use common::{check, pinned, record, rotate, settings, until};
use pulse_audit::verify::Verdict;
use pulse_audit::{Directory, Incident, Rotation, Settings, Unavailable, Writer};
use pulse_core::event::Event;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, mpsc};
use std::time::{Duration, Instant};

fn quick() -> Settings {
    Settings {
        retry_after: Duration::from_millis(5),
        ..settings()
    }
}

fn prove(disk: &Simulated, key: &str) {
    let files = disk.disk.lock().unwrap().log();
    let report = check(&files, &pinned(key.parse().unwrap()));
    assert_eq!(report.verdict, Verdict::Intact, "{:?}", report.findings);
    assert_eq!(report.sealed_through, report.last_seq, "sealed at stop");
}

#[test]
fn the_size_is_that_of_now() {
    let place = common::place::Place::new();
    for _ in 0..3 {
        record(place.writer()).unwrap();
        let files = [common::place::SEGMENT, common::place::LIVE];
        let bytes: usize = files.map(|name| place.read(name).len()).iter().sum();
        assert_eq!(place.writer().health().upkeep.bytes, bytes as u64);
    }
}

#[test]
fn concurrent_callers_share_syncs() {
    let disk = Simulated::default();
    let writer = Writer::start(disk.clone(), settings()).unwrap();
    let key = writer.health().key;
    let mut numbers: Vec<u64> = std::thread::scope(|scope| {
        let callers: Vec<_> = (0..8)
            .map(|_| {
                scope.spawn(|| {
                    (0..100)
                        .map(|_| record(&writer).unwrap().seq)
                        .collect::<Vec<_>>()
                })
            })
            .collect();
        callers
            .into_iter()
            .flat_map(|caller| caller.join().unwrap())
            .collect()
    });
    numbers.sort_unstable();
    assert_eq!(numbers, (2..=801).collect::<Vec<_>>());
    writer.stop();
    assert_eq!(record(&writer), Err(Unavailable::Stopped));
    prove(&disk, &key);
}

#[test]
fn a_failing_disk_refuses_then_recovers() {
    for kind in [ENOSPC, EROFS, EIO] {
        let disk = Simulated::default();
        let writer = Writer::start(disk.clone(), quick()).unwrap();
        let key = writer.health().key;
        record(&writer).unwrap();
        disk.disk.lock().unwrap().fault = Some((0, u64::MAX, Fault::Before(kind)));
        assert!(matches!(record(&writer), Err(Unavailable::Failed(_))));
        assert!(matches!(record(&writer), Err(Unavailable::Failed(_))));
        assert!(!writer.health().available);
        disk.disk.lock().unwrap().fault = None;
        until(&writer, |health| health.available);
        record(&writer).unwrap();
        assert!(writer.health().refused >= 2);
        writer.stop();
        prove(&disk, &key);
        let text =
            String::from_utf8_lossy(&common::join(&disk.disk.lock().unwrap().log())).into_owned();
        assert!(
            text.contains(r#""reason":"recovery","suppressed":"#),
            "{text}"
        );
    }
}

#[test]
fn failing_syncs_leave_one_torn_file() {
    for append_only in [false, true] {
        let disk = Simulated::default();
        disk.disk.lock().unwrap().append_only = append_only;
        let writer = Writer::start(disk.clone(), quick()).unwrap();
        let key = writer.health().key;
        record(&writer).unwrap();
        let reservations = |disk: &Simulated| disk.disk.lock().unwrap().reservations;
        let before = reservations(&disk);
        disk.disk.lock().unwrap().sync_fails = true;
        let begin = Instant::now();
        assert!(record(&writer).is_err());
        until(&writer, |_| reservations(&disk) >= before + 20);
        // 5 ms, and then 10 ms each.
        let retries = reservations(&disk) - before;
        let most = 2 + begin.elapsed().as_millis() / 10;
        assert!(
            u128::from(retries) <= most,
            "{retries} retries, at most {most}"
        );
        disk.disk.lock().unwrap().sync_fails = false;
        until(&writer, |health| health.available);
        record(&writer).unwrap();
        writer.stop();
        prove(&disk, &key);
        let inner = disk.disk.lock().unwrap();
        let torn = inner.files.keys().filter(|(_, name)| name.contains("torn"));
        assert_eq!(torn.count(), 1, "append-only: {append_only}");
    }
}

#[test]
fn an_outage_is_told_once() {
    let disk = Simulated::default();
    let writer = Writer::start(disk.clone(), quick()).unwrap();
    record(&writer).unwrap();
    let told = Arc::new(AtomicU64::new(0));
    let count = Arc::clone(&told);
    writer.set_observer(move || {
        count.fetch_add(1, Ordering::Relaxed);
    });
    for outage in 1..=3 {
        disk.disk.lock().unwrap().fault = Some((0, u64::MAX, Fault::Before(EIO)));
        assert!(record(&writer).is_err());
        disk.disk.lock().unwrap().fault = None;
        until(&writer, |health| health.available);
        until(&writer, |_| told.load(Ordering::Relaxed) == 2 * outage);
        let incidents = writer.take_incidents();
        assert!(
            matches!(&incidents[..], [Incident::Failed(_), Incident::Resumed(_)]),
            "{incidents:?}"
        );
        assert_eq!(writer.health().failures, outage);
    }
}

#[test]
fn a_full_disk_is_on_record() {
    let disk = Simulated::default();
    let writer = Writer::start(disk.clone(), quick()).unwrap();
    let key = writer.health().key;
    let from = disk.disk.lock().unwrap().operations;
    disk.disk.lock().unwrap().fault = Some((from, 1, Fault::After(ENOSPC)));
    assert!(record(&writer).is_err());
    until(&writer, |health| health.available);
    writer.stop();
    prove(&disk, &key);
    let text =
        String::from_utf8_lossy(&common::join(&disk.disk.lock().unwrap().log())).into_owned();
    assert!(text.contains(r#""event_type":"log.recovered""#), "{text}");
    assert!(
        text.contains(r#""decision":"denied","error":"cannot write the audit log"#),
        "{text}"
    );
}

#[test]
fn a_stuck_disk_delays_no_stop() {
    let disk = Simulated::default();
    let settings = Settings {
        stop_timeout: Duration::from_millis(10),
        ..settings()
    };
    let writer = Writer::start(disk.clone(), settings).unwrap();
    record(&writer).unwrap();
    let stuck = disk.disk.lock().unwrap();
    assert_ne!(writer.stop().unsealed, 0);
    assert!(writer.is_running());
    drop(stuck);
    until(&writer, |_| !writer.is_running());
    assert_eq!(writer.health().unsealed, 0);
}

#[test]
fn an_idle_log_is_sealed() {
    let disk = Simulated::default();
    let settings = Settings {
        seal_after: Duration::from_millis(5),
        ..settings()
    };
    let writer = Writer::start(disk, settings).unwrap();
    until(&writer, |health| health.epoch == 1 && health.unsealed == 0);
    record(&writer).unwrap();
    until(&writer, |health| health.epoch == 2 && health.unsealed == 0);
}

#[test]
fn rotation_by_size_and_request() {
    let disk = Simulated::default();
    let settings = Settings {
        segment_bytes: 4000,
        ..settings()
    };
    let writer = Writer::start(disk.clone(), settings).unwrap();
    let key = writer.health().key;
    for _ in 0..40 {
        record(&writer).unwrap();
    }
    assert!(matches!(rotate(&writer), Ok(Rotation::Done(_))));
    writer.stop();
    assert!(disk.disk.lock().unwrap().log().len() > 2);
    prove(&disk, &key);
}

#[test]
fn a_refused_rotation_is_reported() {
    let disk = Simulated::default();
    disk.disk.lock().unwrap().append_only = true;
    let settings = Settings {
        segment_bytes: 1000,
        ..settings()
    };
    let writer = Writer::start(disk.clone(), settings).unwrap();
    let key = writer.health().key;
    for _ in 0..20 {
        record(&writer).unwrap();
    }
    assert!(matches!(rotate(&writer), Ok(Rotation::NotPermitted(_))));
    until(&writer, |health| health.rotation_refused.is_some());
    assert!(writer.health().available);
    writer.stop();
    prove(&disk, &key);
}

#[test]
fn logrotate_may_rename_first() {
    let place = tempfile::tempdir().unwrap();
    let (log, state) = (place.path().join("log"), place.path().join("state"));
    std::fs::create_dir(&log).unwrap();
    let writer = Writer::start(Directory::lock(&log, &state).unwrap(), quick()).unwrap();
    let key = writer.health().key;
    record(&writer).unwrap();
    std::fs::rename(log.join("audit.log"), log.join("audit.log.1")).unwrap();
    record(&writer).unwrap();
    writer.reopen();
    record(&writer).unwrap();
    writer.stop();
    let read = |name: &str| (name.to_owned(), std::fs::read(log.join(name)).unwrap());
    let report = check(
        &[read("audit.log.1"), read("audit.log")],
        &pinned(key.parse().unwrap()),
    );
    assert_eq!(report.verdict, Verdict::Intact, "{:?}", report.findings);
}

fn written(disk: &Simulated) -> String {
    let files = disk.disk.lock().unwrap().log();
    String::from_utf8_lossy(&common::join(&files)).into_owned()
}

#[test]
fn notes_and_records_are_separate() {
    let disk = Simulated::default();
    let settings = Settings {
        queue_records: 4,
        queue_notes: 2,
        ..settings()
    };
    let writer = Writer::start(disk.clone(), settings).unwrap();
    let key = writer.health().key;
    let (sender, outcomes) = mpsc::channel();
    let submit = || {
        let sender = sender.clone();
        let done = move |outcome| sender.send(outcome).unwrap();
        writer.submit(&note(), Box::new(done));
    };
    let stalled = disk.disk.lock().unwrap();
    submit();
    until(&writer, |health| health.queue == 0);
    for _ in 0..10 {
        writer.note(&note());
    }
    assert_eq!((writer.health().queue, writer.health().dropped), (2, 8));
    for _ in 0..5 {
        submit();
    }
    assert_eq!(outcomes.recv().unwrap(), Err(Unavailable::Busy));
    assert_eq!((writer.health().queue, writer.health().refused), (6, 1));
    drop(stalled);
    for _ in 0..5 {
        outcomes.recv().unwrap().unwrap();
    }
    writer.stop();
    prove(&disk, &key);
    let text = written(&disk);
    assert!(
        text.contains(r#""event_type":"log.dropped","reason":"queue_full","suppressed":8,"#),
        "{text}"
    );
    assert_eq!(text.matches("proxy.stop").count(), 7, "{text}");
}

#[test]
fn dropped_notes_are_counted_later() {
    let disk = Simulated::default();
    let settings = Settings {
        queue_notes: 1,
        ..quick()
    };
    let writer = Writer::start(disk.clone(), settings).unwrap();
    let key = writer.health().key;
    {
        let mut stalled = disk.disk.lock().unwrap();
        writer.note(&note());
        until(&writer, |health| health.queue == 0);
        for _ in 0..3 {
            writer.note(&note());
        }
        assert_eq!(writer.health().dropped, 2);
        stalled.fault = Some((0, u64::MAX, Fault::Before(EIO)));
    }
    until(&writer, |health| !health.available);
    disk.disk.lock().unwrap().fault = None;
    until(&writer, |health| health.available);
    record(&writer).unwrap();
    writer.stop();
    prove(&disk, &key);
    let text = written(&disk);
    assert!(
        text.contains(r#""reason":"queue_full","suppressed":2,"#),
        "{text}"
    );
}

fn note() -> Event<'static> {
    Event::ProxyStop
}
