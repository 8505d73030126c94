//! What other programs and operators do to the files while the log cannot be written.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

mod common;

use common::simulated::{EIO, ENOSPC, Fault, Simulated};
use common::{at, body, check_disk, pinned, record, rotate, settings, until};
use pulse_audit::verify::Verdict;
use pulse_audit::{Change, Dir, Log, RecoveryReason, Settings, Writer};
use std::time::Duration;

const LIVE: &str = "audit.log";
const SEGMENT: &str = "audit.log-000000000001";

fn quick() -> Settings {
    Settings {
        retry_after: Duration::from_millis(2),
        check_interval: Duration::from_millis(2),
        rotation_grace: Duration::from_millis(2),
        ..settings()
    }
}

/// A segment and a live file, on a disk that is full.
fn full() -> (Simulated, Writer) {
    let disk = Simulated::default();
    let writer = Writer::start(disk.clone(), quick()).unwrap();
    record(&writer).unwrap();
    rotate(&writer).unwrap();
    record(&writer).unwrap();
    {
        let mut inner = disk.disk.lock().unwrap();
        inner.fault = Some((inner.operations, u64::MAX / 2, Fault::Before(ENOSPC)));
    }
    record(&writer).unwrap_err();
    (disk, writer)
}

fn rename(disk: &Simulated, from: &str, to: &str) {
    let mut inner = disk.disk.lock().unwrap();
    let inode = inner.files.remove(&(0, from.to_owned())).unwrap();
    inner.files.insert((0, to.to_owned()), inode);
}

fn restore(disk: &Simulated) {
    disk.disk.lock().unwrap().fault = None;
}

fn prove(disk: &Simulated, writer: &Writer) {
    let first = disk
        .disk
        .lock()
        .unwrap()
        .content(Dir::Log, SEGMENT)
        .unwrap();
    writer.stop();
    let report = check_disk(disk, &pinned(common::first_key(&first)));
    assert_eq!(report.verdict, Verdict::Intact, "{:?}", report.findings);
}

#[test]
fn a_signal_is_remembered() {
    for name in ["audit.log-000000000005", "audit.log-2"] {
        let (disk, writer) = full();
        rename(&disk, LIVE, name);
        writer.reopen();
        restore(&disk);
        until(&writer, |health| health.available);
        record(&writer).unwrap();
        assert_eq!(writer.health().changes, 0, "{name}");
        if name.len() == SEGMENT.len() {
            prove(&disk, &writer);
        }
    }
}

#[test]
fn a_signal_is_used_once() {
    let (disk, writer) = full();
    writer.reopen();
    restore(&disk);
    until(&writer, |health| health.available);
    rename(&disk, LIVE, "audit.log-000000000005");
    until(&writer, |health| health.changes == 1);
    assert!(!writer.is_available());
}

#[test]
fn a_replaced_segment_is_found_after() {
    let (disk, writer) = full();
    {
        let mut inner = disk.disk.lock().unwrap();
        let mut content = inner.content(Dir::Log, SEGMENT).unwrap();
        // Of a copy with the same end, which verification judges, the log takes no notice.
        *content.last_mut().unwrap() ^= 1;
        inner.create_log_file(SEGMENT, &content);
    }
    restore(&disk);
    until(&writer, |health| health.changes == 1);
    assert_eq!(writer.health().changed[0].change, Change::Replaced);
    assert!(!writer.is_available());
}

#[test]
fn another_device_is_no_change() {
    let (disk, writer) = full();
    disk.disk.lock().unwrap().device = 1;
    restore(&disk);
    until(&writer, |health| health.available);
    std::thread::sleep(Duration::from_millis(20));
    record(&writer).unwrap();
    assert_eq!(writer.health().changes, 0);
    prove(&disk, &writer);
}

#[test]
fn a_taken_name_is_no_rotation() {
    let disk = Simulated::default();
    let settings = Settings {
        segment_bytes: 2_000,
        ..quick()
    };
    let writer = Writer::start(disk.clone(), settings).unwrap();
    disk.disk.lock().unwrap().create_log_file(SEGMENT, b"");
    while writer.health().rotation_refused.is_none() {
        record(&writer).unwrap();
    }
    // The log continues in the same file, without an outage.
    record(&writer).unwrap();
    let health = writer.health();
    assert!(health.rotation_refused.unwrap().contains(SEGMENT));
    assert_eq!(health.failures, 0);
    // What was not renamed is not looked for under that name.
    disk.disk
        .lock()
        .unwrap()
        .files
        .remove(&(0, LIVE.to_owned()));
    until(&writer, |health| health.changes == 1);
    std::thread::sleep(Duration::from_millis(50));
    assert!(!writer.is_available());
}

#[test]
fn torn_bytes_are_copied_once() {
    for operation in 0..12 {
        let disk = Simulated::default();
        let mut log = Log::open(disk.clone(), settings(), at(0)).unwrap();
        disk.disk.lock().unwrap().sync_fails = true;
        log.append(at(1), &[body("lost")]).unwrap_err();
        let resume = |log: &mut Log<Simulated>| log.recover(at(2), RecoveryReason::Resumption(1));
        for number in 0..6 {
            if number == 3 {
                let mut inner = disk.disk.lock().unwrap();
                inner.fault = Some((inner.operations + operation, 1, Fault::Before(EIO)));
            }
            resume(&mut log).unwrap_err();
        }
        let mut inner = disk.disk.lock().unwrap();
        (inner.sync_fails, inner.fault) = (false, None);
        drop(inner);
        resume(&mut log).unwrap();
        let inner = disk.disk.lock().unwrap();
        let torn = inner.files.keys().filter(|(_, name)| name.contains("torn"));
        assert_eq!(torn.count(), 1, "{operation}");
    }
}
