//! `audit show` on any file: it shows every line once, in order, and as a record only what is
//! one; the last records are the end of all records.

#![no_main]

use libfuzzer_sys::fuzz_target;
use pulse_audit::show::{Filter, Shown, last, records};
use pulse_audit::verify::Source;
use pulse_audit::{MAX_LINE_BYTES, RecordLine, Timestamp};
use std::io::Cursor;
use std::sync::OnceLock;

#[path = "../common/log.rs"]
mod log;

fuzz_target!(|bytes: &[u8]| {
    let [layout, count, wanted, bytes @ ..] = bytes else {
        return;
    };
    static SAMPLE: OnceLock<log::Sample> = OnceLock::new();
    let sample = SAMPLE.get_or_init(log::Sample::new);
    // Arbitrary bytes before, between and after real records.
    let place = usize::from(*layout) % (sample.lines.len() + 1);
    let (before, behind) = sample.lines.split_at(place);
    let files = [before.concat(), bytes.to_vec(), behind.concat()];
    let all = shown(&files, Filter::default());
    check(&files, &all);
    let filter = filter(*wanted);
    let some = shown(&files, filter.clone());
    let expected: Vec<&Shown> = all.iter().filter(|shown| filter.wants(shown)).collect();
    assert_eq!(some.iter().collect::<Vec<_>>(), expected);
    let count = usize::from(*count);
    let ending = last(sources(&files), &filter, count).expect("memory can be read");
    assert_eq!(ending, some[some.len().saturating_sub(count)..]);
});

fn sources(files: &[Vec<u8>]) -> Vec<Source> {
    let source = |file: &Vec<u8>| Source::reader("file", Cursor::new(file.clone()));
    files.iter().map(source).collect()
}

fn shown(files: &[Vec<u8>], filter: Filter) -> Vec<Shown> {
    let records = records(sources(files), filter);
    records
        .map(|record| record.expect("memory can be read"))
        .collect()
}

fn filter(wanted: u8) -> Filter {
    let text = |bit: u8, text: &str| (wanted & bit != 0).then(|| text.to_owned());
    Filter {
        event: text(1, "command."),
        correlation_id: text(2, "00000000-0000-4000-8000-000000000000"),
        from_seq: (wanted & 4 != 0).then_some(u64::from(wanted >> 4)),
        since: (wanted & 8 != 0).then(|| Timestamp::from_micros(1_000_000)),
        ..Filter::default()
    }
}

/// All bytes are shown, and what is shown as a record is one.
fn check(files: &[Vec<u8>], all: &[Shown]) {
    let lines = files.iter().flat_map(|file| {
        let lines = file.split_inclusive(|byte| *byte == b'\n');
        lines.flat_map(|line| line.chunks(MAX_LINE_BYTES))
    });
    let lines: Vec<&[u8]> = lines.collect();
    assert_eq!(lines.len(), all.len());
    for (line, shown) in lines.into_iter().zip(all) {
        let text = line.strip_suffix(b"\n").unwrap_or(line);
        assert_eq!(shown.line, String::from_utf8_lossy(text));
        let record = RecordLine::parse(text);
        assert_eq!(shown.seq, record.map_or(0, |record| record.seq));
        let is_whole = record.is_some_and(|record| record.is_whole());
        assert_eq!(shown.is_whole, is_whole);
        assert!(!is_whole || shown.number("seq") == Some(shown.seq));
        assert_eq!(shown.members.is_empty(), record.is_none());
    }
}
