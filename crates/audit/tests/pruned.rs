//! Verification of a log whose beginning was removed, by retention or by somebody who claims
//! that it was.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

mod common;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use common::forger::{hash_of, public, todays_key_on, value};
use common::simulated::Simulated;
use common::{
    at, at_most, attack, check_pruned, is_seal, join, lines, one, pinned, prune, settings, write,
};
use ed25519_dalek::{Signer, SigningKey};
use pulse_audit::verify::{
    Attack, LogFiles, NoteKind, Options, Report, Seals, Since, Start, Verdict, verify,
};
use pulse_audit::{Dir, Head, Log, PublicKey, SEALS};
use pulse_core::audit_log::retention::Limits;
use std::time::Duration;

/// A pruned log, and what was removed from it.
struct Pruned {
    files: Vec<(String, Vec<u8>)>,
    seals: Vec<u8>,
    removed: Vec<(String, Vec<u8>)>,
    key: PublicKey,
    disk: Simulated,
    log: Log<Simulated>,
}

/// Five segments of an hour with two seals each; two are removed, and then a third.
fn pruned() -> Pruned {
    let disk = Simulated::default();
    let mut log = Log::open(disk.clone(), settings(), at(0)).unwrap();
    let key = log.public_key();
    for hour in 0..5 {
        for record in 0..6 {
            let second = hour * 3600 + record * 5;
            write(&mut log, second, &format!("{hour}-{record}"));
            if record % 3 == 2 {
                log.seal(at(second)).unwrap();
            }
        }
        log.rotate(at(hour * 3600 + 40)).unwrap();
    }
    log.seal(at(5 * 3600)).unwrap();
    let all = disk.disk.lock().unwrap().log();
    let now = 5 * 3600 + 1;
    for hours in [3, 2] {
        let limits = Limits {
            age: Some(Duration::from_secs(hours * 3600 + 1800)),
            ..Limits::default()
        };
        prune(&mut log, now, &limits, &[]).unwrap();
    }
    write(&mut log, now, "last");
    log.seal(at(now)).unwrap();
    let (files, seals) = {
        let disk = disk.disk.lock().unwrap();
        (disk.log(), disk.content(Dir::Log, SEALS).unwrap())
    };
    let removed = all.len() - files.len();
    assert_eq!(removed, 3);
    Pruned {
        files,
        seals,
        removed: all[..removed].to_vec(),
        key,
        disk,
        log,
    }
}

impl Pruned {
    fn check(&self, options: &Options) -> Report {
        check_pruned(&self.files, Some(self.seals.clone()), options)
    }

    fn with_seals(&self, seals: &[Vec<u8>]) -> Report {
        check_pruned(&self.files, Some(seals.concat()), &pinned(self.key))
    }

    /// The first record that is left.
    fn first(&self) -> u64 {
        self.check(&pinned(self.key)).first_seq
    }
}

#[test]
fn a_pruned_log_is_intact() {
    let log = pruned();
    let report = log.check(&pinned(log.key));
    assert_eq!(report.verdict, Verdict::Intact, "{report:#?}");
    let first = value(std::str::from_utf8(&log.files[0].1).unwrap(), "seq");
    assert_eq!(report.first_seq.to_string(), first);
    assert_eq!(report.pruned_through, report.first_seq - 1);
    let note = report
        .notes
        .iter()
        .find(|note| note.kind == NoteKind::Pruned);
    let note = note.unwrap();
    assert_eq!(note.record, report.first_seq);
    let removed = format!(
        "records 1 to {} were removed by retention",
        report.first_seq - 1
    );
    assert!(note.detail.starts_with(&removed), "{note:?}");
    // With the removed segments, which were kept elsewhere, it is one log.
    let whole = [&log.removed[..], &log.files].concat();
    let report = check_pruned(&whole, Some(log.seals.clone()), &pinned(log.key));
    assert_eq!(
        (report.verdict, report.pruned_through),
        (Verdict::Intact, 0)
    );
    // With some of them it begins there.
    let more = [&log.removed[1..], &log.files].concat();
    let report = check_pruned(&more, Some(log.seals.clone()), &pinned(log.key));
    assert_eq!(report.verdict, Verdict::Intact, "{report:#?}");
    assert_eq!(report.records, report.last_seq - report.pruned_through);
}

