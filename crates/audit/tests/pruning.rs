//! Segments are removed on record and under a seal, oldest first, with a power failure or an
//! error at each single operation.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

mod common;

use common::simulated::{EIO, ENOSPC, EROFS, Fault, Simulated};
use common::{at, at_most, body, check_disk, join, pinned, prune, settings, write};
use pulse_audit::verify::{NoteKind, Options, Report, Verdict};
use pulse_audit::{
    Dir, Head, Log, LogError, PruneError, PruneStatus, PublicKey, RecoveryReason, RemovedSegment,
    SEALS, Timestamp,
};
use pulse_core::audit_log::retention::{Hold, Limits, Reason, Stream};
use std::time::Duration;

/// Bytes for one segment of the test and the live file, but not for a second segment.
const LIMIT: u64 = 6000;

/// The result of a run.
#[derive(Default)]
struct Known {
    key: Option<PublicKey>,
    head: Option<Head>,
    removed: u64,
}

impl Known {
    fn note(&mut self, log: &Log<Simulated>) {
        if log.epoch() == 0 {
            self.key.get_or_insert(log.public_key());
        }
        self.head = Some(log.head());
    }
}

const STEPS: u64 = 10;

/// Makes a segment with two seals, and removes the segments that exceed the limit.
fn step(log: &mut Log<Simulated>, number: u64, now: u64) -> Result<u64, PruneError> {
    match number % 3 {
        0 => {
            log.append(at(now), &[body(&format!("step-{number}")), body("another")])?;
            log.seal(at(now))?;
            log.append(at(now), &[body("unsealed")])?;
            Ok(0)
        }
        1 => log.rotate(at(now)).map(|_| 0).map_err(PruneError::from),
        _ => Ok(prune(log, now, &at_most(LIMIT), &[])?.len() as u64),
    }
}

fn run(disk: &Simulated, known: &mut Known, from: u64) -> Result<(), PruneError> {
    let mut log = Log::open(disk.clone(), settings(), at(from))?;
    known.note(&log);
    for number in 0..STEPS {
        let removed = step(&mut log, number, from + number)?;
        known.removed += removed;
        known.note(&log);
    }
    Ok(())
}

/// The end is compared with the private keys, too.
fn options(disk: &Simulated, known: &Known) -> Options {
    let key = known
        .key
        .unwrap_or_else(|| common::first_key(&first_seal_or_record(disk)));
    Options {
        heads: known.head.into_iter().collect(),
        retention: Some(at_most(LIMIT)),
        ..common::pinned_with_state(key, disk)
    }
}

/// A line that names the first key.
fn first_seal_or_record(disk: &Simulated) -> Vec<u8> {
    match common::lines(&seals(disk)).first() {
        Some(first) if common::is_seal(first) => first.clone(),
        _ => disk.disk.lock().unwrap().log()[0].1.clone(),
    }
}

fn prove(disk: &Simulated, known: &Known, what: &str) -> Report {
    let report = check_disk(disk, &options(disk, known));
    assert_eq!(report.verdict, Verdict::Intact, "{what}: {report:#?}");
    report
}

fn segments(disk: &Simulated) -> usize {
    disk.disk.lock().unwrap().log().len() - 1
}

fn seals(disk: &Simulated) -> Vec<u8> {
    let disk = disk.disk.lock().unwrap();
    disk.content(Dir::Log, SEALS).unwrap_or_default()
}

