//! A power failure or an error at each single operation: the chain continues, no acknowledged
//! record is lost, and the log verifies.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

mod common;

use common::simulated::{EIO, ENOSPC, EROFS, Fault, Simulated, is_key};
use common::{at, body, check, pinned, pinned_with_state, settings};
use pulse_audit::verify::Verdict;
use pulse_audit::{Head, Log, LogError, PublicKey, RecoveryReason, Timestamp};

/// The result of a run.
#[derive(Default)]
struct Acknowledged {
    key: Option<PublicKey>,
    head: Option<Head>,
    records: u64,
}

impl Acknowledged {
    fn note(&mut self, log: &Log<Simulated>) {
        self.key.get_or_insert(log.public_key());
        self.head = Some(log.head());
    }
}

const STEPS: u64 = 12;

fn step(log: &mut Log<Simulated>, step: u64, now: Timestamp) -> Result<u64, LogError> {
    match step {
        3 | 9 => log.seal(now).map(|_| 0),
        5 | 10 => log.rotate(now).map(|_| 0),
        _ => {
            let bodies = [body(&format!("step-{step}")), body("another")];
            log.append(now, &bodies).map(|_| 2)
        }
    }
}

fn run(disk: &Simulated, known: &mut Acknowledged, from: u64) -> Result<(), LogError> {
    let mut log = Log::open(disk.clone(), settings(), at(from))?;
    known.note(&log);
    for number in 0..STEPS {
        let written = step(&mut log, number, at(from + number))?;
        known.note(&log);
        known.records += written;
    }
    Ok(())
}

fn prove(disk: &Simulated, known: &Acknowledged, what: &str) {
    let files = disk.disk.lock().unwrap().log();
    let key = known.key.unwrap_or_else(|| common::first_key(&files[0].1));
    let mut options = pinned_with_state(key, disk);
    options.heads.extend(known.head);
    let report = check(&files, &options);
    assert_eq!(
        report.verdict,
        Verdict::Intact,
        "{what}: {:?}",
        report.findings
    );
    let text = String::from_utf8_lossy(&common::join(&files)).into_owned();
    let found = text.matches("command.start").count() as u64;
    assert!(
        found >= known.records,
        "{what}: {found} of {} records",
        known.records
    );
}

fn one_private_key_is_left(disk: &Simulated, what: &str) {
    let disk = disk.disk.lock().unwrap();
    let keys = disk.files.keys().filter(|file| is_key(file)).count();
    assert_eq!(keys, 1, "{what}");
}

#[test]
fn a_crash_loses_no_acked_record() {
    let mut crashed = 0;
    for fault in [Fault::PowerBefore, Fault::PowerAfter] {
        for operation in 0.. {
            let disk = Simulated::default();
            let mut known = Acknowledged::default();
            {
                let mut inner = disk.disk.lock().unwrap();
                inner.fault = Some((operation, 1, fault));
                inner.seed = operation;
            }
            let finished = run(&disk, &mut known, 0).is_ok();
            let what = format!("{fault:?} at {operation}");
            // The next run crashes as well, at some operation.
            for again in 0..6 {
                let mut inner = disk.disk.lock().unwrap();
                inner.restart();
                let second = inner.operations + operation % 7 * (again + 1);
                inner.fault = Some((second, 1, fault));
                drop(inner);
                let _ = run(&disk, &mut known, 20 * (again + 1));
            }
            disk.disk.lock().unwrap().restart();
            run(&disk, &mut known, 200).unwrap_or_else(|error| panic!("{what}: {error}"));
            prove(&disk, &known, &what);
            one_private_key_is_left(&disk, &what);
            crashed += 1;
            if finished {
                break;
            }
        }
    }
    assert!(crashed > 80, "{crashed}");
}

#[test]
fn any_error_is_recovered() {
    let kinds = [ENOSPC, EROFS, EIO];
    for (number, fault) in kinds
        .iter()
        .flat_map(|kind| {
            [
                Fault::Before(*kind),
                Fault::After(*kind),
                Fault::Lost(*kind),
            ]
        })
        .enumerate()
    {
        for operation in 14.. {
            let disk = Simulated::default();
            let mut log = Log::open(disk.clone(), settings(), at(0)).unwrap();
            let mut known = Acknowledged::default();
            known.note(&log);
            let count = 1 + operation % 3;
            {
                let mut inner = disk.disk.lock().unwrap();
                inner.fault = Some((operation, count, fault));
                inner.seed = operation * 31 + number as u64;
            }
            for number in 0..STEPS {
                let outcome = step(&mut log, number, at(number));
                if let Err(error) = &outcome {
                    let _ = log.recover(at(number), RecoveryReason::Failure(&error.to_string()));
                    let what = format!("{fault:?} at {operation}, step {number}");
                    let recovered = (0..9).any(|_| {
                        log.recover(at(number), RecoveryReason::Resumption(3))
                            .is_ok()
                    });
                    assert!(
                        recovered,
                        "{what}: {:?}",
                        log.recover(at(number), RecoveryReason::Resumption(3))
                    );
                }
                known.note(&log);
                known.records += outcome.unwrap_or(0);
            }
            let met = disk.disk.lock().unwrap().operations > operation;
            disk.disk.lock().unwrap().fault = None;
            log.seal(at(99)).unwrap();
            known.note(&log);
            drop(log);
            // Bytes of a failed sync must not matter after a power failure.
            disk.disk.lock().unwrap().restart();
            let what = format!("{fault:?} at {operation}");
            prove(&disk, &known, &what);
            one_private_key_is_left(&disk, &what);
            if !met {
                break;
            }
        }
    }
}

