//! A log that was cut off at a seal: the private key is not that of its end, whatever the name and
//! content of the key file. The state after a crash is not a cut.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

mod common;

use common::keys::{keys, renamed, state, with_all_keys};
use common::simulated::{EIO, Fault};
use common::{Sample, at, attack, check, is_seal, join, lines, one, pinned_with_state, sample};
use common::{settings, write};
use pulse_audit::verify::{
    Attack, NoteKind, Options, Proof, Report, Since, Start, StateKeys, Verdict, Witness,
    open_directory, verify,
};
use pulse_audit::{Dir, Directory, Log, LogError};

fn judge(log: &[Vec<u8>], sample: &Sample, keys: &[(String, Vec<u8>)]) -> Report {
    let options = Options {
        key: Some(sample.key),
        state: Some(state(keys)),
        ..Options::default()
    };
    check(&one(log.concat()), &options)
}

fn found(report: &Report) -> Vec<(Attack, u64)> {
    let findings = report.findings.iter();
    findings.map(|found| (found.attack, found.record)).collect()
}

fn has(report: &Report, kind: NoteKind) -> bool {
    report.notes.iter().any(|note| note.kind == kind)
}

fn by_key(through: u64) -> [Proof; 1] {
    let by = Witness::StateKey;
    [Proof { by, through }]
}

fn seals(log: &[Vec<u8>]) -> Vec<usize> {
    (0..log.len()).filter(|at| is_seal(&log[*at])).collect()
}

#[test]
fn the_key_detects_a_cut_at_a_seal() {
    let (sample, all, kept) = with_all_keys();
    let todays = kept.last().unwrap();
    let whole = judge(&all, &sample, std::slice::from_ref(todays));
    assert_eq!(whole.verdict, Verdict::Intact, "{:?}", whole.findings);
    assert_eq!(whole.proofs, by_key(all.len() as u64));
    let seals = seals(&all);
    for (epoch, seal) in (0u64..).zip(&seals[..seals.len() - 1]) {
        for name in 0..8 {
            let report = judge(&all[..=*seal], &sample, &[renamed(todays, name)]);
            assert_eq!(found(&report), [(Attack::CutAtSeal, *seal as u64 + 2)]);
            assert_eq!(report.epoch, Some(epoch + 1));
            // Likewise, a file's name alone does not show a cut.
            let report = judge(&all, &sample, &[renamed(todays, name)]);
            assert_eq!(report.verdict, Verdict::Intact, "named {name}");
        }
    }
}

#[test]
fn a_cut_between_seals_is_found() {
    let (sample, all, kept) = with_all_keys();
    let todays = kept.last().unwrap();
    for count in (1..all.len()).filter(|count| !is_seal(&all[count - 1])) {
        let report = judge(&all[..count], &sample, &[renamed(todays, 0)]);
        assert_eq!(found(&report), [(Attack::Truncated, count as u64 + 1)]);
    }
}

#[test]
fn the_daemon_refuses_a_cut_log() {
    let (sample, all, kept) = with_all_keys();
    let seal = seals(&all)[3];
    let mut disk = sample.disk.disk.lock().unwrap();
    let number = disk.files[&(0, "audit.log".to_owned())];
    disk.inodes.get_mut(&number).unwrap().seen = all[..=seal].concat();
    drop(disk);
    sample.disk.forget();
    let open = || Log::open(sample.disk.clone(), settings(), at(99)).map(drop);
    let rolled_back = |error| matches!(error, Err(LogError::RolledBack { epoch: 4, .. }));
    assert!(rolled_back(open()));
    let (name, text) = renamed(kept.last().unwrap(), 4);
    let mut disk = sample.disk.clone();
    pulse_audit::Storage::store(&mut disk, Dir::State, &name, &text).unwrap();
    pulse_audit::Storage::erase(&mut disk, Dir::State, "seal-key-6").unwrap();
    assert!(rolled_back(open()), "{:?}", open());
}