#[test]
fn seals_and_key_prove_the_first_key() {
    let log = pruned();
    let report = log.check(&Options::default());
    assert_eq!(report.verdict, Verdict::Unproven);
    assert_eq!(report.key, Some(log.key.to_string()), "the first one's");
    // The files are given without the seals.
    let report = common::check(&log.files, &pinned(log.key));
    assert_eq!(report.verdict, Verdict::Unproven, "{report:#?}");
    assert_eq!(report.pruned_through, report.first_seq - 1);
    // A directory without them.
    let report = check_pruned(&log.files, None, &pinned(log.key));
    assert_eq!(attack(&report), Attack::Deleted);
    assert_eq!(report.findings[0].source, SEALS);
}

#[test]
fn changes_of_kept_seals_are_named() {
    let log = pruned();
    let seals = lines(&log.seals);
    let last = seals.len() - 1;
    let other = pruned();
    let foreign = lines(&other.seals);
    for at in 0..seals.len() {
        let mut case = seals.clone();
        case.remove(at);
        let report = log.with_seals(&case);
        assert_eq!(attack(&report), Attack::Deleted, "{at}: {report:#?}");
        let mut case = seals.clone();
        case[at][30] ^= 1;
        let report = log.with_seals(&case);
        assert_eq!(attack(&report), Attack::Edited, "{at}");
        assert_eq!(
            (&*report.findings[0].source, report.findings[0].line),
            (SEALS, at as u64 + 1)
        );
        let mut case = seals.clone();
        case.insert(at, seals[at].clone());
        // The last one again is of a record that the log does not have.
        let wanted = match at {
            it if it == last => Attack::Forked,
            _ => Attack::Duplicated,
        };
        assert_eq!(attack(&log.with_seals(&case)), wanted, "{at}");
        let mut case = seals.clone();
        case[at] = foreign[at].clone();
        let wanted = match at {
            0 => Attack::WrongKey,
            _ => Attack::Resealed,
        };
        assert_eq!(attack(&log.with_seals(&case)), wanted, "{at}");
        if at > 0 {
            let mut case = seals.clone();
            case.swap(at - 1, at);
            assert_eq!(attack(&log.with_seals(&case)), Attack::Reordered, "{at}");
        }
    }
    let report = log.with_seals(&foreign);
    assert_eq!(attack(&report), Attack::WrongKey);
    let report = log.with_seals(&[]);
    assert_eq!(attack(&report), Attack::Deleted);
}

#[test]
fn any_changed_byte_is_found() {
    let disk = Simulated::default();
    let mut log = Log::open(disk.clone(), settings(), at(0)).unwrap();
    let key = log.public_key();
    write(&mut log, 1, "x");
    log.rotate(at(2)).unwrap();
    log.seal(at(3)).unwrap();
    prune(&mut log, 4, &at_most(1), &[]).unwrap();
    let (content, seals) = {
        let disk = disk.disk.lock().unwrap();
        (join(&disk.log()), disk.content(Dir::Log, SEALS).unwrap())
    };
    let is_intact = |content: &[u8], seals: &[u8]| {
        let report = check_pruned(&one(content.to_vec()), Some(seals.to_vec()), &pinned(key));
        report.verdict == Verdict::Intact
    };
    assert!(is_intact(&content, &seals));
    for byte in 0..content.len() {
        let mut changed = content.clone();
        changed[byte] ^= 1 << (byte % 8);
        assert!(!is_intact(&changed, &seals), "byte {byte}");
    }
    for bit in 0..seals.len() * 8 {
        let mut changed = seals.clone();
        changed[bit / 8] ^= 1 << (bit % 8);
        assert!(!is_intact(&content, &changed), "bit {bit} of the seals");
    }
}