#[test]
fn pruning_survives_any_crash() {
    let mut crashed = 0;
    for fault in [Fault::PowerBefore, Fault::PowerAfter] {
        for operation in 0.. {
            let disk = Simulated::default();
            let mut known = Known::default();
            {
                let mut inner = disk.disk.lock().unwrap();
                inner.fault = Some((operation, 1, fault));
                inner.seed = operation;
            }
            let finished = run(&disk, &mut known, 0).is_ok();
            let what = format!("{fault:?} at {operation}");
            // More crashes, at any step of what the first one left undone.
            for again in 0..4 {
                disk.disk.lock().unwrap().restart();
                // A torn end is handled by recovery.
                let now = 20 * (again + 1);
                known.note(&Log::open(disk.clone(), settings(), at(now)).unwrap());
                prove(&disk, &known, &format!("{what}, crash {again}"));
                let mut inner = disk.disk.lock().unwrap();
                let second = inner.operations + operation % 31 * (again + 1);
                inner.fault = Some((second, 1, fault));
                drop(inner);
                let _ = run(&disk, &mut known, now);
            }
            disk.disk.lock().unwrap().restart();
            run(&disk, &mut known, 200).unwrap_or_else(|error| panic!("{what}: {error}"));
            let report = prove(&disk, &known, &what);
            assert!(report.pruned_through > 0, "{what}");
            assert!(segments(&disk) <= 3, "{what}: {}", segments(&disk));
            crashed += 1;
            if finished {
                break;
            }
        }
    }
    assert!(crashed > 120, "{crashed}");
}

#[test]
fn any_error_is_recovered() {
    let kinds = [ENOSPC, EROFS, EIO].into_iter();
    let faults =
        kinds.flat_map(|kind| [Fault::Before(kind), Fault::After(kind), Fault::Lost(kind)]);
    for (number, fault) in faults.enumerate() {
        for operation in 14.. {
            let disk = Simulated::default();
            let mut log = Log::open(disk.clone(), settings(), at(0)).unwrap();
            let mut known = Known::default();
            known.note(&log);
            {
                let mut inner = disk.disk.lock().unwrap();
                inner.fault = Some((operation, 1 + operation % 3, fault));
                inner.seed = operation * 31 + number as u64;
            }
            for step_number in 0..STEPS {
                let what = format!("{fault:?} at {operation}, step {step_number}");
                if let Err(error) = step(&mut log, step_number, step_number) {
                    recover(&mut log, &error, step_number, &what);
                }
                known.note(&log);
            }
            let met = disk.disk.lock().unwrap().operations > operation;
            disk.disk.lock().unwrap().fault = None;
            prune(&mut log, 90, &at_most(LIMIT), &[]).unwrap();
            log.seal(at(99)).unwrap();
            known.note(&log);
            drop(log);
            // Bytes of a failed sync must not matter after a power failure.
            disk.disk.lock().unwrap().restart();
            let what = format!("{fault:?} at {operation}");
            let report = prove(&disk, &known, &what);
            assert!(report.pruned_through > 0, "{what}");
            if !met {
                break;
            }
        }
    }
}

/// As the writer does: a failed removal is not a failure of the log.
fn recover(log: &mut Log<Simulated>, error: &PruneError, second: u64, what: &str) {
    if !matches!(error, PruneError::Log(_)) {
        return;
    }
    let _ = log.recover(at(second), RecoveryReason::Failure(&error.to_string()));
    let mut attempts = (0..9).map(|_| log.recover(at(second), RecoveryReason::Resumption(3)));
    assert!(attempts.any(|outcome| outcome.is_ok()), "{what}");
}

/// A log of this many segments and a live file.
fn log_of(segments: u64) -> (Simulated, Log<Simulated>, PublicKey) {
    let disk = Simulated::default();
    let mut log = Log::open(disk.clone(), settings(), at(0)).unwrap();
    let key = log.public_key();
    for segment in 0..segments {
        for record in 0..5 {
            write(&mut log, segment * 10 + record, "x");
        }
        log.rotate(at(segment * 10 + 9)).unwrap();
    }
    log.seal(at(segments * 10)).unwrap();
    (disk, log, key)
}

fn removed(log: &mut Log<Simulated>, limits: &Limits, streams: &[Stream]) -> Vec<RemovedSegment> {
    prune(log, 1000, limits, streams).unwrap()
}