/// Every operation of a seal fails, before and after it is done, as in a crash.
#[test]
fn no_moment_of_a_seal_is_a_cut() {
    let mut moments = Vec::new();
    for fault in [Fault::Before(EIO), Fault::After(EIO)] {
        for operation in 0..6 {
            let Sample { disk, key, .. } = sample(1, 2, 2, "x");
            let mut log = Log::open(disk.clone(), settings(), at(50)).unwrap();
            {
                let mut inner = disk.disk.lock().unwrap();
                // A torn seal is tested elsewhere: here, all of it is written, or nothing.
                inner.seed = u64::MAX;
                inner.fault = Some((inner.operations + operation, 1, fault));
            }
            // The state on disk counts, not whether the operation failed.
            let _ = log.seal(at(51));
            let files = disk.disk.lock().unwrap().log();
            let text = lines(&join(&files));
            if !text.last().unwrap().ends_with(b"\n") {
                continue;
            }
            // An erased key has zeros until its file is removed.
            let kept = keys(&disk)
                .into_iter()
                .filter(|(_, key)| key.iter().any(|byte| *byte != 0));
            let epochs: Vec<String> = kept.map(|(name, _)| name).collect();
            let is_on_disk = is_seal(text.last().unwrap());
            let report = check(&files, &pinned_with_state(key, &disk));
            let what = format!(
                "{fault:?} at {operation}, {epochs:?}: {:?}",
                report.findings
            );
            assert_eq!(report.verdict, Verdict::Intact, "{what}");
            assert_eq!(report.proofs, by_key(report.sealed_through), "{what}");
            // The key of the last seal is noted while it is there after the seal.
            let is_late = is_on_disk && epochs.len() == 2;
            assert_eq!(has(&report, NoteKind::KeyNotErased), is_late, "{what}");
            moments.push((is_on_disk, epochs.len()));
        }
    }
    for moment in [(false, 1), (false, 2), (true, 2), (true, 1)] {
        assert!(moments.contains(&moment), "{moment:?} of {moments:?}");
    }
}

#[test]
fn a_log_without_a_seal_has_key_0() {
    let sample = sample(1, 0, 0, "x");
    let log = lines(&join(&sample.files));
    let own = keys(&sample.disk);
    let report = judge(&log, &sample, &own);
    assert_eq!(report.verdict, Verdict::Intact);
    assert_eq!(report.proofs, by_key(1));
    // Today's log with all but its first record cut off.
    let (other, all, kept) = with_all_keys();
    let report = judge(&all[..1], &other, &[renamed(&kept[6], 0)]);
    assert_eq!(found(&report), [(Attack::Truncated, 2)]);
}

#[test]
fn a_restored_key_is_found() {
    let (sample, all, kept) = with_all_keys();
    let announced = |epoch: usize| match epoch {
        0 => 1,
        _ => seals(&all)[epoch - 1] as u64 + 1,
    };
    for epoch in 0..6 {
        let old = std::slice::from_ref(&kept[epoch]);
        let report = judge(&all, &sample, old);
        let expected = [(Attack::KeyRestored, announced(epoch) + 1)];
        assert_eq!(found(&report), expected, "alone, {epoch}");
        let report = judge(&all, &sample, &[old, &kept[6..]].concat());
        if epoch < 5 {
            assert_eq!(found(&report), expected, "beside the right one, {epoch}");
        } else {
            // A crash leaves this key.
            assert_eq!(report.verdict, Verdict::Intact);
            assert!(has(&report, NoteKind::KeyNotErased));
        }
    }
}

#[test]
fn other_keys_beside_the_right_one() {
    let (sample, all, kept) = with_all_keys();
    let cut = &all[..=seals(&all)[2]];
    // Somebody has a copy of the key of epoch 3: with it alone, the cut does not show.
    let report = judge(cut, &sample, &kept[3..4]);
    assert_eq!(report.verdict, Verdict::Intact);
    // A later key beside it shows the cut, whatever its name; except the next one, which a crash can
    // leave.
    for (later, name) in [(4, 4), (6, 6), (6, 5), (6, 2)] {
        let report = judge(
            cut,
            &sample,
            &[kept[3].clone(), renamed(&kept[later], name)],
        );
        let expected = match name {
            4 => Vec::new(),
            _ => vec![(Attack::CutAtSeal, cut.len() as u64 + 1)],
        };
        assert_eq!(found(&report), expected, "{later} as {name}");
    }
    let report = judge(cut, &sample, &kept[4..]);
    assert_eq!(found(&report), [(Attack::CutAtSeal, cut.len() as u64 + 1)]);
}

