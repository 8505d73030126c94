//! A collector's file: records that are late, repeated, with headers, or missing.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

mod common;

use common::forger::rechain;
use common::{attack, join, lines, pinned, sample, sources};
use pulse_audit::PublicKey;
use pulse_audit::verify::{
    Attack, Collected, Collection, Missing, NoteKind, Report, Source, Verdict, verify_collected,
};
use std::io::{Seek, Write};

const RFC_5424: &str = "<110>1 2026-11-21T10:00:03.123456Z host1 pulse-sensor-proxy 7 audit - ";
const RFC_3164: &str = "Nov 21 10:00:03 host1 pulse-sensor-proxy[7]: ";

/// A log's lines, and its key.
fn log() -> (Vec<Vec<u8>>, PublicKey) {
    let sample = sample(2, 3, 4, "x");
    (lines(&join(&sample.files)), sample.key)
}

fn file(content: &[u8]) -> Source {
    let mut file = tempfile::tempfile().unwrap();
    file.write_all(content).unwrap();
    file.rewind().unwrap();
    Source::file("collected", file)
}

fn examine(
    content: &[u8],
    key: PublicKey,
    collection: &Collection,
    log: Option<&[Vec<u8>]>,
) -> (Report, Collected) {
    let live = log.map(|log| vec![("log".to_owned(), log.concat())]);
    let mut open = || Ok(sources(live.as_ref().unwrap()).into());
    let open: Option<&mut dyn FnMut() -> _> = match live {
        Some(_) => Some(&mut open),
        None => None,
    };
    let file = vec![file(content)];
    let (report, collected, second) =
        verify_collected(file, collection, open, &pinned(key), &mut |_| ()).unwrap();
    assert_eq!(second.is_some(), log.is_some());
    (report, collected)
}

fn alone(content: &[u8], key: PublicKey) -> (Report, Collected) {
    examine(content, key, &Collection::default(), None)
}

fn headed(header: &str, line: &[u8]) -> Vec<u8> {
    [header.as_bytes(), line].concat()
}

fn notes(report: &Report) -> Vec<NoteKind> {
    report.notes.iter().map(|note| note.kind).collect()
}

/// Checks that every record is there and complete.
#[track_caller]
fn assert_complete(report: &Report, collected: &Collected, records: usize) {
    assert_eq!(report.verdict, Verdict::Intact, "{:?}", report.findings);
    assert_eq!(report.records, records as u64);
    assert_eq!(
        (&collected.missing[..], collected.replay_from),
        (&[][..], None)
    );
}

#[test]
fn headers_and_others_are_skipped() {
    let (log, key) = log();
    for header in ["", " ", RFC_5424, RFC_3164] {
        let mut content = b"Nov 21 10:00:00 host2 sshd[1]: {\"seq\":\"no\"}\n".to_vec();
        for line in &log {
            content.extend(headed(header, line));
            content.extend_from_slice(b"Nov 21 10:00:03 host2 cron: x\n");
        }
        let (report, collected) = alone(&content, key);
        assert_complete(&report, &collected, log.len());
        assert_eq!(collected.others, log.len() as u64 + 1);
        assert_eq!(report.bytes, content.len() as u64);
    }
}

#[test]
fn repetitions_are_no_finding() {
    let (log, key) = log();
    let late = [&log[..5], &log[9..], &log[3..12], &log[..2]].concat();
    let (report, collected) = alone(&late.concat(), key);
    assert_complete(&report, &collected, log.len());
    assert_eq!(collected.duplicates, 2 + 3 + 2);
    let backwards: Vec<Vec<u8>> = log.iter().rev().cloned().collect();
    let (report, collected) = alone(&backwards.concat(), key);
    assert_complete(&report, &collected, log.len());
}

#[test]
fn every_gap_is_named() {
    let (log, key) = log();
    let content = [&log[..4], &log[6..10], &log[11..]].concat();
    let (report, collected) = alone(&content.concat(), key);
    let gaps = [Missing { from: 5, to: 6 }, Missing { from: 11, to: 11 }];
    assert_eq!(
        (&collected.missing[..], collected.replay_from),
        (&gaps[..], Some(5))
    );
    let found: Vec<_> = report
        .findings
        .iter()
        .map(|f| (f.attack, f.record))
        .collect();
    assert_eq!(found, [(Attack::Deleted, 5), (Attack::Deleted, 11)]);
    assert_eq!(report.findings[0].line, 5, "the line after the gap");
    let replayed = [content.concat(), log[4..].concat()].concat();
    let (report, collected) = alone(&replayed, key);
    assert_complete(&report, &collected, log.len());
}

#[test]
fn an_edit_does_not_hide_a_gap() {
    let (log, key) = log();
    let mut edited = log.clone();
    let text = String::from_utf8(log[3].clone()).unwrap();
    edited[3] = text.replacen("allowed", "refused", 1).into_bytes();
    assert_ne!(edited[3], log[3]);
    edited.remove(8);
    let (report, collected) = alone(&edited.concat(), key);
    let found: Vec<_> = report
        .findings
        .iter()
        .map(|f| (f.attack, f.record, f.line))
        .collect();
    assert_eq!(found, [(Attack::Edited, 4, 4), (Attack::Deleted, 9, 9)]);
    assert_eq!(collected.replay_from, Some(4));
    // The replayed copy does not make the edited one a repetition.
    let (report, collected) = alone(&[edited.concat(), log[3..].concat()].concat(), key);
    assert_eq!(
        (attack(&report), report.findings.len()),
        (Attack::Edited, 1)
    );
    assert_eq!(collected.replay_from, None);
}

