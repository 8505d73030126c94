//! What the writer stores about its files and its stops: it accuses no other program of what the log
//! did itself, and no crash or lost file lets a change heal in silence.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

mod common;

use common::place::{LIVE, Place, SEGMENT, settings as quick};
use common::simulated::{ENOSPC, Fault, Simulated};
use common::{accept_loss, at, at_most, record, settings, until, write};
use pulse_audit::{
    Change, ChangedFile, Incident, Log, LogError, PruneStatus, PruneStep, RecoveryReason,
    Retention, SEALS, Settings, Timestamp, Writer,
};
use std::fs;
use std::os::unix::fs::FileExt;
use std::time::Duration;

/// A segment is removed when its last record is sealed.
fn sealing() -> Settings {
    Settings {
        seal_after: Duration::from_millis(5),
        ..quick()
    }
}

type FileName = (u8, String);

fn log_file(name: &str) -> FileName {
    (0, name.to_owned())
}

fn state_file(name: &str) -> FileName {
    (1, name.to_owned())
}

/// A log of this many segments and a live file, whose writer has ended in order.
fn ended(segments: u64) -> Simulated {
    let disk = Simulated::default();
    let mut log = Log::open(disk.clone(), settings(), at(0)).unwrap();
    for segment in 0..segments {
        write(&mut log, segment * 10 + 1, "x");
        log.rotate(at(segment * 10 + 5)).unwrap();
    }
    write(&mut log, 90, "live");
    drop(log);
    Writer::start(disk.clone(), settings()).unwrap().stop();
    disk
}

fn open(disk: &Simulated) -> Result<Log<Simulated>, LogError> {
    Log::open(disk.clone(), settings(), Timestamp::now())
}

fn accept(disk: &Simulated) -> Result<Vec<ChangedFile>, LogError> {
    let accepted = Log::accept_loss(disk.clone(), settings(), Timestamp::now(), "uid:0");
    accepted.map(|(_, files)| files)
}

/// The operation of this number from now on has this fate.
fn fail_at(disk: &Simulated, operation: u64, count: u64, fault: Fault) {
    let mut inner = disk.disk.lock().unwrap();
    inner.fault = Some((inner.operations + operation, count, fault));
    inner.seed = operation;
}

/// The operation of [`fail_at`] was done.
fn is_reached(disk: &Simulated) -> bool {
    let inner = disk.disk.lock().unwrap();
    inner
        .fault
        .is_some_and(|(from, ..)| inner.operations > from)
}

fn text(disk: &Simulated) -> String {
    String::from_utf8_lossy(&common::join(&disk.disk.lock().unwrap().log())).into_owned()
}

#[test]
fn many_files_are_remembered() {
    let disk = ended(1);
    for number in 1000..9000 {
        let name = format!("audit.log-{number:012}");
        disk.disk.lock().unwrap().create_log_file(&name, b"{}\n");
    }
    open(&disk).unwrap();
    let gone = log_file("audit.log-000000008000");
    let file = disk.disk.lock().unwrap().files.remove(&gone).unwrap();
    for _ in 0..2 {
        let outcome = open(&disk).map(drop);
        assert!(
            matches!(&outcome, Err(LogError::Disturbed(one)) if one.file == gone.1),
            "{outcome:?}"
        );
    }
    disk.disk.lock().unwrap().files.insert(gone, file);
    open(&disk).unwrap();
}

/// After an orderly end, a crash at each operation of the next start or acceptance.
#[test]
fn own_records_after_an_end_are_no_change() {
    let away = |disk: &Simulated, name: &str| {
        let mut inner = disk.disk.lock().unwrap();
        inner.files.remove(&log_file(name)).unwrap()
    };
    for (name, is_accepted) in [
        (LIVE, false),
        (SEGMENT, false),
        (SEGMENT, true),
        (LIVE, true),
    ] {
        for fault in [Fault::PowerBefore, Fault::PowerAfter, Fault::After(ENOSPC)] {
            for operation in 0.. {
                let what = format!("{name}, accepted {is_accepted}, {fault:?} at {operation}");
                let disk = ended(1);
                let file = away(&disk, name);
                assert!(matches!(open(&disk), Err(LogError::Disturbed(_))), "{what}");
                if !is_accepted {
                    let mut inner = disk.disk.lock().unwrap();
                    inner.files.insert(log_file(name), file);
                }
                fail_at(&disk, operation, 1, fault);
                let outcome = if is_accepted {
                    accept(&disk).map(drop)
                } else {
                    open(&disk).map(drop)
                };
                let is_reached = is_reached(&disk);
                let mut inner = disk.disk.lock().unwrap();
                if inner.dead {
                    inner.restart();
                }
                inner.fault = None;
                drop(inner);
                if is_accepted {
                    match accept(&disk) {
                        Ok(_) | Err(LogError::NothingLost) => (),
                        Err(error) => panic!("{what}: {error}"),
                    }
                }
                open(&disk).unwrap_or_else(|error| panic!("{what}: {error}"));
                open(&disk).unwrap_or_else(|error| panic!("{what}: {error}"));
                if !is_reached {
                    assert!(operation > 10 && outcome.is_ok(), "{what}");
                    break;
                }
            }
        }
    }
}

