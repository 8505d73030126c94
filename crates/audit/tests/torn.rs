//! A write of several records that a crash tore in a file that cannot be cut (`chattr +a`): later
//! records of it may be complete, and are torn bytes all the same.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

mod common;

use common::{Sample, at, attack, body, check, join, lines, one, pinned, sample, settings};
use pulse_audit::show::{Filter, Follower};
use pulse_audit::verify::{Attack, NoteKind, Options, Since, Start, Verdict, verify_against};
use pulse_audit::{LIVE, Log};

/// The state in which a crash left the first of four records of one write.
const LOSSES: [fn(&mut Vec<u8>); 4] = [
    |line| line.clear(),
    |line| line.fill(0),
    |line| line[..100].fill(0),
    // It still has the syntax of a record, but not the hashed bytes.
    |line| line[40] = if line[40] == b'1' { b'2' } else { b'1' },
];

struct Torn {
    log: Sample,
    /// The last record before the write.
    before: u64,
    last: u64,
}

fn torn(loss: fn(&mut Vec<u8>)) -> Torn {
    let log = sample(1, 1, 2, "torn");
    log.disk.disk.lock().unwrap().append_only = true;
    let mut writer = Log::open(log.disk.clone(), settings(), at(9)).unwrap();
    let before = writer.head().seq;
    let bodies = ["a", "b", "c", "d"].map(body);
    writer.append(at(10), &bodies).unwrap();
    drop(writer);
    lose(&log, usize::try_from(before).unwrap(), loss);
    let mut writer = Log::open(log.disk.clone(), settings(), at(11)).unwrap();
    for second in 12..16 {
        common::write(&mut writer, second, "after");
    }
    writer.seal(at(17)).unwrap();
    let last = writer.head().seq;
    let files = log.disk.disk.lock().unwrap().log();
    let log = Sample { files, ..log };
    Torn { log, before, last }
}

fn lose(log: &Sample, line: usize, loss: fn(&mut Vec<u8>)) {
    let mut disk = log.disk.disk.lock().unwrap();
    let number = disk.files[&(0, LIVE.to_owned())];
    let file = disk.inodes.get_mut(&number).unwrap();
    let mut all = lines(&file.seen);
    loss(&mut all[line]);
    file.seen = all.concat();
    file.safe = file.seen.len();
}

#[test]
fn torn_records_are_torn_bytes() {
    for (number, loss) in LOSSES.into_iter().enumerate() {
        let Torn { log, before, last } = torn(loss);
        let report = check(&log.files, &pinned(log.key));
        let what = format!("loss {number}: {:?}", report.findings);
        assert_eq!(report.verdict, Verdict::Intact, "{what}");
        assert_eq!((report.last_seq, report.records), (last, last), "{what}");
        assert_eq!(report.bytes, join(&log.files).len() as u64);
        let note = &report.notes[0];
        assert_eq!((note.kind, note.record), (NoteKind::TornWrite, before + 1));
    }
}

#[test]
fn only_the_torn_bytes_are_excused() {
    let Torn { log, before, .. } = torn(LOSSES[0]);
    let all = lines(&join(&log.files));
    let place = usize::try_from(before).unwrap();
    let follower = |line: &Vec<u8>| String::from_utf8_lossy(line).contains("log.recovered");
    let end = all.iter().position(follower).unwrap();
    assert!(end > place + 2);
    let mut cases = Vec::new();
    for at in place..end {
        for bit in 0..all[at].len() * 8 {
            let mut changed = all.clone();
            changed[at][bit / 8] ^= 1 << (bit % 8);
            cases.push(changed);
        }
        let [mut without, mut twice, mut swapped] = [(); 3].map(|()| all.clone());
        without.remove(at);
        twice.insert(at, all[at].clone());
        swapped.swap(at, at + 1);
        cases.extend([without, twice, swapped]);
    }
    for case in cases {
        let report = check(&one(case.concat()), &pinned(log.key));
        assert_eq!(report.verdict, Verdict::Broken, "{:?}", report.notes);
        assert!(report.findings[0].record > before);
    }
    let mut unaccounted = all.clone();
    unaccounted.remove(end);
    let report = check(&one(unaccounted.concat()), &pinned(log.key));
    assert_eq!(report.verdict, Verdict::Broken);
}