#[test]
fn removal_record_and_kept_seals() {
    let (disk, mut log, key) = log_of(3);
    let before = disk.disk.lock().unwrap().log();
    let gone = removed(&mut log, &at_most(1), &[]);
    assert_eq!(gone.len(), 3, "all but the live file");
    assert_eq!((gone[0].first, gone[0].reason), (1, Reason::Size));
    let first = common::lines(&before[0].1);
    let last = String::from_utf8(first.last().unwrap().clone()).unwrap();
    let live = String::from_utf8(disk.disk.lock().unwrap().log()[0].1.clone()).unwrap();
    let record = live
        .lines()
        .find(|line| line.contains("log.pruned"))
        .unwrap();
    let hash = common::forger::value(&last, "event_hash");
    let expected = format!(
        r#""event_type":"log.pruned","first_seq":1,"last_seq":{},"last_hash":"{hash}","epoch":1,"reason":"size""#,
        gone[0].last
    );
    assert!(record.contains(&expected), "{record}");
    let sealed = common::lines(&join(&before[..3])).into_iter();
    let sealed: Vec<u8> = sealed
        .filter(|line| common::is_seal(line))
        .flatten()
        .collect();
    assert_eq!(seals(&disk), sealed);
    let report = check_disk(&disk, &pinned(key));
    assert_eq!(report.verdict, Verdict::Intact, "{report:#?}");
    assert_eq!(report.first_seq, gone[2].last + 1);
    assert_eq!(report.pruned_through, gone[2].last);
    assert!(
        report
            .notes
            .iter()
            .any(|note| note.kind == NoteKind::Pruned)
    );
}

#[test]
fn recorded_removal_is_known() {
    let (disk, mut log, _) = log_of(2);
    let reason = loop {
        match log.prune_status(at(1000), &at_most(1), &[]).unwrap() {
            PruneStatus::Reading => (),
            PruneStatus::Due(reason) => break reason,
            other => panic!("{other:?}"),
        }
    };
    assert_eq!(log.pruned_through(), 0);
    log.prune(at(1000), reason).unwrap();
    let through = log.pruned_through();
    assert!(through > 0);
    assert_eq!(segments(&disk), 2, "its file is still there");
    let gone = removed(&mut log, &at_most(1), &[]);
    assert_eq!(gone[0].last, through);
    assert_eq!(log.pruned_through(), gone[1].last);
}

#[test]
fn segments_are_pruned_by_age() {
    let (disk, mut log, key) = log_of(4);
    let limits = Limits {
        // The last records are of the seconds 9, 19, 29, 39; now is 1000.
        age: Some(Duration::from_secs(1000 - 25)),
        ..Limits::default()
    };
    let gone = removed(&mut log, &limits, &[]);
    assert_eq!(gone.len(), 2);
    assert!(gone.iter().all(|one| one.reason == Reason::Age));
    let retention = Options {
        retention: Some(limits),
        ..pinned(key)
    };
    assert_eq!(check_disk(&disk, &retention).verdict, Verdict::Intact);
}

#[test]
fn a_needed_segment_is_kept() {
    let (disk, mut log, _) = log_of(1);
    // The last record of a segment is after its last seal.
    write(&mut log, 50, "x");
    log.rotate(at(51)).unwrap();
    let stream = |passed| Stream {
        name: "a".to_owned(),
        acknowledges: true,
        passed,
    };
    let outlook = |log: &mut Log<Simulated>, streams: &[Stream]| {
        loop {
            match log.prune_status(at(60), &at_most(1), streams).unwrap() {
                PruneStatus::Reading => (),
                outlook => return outlook,
            }
        }
    };
    assert!(matches!(
        outlook(&mut log, &[stream(None)]),
        PruneStatus::Held(Reason::Size, Hold::NoCursor { .. })
    ));
    let gone = prune(&mut log, 60, &at_most(1), &[stream(Some(1000))]).unwrap();
    // Its removal sealed the end of the second.
    assert_eq!(gone.len(), 2);
    assert_eq!(segments(&disk), 0);
    write(&mut log, 70, "x");
    log.rotate(at(71)).unwrap();
    assert_eq!(
        outlook(&mut log, &[]),
        PruneStatus::Held(Reason::Size, Hold::Unsealed)
    );
    log.seal(at(72)).unwrap();
    assert_eq!(outlook(&mut log, &[]), PruneStatus::Due(Reason::Size));
}

