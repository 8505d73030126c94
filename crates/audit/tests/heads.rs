//! Heads that were kept elsewhere, and copies: what they prove and detect.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

mod common;

use common::forger::{falsify, rechain, value};
use common::simulated::Simulated;
use common::{Sample, at, check, join, lines, one, pinned, pinned_with_state, sample, settings};
use pulse_audit::verify::{
    Attack, Collection, NoteKind, Options, Proof, Report, Since, Source, Start, Verdict, Witness,
    verify_against, verify_collected,
};
use pulse_audit::{Head, Log};
use std::io::Write;

/// The lines of a log, and the head after each.
struct Known {
    sample: Sample,
    log: Vec<Vec<u8>>,
    heads: Vec<Head>,
}

impl Known {
    /// Ends with three records that are not sealed.
    fn new() -> Self {
        let sample = sample(1, 3, 3, "x");
        let mut log = Log::open(sample.disk.clone(), settings(), at(20)).unwrap();
        for second in 21..23 {
            common::write(&mut log, second, "unsealed");
        }
        let files = sample.disk.disk.lock().unwrap().log();
        let log = lines(&join(&files));
        let head = |line: &Vec<u8>| {
            let text = std::str::from_utf8(line).unwrap();
            Head::from_parts(
                value(text, "seq").parse().unwrap(),
                value(text, "event_hash"),
            )
        };
        let heads = log.iter().map(|line| head(line).unwrap()).collect();
        Self {
            sample: Sample { files, ..sample },
            log,
            heads,
        }
    }

    fn options(&self, heads: &[Head]) -> Options {
        Options {
            key: Some(self.sample.key),
            heads: heads.to_vec(),
            ..Options::default()
        }
    }

    /// The report on the first `count` records.
    fn judge(&self, count: usize, heads: &[Head]) -> Report {
        check(&one(self.log[..count].concat()), &self.options(heads))
    }

    fn last(&self) -> u64 {
        self.log.len() as u64
    }

    fn unsealed(&self) -> u64 {
        self.last() - 2
    }
}

fn found(report: &Report) -> Vec<(Attack, u64)> {
    let findings = report.findings.iter();
    findings.map(|found| (found.attack, found.record)).collect()
}

fn note(report: &Report, kind: NoteKind) -> Option<u64> {
    let note = report.notes.iter().find(|note| note.kind == kind);
    note.map(|note| note.record)
}

#[test]
fn a_head_proves_the_log_up_to_it() {
    let known = Known::new();
    for (at, head) in known.heads.iter().enumerate() {
        let report = known.judge(known.log.len(), &[*head]);
        assert_eq!(report.verdict, Verdict::Intact, "{:?}", report.findings);
        let through = head.seq;
        let by = Witness::Head;
        assert_eq!(report.proofs, [Proof { by, through }]);
        // The records after it are protected by seals, and the last ones by nothing.
        let unprotected = known.unsealed().max(through + 1);
        let expected = (unprotected <= known.last()).then_some(unprotected);
        assert_eq!(note(&report, NoteKind::Pending), expected, "{at}");
        let report = known.judge(known.log.len(), &known.heads[..=at]);
        assert_eq!(report.proved_through(), through);
    }
    let all: Vec<Head> = known.heads.iter().rev().copied().collect();
    let report = known.judge(known.log.len(), &all);
    assert_eq!(
        (report.verdict, report.proved_through()),
        (Verdict::Intact, known.last())
    );
}

#[test]
fn a_head_beyond_the_end_is_found() {
    let known = Known::new();
    let last = known.heads.last().unwrap();
    for count in 1..known.log.len() {
        let report = known.judge(count, &[*last, known.heads[0]]);
        let attack = if common::is_seal(&known.log[count - 1]) {
            Attack::RolledBack
        } else {
            Attack::Truncated
        };
        assert_eq!(found(&report), [(attack, count as u64 + 1)]);
        let missing = match known.last() - count as u64 {
            1 => format!("record {} is missing", known.last()),
            _ => format!("records {} to {} are missing", count + 1, known.last()),
        };
        let detail = &report.findings[0].detail;
        assert!(detail.ends_with(&missing), "{detail}");
    }
}

#[test]
fn another_record_at_a_head_is_fork() {
    let known = Known::new();
    let last = known.log.len() - 1;
    let mut forged = known.log.clone();
    falsify(&mut forged[last]);
    let forged = one(rechain(&forged, last).concat());
    let report = check(&forged, &known.options(&[known.heads[last]]));
    assert_eq!(found(&report), [(Attack::Forked, known.last())]);
    // Two heads that contradict each other: one of them is wrong.
    let other = Head::from_parts(3, &"a".repeat(64)).unwrap();
    let report = known.judge(known.log.len(), &[other, known.heads[2], known.heads[5]]);
    assert_eq!(found(&report), [(Attack::Forked, 3)]);
}

