//! A collector's file: records with any headers, late, repeated or torn, among other lines.
//! Exactly the missing records are reported as missing, and a changed record is found.

#![no_main]

use libfuzzer_sys::fuzz_target;
use pulse_audit::MAX_LINE_BYTES;
use pulse_audit::verify::{
    Attack, Collected, Collection, LogFiles, Options, Report, Source, Verdict, verify_collected,
};
use std::collections::BTreeSet;
use std::fs::OpenOptions;
use std::io::{Cursor, Write};
use std::path::PathBuf;
use std::sync::OnceLock;

#[path = "../common/disk.rs"]
mod disk;
#[path = "../common/log.rs"]
mod log;

const HEADERS: [&str; 4] = [
    "",
    "Nov 21 10:00:03 host1 pulse-sensor-proxy[7]: ",
    "<110>1 2026-11-21T10:00:03Z host1 app - - [x@1 a=\"b\"] \u{feff}",
    "host2 ",
];

fuzz_target!(|bytes: &[u8]| {
    let [kind, script @ ..] = bytes else {
        return;
    };
    static SAMPLE: OnceLock<log::Sample> = OnceLock::new();
    let sample = SAMPLE.get_or_init(log::Sample::new);
    if kind & 1 == 0 {
        // Arbitrary bytes: a report with its numbers in order.
        let with_log = kind & 2 != 0;
        if let Some((_, collected)) = judge(script, sample, with_log) {
            check_order(&collected);
        }
        return;
    }
    let file = gathered(script, sample);
    // Only an unreadable file or too much disorder is an error, and there is neither.
    let (report, collected) = judge(&file.text, sample, true).expect("a few records");
    check_order(&collected);
    if file.is_doubtful {
        return;
    }
    let last = file.whole.last().copied().unwrap_or(0);
    // A changed record also proves that the file started before it.
    let begun = [file.whole.first(), file.changed.first()];
    let first = begun.into_iter().flatten().min().copied().unwrap_or(0);
    let missing: BTreeSet<u64> = (first..last)
        .filter(|seq| !file.whole.contains(seq))
        .collect();
    let found = collected
        .missing
        .iter()
        .flat_map(|range| range.from..=range.to);
    assert_eq!(
        found.collect::<BTreeSet<_>>(),
        missing,
        "{}",
        show(&file.text)
    );
    // Forked when the file has the original as well.
    let says_changed = report
        .findings
        .iter()
        .any(|found| matches!(found.attack, Attack::Forked | Attack::Edited));
    assert!(
        says_changed != file.changed.is_empty(),
        "{report:?} {}",
        show(&file.text)
    );
    if report.verdict == Verdict::Intact {
        assert!(missing.is_empty() && file.changed.is_empty());
    }
});

fn show(text: &[u8]) -> String {
    String::from_utf8_lossy(text).into_owned()
}

/// A file and its content.
struct Gathered {
    text: Vec<u8>,
    /// The numbers of complete records.
    whole: BTreeSet<u64>,
    /// The numbers of changed records.
    changed: BTreeSet<u64>,
    /// True when half a record precedes another line, so that it cannot be recognised as torn; or
    /// when so many records have no end that the line exceeds the limit.
    is_doubtful: bool,
}

fn gathered(mut script: &[u8], sample: &log::Sample) -> Gathered {
    let mut file = Gathered {
        text: Vec::new(),
        whole: BTreeSet::new(),
        changed: BTreeSet::new(),
        is_doubtful: false,
    };
    while let [verb, which, rest @ ..] = script {
        script = rest;
        let at = usize::from(*which) % sample.lines.len();
        let (line, seq) = (&sample.lines[at], at as u64 + 1);
        let header = HEADERS[usize::from(verb >> 4) % HEADERS.len()];
        match verb & 7 {
            // Half a record, as of a killed collector; the next one follows on its line.
            0 => {
                // At least 40 bytes are missing, so that it is never a record.
                let cut = usize::from(verb >> 3) * 9 % (line.len() - 40);
                file.text.extend_from_slice(header.as_bytes());
                file.text.extend_from_slice(&line[..cut]);
            }
            1 => {
                file.is_doubtful |= !file.text.is_empty() && !file.text.ends_with(b"\n");
                file.text
                    .extend_from_slice(b"Nov 21 10:00:03 host3 sshd[1]: hello\n");
            }
            // A changed byte where all records have the same one.
            2 if !file.text.is_empty() && file.text.ends_with(b"\n") => {
                let mut line = line.clone();
                line[30] = if line[30] == b'7' { b'8' } else { b'7' };
                file.text.extend_from_slice(header.as_bytes());
                file.text.extend(line);
                file.changed.insert(seq);
            }
            _ => {
                file.text.extend_from_slice(header.as_bytes());
                file.text.extend_from_slice(line);
                file.whole.insert(seq);
            }
        }
        // The line that this step continued, without its newline.
        let line = file.text.iter().rev().skip(1);
        file.is_doubtful |= line.take_while(|byte| **byte != b'\n').count() > MAX_LINE_BYTES;
    }
    file
}

fn check_order(collected: &Collected) {
    let missing = &collected.missing;
    assert!(missing.iter().all(|range| range.from <= range.to));
    assert!(missing.is_sorted_by(|a, b| a.to < b.from));
    // The limit of `verify::collected::judge`: a hostile file does not fill the report.
    assert!(missing.len() <= 1000);
}

fn judge(text: &[u8], sample: &log::Sample, with_log: bool) -> Option<(Report, Collected)> {
    static FILE: OnceLock<PathBuf> = OnceLock::new();
    // A file and no reader: records are read by their position in the second pass.
    let mut file = OpenOptions::new()
        .read(true)
        .write(true)
        .create(true)
        .truncate(true)
        .open(FILE.get_or_init(|| disk::directory().join("collected")))
        .expect("a disk in memory");
    file.write_all(text).expect("a disk in memory");
    let mut log = || Ok(vec![Source::reader("log", Cursor::new(sample.lines.concat()))].into());
    let log: Option<&mut dyn FnMut() -> std::io::Result<LogFiles>> =
        if with_log { Some(&mut log) } else { None };
    let options = Options {
        key: Some(sample.key),
        lagging: true,
        ..Options::default()
    };
    verify_collected(
        vec![Source::file("file", file)],
        &Collection::default(),
        log,
        &options,
        &mut |_| (),
    )
    .ok()
    .map(|(report, collected, _)| (report, collected))
}
