//! Verification of a part of a log: the part is verified as strictly, and the report says that the
//! rest was not.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

mod common;

use common::{Sample, check, join, one, pinned, sample};
use pulse_audit::verify::{
    NoteKind, Options, Report, Since, Source, Start, Verdict, narrowed, open_directory, verify,
};

fn since(sample: &Sample, seq: u64) -> Options {
    Options {
        start: Start::Since(Since::Seq(seq)),
        ..pinned(sample.key)
    }
}

#[test]
fn any_start_is_unproven() {
    let sample = sample(3, 2, 3, "a");
    let whole = check(&sample.files, &pinned(sample.key));
    assert_eq!(whole.verdict, Verdict::Intact);
    for seq in 3..=whole.last_seq + 5 {
        let report = check(&sample.files, &since(&sample, seq));
        assert_eq!(report.verdict, Verdict::Unproven, "{seq}: {report:?}");
        // From the record before on, so that the first one is verified to follow it.
        let first = (seq - 1).min(whole.last_seq);
        assert_eq!(report.first_seq, first, "{seq}");
        assert_eq!(report.records, whole.last_seq - first + 1, "{seq}");
        assert!(
            report
                .notes
                .iter()
                .any(|note| note.kind == NoteKind::Partial)
        );
    }
    for seq in 0..=2 {
        let report = check(&sample.files, &since(&sample, seq));
        assert_eq!(report.verdict, Verdict::Intact, "{seq}");
        assert_eq!(report.records, whole.records);
    }
}

#[test]
fn a_change_before_the_start() {
    let sample = sample(1, 2, 4, "a");
    let lines = common::lines(&join(&sample.files));
    for changed in 1..lines.len() {
        let mut lines = lines.clone();
        lines[changed][30] ^= 1;
        let log = one(lines.concat());
        for seq in 1..=lines.len() as u64 {
            let report = check(&log, &since(&sample, seq));
            let is_seen = changed as u64 + 2 >= seq;
            let is_broken = report.verdict == Verdict::Broken;
            assert!(is_broken || !is_seen, "line {changed} since {seq}");
            assert!(!is_broken || changed as u64 + 2 >= seq, "{changed} {seq}");
        }
    }
}

#[test]
fn a_time_is_a_place_too() {
    let sample = sample(1, 2, 4, "a");
    let time = Since::Time(common::at(5));
    let options = Options {
        start: Start::Since(time),
        ..pinned(sample.key)
    };
    let report = check(&sample.files, &options);
    let before = check(&sample.files, &pinned(sample.key));
    assert_eq!(report.verdict, Verdict::Unproven);
    assert!(report.first_seq > 1 && report.last_seq == before.last_seq);
}

#[test]
fn earlier_files_are_not_read() {
    let sample = sample(4, 1, 5, "a");
    let home = tempfile::tempdir().unwrap();
    for (name, content) in &sample.files {
        std::fs::write(home.path().join(name), content).unwrap();
    }
    let open = || open_directory(home.path()).unwrap();
    let bytes = |sources: &[Source]| sources.iter().filter_map(Source::bytes).sum::<u64>();
    let run =
        |sources, options: &Options| -> Report { verify(sources, options, &mut |_| ()).unwrap() };
    let whole = run(open(), &pinned(sample.key));
    assert_eq!(whole.bytes, bytes(&open()));
    for seq in 3..=whole.last_seq {
        let options = since(&sample, seq);
        let (all, few) = (run(open(), &options), narrowed(open(), &Since::Seq(seq)));
        let total = bytes(&few);
        let report = run(few, &options);
        assert_eq!(report.bytes, total);
        assert_eq!(
            (report.verdict, report.first_seq, report.last_hash),
            (all.verdict, all.first_seq, all.last_hash)
        );
    }
    let few = bytes(&narrowed(open(), &Since::Seq(whole.last_seq)));
    assert!(few * 2 < whole.bytes, "{few} of {}", whole.bytes);
}

#[test]
fn reading_stops_at_the_seal() {
    let sample = sample(1, 3, 4, "a");
    let whole = check(&sample.files, &pinned(sample.key));
    let first_seal = check(
        &sample.files,
        &Options {
            until_sealed: Some(2),
            ..pinned(sample.key)
        },
    );
    assert_eq!((first_seal.seals, first_seal.epoch), (1, Some(1)));
    assert_eq!(first_seal.sealed_through, first_seal.last_seq);
    assert!(first_seal.bytes < whole.bytes);
    let next = check(
        &sample.files,
        &Options {
            until_sealed: Some(first_seal.last_seq + 1),
            ..since(&sample, first_seal.last_seq + 1)
        },
    );
    // The first of them is the record before the one that was asked for.
    assert_eq!((next.seals, next.epoch), (2, Some(2)));
    assert_eq!(next.verdict, Verdict::Unproven);
}
