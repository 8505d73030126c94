//! Every change of a sealed log is found and named.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

#[path = "../common/mod.rs"]
mod common;
mod kinds;

use common::forger::{falsify, rechain};
use common::{Dice, Sample, attack, check, join, known, lines, one, pinned, sample};
use kinds::{Mutation, Which};
use pulse_audit::verify::{Attack, Finding, Verdict};

#[test]
fn every_bit_flip_is_found() {
    let sample = sample(1, 2, 3, "small");
    let (options, content) = (pinned(sample.key), join(&sample.files));
    for bit in 0..content.len() * 8 {
        let mut changed = content.clone();
        changed[bit / 8] ^= 1 << (bit % 8);
        let report = check(&one(changed), &options);
        assert_eq!(report.verdict, Verdict::Broken, "bit {bit}");
        let before = &content[..bit / 8];
        let line = before.iter().filter(|byte| **byte == b'\n').count() as u64 + 1;
        let found = &report.findings[0];
        assert_eq!(found.record, line, "bit {bit}: {found:?}");
        let is_cut = bit / 8 == content.len() - 1;
        let name = if is_cut {
            Attack::Truncated
        } else {
            Attack::Edited
        };
        assert_eq!(found.attack, name, "bit {bit}: {found:?}");
    }
}

#[test]
fn random_mutations_are_named() {
    let (ours, theirs) = (sample(3, 2, 2, "ours"), sample(3, 2, 2, "theirs"));
    let options = known(&ours);
    let mut dice = Dice(7);
    let mut wrong = Vec::new();
    for (round, which) in Which::ALL.iter().cycle().take(10_000).enumerate() {
        let mutation = kinds::mutate(&mut dice, *which, &ours, &theirs);
        let report = check(&mutation.files(), &options);
        assert_eq!(report.verdict, Verdict::Broken, "{which:?}, round {round}");
        let found = &report.findings[0];
        if !mutation.names.contains(&found.attack) || !is_at(found, &mutation, &ours) {
            wrong.push(format!(
                "{which:?}, round {round}, changed from line {}: {found:?}",
                first_change(&mutation, &ours)
            ));
        }
    }
    assert!(wrong.is_empty(), "{} misnamed: {:#?}", wrong.len(), wrong);
}

/// The number of the first line that was changed.
fn first_change(mutation: &Mutation, ours: &Sample) -> u64 {
    let original = lines(&join(&ours.files));
    let same = mutation.lines.iter().zip(&original);
    same.take_while(|((_, line), original)| line == *original)
        .count() as u64
        + 1
}

/// Whether the finding is at the mutation: at the first line that changed, at the number which that
/// line has, or at the first of the records under a seal that no longer fits.
fn is_at(found: &Finding, mutation: &Mutation, ours: &Sample) -> bool {
    let first = first_change(mutation, ours);
    let line = mutation
        .lines
        .get(usize::try_from(first).unwrap() - 1)
        .map(|(_, line)| String::from_utf8_lossy(line).into_owned());
    let claimed = line.and_then(|line| {
        let digits = line
            .strip_prefix("{\"seq\":")?
            .split(',')
            .next()?
            .to_owned();
        digits.parse().ok()
    });
    match found.attack {
        Attack::Rewritten | Attack::Resealed => found.record <= first,
        _ => found.record == first || Some(found.record) == claimed,
    }
}

#[test]
fn a_copy_shows_a_rewritten_end() {
    let mut victim = sample(1, 2, 2, "x");
    let mut log =
        pulse_audit::Log::open(victim.disk.clone(), common::settings(), common::at(50)).unwrap();
    common::write(&mut log, 51, "unsealed");
    victim.files = victim.disk.disk.lock().unwrap().log();
    let options = known(&victim);
    let mut forged = lines(&join(&victim.files));
    let last = forged.len() - 1;
    falsify(&mut forged[last]);
    let report = check(&one(rechain(&forged, last).concat()), &options);
    assert_eq!(attack(&report), Attack::Forked);
    assert_eq!(report.findings[0].record, last as u64 + 1);
}