#[test]
fn a_head_detects_a_full_rollback() {
    let Sample { disk, key, .. } = sample(1, 2, 2, "x");
    let snapshot = disk.disk.lock().unwrap();
    let (files, inodes) = (snapshot.files.clone(), snapshot.inodes.clone());
    drop(snapshot);
    let mut log = Log::open(disk.clone(), settings(), at(50)).unwrap();
    common::write(&mut log, 51, "undone");
    log.seal(at(52)).unwrap();
    let noted = log.head();
    let before = noted.seq - 3;
    drop(log);
    let judge = |disk: &Simulated, heads: &[Head]| {
        let options = Options {
            heads: heads.to_vec(),
            ..pinned_with_state(key, disk)
        };
        check(&disk.disk.lock().unwrap().log(), &options)
    };
    assert_eq!(judge(&disk, &[noted]).verdict, Verdict::Intact);
    {
        let mut disk = disk.disk.lock().unwrap();
        (disk.files, disk.inodes) = (files, inodes);
    }
    // Nothing on the host shows it.
    assert_eq!(judge(&disk, &[]).verdict, Verdict::Intact);
    assert_eq!(
        found(&judge(&disk, &[noted])),
        [(Attack::RolledBack, before + 1)]
    );
    // Nor when the daemon has continued after it.
    let mut log = Log::open(disk.clone(), settings(), at(60)).unwrap();
    for second in 61..70 {
        common::write(&mut log, second, "else");
    }
    log.seal(at(70)).unwrap();
    assert_eq!(judge(&disk, &[]).verdict, Verdict::Intact);
    assert_eq!(
        found(&judge(&disk, &[noted])),
        [(Attack::Forked, noted.seq)]
    );
}

#[test]
fn a_head_before_the_part_is_noted() {
    let known = Known::new();
    let options = Options {
        start: Start::Since(Since::Seq(9)),
        ..known.options(&[known.heads[2], known.heads[9]])
    };
    let report = check(&one(known.log.concat()), &options);
    assert_eq!(report.verdict, Verdict::Unproven, "{:?}", report.findings);
    assert_eq!(report.proved_through(), 10);
    let told: Vec<u64> = report.notes.iter().map(|note| note.record).collect();
    assert!(told.contains(&3), "{:?}", report.notes);
}

#[test]
fn a_copy_proves_the_log_up_to_it() {
    let known = Known::new();
    let judge = |second: &[Vec<u8>]| {
        let second = one(second.concat());
        let mut open = |is_second| {
            let first = &known.sample.files;
            Ok(common::sources(if is_second { &second } else { first }).into())
        };
        verify_against(&mut open, &known.options(&[]), &mut |_| ()).unwrap()
    };
    for count in 1..=known.log.len() {
        let (report, second) = judge(&known.log[..count]);
        assert_eq!(report.verdict, Verdict::Intact, "{:?}", report.findings);
        let (by, through) = (Witness::Copy, count as u64);
        assert_eq!(report.proofs, [Proof { by, through }]);
        let unprotected = known.unsealed().max(through + 1);
        let expected = (unprotected <= known.last()).then_some(unprotected);
        assert_eq!(note(&report, NoteKind::Pending), expected);
        assert_eq!(second.verdict, Verdict::Intact);
    }
    // A copy without records proves nothing.
    let nothing = judge(&[b"rubbish\n".to_vec()]).0;
    assert_eq!(nothing.verdict, Verdict::Unproven);
    assert_eq!(
        note(&nothing, NoteKind::EndUnproven),
        Some(known.last() + 1)
    );
}

#[test]
fn collected_files_need_their_heads() {
    let known = Known::new();
    let judge = |count: usize, heads: &[Head], log: bool| {
        let mut file = tempfile::tempfile().unwrap();
        file.write_all(&known.log[..count].concat()).unwrap();
        let sources = vec![Source::file("collected", file)];
        let mut open = || Ok(common::sources(&known.sample.files).into());
        let log: Option<&mut dyn FnMut() -> _> = if log { Some(&mut open) } else { None };
        let options = known.options(heads);
        let none = &Collection::default();
        verify_collected(sources, none, log, &options, &mut |_| ()).unwrap()
    };
    let (report, collected, _) = judge(8, &known.heads[4..5], false);
    assert_eq!(
        (report.verdict, report.proved_through()),
        (Verdict::Intact, 5)
    );
    assert_eq!(note(&report, NoteKind::EndUnknown), None);
    assert_eq!(collected.replay_from, None);
    let (report, collected, _) = judge(8, &known.heads[9..10], false);
    assert_eq!(found(&report), [(Attack::Truncated, 9)]);
    assert!(
        report.findings[0]
            .detail
            .contains("record 10 is known from elsewhere")
    );
    assert_eq!(collected.replay_from, Some(9));
    let other = Head::from_parts(5, &"a".repeat(64)).unwrap();
    let (report, _, _) = judge(8, &[other], false);
    assert_eq!(found(&report), [(Attack::Forked, 5)]);
    // It proves the log with which it is compared; the opposite is not needed.
    let (report, _, log) = judge(8, &[], true);
    let log = log.unwrap();
    assert_eq!((log.verdict, log.proved_through()), (Verdict::Intact, 8));
    assert_eq!(
        (report.verdict, report.proved_through()),
        (Verdict::Intact, 0)
    );
    let (report, _, _) = judge(known.log.len(), &[], true);
    assert_eq!(report.proved_through(), known.last());
}

#[test]
fn only_a_copy_may_end_anywhere() {
    let known = Known::new();
    let lagging = check(&one(known.log[..4].concat()), &pinned(known.sample.key));
    assert_eq!(lagging.verdict, Verdict::Intact);
    assert_eq!(known.judge(4, &[]).verdict, Verdict::Unproven);
}
