//! A log, key or file that was moved, changed or removed by another program.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

mod common;

use common::simulated::{Fault, Simulated, is_key};
use common::{at, body, check, pinned, settings};
use pulse_audit::verify::Verdict;
use pulse_audit::{Change, Log, LogError, RecoveryReason, Settings, Writer};
use pulse_core::causes::Causes;
use std::time::Duration;

#[test]
fn a_log_without_its_key_is_refused() {
    let sample = common::sample(1, 2, 2, "one");
    let stray = common::sample(1, 2, 2, "two");
    let open = |disk: &Simulated| Log::open(disk.clone(), settings(), at(99)).map(|_| ());
    let key_name = (1u8, "seal-key-2".to_owned());
    let foreign = stray
        .disk
        .disk
        .lock()
        .unwrap()
        .content(pulse_audit::Dir::State, "seal-key-2")
        .unwrap();

    let number = sample
        .disk
        .disk
        .lock()
        .unwrap()
        .files
        .remove(&key_name)
        .unwrap();
    assert!(matches!(
        open(&sample.disk),
        Err(LogError::KeyMissing { epoch: 2 })
    ));
    {
        let mut inner = sample.disk.disk.lock().unwrap();
        inner.files.insert(key_name, number);
        inner.inodes.get_mut(&number).unwrap().seen = foreign;
    }
    assert!(matches!(
        open(&sample.disk),
        Err(LogError::ForeignKey { epoch: 2 })
    ));
    {
        let mut inner = sample.disk.disk.lock().unwrap();
        let later = b"format 2 0.4.0\n{}\n".to_vec();
        inner.inodes.get_mut(&number).unwrap().seen = later;
    }
    let error = open(&sample.disk).unwrap_err();
    let text = Causes(&error).to_string();
    assert!(
        text.starts_with(
            "the seal's private key of epoch 2 needs a later release: start that one again: \
             release 0.4.0 wrote it in format 2, and this release, "
        ),
        "{text}"
    );
    stray
        .disk
        .disk
        .lock()
        .unwrap()
        .files
        .remove(&(0, "audit.log".to_owned()));
    let is_removed = |error: &LogError| matches!(error, LogError::Disturbed(file) if file.change == Change::Removed);
    assert!(open(&stray.disk).is_err_and(|error| is_removed(&error)));
    // A log of an earlier release.
    stray.disk.forget();
    assert!(matches!(open(&stray.disk), Err(LogError::Missing)));
}

#[test]
fn a_rolled_back_log_is_refused() {
    let sample = common::sample(1, 3, 2, "one");
    let open = || Log::open(sample.disk.clone(), settings(), at(99)).map(|_| ());
    let content = common::join(&sample.files);
    let lines = common::lines(&content);
    for keep in 1..lines.len() - 1 {
        let mut inner = sample.disk.disk.lock().unwrap();
        let number = inner.files[&(0, "audit.log".to_owned())];
        inner.inodes.get_mut(&number).unwrap().seen = lines[..keep].concat();
        drop(inner);
        let is_cut = |error: &LogError| matches!(error, LogError::Disturbed(file) if file.change == Change::Cut);
        assert!(open().is_err_and(|error| is_cut(&error)), "{keep}");
    }
    // A log of an earlier release.
    sample.disk.forget();
    for keep in 1..lines.len() - 1 {
        let mut inner = sample.disk.disk.lock().unwrap();
        let number = inner.files[&(0, "audit.log".to_owned())];
        inner.inodes.get_mut(&number).unwrap().seen = lines[..keep].concat();
        drop(inner);
        assert!(matches!(open(), Err(LogError::RolledBack { .. })), "{keep}");
    }
}