#[test]
fn no_limit_prunes_nothing() {
    let (disk, mut log, _) = log_of(3);
    assert!(removed(&mut log, &Limits::default(), &[]).is_empty());
    assert_eq!(segments(&disk), 3);
}

fn content<'a>(disk: &'a mut common::simulated::Disk, name: &str) -> &'a mut Vec<u8> {
    let number = disk.files[&(0, name.to_owned())];
    let file = disk.inodes.get_mut(&number).unwrap();
    &mut file.seen
}

/// Changes the oldest of two segments.
fn damaged(change: impl Fn(&mut Vec<Vec<u8>>, &[Vec<u8>])) -> (Simulated, Log<Simulated>) {
    let (disk, log, _) = log_of(2);
    {
        let mut disk = disk.disk.lock().unwrap();
        let files = disk.log();
        let first = content(&mut disk, &files[0].0);
        let mut lines = common::lines(first);
        change(&mut lines, &common::lines(&files[1].1));
        *first = lines.concat();
    }
    (disk, log)
}

fn assert_it_stays((disk, mut log): (Simulated, Log<Simulated>), what: &str) {
    let before = disk.disk.lock().unwrap().log();
    let error = prune(&mut log, 1000, &at_most(1), &[]).unwrap_err();
    assert!(
        matches!(error, PruneError::Damaged { .. }),
        "{what}: {error}"
    );
    assert!(
        error.to_string().contains("audit.log-000000000001"),
        "{error}"
    );
    assert_eq!(disk.disk.lock().unwrap().log(), before, "{what}");
}

#[test]
fn a_damaged_segment_is_kept() {
    assert_it_stays(damaged(|lines, _| lines[3][40] ^= 1), "a byte");
    assert_it_stays(damaged(|lines, _| drop(lines.remove(2))), "a record");
    assert_it_stays(damaged(|lines, _| drop(lines.pop())), "the end");
    let joined = damaged(|lines, next| lines.extend(next.iter().cloned()));
    assert_it_stays(joined, "two segments in one");
    assert_it_stays(damaged(|lines, _| drop(lines.remove(0))), "the beginning");
}

#[test]
fn a_segment_with_a_bad_seal_stays() {
    // All records were chained again, by somebody without the keys of that time.
    let (disk, log, _) = log_of(2);
    {
        let mut disk = disk.disk.lock().unwrap();
        let files = disk.log();
        let mut all = common::lines(&join(&files));
        common::forger::falsify(&mut all[3]);
        let all = common::forger::rechain(&all, 3);
        let mut rest = all.into_iter();
        for (name, old) in files {
            let count = common::lines(&old).len();
            *content(&mut disk, &name) = rest.by_ref().take(count).flatten().collect();
        }
    }
    assert_it_stays((disk, log), "a seal");
}

#[test]
fn foreign_seals_stop_pruning() {
    let (other, mut log, _) = log_of(4);
    removed(&mut log, &at_most(1), &[]);
    let theirs = common::lines(&seals(&other));
    for kept in [theirs[..1].concat(), theirs.concat(), b"rubbish\n".to_vec()] {
        let (disk, mut log, _) = log_of(3);
        prune_one(&mut log);
        drop(log);
        // Of a log whose files nobody remembers: else it would have stopped.
        disk.forget();
        disk.disk.lock().unwrap().create_log_file(SEALS, &kept);
        let mut log = Log::open(disk.clone(), settings(), at(600)).unwrap();
        let before = disk.disk.lock().unwrap().log();
        let error = prune(&mut log, 1000, &at_most(1), &[]).unwrap_err();
        assert!(matches!(error, PruneError::OtherSeals { .. }), "{error}");
        assert_eq!(disk.disk.lock().unwrap().log(), before);
        assert_eq!(seals(&disk), kept);
    }
}

