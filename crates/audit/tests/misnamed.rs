//! Segments whose first record is not the one in their name.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

mod common;

use common::{Sample, check, pinned, pinned_with_state, sample};
use pulse_audit::verify::{
    Attack, Finding, LogFiles, Options, Since, Start, Verdict, open_directory, verify,
    verify_against,
};

fn name(number: u64) -> String {
    format!("audit.log-{number:012}")
}

fn found(findings: &[Finding]) -> Vec<(Attack, u64)> {
    findings
        .iter()
        .map(|found| (found.attack, found.record))
        .collect()
}

/// Three files, of which the second begins with record 9.
fn log() -> Sample {
    let sample = sample(3, 2, 2, "x");
    assert_eq!(sample.files[1].0, name(9));
    sample
}

#[test]
fn a_wrong_file_name_is_found() {
    let mut sample = log();
    let options = pinned_with_state(sample.key, &sample.disk);
    assert_eq!(check(&sample.files, &options).verdict, Verdict::Intact);
    for number in [2, 8, 10, 16] {
        sample.files[1].0 = format!("/var/log/{}", name(number));
        let report = check(&sample.files, &options);
        assert_eq!(found(&report.findings), [(Attack::SegmentMisnamed, 9)]);
        let first = &report.findings[0];
        assert_eq!((&first.source, first.line), (&sample.files[1].0, 1));
        let said = format!("begins with record {number}, but it begins with record 9");
        assert!(first.detail.contains(&said), "{}", first.detail);
        // Everything else was verified.
        assert_eq!(report.records, report.last_seq);
    }
    // Other names say nothing about the first record.
    for name in [
        "audit.log-9",
        "audit.log.1",
        "copy",
        "audit.log-000000000010.old",
    ] {
        sample.files[1].0 = name.to_owned();
        assert_eq!(check(&sample.files, &options).verdict, Verdict::Intact);
    }
}

#[test]
fn found_beside_a_cut_and_in_a_part() {
    let mut sample = log();
    let options = pinned_with_state(sample.key, &sample.disk);
    sample.files[1].0 = name(10);
    let live = &mut sample.files[2].1;
    let lines = common::lines(live);
    let seal = lines.iter().position(|line| common::is_seal(line)).unwrap();
    *live = lines[..=seal].concat();
    let report = check(&sample.files, &options);
    let cut = (Attack::CutAtSeal, report.last_seq + 1);
    assert_eq!(found(&report.findings), [(Attack::SegmentMisnamed, 9), cut]);
    let since = Options {
        start: Start::Since(Since::Seq(report.last_seq)),
        ..pinned(sample.key)
    };
    let report = check(&sample.files, &since);
    assert_eq!(found(&report.findings), [(Attack::SegmentMisnamed, 9)]);
}

#[test]
fn the_break_is_reported_first() {
    let mut sample = log();
    let options = pinned_with_state(sample.key, &sample.disk);
    // Two files are exchanged.
    let (first, second) = (sample.files[0].1.clone(), sample.files[1].1.clone());
    (sample.files[0].1, sample.files[1].1) = (second, first);
    let report = check(&sample.files, &options);
    let misnamed = |record| (Attack::SegmentMisnamed, record);
    let reordered = (Attack::Reordered, 1);
    assert_eq!(
        found(&report.findings),
        [reordered, misnamed(9), misnamed(1)]
    );
}

#[test]
fn a_stray_first_line_is_no_misname() {
    let mut sample = log();
    sample.files[1].1[20] ^= 1;
    let report = check(&sample.files, &pinned(sample.key));
    assert_eq!(found(&report.findings), [(Attack::Edited, 9)]);
}

#[test]
fn renaming_on_disk_is_found() {
    let sample = log();
    let home = tempfile::tempdir().unwrap();
    for (name, content) in &sample.files {
        std::fs::write(home.path().join(name), content).unwrap();
    }
    std::fs::rename(home.path().join(name(9)), home.path().join(name(11))).unwrap();
    let options = pinned(sample.key);
    let report = verify(open_directory(home.path()).unwrap(), &options, &mut |_| ()).unwrap();
    assert_eq!(found(&report.findings), [(Attack::SegmentMisnamed, 9)]);
    let mut open = |is_second| {
        if is_second {
            open_directory(home.path()).map(LogFiles::from)
        } else {
            Ok(common::sources(&sample.files).into())
        }
    };
    let (ours, theirs) = verify_against(&mut open, &options, &mut |_| ()).unwrap();
    assert_eq!(ours.verdict, Verdict::Intact, "{:?}", ours.findings);
    assert_eq!(found(&theirs.findings), [(Attack::SegmentMisnamed, 9)]);
}