/// A rotation and a resumption between the steps of a removal, and then a crash.
#[test]
fn own_removals_are_not_listed() {
    for is_rotated in [true, false] {
        for fault in [Fault::PowerBefore, Fault::PowerAfter] {
            for operation in 0.. {
                let what = format!("rotated {is_rotated}, {fault:?} at {operation}");
                let disk = ended(3);
                let mut log = open(&disk).unwrap();
                let due = |log: &mut Log<Simulated>| loop {
                    match log.prune_status(at(100), &at_most(1), &[]).unwrap() {
                        PruneStatus::Reading => (),
                        PruneStatus::Due(reason) => return reason,
                        other => panic!("{other:?}"),
                    }
                };
                let reason = due(&mut log);
                assert_eq!(log.prune(at(100), reason).unwrap(), PruneStep::More);
                if is_rotated {
                    log.rotate(at(101)).unwrap();
                } else {
                    log.recover(at(101), RecoveryReason::Resumption(0)).unwrap();
                    log.rotate(at(102)).unwrap();
                }
                fail_at(&disk, operation, 1, fault);
                let outcome = log.prune(at(103), reason);
                drop(log);
                disk.disk.lock().unwrap().restart();
                open(&disk).unwrap_or_else(|error| panic!("{what}: {error}"));
                if matches!(outcome, Ok(PruneStep::Removed(_))) {
                    assert!(operation > 3, "{what}");
                    break;
                }
            }
        }
    }
}

/// What a failed acceptance has put in the live file's place is the daemon's own.
#[test]
fn a_failed_acceptance_accuses_nobody() {
    for fault in [Fault::Before(ENOSPC), Fault::After(ENOSPC)] {
        for operation in 0.. {
            let what = format!("{fault:?} at {operation}");
            let disk = ended(1);
            let slow = Settings {
                check_interval: Duration::from_secs(3600),
                retry_after: Duration::from_secs(3600),
                ..settings()
            };
            let writer = Writer::start(disk.clone(), slow).unwrap();
            record(&writer).unwrap();
            let name = log_file(LIVE);
            disk.disk.lock().unwrap().files.remove(&name).unwrap();
            record(&writer).unwrap_err();
            fail_at(&disk, operation, 1000, fault);
            let outcome = accept_loss(&writer);
            disk.disk.lock().unwrap().fault = None;
            if let Err(error) = &outcome {
                assert!(matches!(error, LogError::Storage { .. }), "{what}: {error}");
                match accept_loss(&writer) {
                    Ok(files) => assert_eq!(files[0].change, Change::Removed, "{what}"),
                    // Only the seal after it has failed. The writer is patient here.
                    Err(LogError::NothingLost) => continue,
                    Err(error) => panic!("{what}: {error}"),
                }
            }
            let health = writer.health();
            assert_eq!(health.changes, 1, "{what}: {outcome:?} {health:?}");
            record(&writer).unwrap();
            drop(writer);
            open(&disk).unwrap_or_else(|error| panic!("{what}: {error}"));
            let disturbed = text(&disk).matches("log.disturbed").count();
            assert_eq!(disturbed, 1, "{what}");
            if outcome.is_ok() {
                assert!(operation > 10, "{what}");
                break;
            }
        }
    }
}