#[test]
fn two_records_of_a_number_fork() {
    let (log, key) = log();
    let text = String::from_utf8(log[3].clone()).unwrap();
    let mut forged = log[..4].to_vec();
    forged[3] = text.replacen("allowed", "refused", 1).into_bytes();
    let forged = rechain(&forged, 3);
    let (report, collected) = alone(&[log.concat(), forged[3].clone()].concat(), key);
    assert_eq!(attack(&report), Attack::Forked);
    assert_eq!((report.findings[0].record, collected.duplicates), (4, 0));
    // In its place instead of beside it: the next record does not follow.
    let replaced = [&log[..3], &forged[3..], &log[4..]].concat();
    let (report, _) = alone(&replaced.concat(), key);
    assert_eq!(
        (attack(&report), report.findings[0].record),
        (Attack::Edited, 4)
    );
}

#[test]
fn resent_torn_lines_are_no_finding() {
    let (log, key) = log();
    let half = headed(RFC_3164, &log[5][..200]);
    let again: Vec<u8> = log[5..]
        .iter()
        .flat_map(|line| headed(RFC_3164, line))
        .collect();
    for between in [&b""[..], b"\n"] {
        let content = [&log[..5].concat()[..], &half, between, &again].concat();
        let (report, collected) = alone(&content, key);
        assert_complete(&report, &collected, log.len());
        assert_eq!(collected.torn, 1);
    }
    // The last line, that is being written.
    let (report, collected) = alone(&[log[..5].concat(), half].concat(), key);
    assert_eq!((report.verdict, report.records), (Verdict::Intact, 5));
    assert_eq!(collected.torn, 1);
}

#[test]
fn a_file_may_begin_in_the_middle() {
    let (log, key) = log();
    let (report, collected) = alone(&log[7..].concat(), key);
    assert_eq!(report.verdict, Verdict::Unproven, "{:?}", report.findings);
    assert!(notes(&report).contains(&NoteKind::Partial));
    assert_eq!((report.first_seq, collected.replay_from), (8, None));
}

#[test]
fn a_cut_end_differs_from_unsent() {
    let (log, key) = log();
    let short = log[..log.len() - 3].concat();
    let last = log.len() as u64 - 3;
    let end = |acknowledged| {
        let collection = Collection {
            acknowledged,
            ..Collection::default()
        };
        examine(&short, key, &collection, Some(&log))
    };
    let (report, collected) = end(Some(last));
    assert_eq!(report.verdict, Verdict::Intact, "{:?}", report.findings);
    assert!(notes(&report).contains(&NoteKind::Behind));
    let (from, to) = (last + 1, log.len() as u64);
    assert_eq!(collected.not_here_yet, Some(Missing { from, to }));
    let (report, collected) = end(Some(last + 1));
    assert_eq!(
        (attack(&report), report.findings[0].record),
        (Attack::Truncated, from)
    );
    assert_eq!(collected.replay_from, Some(from));
    // Without the log, the report says that the end is unknown.
    let (report, _) = alone(&short, key);
    assert!(notes(&report).contains(&NoteKind::EndUnknown));
    let whole = log.concat();
    let (report, collected) = examine(&whole, key, &Collection::default(), Some(&log));
    assert_complete(&report, &collected, log.len());
    assert_eq!(collected.not_here_yet, None);
}

#[test]
fn records_not_in_the_log_roll_back() {
    let (log, key) = log();
    let older = &log[..log.len() - 3];
    let (report, _) = examine(&log.concat(), key, &Collection::default(), Some(older));
    assert_eq!(attack(&report), Attack::RolledBack);
    assert_eq!(report.findings[0].record, log.len() as u64 - 2);
}

#[test]
fn two_hosts_in_one_file() {
    let ((log, key), (other, _)) = (log(), log());
    let lines = log.iter().zip(&other);
    let mixed = lines.flat_map(|(ours, theirs)| {
        let theirs = headed(&RFC_5424.replace("host1", "host2"), theirs);
        [headed(RFC_5424, ours), theirs].concat()
    });
    let mixed: Vec<u8> = mixed.collect();
    assert_eq!(attack(&alone(&mixed, key).0), Attack::Forked);
    let collection = Collection {
        host: Some("host1".to_owned()),
        ..Collection::default()
    };
    let (report, collected) = examine(&mixed, key, &collection, None);
    assert_complete(&report, &collected, log.len());
    assert_eq!(collected.others, log.len() as u64);
}

#[test]
fn no_other_log_follows_a_gap() {
    let ((log, key), (other, _)) = (log(), log());
    let content = [&log[..4], &other[5..]].concat();
    let (report, _) = alone(&content.concat(), key);
    let found: Vec<_> = report.findings.iter().map(|found| found.attack).collect();
    assert!(found.contains(&Attack::Spliced), "{:?}", report.findings);
}

#[test]
fn empty_and_unseekable_files() {
    let (log, key) = log();
    let (report, collected) = alone(b"hello\n", key);
    assert_eq!((attack(&report), collected.others), (Attack::Truncated, 1));
    let once = vec![Source::reader("pipe", std::io::Cursor::new(log.concat()))];
    let none = &Collection::default();
    let error = verify_collected(once, none, None, &pinned(key), &mut |_| ()).unwrap_err();
    assert!(error.to_string().starts_with("pipe: "), "{error}");
}

#[test]
fn too_much_disorder_is_refused() {
    let (log, key) = log();
    let examine = |times: usize| {
        let file = vec![file(&log[..3].concat().repeat(times))];
        let none = &Collection::default();
        verify_collected(file, none, None, &pinned(key), &mut |_| ())
    };
    let (_, collected, _) = examine(200).unwrap();
    assert_eq!(collected.duplicates, 199 * 3);
    let error = examine(300).unwrap_err();
    assert!(
        error.to_string().contains("more than 256 replays"),
        "{error}"
    );
}