#[test]
fn unrecorded_removal_is_deletion() {
    let log = pruned();
    let options = pinned(log.key);
    // More segments are removed, from the beginning and from the middle.
    for (from, to) in [(0, 1), (0, 2), (1, 2)] {
        let mut files = log.files.clone();
        files.drain(from..to);
        let report = check_pruned(&files, Some(log.seals.clone()), &options);
        assert_eq!(attack(&report), Attack::Deleted, "{from} {to}: {report:#?}");
        let record = match from {
            0 => 1,
            _ => log.first() + 1,
        };
        assert!(report.findings[0].record <= record + 20);
    }
    // Whole segments of a log without retention.
    let sample = common::sample(3, 1, 2, "a");
    let report = check_pruned(&sample.files[1..], None, &pinned(sample.key));
    assert_eq!(attack(&report), Attack::Deleted);
    assert_eq!(report.findings[0].record, 1);
}

/// Removes the next segment, keeps its seals, and adds a record with this body: sealed with
/// today's key, if there is one.
fn taken_away(log: &Pruned, change: impl Fn(&str) -> String, key: Option<&SigningKey>) -> Report {
    let mut files = log.files.clone();
    let gone = lines(&files.remove(0).1);
    let mut seals = lines(&log.seals);
    seals.extend(gone.iter().filter(|line| is_seal(line)).cloned());
    let last = String::from_utf8(gone[gone.len() - 1].clone()).unwrap();
    let live = &mut files.last_mut().unwrap().1;
    let end = String::from_utf8(lines(live).pop().unwrap()).unwrap();
    let body = format!(
        r#""event_type":"log.pruned","first_seq":{},"last_seq":{},"last_hash":"{}","epoch":{},"reason":"age""#,
        log.first(),
        value(&last, "seq"),
        value(&last, "event_hash"),
        seals.len()
    );
    let record = after(&end, &change(&body), None);
    live.extend_from_slice(record.as_bytes());
    if let Some(key) = key {
        let epoch: u64 = value(&end, "epoch").parse().unwrap();
        let public = public(key);
        let body = format!(
            r#""event_type":"log.sealed","epoch":{},"key":"{public}","next_key":"{public}""#,
            epoch + 1
        );
        live.extend_from_slice(after(&record, &body, Some(key)).as_bytes());
    }
    check_pruned(&files, Some(seals.concat()), &pinned(log.key))
}

/// A record after another one.
fn after(line: &str, body: &str, key: Option<&SigningKey>) -> String {
    let seq = value(line, "seq").parse::<u64>().unwrap() + 1;
    let (ts, prev) = (value(line, "ts"), value(line, "event_hash"));
    let mut line = format!("{{\"seq\":{seq},\"ts\":\"{ts}\",{body},\"prev_hash\":\"{prev}\"");
    if let Some(key) = key {
        let signature = STANDARD.encode(key.sign(line.as_bytes()).to_bytes());
        line = format!("{line},\"signature\":\"{signature}\"");
    }
    let hash = hash_of(&line);
    format!("{line},\"event_hash\":\"{hash}\"}}\n")
}

#[test]
fn an_unsealed_removal_is_deletion() {
    // Written by somebody who can write the file and has no key.
    let report = taken_away(&pruned(), str::to_owned, None);
    assert_eq!(attack(&report), Attack::Deleted, "{report:#?}");
}