/// The rows of docs/audit.md for a lost reason.
#[test]
fn a_live_files_stop_is_found_without_its_reason() {
    for change in Change::ALL {
        for is_unsealed in [false, true] {
            let mut place = Place::new();
            if is_unsealed && change == Change::Cut {
                // Only a record after the last seal.
                let length = place.read(LIVE).len() as u64 - 10;
                let file = fs::OpenOptions::new().write(true).open(place.path(LIVE));
                file.unwrap().set_len(length).unwrap();
            } else {
                place.change(LIVE, change);
            }
            place.told();
            place.stop();
            fs::remove_file(place.place.path().join("state/stopped")).unwrap();
            for _ in 0..2 {
                let outcome = place.start(quick());
                assert!(
                    matches!(&outcome, Err(LogError::Disturbed(one))
                        if (&*one.file, one.change) == (LIVE, change)),
                    "{change:?}: {outcome:?}"
                );
            }
            let accept = Log::accept_loss(place.directory(), quick(), Timestamp::now(), "uid:0");
            assert_eq!(accept.unwrap().1[0].change, change);
            place.start(quick()).unwrap();
        }
    }
}

/// The log ends with `log.disturbed`, and nothing else says that it has stopped. A crash at each
/// operation of the refused start leaves that so.
#[test]
fn a_refused_start_keeps_the_evidence() {
    for is_new_file in [false, true] {
        for fault in [Fault::PowerBefore, Fault::PowerAfter] {
            for operation in 0.. {
                let what = format!("new file {is_new_file}, {fault:?} at {operation}");
                let disk = ended(1);
                let removed = disk.disk.lock().unwrap().files.remove(&log_file(SEGMENT));
                assert!(removed.is_some() && open(&disk).is_err(), "{what}");
                disk.forget();
                if is_new_file {
                    // An interrupted rotation.
                    let mut inner = disk.disk.lock().unwrap();
                    let live = inner.files.remove(&log_file(LIVE)).unwrap();
                    let text = String::from_utf8(inner.inodes[&live].seen.clone()).unwrap();
                    let first: u64 = common::forger::value(&text, "seq").parse().unwrap();
                    inner
                        .files
                        .insert(log_file(&format!("audit.log-{first:012}")), live);
                }
                // Nothing is written between a stop and a rotation, so this needs no crash as well.
                let later = if is_new_file { 10_000 } else { 0 };
                fail_at(&disk, operation + later, 1, fault);
                let _ = open(&disk);
                let is_reached = is_reached(&disk);
                disk.disk.lock().unwrap().restart();
                for _ in 0..2 {
                    let outcome = open(&disk).map(drop);
                    assert!(
                        matches!(&outcome, Err(LogError::Disturbed(one)) if one.file == SEGMENT),
                        "{what}: {outcome:?}"
                    );
                }
                assert_eq!(accept(&disk).unwrap().len(), 1, "{what}");
                open(&disk).unwrap();
                if !is_reached {
                    assert!(is_new_file || operation > 5, "{what}");
                    break;
                }
            }
        }
    }
}

