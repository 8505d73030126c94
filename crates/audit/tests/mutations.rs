//! Every change of a sealed log is found, and named.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

mod common;

use common::{Sample, check, join, lines, one, pinned, sample};
use ed25519_dalek::{Signer, SigningKey};
use pulse_audit::Head;
use pulse_audit::verify::{Attack, Options, Report, Verdict};
use sha2::{Digest, Sha256};
use std::fmt::Write;

/// What the collector knows: the key, and the last record.
fn known(sample: &Sample) -> Options {
    let report = check(&sample.files, &pinned(sample.key));
    assert_eq!(report.verdict, Verdict::Intact, "{:?}", report.findings);
    Options {
        expected: Head::from_parts(report.last_seq, &report.last_hash),
        ..pinned(sample.key)
    }
}

fn attack(report: &Report) -> Attack {
    assert_eq!(report.verdict, Verdict::Broken);
    report.findings[0].attack
}

/// A small generator: the same mutations in every run.
struct Dice(u64);

impl Dice {
    fn below(&mut self, limit: usize) -> usize {
        self.0 = self
            .0
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1);
        usize::try_from(self.0 >> 33).unwrap() % limit
    }
}

fn hash(line: &str) -> String {
    let (hashed, _) = line.split_once(",\"event_hash\"").unwrap();
    Sha256::digest(hashed)
        .iter()
        .fold(String::new(), |mut text, byte| {
            write!(text, "{byte:02x}").unwrap();
            text
        })
}

fn value<'a>(line: &'a str, name: &str) -> &'a str {
    let (_, rest) = line.split_once(&format!("\"{name}\":")).unwrap();
    rest.trim_start_matches('"')
        .split(['"', ','])
        .next()
        .unwrap()
}

/// Recomputes numbers and hashes from line `from` on, as a forger would.
fn rechain(lines: &[Vec<u8>], from: usize) -> Vec<Vec<u8>> {
    let mut out = lines[..from].to_vec();
    let mut prev = match from {
        0 => "0".repeat(64),
        _ => value(std::str::from_utf8(&lines[from - 1]).unwrap(), "event_hash").to_owned(),
    };
    for (index, line) in lines.iter().enumerate().skip(from) {
        let line = String::from_utf8(line.clone()).unwrap();
        let (seq, old) = (
            value(&line, "seq").to_owned(),
            value(&line, "prev_hash").to_owned(),
        );
        let line = line.replacen(
            &format!("\"seq\":{seq},"),
            &format!("\"seq\":{},", index + 1),
            1,
        );
        let line = line.replacen(
            &format!("\"prev_hash\":\"{old}"),
            &format!("\"prev_hash\":\"{prev}"),
            1,
        );
        let old = value(&line, "event_hash").to_owned();
        prev = hash(&line);
        out.push(line.replacen(&old, &prev, 1).into_bytes());
    }
    out
}

/// Signs the seal in line `at` anew; its hash and all that follows is left.
fn reseal(lines: &mut [Vec<u8>], at: usize, key: &SigningKey) {
    let line = String::from_utf8(lines[at].clone()).unwrap();
    let (signed, _) = line.split_once(",\"signature\"").unwrap();
    let old = value(&line, "signature").to_owned();
    let new = base64::Engine::encode(
        &base64::engine::general_purpose::STANDARD,
        key.sign(signed.as_bytes()).to_bytes(),
    );
    lines[at] = line.replacen(&old, &new, 1).into_bytes();
}

#[test]
fn every_single_bit_flip_of_a_sealed_log_is_found() {
    let sample = sample(1, 2, 3, "small");
    let (options, content) = (known(&sample), join(&sample.files));
    for bit in 0..content.len() * 8 {
        let mut changed = content.clone();
        changed[bit / 8] ^= 1 << (bit % 8);
        let report = check(&one(changed), &options);
        assert_eq!(report.verdict, Verdict::Broken, "bit {bit}");
        let line = content[..bit / 8]
            .iter()
            .filter(|byte| **byte == b'\n')
            .count() as u64
            + 1;
        assert_eq!(
            report.findings[0].record, line,
            "bit {bit}: {:?}",
            report.findings
        );
    }
}