#[test]
fn another_removal_excuses_nothing() {
    let log = pruned();
    let key = todays_key_on(&log.disk);
    let report = taken_away(&log, str::to_owned, Some(&key));
    assert_eq!(report.verdict, Verdict::Intact, "{report:#?}");
    for (member, other) in [
        ("last_hash", "f".repeat(64)),
        ("epoch", "1".to_owned()),
        ("first_seq", "1".to_owned()),
        ("last_seq", log.first().to_string()),
        ("reason", "boredom".to_owned()),
    ] {
        let change = |body: &str| body.replacen(value(body, member), &other, 1);
        let report = taken_away(&log, change, Some(&key));
        match member {
            // A removal that begins too early covers nothing more.
            "first_seq" => assert_eq!(report.verdict, Verdict::Intact, "{report:#?}"),
            _ => assert_eq!(attack(&report), Attack::Deleted, "{member}: {report:#?}"),
        }
    }
}

#[test]
fn early_removal_with_todays_key() {
    // Root of the host, with the key of the running daemon.
    let mut log = pruned();
    let known = log.check(&pinned(log.key));
    let before = log.files.clone();
    prune(&mut log.log, 5 * 3600 + 5, &at_most(1), &[]).unwrap();
    write(&mut log.log, 5 * 3600 + 6, "x");
    log.log.seal(at(5 * 3600 + 6)).unwrap();
    let (files, seals) = {
        let disk = log.disk.disk.lock().unwrap();
        (disk.log(), disk.content(Dir::Log, SEALS).unwrap())
    };
    let check = |options: &Options| check_pruned(&files, Some(seals.clone()), options);
    assert_eq!(check(&pinned(log.key)).verdict, Verdict::Intact);
    let limited = Options {
        retention: Some(Limits {
            age: Some(Duration::from_secs(3 * 3600)),
            bytes: Some(100_000_000),
            unacknowledged: false,
        }),
        ..pinned(log.key)
    };
    let report = check(&limited);
    assert_eq!(attack(&report), Attack::PrunedEarly, "{report:#?}");
    let mut details = report.findings.iter().map(|found| found.detail.as_str());
    assert!(details.any(|detail| detail.contains("retain_bytes is 100000000")));
    // A head of a record that should still be there.
    let noted = Options {
        heads: vec![Head::from_parts(log.first(), &"a".repeat(64)).unwrap()],
        ..pinned(log.key)
    };
    let report = check(&noted);
    assert_eq!(report.verdict, Verdict::Unproven, "{report:#?}");
    let mut notes = report.notes.iter().map(|note| note.detail.as_str());
    assert!(notes.any(|detail| detail.contains("was removed: keep a later one")));
    // A copy with the removed records shows them, and does not contradict.
    let mut open = |is_second: bool| {
        let files = common::sources(if is_second { &before } else { &files });
        let seals = pulse_audit::verify::Source::reader(SEALS, std::io::Cursor::new(seals.clone()));
        Ok(LogFiles {
            seals: Seals::Here(seals),
            files,
        })
    };
    let (first, second) =
        pulse_audit::verify::verify_against(&mut open, &pinned(log.key), &mut |_| ()).unwrap();
    assert_eq!(first.verdict, Verdict::Intact, "{first:#?}");
    assert_eq!(second.last_seq, known.last_seq);
}

#[test]
fn removals_are_held_to_limits() {
    let log = pruned();
    let hours = |count: u64| Some(Duration::from_secs(count * 3600 + 1800));
    let with = |age, bytes| {
        let limits = Limits {
            age,
            bytes,
            unacknowledged: false,
        };
        log.check(&Options {
            retention: Some(limits),
            ..pinned(log.key)
        })
    };
    // They were removed by an age of three and a half hours, then of two and a half.
    assert_eq!(with(hours(2), None).verdict, Verdict::Intact);
    assert_eq!(with(hours(2), Some(1)).verdict, Verdict::Intact);
    for report in [with(hours(3), None), with(hours(9), None)] {
        assert_eq!(attack(&report), Attack::PrunedEarly, "{report:#?}");
        assert!(report.findings[0].detail.contains("their last seal is of"));
    }
    let report = with(None, Some(1));
    assert_eq!(attack(&report), Attack::PrunedEarly);
    assert!(report.findings[0].detail.contains("retain_days is not set"));
    assert_eq!(attack(&with(None, None)), Attack::PrunedEarly);
}