#[test]
fn removal_while_writing_is_noticed() {
    let disk = Simulated::default();
    let mut log = Log::open(disk.clone(), settings(), at(0)).unwrap();
    let key = log.public_key();
    common::write(&mut log, 1, "before");
    let name = (0u8, "audit.log".to_owned());
    let number = disk.disk.lock().unwrap().files[&name];
    let content = disk.disk.lock().unwrap().inodes[&number].seen.clone();
    disk.disk
        .lock()
        .unwrap()
        .inodes
        .get_mut(&number)
        .unwrap()
        .seen
        .truncate(common::lines(&content)[0].len());
    let changed = |log: &mut Log<Simulated>, second, change| {
        let outcome = log.append(at(second), &[body("x")]);
        assert!(
            matches!(&outcome, Err(LogError::Disturbed(file)) if file.change == change),
            "{outcome:?}"
        );
    };
    changed(&mut log, 2, Change::Cut);
    assert!(log.recover(at(2), RecoveryReason::Resumption(1)).is_err());
    disk.disk
        .lock()
        .unwrap()
        .inodes
        .get_mut(&number)
        .unwrap()
        .seen = content;
    log.recover(at(3), RecoveryReason::Resumption(1)).unwrap();
    disk.disk.lock().unwrap().files.remove(&name);
    changed(&mut log, 4, Change::Removed);
    let outcome = log.recover(at(5), RecoveryReason::Resumption(1));
    assert!(
        matches!(outcome, Err(LogError::Disturbed(_))),
        "{outcome:?}"
    );
    let occasion = RecoveryReason::Acceptance {
        by: "control:0",
        refused: 1,
    };
    let unseen = log.recover(at(5), occasion).unwrap_err();
    let LogError::Disturbed(changed) = unseen else {
        panic!("{unseen}");
    };
    log.stop(at(5), vec![changed]);
    log.recover(at(5), occasion).unwrap();
    common::write(&mut log, 6, "after");
    // The records of the removed file were copied from its descriptor.
    let report = check(&disk.disk.lock().unwrap().log(), &pinned(key));
    assert_eq!(report.verdict, Verdict::Intact, "{:?}", report.findings);
}

#[test]
fn a_renamed_file_is_followed() {
    let disk = Simulated::default();
    let mut log = Log::open(disk.clone(), settings(), at(0)).unwrap();
    let key = log.public_key();
    common::write(&mut log, 1, "before");
    {
        let mut inner = disk.disk.lock().unwrap();
        let number = inner.files.remove(&(0, "audit.log".to_owned())).unwrap();
        inner.files.insert((0, "audit.log-1".to_owned()), number);
    }
    common::write(&mut log, 2, "between");
    log.reopen(at(3)).unwrap();
    common::write(&mut log, 4, "after");
    log.seal(at(5)).unwrap();
    let files = disk.disk.lock().unwrap().log();
    assert_eq!(files.len(), 2);
    assert!(String::from_utf8_lossy(&files[1].1).contains(r#""segment":"audit.log-1""#));
    assert_eq!(check(&files, &pinned(key)).verdict, Verdict::Intact);
}

/// A power failure at each operation of an acceptance: it is repeated, or was done.
#[test]
fn an_acceptance_survives_crashes() {
    for fault in [Fault::PowerBefore, Fault::PowerAfter] {
        for operation in 0.. {
            let disk = Simulated::default();
            let mut log = Log::open(disk.clone(), settings(), at(0)).unwrap();
            common::write(&mut log, 1, "before");
            log.rotate(at(2)).unwrap();
            common::write(&mut log, 3, "live");
            log.seal(at(4)).unwrap();
            common::write(&mut log, 5, "unsealed");
            let last = log.head().seq;
            drop(log);
            // The live file is cut while a writer has it.
            let writer = Writer::start(disk.clone(), quick()).unwrap();
            {
                let mut inner = disk.disk.lock().unwrap();
                let number = inner.files[&(0, "audit.log".to_owned())];
                let file = inner.inodes.get_mut(&number).unwrap();
                file.seen.truncate(file.seen.len() / 2);
                file.safe = file.seen.len();
            }
            common::until(&writer, |health| !health.available);
            drop(writer);
            {
                let mut inner = disk.disk.lock().unwrap();
                inner.seed = operation;
                inner.fault = Some((inner.operations + operation, 1, fault));
            }
            let accept = || Log::accept_loss(disk.clone(), settings(), at(20), "uid:0").map(|_| ());
            let is_done = accept().is_ok();
            disk.disk.lock().unwrap().restart();
            let what = format!("{fault:?} at {operation}");
            match accept() {
                Ok(()) | Err(LogError::NothingLost) => (),
                Err(error) => panic!("{what}: {error}"),
            }
            let mut log = Log::open(disk.clone(), settings(), at(30)).expect(&what);
            assert!(log.head().seq > last, "{what}");
            common::write(&mut log, 31, "after");
            log.seal(at(32)).unwrap();
            let inner = disk.disk.lock().unwrap();
            let text = String::from_utf8_lossy(&common::join(&inner.log())).into_owned();
            let count = |event: &str| text.matches(&format!(r#""{event}""#)).count();
            let counts = (count("log.disturbed"), count("log.loss_accepted"));
            assert_eq!(counts, (1, 1), "{what}");
            let keys = inner.files.keys().filter(|file| is_key(file));
            assert_eq!(keys.count(), 1, "{what}");
            let stopped = (1, "stopped".to_owned());
            assert!(!inner.files.contains_key(&stopped), "{what}");
            if is_done {
                assert!(operation > 10, "{what}");
                break;
            }
        }
    }
}

fn quick() -> Settings {
    Settings {
        check_interval: Duration::from_millis(1),
        ..settings()
    }
}