/// One random mutation: the log, and the names that fit what was done.
fn mutate(
    dice: &mut Dice,
    kind: usize,
    sample: &Sample,
    other: &Sample,
) -> (Vec<(String, Vec<u8>)>, Vec<Attack>) {
    use Attack as A;
    let content = join(&sample.files);
    let mut all = lines(&content);
    let count = all.len();
    let (at, to) = (dice.below(count), dice.below(count));
    match kind {
        // Edit a byte.
        0 => {
            let mut changed = content.clone();
            let place = dice.below(content.len());
            changed[place] ^= 1 << dice.below(8);
            (one(changed), vec![A::Edited, A::Truncated])
        }
        // Insert a record of another log, or rubbish.
        1 => {
            let foreign = lines(&join(&other.files));
            let line = if dice.below(2) == 0 {
                b"{\"seq\":1}\n".to_vec()
            } else {
                foreign[dice.below(foreign.len())].clone()
            };
            all.insert(at, line);
            (
                one(all.concat()),
                vec![A::Inserted, A::Edited, A::Spliced, A::Duplicated],
            )
        }
        // Delete some; at the end that is a cut.
        2 => {
            let end = (at + 1 + dice.below(3)).min(count);
            all.drain(at..end);
            let names = if end == count {
                vec![A::Truncated, A::RolledBack]
            } else {
                vec![A::Deleted]
            };
            (one(all.concat()), names)
        }
        3 => {
            let to = if at == to { (at + 1) % count } else { to };
            all.swap(at, to);
            (one(all.concat()), vec![A::Reordered])
        }
        4 => {
            all.insert(to.max(at + 1).min(count), all[at].clone());
            (one(all.concat()), vec![A::Duplicated])
        }
        // Cut anywhere.
        5 => (
            one(content[..dice.below(content.len())].to_vec()),
            vec![A::Truncated, A::RolledBack],
        ),
        // Splice two logs at records.
        6 => {
            let foreign = lines(&join(&other.files));
            let (at, to) = (1 + dice.below(count - 1), dice.below(foreign.len() - 1));
            let spliced = [all[..at].concat(), foreign[to..].concat()].concat();
            // Without a seal that tells, a gap is a gap.
            (one(spliced), vec![A::Spliced, A::Deleted, A::Forked])
        }
        // Replace a segment by another log's, or by another of the same log.
        7 => {
            let mut files = sample.files.clone();
            let place = dice.below(files.len());
            let from = if dice.below(2) == 0 {
                &other.files[place]
            } else {
                &sample.files[(place + 1) % files.len()]
            };
            files[place].1 = from.1.clone();
            let names = vec![
                A::SegmentSwapped,
                A::WrongKey,
                A::Deleted,
                A::Truncated,
                A::RolledBack,
            ];
            (files, names)
        }
        // Restore an older copy: all up to a seal.
        8 => {
            let seals: Vec<usize> = (0..count - 1).filter(|at| is_seal(&all[*at])).collect();
            let end = seals[dice.below(seals.len())] + 1;
            (one(all[..end].concat()), vec![A::RolledBack])
        }
        // Re-chain with recomputed hashes after an edit or a deletion.
        9 => {
            let at = 1 + dice.below(count - 2);
            let at = if is_seal(&all[at]) { at - 1 } else { at };
            if dice.below(2) == 0 && at > 0 {
                all.remove(at);
            } else {
                all[at] = String::from_utf8(all[at].clone())
                    .unwrap()
                    .replacen("T10:", "T09:", 1)
                    .into_bytes();
            }
            let key_changed = at == 0;
            let mut names = vec![A::Rewritten];
            if key_changed {
                names.push(A::WrongKey);
            }
            (one(rechain(&all, at).concat()), names)
        }
        // The same, and the next seal made with a later key.
        _ => {
            let at = 1 + dice.below(count - 3);
            let at = if is_seal(&all[at]) { at - 1 } else { at };
            all[at] = String::from_utf8(all[at].clone())
                .unwrap()
                .replacen("T10:", "T09:", 1)
                .into_bytes();
            let mut all = rechain(&all, at);
            let seals: Vec<usize> = (at..count).filter(|at| is_seal(&all[*at])).collect();
            for seal in seals {
                reseal(&mut all, seal, &todays_key(sample));
                all = rechain(&all, seal);
            }
            (one(all.concat()), vec![A::Resealed])
        }
    }
}

fn is_seal(line: &[u8]) -> bool {
    String::from_utf8_lossy(line).contains("\"event_type\":\"log.sealed\"")
}

fn todays_key(sample: &Sample) -> SigningKey {
    let disk = sample.disk.disk.lock().unwrap();
    let (_, name) = disk.files.keys().find(|(place, _)| *place == 1).unwrap();
    let text = disk.content(pulse_audit::Place::State, name).unwrap();
    let text = String::from_utf8(text).unwrap();
    let seed = text.trim().rsplit(' ').next().unwrap();
    let seed = base64::Engine::decode(&base64::engine::general_purpose::STANDARD, seed).unwrap();
    SigningKey::from_bytes(&seed.try_into().unwrap())
}