/// A stop whose end is a lower bound: all that was put back is on record, and nothing is accepted.
#[test]
fn all_that_was_put_back_is_recorded() {
    for is_acceptance_tried in [false, true] {
        let disk = ended(1);
        // A kill.
        write(&mut open(&disk).unwrap(), 95, "unsealed");
        let mut inner = disk.disk.lock().unwrap();
        let files = [LIVE, SEGMENT].map(|name| {
            let file = inner.files.remove(&log_file(name)).unwrap();
            (log_file(name), file)
        });
        drop(inner);
        assert!(matches!(open(&disk), Err(LogError::Disturbed(one)) if one.is_live()));
        disk.disk.lock().unwrap().files.extend(files);
        if is_acceptance_tried {
            let outcome = accept(&disk);
            assert!(matches!(outcome, Err(LogError::NothingLost)), "{outcome:?}");
        }
        open(&disk).unwrap();
        let log = text(&disk);
        for name in [LIVE, SEGMENT] {
            let wanted = format!(r#""log.disturbed","file":"{name}""#);
            assert_eq!(log.matches(&wanted).count(), 1, "{name}: {log}");
        }
        assert!(
            !disk
                .disk
                .lock()
                .unwrap()
                .files
                .contains_key(&state_file("stopped"))
        );
        open(&disk).unwrap();
        assert_eq!(text(&disk).matches("log.disturbed").count(), 2);
    }
}

/// A crash tore the write that ends a stop: only its first record is there.
#[test]
fn a_torn_continuation_is_no_stop() {
    let disk = ended(1);
    // A kill, so that the stop has a lower bound of the end.
    write(&mut open(&disk).unwrap(), 95, "unsealed");
    let file = disk.disk.lock().unwrap().files.remove(&log_file(LIVE));
    assert!(open(&disk).is_err());
    let file = file.unwrap();
    let mut torn = disk.disk.lock().unwrap();
    torn.files.insert(log_file(LIVE), file);
    drop(torn);
    // Fails at the seal: the key that its records require is still there.
    let written = (0..1000).find(|operation| {
        fail_at(&disk, *operation, 1000, Fault::PowerBefore);
        let _ = open(&disk);
        let mut inner = disk.disk.lock().unwrap();
        inner.dead = false;
        inner.fault = None;
        drop(inner);
        text(&disk).contains("log.disturbed")
    });
    assert!(written.is_some());
    let mut inner = disk.disk.lock().unwrap();
    let content = &mut inner.inodes.get_mut(&file).unwrap().seen;
    let log = String::from_utf8(content.clone()).unwrap();
    let disturbed = log.find(r#""log.disturbed""#).unwrap();
    let line = log[disturbed..].find('\n').unwrap();
    content.truncate(disturbed + line + 1);
    drop(inner);
    disk.forget();
    open(&disk).unwrap();
}

/// The remedy in the sentence about a segment that cannot be removed.
#[test]
fn a_damaged_segment_is_moved_away_and_accepted() {
    let place = Place::with(sealing());
    let content = place.read(SEGMENT);
    let middle = content.len() / 2;
    let file = fs::OpenOptions::new().write(true).open(place.path(SEGMENT));
    file.unwrap()
        .write_at(&[content[middle] ^ 1], middle as u64)
        .unwrap();
    let retention = || Retention {
        limits: at_most(1),
        streams: Box::new(Vec::new),
    };
    place.writer().retain(retention());
    until(place.writer(), |health| health.upkeep.failure().is_some());
    let sentence = place
        .writer()
        .health()
        .upkeep
        .failure()
        .unwrap()
        .to_string();
    assert!(
        sentence.contains(
            "moved it away, and accepted the loss with `pulse-sensorctl audit accept-loss`"
        ),
        "{sentence}"
    );
    fs::rename(place.path(SEGMENT), place.place.path().join("away")).unwrap();
    place.told();
    accept_loss(place.writer()).unwrap();
    record(place.writer()).unwrap();
    common::rotate(place.writer()).unwrap();
    until(place.writer(), |health| health.upkeep.removed_segments > 0);
    let incidents = place.writer().take_incidents();
    assert!(
        !incidents
            .iter()
            .any(|one| matches!(one, Incident::Changed(_)))
    );
}

/// The remedy in the sentence about the kept seals.
#[test]
fn other_seals_are_put_back_and_accepted() {
    let mut place = Place::with(sealing());
    let retention = || Retention {
        limits: at_most(1),
        streams: Box::new(Vec::new),
    };
    place.writer().retain(retention());
    until(place.writer(), |health| health.upkeep.removed_segments > 0);
    place.stop();
    let seals = place.read(SEALS);
    // Another log's, and nothing compares them.
    let other = common::sample(1, 1, 99, "other");
    let mut lines = common::lines(&other.files[0].1);
    lines.retain(|line| common::is_seal(line));
    fs::write(place.path(SEALS), lines.concat()).unwrap();
    for file in ["files", "end"] {
        fs::remove_file(place.place.path().join("state").join(file)).unwrap();
    }
    place.start(sealing()).unwrap();
    record(place.writer()).unwrap();
    common::rotate(place.writer()).unwrap();
    place.writer().retain(retention());
    until(place.writer(), |health| {
        health.upkeep.failure().is_some() || health.upkeep.removed_segments > 0
    });
    let health = place.writer().health();
    let Some(sentence) = health.upkeep.failure() else {
        panic!("{health:?}");
    };
    assert!(
        sentence.contains("accept the change with `pulse-sensorctl audit accept-loss`"),
        "{sentence}"
    );
    fs::write(place.path(SEALS), seals).unwrap();
    place.told();
    // The check can see the file half written.
    while accept_loss(place.writer()).is_err() {}
    until(place.writer(), |health| health.upkeep.removed_segments > 0);
    place.writer().stop();
    let report = place.verified();
    assert!(report.findings.is_empty(), "{:?}", report.findings);
}