#[test]
fn an_append_only_log_recovers() {
    for operation in 16..48 {
        let disk = Simulated::default();
        let mut known = Acknowledged::default();
        {
            let mut inner = disk.disk.lock().unwrap();
            inner.append_only = true;
            inner.seed = operation;
            inner.fault = Some((operation, 1, Fault::PowerAfter));
        }
        let _ = run(&disk, &mut known, 0);
        disk.disk.lock().unwrap().restart();
        run(&disk, &mut known, 20).unwrap();
        prove(&disk, &known, &format!("at {operation}"));
        let disk = disk.disk.lock().unwrap();
        assert_eq!(disk.log().len(), 1, "no rotation was possible");
    }
}

#[test]
fn append_only_recovers_from_errors() {
    for (number, fault) in [Fault::Before(EIO), Fault::After(EIO), Fault::After(ENOSPC)]
        .into_iter()
        .enumerate()
    {
        for operation in 14..70 {
            let disk = Simulated::default();
            let mut log = Log::open(disk.clone(), settings(), at(0)).unwrap();
            let mut known = Acknowledged::default();
            known.note(&log);
            {
                let mut inner = disk.disk.lock().unwrap();
                inner.append_only = true;
                inner.fault = Some((operation, 1 + operation % 3, fault));
                inner.seed = operation * 31 + number as u64;
            }
            let what = format!("{fault:?} at {operation}");
            for number in 0..STEPS {
                let outcome = step(&mut log, number, at(number));
                if let Err(error) = &outcome {
                    let _ = log.recover(at(number), RecoveryReason::Failure(&error.to_string()));
                    let mut attempts =
                        (0..9).map(|_| log.recover(at(number), RecoveryReason::Resumption(3)));
                    assert!(attempts.any(|outcome| outcome.is_ok()), "{what}");
                }
                known.note(&log);
                known.records += outcome.unwrap_or(0);
            }
            disk.disk.lock().unwrap().fault = None;
            log.seal(at(99)).unwrap();
            known.note(&log);
            drop(log);
            disk.disk.lock().unwrap().restart();
            prove(&disk, &known, &what);
            one_private_key_is_left(&disk, &what);
            Log::open(disk.clone(), settings(), at(100)).unwrap();
        }
    }
}

#[test]
fn torn_bytes_are_kept() {
    for append_only in [false, true] {
        let disk = Simulated::default();
        let mut log = Log::open(disk.clone(), settings(), at(0)).unwrap();
        let key = log.public_key();
        common::write(&mut log, 1, "before");
        let torn = b"{\"seq\":3,\"ts\":\"2026\n\0\xffhalf";
        {
            let mut inner = disk.disk.lock().unwrap();
            inner.append_only = append_only;
            let number = inner.files[&(0, "audit.log".to_owned())];
            inner
                .inodes
                .get_mut(&number)
                .unwrap()
                .seen
                .extend_from_slice(torn);
        }
        let mut log = Log::open(disk.clone(), settings(), at(2)).unwrap();
        log.seal(at(3)).unwrap();
        let inner = disk.disk.lock().unwrap();
        let kept = inner
            .content(pulse_audit::Dir::Log, "audit.log.torn-3")
            .unwrap();
        assert_eq!(kept, torn);
        let text = String::from_utf8_lossy(&inner.log()[0].1).into_owned();
        assert!(
            text.contains(r#""event_type":"log.recovered","torn_bytes":26,"#),
            "{text}"
        );
        let report = check(&inner.log(), &pinned(key));
        assert_eq!(report.verdict, Verdict::Intact, "{:?}", report.findings);
    }
}

#[test]
fn a_lost_newline_keeps_the_record() {
    for append_only in [false, true] {
        let disk = Simulated::default();
        let mut log = Log::open(disk.clone(), settings(), at(0)).unwrap();
        let key = log.public_key();
        common::write(&mut log, 1, "before");
        drop(log);
        {
            let mut inner = disk.disk.lock().unwrap();
            inner.append_only = append_only;
            let number = inner.files[&(0, "audit.log".to_owned())];
            assert_eq!(
                inner.inodes.get_mut(&number).unwrap().seen.pop(),
                Some(b'\n')
            );
        }
        let mut log = Log::open(disk.clone(), settings(), at(2)).unwrap();
        log.seal(at(3)).unwrap();
        let report = check(&disk.disk.lock().unwrap().log(), &pinned(key));
        assert_eq!(report.verdict, Verdict::Intact, "{:?}", report.findings);
    }
}