#[test]
fn ten_thousand_random_mutations_are_found_and_named() {
    let (sample, other) = (sample(3, 2, 2, "ours"), sample(3, 2, 2, "theirs"));
    let options = known(&sample);
    let mut dice = Dice(7);
    let (mut misnamed, mut example) = (0, String::new());
    for round in 0..10_000 {
        let kind = round % 11;
        let (files, names) = mutate(&mut dice, kind, &sample, &other);
        if files.len() > 1 && files == sample.files {
            continue;
        }
        let report = check(&files, &options);
        assert_eq!(
            report.verdict,
            Verdict::Broken,
            "kind {kind}, round {round}"
        );
        if !names.contains(&attack(&report)) {
            misnamed += 1;
            example = format!("kind {kind}, round {round}: {:?}", report.findings[0]);
            eprintln!("{example}");
        }
    }
    assert_eq!(misnamed, 0, "{example}");
}

#[test]
fn root_with_todays_key_fails_against_yesterdays_log() {
    let sample = sample(1, 4, 5, "victim");
    let options = pinned(sample.key);
    let honest = lines(&join(&sample.files));
    let today = todays_key(&sample);
    // Erase one of yesterday's records, and do everything that the key allows.
    let mut forged = honest.clone();
    forged.remove(2);
    let mut forged = rechain(&forged, 2);
    for seal in (0..forged.len())
        .filter(|at| is_seal(&forged[*at]))
        .collect::<Vec<_>>()
    {
        reseal(&mut forged, seal, &today);
        forged = rechain(&forged, seal);
    }
    let report = check(&one(forged.concat()), &options);
    assert_eq!(attack(&report), Attack::Resealed);
    assert_eq!(report.findings[0].record, 1);

    // Or name today's key in the seals as well, from the first record on.
    let theirs = base64::Engine::encode(
        &base64::engine::general_purpose::STANDARD,
        today.verifying_key().to_bytes(),
    );
    let mut renamed = Vec::new();
    for line in &forged {
        let mut line = String::from_utf8(line.clone()).unwrap();
        for name in ["key", "next_key"] {
            if line.contains(&format!("\"{name}\":")) {
                let old = value(&line, name).to_owned();
                line = line.replace(&old, &theirs);
            }
        }
        renamed.push(line.into_bytes());
    }
    let mut renamed = rechain(&renamed, 0);
    for seal in (0..renamed.len())
        .filter(|at| is_seal(&renamed[*at]))
        .collect::<Vec<_>>()
    {
        reseal(&mut renamed, seal, &today);
        renamed = rechain(&renamed, seal);
    }
    assert_eq!(
        attack(&check(&one(renamed.concat()), &options)),
        Attack::WrongKey
    );
    let unpinned = check(&one(renamed.concat()), &Options::default());
    assert_eq!(
        unpinned.verdict,
        Verdict::Unproven,
        "without the key nobody can tell"
    );

    // Or leave the seals out.
    let unsealed: Vec<_> = honest
        .iter()
        .filter(|line| !is_seal(line))
        .cloned()
        .collect();
    let mut strict = options.clone();
    strict.max_unsealed = std::time::Duration::from_secs(10);
    assert_eq!(
        attack(&check(&one(rechain(&unsealed, 0).concat()), &strict)),
        Attack::Unsealed
    );
}

#[test]
fn a_log_put_back_to_an_older_epoch_is_known_by_the_state() {
    let sample = sample(1, 4, 3, "x");
    let all = lines(&join(&sample.files));
    let cut = (0..all.len())
        .filter(|at| is_seal(&all[*at]))
        .nth(1)
        .unwrap()
        + 1;
    let mut options = pinned(sample.key);
    assert_eq!(
        check(&one(all[..cut].concat()), &options).verdict,
        Verdict::Intact
    );
    options.expected_epoch = Some(4);
    assert_eq!(
        attack(&check(&one(all[..cut].concat()), &options)),
        Attack::RolledBack
    );
}

#[test]
fn a_part_of_a_log_proves_less_and_says_so() {
    let sample = sample(3, 2, 2, "x");
    let part = sample.files[1..].to_vec();
    assert_eq!(attack(&check(&part, &pinned(sample.key))), Attack::Deleted);
    let options = Options {
        partial: true,
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
    let mut open = |is_second: bool| Ok(common::sources(if is_second { &second } else { &first }));
    pulse_audit::verify::verify_against(&mut open, options, &mut |_| ()).unwrap()
}

#[test]
fn two_copies_show_a_fork_and_a_rollback() {
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
