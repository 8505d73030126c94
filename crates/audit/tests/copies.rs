//! A part of a log, an older copy of it, and the comparison of two copies.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

mod common;

use common::forger::rechain;
use common::{attack, check, is_seal, join, lines, one, pinned, sample};
use pulse_audit::verify::{Attack, Options, Report, Start, Verdict};

#[test]
fn the_state_shows_a_rollback() {
    let sample = sample(1, 4, 3, "x");
    let all = lines(&join(&sample.files));
    let cut = (0..all.len())
        .filter(|at| is_seal(&all[*at]))
        .nth(1)
        .unwrap()
        + 1;
    let content = check(&one(all[..cut].concat()), &pinned(sample.key));
    assert_eq!(content.verdict, Verdict::Intact);
    let options = common::pinned_with_state(sample.key, &sample.disk);
    let report = check(&one(all[..cut].concat()), &options);
    assert_eq!(attack(&report), Attack::CutAtSeal);
    assert_eq!(report.findings[0].record, cut as u64 + 1);
}

#[test]
fn a_part_of_a_log_is_unproven() {
    let sample = sample(3, 2, 2, "x");
    let part = sample.files[1..].to_vec();
    assert_eq!(attack(&check(&part, &pinned(sample.key))), Attack::Deleted);
    let options = Options {
        start: Start::AnyRecord,
        ..pinned(sample.key)
    };
    let report = check(&part, &options);
    assert_eq!(report.verdict, Verdict::Unproven, "{:?}", report.findings);
    assert_eq!(report.sealed_through, report.last_seq);
    assert_eq!(
        check(&sample.files, &Options::default()).verdict,
        Verdict::Unproven
    );
}

fn against(
    first: &[(String, Vec<u8>)],
    second: &[(String, Vec<u8>)],
    options: &Options,
) -> (Report, Report) {
    let (first, second) = (first.to_vec(), second.to_vec());
    let mut open =
        |is_second: bool| Ok(common::sources(if is_second { &second } else { &first }).into());
    pulse_audit::verify::verify_against(&mut open, options, &mut |_| ()).unwrap()
}

#[test]
fn copies_show_fork_and_rollback() {
    let sample = sample(1, 3, 3, "x");
    let all = lines(&join(&sample.files));
    let options = pinned(sample.key);
    let short = one(all[..all.len() - 4].concat());
    let whole = one(all.concat());
    let mut resent = all.clone();
    resent.insert(4, all[3].clone());

    assert_eq!(
        against(&whole, &short, &options).0.verdict,
        Verdict::Intact,
        "a copy may lag"
    );
    assert_eq!(
        against(&whole, &one(resent.concat()), &options).0.verdict,
        Verdict::Intact
    );
    let (report, _) = against(&short, &whole, &options);
    assert_eq!(attack(&report), Attack::RolledBack);
    assert_eq!(report.findings[0].record, all.len() as u64 - 3);

    let mut fork = all[..all.len() - 3].to_vec();
    fork.push(
        String::from_utf8(all[all.len() - 3].clone())
            .unwrap()
            .replacen("allowed", "denied", 1)
            .into_bytes(),
    );
    let fork = rechain(&fork, fork.len() - 1);
    let (report, _) = against(&one(fork.concat()), &whole, &options);
    assert_eq!(attack(&report), Attack::Forked);
    assert_eq!(report.findings[0].record, all.len() as u64 - 2);
}