#[test]
fn another_logs_state_is_named() {
    let (sample, all, kept) = with_all_keys();
    let (other, _, _) = with_all_keys();
    let theirs = keys(&other.disk);
    let report = judge(&all, &sample, &theirs);
    assert_eq!(found(&report), [(Attack::WrongState, all.len() as u64)]);
    // It does no harm beside the right one.
    let report = judge(&all, &sample, &[&theirs, &kept[6..]].concat());
    assert_eq!(report.verdict, Verdict::Intact);
    // With another log's key under this log's id, records that announced it must have been cut off.
    let (name, text) = theirs[0].clone();
    let text = String::from_utf8(text).unwrap();
    let own = String::from_utf8(kept[6].1.clone()).unwrap();
    let id = |text: &str| text.split(' ').next().unwrap().to_owned();
    let text = text.replace(&id(&text), &id(&own)).into_bytes();
    let report = judge(&all, &sample, &[(name, text)]);
    assert_eq!(attack(&report), Attack::CutAtSeal);
}

#[test]
fn an_invalid_key_proves_nothing() {
    let (sample, all, kept) = with_all_keys();
    let garbage = ("seal-key-6".to_owned(), b"garbage\n".to_vec());
    for keys in [vec![], vec![garbage.clone()]] {
        let report = judge(&all, &sample, &keys);
        assert_eq!(report.verdict, Verdict::Unproven);
        assert!(has(&report, NoteKind::EndUnproven));
        assert_eq!(
            (report.proved_through(), report.sealed_through),
            (0, all.len() as u64)
        );
    }
    let report = judge(&all, &sample, &[garbage.clone(), kept[6].clone()]);
    assert_eq!(report.verdict, Verdict::Intact);
    let cut = &all[..=seals(&all)[2]];
    let report = judge(cut, &sample, &[garbage, kept[6].clone()]);
    assert_eq!(attack(&report), Attack::CutAtSeal);
}

#[test]
fn no_outside_proof_is_unproven() {
    let (sample, all, _) = with_all_keys();
    for live in [false, true] {
        let options = Options {
            key: Some(sample.key),
            live,
            ..Options::default()
        };
        for count in 1..=all.len() {
            let report = check(&one(all[..count].concat()), &options);
            assert_eq!(report.verdict, Verdict::Unproven);
            assert!(has(&report, NoteKind::EndUnproven));
        }
    }
}

#[test]
fn a_part_is_compared_with_the_key() {
    let (sample, all, kept) = with_all_keys();
    for seq in 3..=all.len() as u64 {
        let judge = |log: &[Vec<u8>], keys: &[(String, Vec<u8>)]| {
            let options = Options {
                key: Some(sample.key),
                start: Start::Since(Since::Seq(seq)),
                state: Some(state(keys)),
                ..Options::default()
            };
            check(&one(log.concat()), &options)
        };
        let report = judge(&all, &kept[6..]);
        assert_eq!(report.verdict, Verdict::Unproven, "{:?}", report.findings);
        assert_eq!(report.proofs, by_key(all.len() as u64));
        let cut = all.len() - 2;
        let report = judge(&all[..cut], &[renamed(&kept[6], 5)]);
        if seq < cut as u64 {
            assert_eq!(found(&report), [(Attack::CutAtSeal, cut as u64 + 1)]);
        }
        assert_eq!(attack(&judge(&all, &kept[..1])), Attack::KeyRestored);
    }
}

#[test]
fn seals_after_the_key_was_read() {
    let place = tempfile::tempdir().unwrap();
    let (directory, private) = (place.path().join("log"), place.path().join("state"));
    std::fs::create_dir(&directory).unwrap();
    let storage = Directory::lock(&directory, &private).unwrap();
    let mut log = Log::open(storage, settings(), at(0)).unwrap();
    write(&mut log, 1, "x");
    log.seal(at(1)).unwrap();
    let options = Options {
        key: None,
        state: Some(StateKeys::read(&private).unwrap()),
        ..Options::default()
    };
    let (known, old) = (log.head().seq, private.join("seal-key-1"));
    let text = std::fs::read(&old).unwrap();
    for seals in 1..4 {
        write(&mut log, seals + 1, "x");
        log.seal(at(seals + 1)).unwrap();
        let sources = open_directory(&directory).unwrap();
        let report = verify(sources, &options, &mut |_| ()).unwrap();
        assert_eq!(report.findings, [], "{seals}");
        assert_eq!(report.proofs, by_key(known), "{seals}");
    }
    // The same keys, and no seal meanwhile: the old key was restored.
    std::fs::remove_file(private.join("seal-key-4")).unwrap();
    std::fs::write(old, text).unwrap();
    let sources = open_directory(&directory).unwrap();
    let report = verify(sources, &options, &mut |_| ()).unwrap();
    assert_eq!(found(&report), [(Attack::KeyRestored, known + 1)]);
}