#[test]
fn any_start_in_a_log_with_torn_bytes() {
    for loss in LOSSES {
        let Torn { log, last, .. } = torn(loss);
        for seq in 3..=last + 1 {
            let options = Options {
                start: Start::Since(Since::Seq(seq)),
                ..pinned(log.key)
            };
            let report = check(&log.files, &options);
            let what = format!("since {seq}: {:?}", report.findings);
            assert_eq!(report.verdict, Verdict::Unproven, "{what}");
            assert_eq!(report.first_seq, seq - 1, "{what}");
            assert_eq!(report.last_seq, last, "{what}");
        }
    }
}

#[test]
fn torn_bytes_are_no_fork() {
    for loss in LOSSES {
        let Torn { log, before, last } = torn(loss);
        let place = usize::try_from(before).unwrap();
        let all = lines(&join(&log.files));
        let goes_on = |line: &Vec<u8>| String::from_utf8_lossy(line).contains("log.recovered");
        let end = all.iter().position(goes_on).unwrap();
        // The collector has the records, some of them repeated, and no torn bytes.
        let mut collected = [&all[..place], &all[end..]].concat();
        collected.insert(3, collected[2].clone());
        let mut open = |is_second| {
            let copy = one(collected.concat());
            Ok(common::sources(if is_second { &copy } else { &log.files }).into())
        };
        let (first, second) = verify_against(&mut open, &pinned(log.key), &mut |_| ()).unwrap();
        for report in [first, second] {
            assert_eq!(report.verdict, Verdict::Intact, "{:?}", report.findings);
            assert_eq!(report.last_seq, last);
        }
    }
}

#[test]
fn following_passes_torn_bytes() {
    for loss in LOSSES {
        let Torn { log, before, last } = torn(loss);
        let home = tempfile::tempdir().unwrap();
        for (name, content) in &log.files {
            std::fs::write(home.path().join(name), content).unwrap();
        }
        for after in [0, before, before + 2] {
            let mut follower = Follower::new(home.path(), after, Filter::default());
            let shown = std::iter::from_fn(|| follower.next_shown().unwrap());
            let good: Vec<u64> = shown
                .filter(|shown| shown.is_whole)
                .map(|it| it.seq)
                .collect();
            let wanted: Vec<u64> = (after + 1..=last).collect();
            assert!(good.ends_with(&wanted[wanted.len() - 4..]), "{good:?}");
            assert!(
                wanted.iter().all(|seq| good.contains(seq)),
                "{after}: {good:?}"
            );
        }
    }
}

#[test]
fn unended_bytes_are_not_excused() {
    // According to the format, a newline ends torn bytes.
    let rubbish = vec![0; 4096];
    for ending in [&b""[..], b"\n"] {
        let log = sample(1, 1, 2, "x");
        {
            let mut disk = log.disk.disk.lock().unwrap();
            disk.append_only = true;
            let number = disk.files[&(0, LIVE.to_owned())];
            let file = disk.inodes.get_mut(&number).unwrap();
            file.seen.extend_from_slice(&rubbish);
        }
        Log::open(log.disk.clone(), settings(), at(9))
            .unwrap()
            .seal(at(10))
            .unwrap();
        let content = join(&log.disk.disk.lock().unwrap().log());
        let start = content
            .windows(8)
            .position(|bytes| bytes == [0; 8])
            .unwrap();
        let (before, after) = content.split_at(start + rubbish.len());
        let changed = [before, ending, &after[1..]].concat();
        let report = check(&one(changed), &pinned(log.key));
        match ending {
            b"" => assert_eq!(attack(&report), Attack::Inserted),
            _ => assert_eq!(report.verdict, Verdict::Intact),
        }
    }
}
