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
    // A line that exceeds the limit is shown in pieces.
    let lines: Vec<&[u8]> = files
        .iter()
        .flat_map(|file| file.split_inclusive(|byte| *byte == b'\n'))
        .flat_map(|line| line.chunks(MAX_LINE_BYTES))
        .collect();
    assert_eq!(lines.len(), all.len());
    for (line, shown) in lines.into_iter().zip(&all) {
        let text = line.strip_suffix(b"\n").unwrap_or(line);
        assert_eq!(shown.line, String::from_utf8_lossy(text));
        let record = RecordLine::parse(text);
        assert_eq!(shown.seq, record.map_or(0, |record| record.seq));
        let is_whole = record.is_some_and(|record| record.is_whole());
        assert_eq!(shown.is_whole, is_whole);
        assert!(!is_whole || shown.number("seq") == Some(shown.seq));
        // Other parsers may read a line that is no record differently, so it has no members.
        assert_eq!(shown.members.is_empty(), record.is_none());
    }
    // The filter is applied while lines are parsed, so it must decide as it does afterwards.
    let filter = filter(*wanted);
    let some = shown(&files, filter.clone());
    let expected: Vec<&Shown> = all.iter().filter(|shown| filter.wants(shown)).collect();
    assert_eq!(some.iter().collect::<Vec<_>>(), expected);
    // `last` reads files from their ends, and must stop at the same records.
    let count = usize::from(*count);
    let ending = last(sources(&files), &filter, count).expect("memory can be read");
    assert_eq!(ending, some[some.len().saturating_sub(count)..]);
});

fn sources(files: &[Vec<u8>]) -> Vec<Source> {
    files
        .iter()
        .map(|file| Source::reader("file", Cursor::new(file.clone())))
        .collect()
}

fn shown(files: &[Vec<u8>], filter: Filter) -> Vec<Shown> {
    records(sources(files), filter)
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