#[test]
fn a_kept_seal_shows_a_rollback() {
    let log = pruned();
    let first = &log.removed[..1];
    let report = check_pruned(first, Some(log.seals.clone()), &pinned(log.key));
    assert_eq!(attack(&report), Attack::RolledBack, "{report:#?}");
}

#[test]
fn an_interrupted_removal_is_fine() {
    let log = pruned();
    // Its seals were kept, and the segment is still there; then half of a seal, and garbage.
    let more = [&log.removed[2..], &log.files].concat();
    let whole = lines(&log.seals).len();
    for kept in whole - 3..=whole {
        for torn in [&b""[..], b"{\"seq\":1", b"rubbish\n\0\n{"] {
            let seals = [&lines(&log.seals)[..kept].concat(), torn].concat();
            let report = check_pruned(&more, Some(seals), &pinned(log.key));
            assert_eq!(report.verdict, Verdict::Intact, "{kept}: {report:#?}");
        }
    }
    let report = check_pruned(
        &more,
        Some(lines(&log.seals)[..whole - 4].concat()),
        &pinned(log.key),
    );
    assert_eq!(attack(&report), Attack::Deleted);
}

#[test]
fn a_part_of_a_pruned_log() {
    let log = pruned();
    let options = |since| Options {
        start: Start::Since(Since::Seq(since)),
        ..pinned(log.key)
    };
    for since in 1..=log.first() + 30 {
        let report = log.check(&options(since));
        assert_eq!(report.verdict, Verdict::Unproven, "{since}: {report:#?}");
    }
    let part = Options {
        start: Start::AnyRecord,
        ..pinned(log.key)
    };
    let report = log.check(&part);
    assert_eq!(report.verdict, Verdict::Unproven, "{report:#?}");
}

#[test]
fn an_edit_in_a_pruned_log() {
    let log = pruned();
    let content = join(&log.files);
    let count = lines(&content).len();
    for at in 1..count {
        let mut changed = lines(&content);
        changed[at][30] ^= 1;
        let report = check_pruned(
            &one(changed.concat()),
            Some(log.seals.clone()),
            &pinned(log.key),
        );
        let named: Vec<Attack> = report.findings.iter().map(|found| found.attack).collect();
        let text = String::from_utf8_lossy(&lines(&content)[at]).into_owned();
        if text.contains("log.pruned") {
            // Then no record says that the rest was removed.
            assert!(named.contains(&Attack::Edited), "{at}: {named:?}");
        } else {
            assert_eq!(named, [Attack::Edited], "{at}: {report:#?}");
        }
    }
}

#[test]
fn older_records_are_not_expected() {
    let log = pruned();
    let known = |seq| Options {
        heads: vec![Head::from_parts(seq, &"a".repeat(64)).unwrap()],
        ..pinned(log.key)
    };
    // Another hash is found where there is one to compare.
    let report = log.check(&known(5));
    assert_eq!(report.verdict, Verdict::Unproven, "{report:#?}");
    let says = |words: &str| report.notes.iter().any(|note| note.detail.contains(words));
    assert!(says("was removed: keep a later one"), "{report:#?}");
    assert_eq!(attack(&log.check(&known(log.first()))), Attack::Forked);
}

#[test]
fn earlier_logs_still_verify() {
    let log = include_bytes!("data/before-retention.log");
    let files = one(log.to_vec());
    let options = pinned(
        include_str!("data/before-retention.key")
            .trim()
            .parse()
            .unwrap(),
    );
    for seals in [None, Some(Vec::new())] {
        let report = check_pruned(&files, seals, &options);
        assert_eq!(report.verdict, Verdict::Intact, "{report:#?}");
        assert_eq!((report.first_seq, report.pruned_through), (1, 0));
    }
    let sources = common::sources(&files);
    let report = verify(sources, &options, &mut |_| ()).unwrap();
    assert_eq!(report.verdict, Verdict::Intact);
}