fn prune_one(log: &mut Log<Simulated>) {
    let now = at(500);
    loop {
        match log.prune_status(now, &at_most(1), &[]).unwrap() {
            PruneStatus::Due(reason) => {
                if let pulse_audit::PruneStep::Removed(_) = log.prune(now, reason).unwrap() {
                    return;
                }
            }
            PruneStatus::Reading => (),
            other => panic!("{other:?}"),
        }
    }
}

#[test]
fn torn_files_go_with_their_segment() {
    let (disk, log, key) = log_of(1);
    drop(log);
    content(&mut disk.disk.lock().unwrap(), "audit.log").extend_from_slice(b"half");
    let mut log = Log::open(disk.clone(), settings(), at(70)).unwrap();
    let torn = |disk: &Simulated| {
        let disk = disk.disk.lock().unwrap();
        disk.files
            .keys()
            .filter(|(_, name)| name.contains("torn"))
            .count()
    };
    assert_eq!(torn(&disk), 1);
    prune_one(&mut log);
    assert_eq!(torn(&disk), 1, "it is of the next segment");
    log.rotate(at(80)).unwrap();
    log.seal(at(81)).unwrap();
    prune_one(&mut log);
    assert_eq!(torn(&disk), 0);
    assert_eq!(check_disk(&disk, &pinned(key)).verdict, Verdict::Intact);
}

#[test]
fn torn_bytes_do_not_stop_pruning() {
    let (disk, log, key) = log_of(0);
    drop(log);
    {
        let mut disk = disk.disk.lock().unwrap();
        disk.append_only = true;
        content(&mut disk, "audit.log").extend_from_slice(b"{\"seq\":2,\"torn\n\xff\0");
    }
    let mut log = Log::open(disk.clone(), settings(), at(5)).unwrap();
    disk.disk.lock().unwrap().append_only = false;
    write(&mut log, 6, "x");
    log.rotate(at(7)).unwrap();
    log.seal(at(8)).unwrap();
    assert_eq!(removed(&mut log, &at_most(1), &[]).len(), 1);
    assert_eq!(check_disk(&disk, &pinned(key)).verdict, Verdict::Intact);
}

#[test]
fn seals_without_a_log_are_refused() {
    let (disk, mut log, _) = log_of(2);
    removed(&mut log, &at_most(1), &[]);
    drop(log);
    let mut inner = disk.disk.lock().unwrap();
    inner
        .files
        .retain(|(place, name), _| *place == 0 && name == SEALS);
    drop(inner);
    let Err(error) = Log::open(disk, settings(), Timestamp::default()) else {
        panic!("it was begun");
    };
    assert!(matches!(error, LogError::SealsLeft), "{error}");
}

#[test]
fn many_segments_are_pruned() {
    // More than a slice each, with seals at the slices' ends.
    let disk = Simulated::default();
    let mut log = Log::open(disk.clone(), settings(), at(0)).unwrap();
    let key = log.public_key();
    let bodies: Vec<_> = (0..100).map(|_| body(&"x".repeat(100))).collect();
    for segment in 0..2 {
        for second in 0..20 {
            log.append(at(segment * 100 + second), &bodies).unwrap();
            log.seal(at(segment * 100 + second)).unwrap();
        }
        log.rotate(at(segment * 100 + 50)).unwrap();
    }
    log.seal(at(250)).unwrap();
    let size = |disk: &Simulated| join(&disk.disk.lock().unwrap().log()).len();
    assert!(size(&disk) > 1_000_000, "{}", size(&disk));
    assert_eq!(removed(&mut log, &at_most(1), &[]).len(), 2);
    let report = check_disk(&disk, &pinned(key));
    assert_eq!(report.verdict, Verdict::Intact, "{report:#?}");
    assert_eq!(common::lines(&seals(&disk)).len(), 40);
}
