//! Files of the state directory with any content: cursors, losses, messages, seal keys, the reason
//! that a log stopped, its end and its other files. A parsed file is written as the same, no number exceeds 2^53, and a start on
//! any file continues with valid numbers.

#![no_main]

use libfuzzer_sys::fuzz_target;
use pulse_audit::fuzzing::{
    end_file, files_file, seal_key, seal_key_name, segment_name, segments, stop_file,
};
use pulse_core::ordinal::Ordinal;
use pulse_core::state_format::parse_format;
use pulse_forward::cursor::ResumePoint;
use pulse_forward::fuzzing::{cursor, loss, message, messages};
use std::fs;
use std::path::PathBuf;
use std::sync::OnceLock;

#[path = "../common/disk.rs"]
mod disk;

const LOG: &str = "0123456789abcdef0123456789abcdef";

fuzz_target!(|bytes: &[u8]| {
    let [kind, bytes @ ..] = bytes else {
        return;
    };
    match kind % 4 {
        0 => {
            a_cursor(bytes);
            a_loss(bytes);
        }
        1 => {
            if let Some((log, epoch, file)) = seal_key(bytes) {
                assert!(epoch <= Ordinal::MAX && !log.contains(' '));
                assert_eq!(file, bytes, "a key has one file");
            }
            for parse in [stop_file, end_file] {
                if let Some((seq, file)) = parse(bytes) {
                    assert!(seq <= Ordinal::MAX);
                    let again = parse(&file);
                    assert_eq!(again, Some((seq, file)), "it is read as it is written");
                }
            }
            if let Some(file) = files_file(bytes) {
                assert_eq!(files_file(&file), Some(file), "it is read as it is written");
            }
        }
        2 => names(bytes),
        _ => files_of_messages(bytes),
    }
});

fn a_cursor(text: &[u8]) {
    let Some((place, written)) = cursor(text, LOG) else {
        return;
    };
    assert!(place.seq() <= Ordinal::MAX);
    assert!(String::from_utf8_lossy(text).contains("seq"));
    let written = written.expect("what was read can be written");
    assert_eq!(
        cursor(written.as_bytes(), LOG).map(|(again, _)| again),
        Some(place)
    );
    // The numbers of another log mean other records.
    assert!(cursor(written.as_bytes(), "another").is_none());
    if let ResumePoint::After(head) = place {
        assert_eq!(head.hash().len(), 64);
    }
}

fn a_loss(text: &[u8]) {
    let Some((delivered, lost)) = loss(text, LOG) else {
        return;
    };
    assert!(delivered <= Ordinal::MAX);
    assert!(lost.iter().all(|range| range.first <= range.last));
    assert!(lost.iter().all(|range| range.last <= Ordinal::MAX));
    assert!(lost.is_sorted_by(|one, next| one.last < next.first));
}

fn names(bytes: &[u8]) {
    let text = String::from_utf8_lossy(bytes);
    for name in text.lines() {
        if let Some((epoch, again)) = seal_key_name(name) {
            assert!(epoch <= Ordinal::MAX && again == name);
        }
        if let Some((first, again)) = segment_name(name) {
            assert!(first <= Ordinal::MAX && again == name);
        }
        // Neither a sign nor leading zeros: a number has one text.
        let number = Ordinal::parse(name.as_bytes());
        assert!(number.is_none_or(|number| number.to_string() == name));
    }
    // Read in the order of their records, whatever order the directory lists them in.
    let names: Vec<String> = text.lines().map(str::to_owned).collect();
    assert!(
        segments(&names)
            .iter()
            .filter_map(|name| segment_name(name))
            .is_sorted_by_key(|(first, _)| first)
    );
}

/// The two files of messages, and the result of two starts on them.
fn files_of_messages(bytes: &[u8]) {
    for line in bytes.split_inclusive(|byte| *byte == b'\n') {
        if let Some((read, written)) = message(line) {
            assert!(read.number <= Ordinal::MAX);
            let written = written.expect("what was read can be written");
            assert_eq!(message(&written).map(|(again, _)| again), Some(read));
        }
    }
    static DIRECTORY: OnceLock<PathBuf> = OnceLock::new();
    let directory = DIRECTORY.get_or_init(disk::directory);
    // The zero byte stays in the newer one, as garbage before its first line.
    let (older, newer) = bytes
        .iter()
        .position(|byte| *byte == 0)
        .map_or((bytes, &[][..]), |cut| bytes.split_at(cut));
    fs::write(directory.join("messages.older"), older).expect("a disk in memory");
    fs::write(directory.join("messages"), newer).expect("a disk in memory");
    let is_later = |content: &[u8]| parse_format(content).is_err();
    let Some((found, last)) = messages(directory, 0, &["one", "two"]) else {
        assert!(
            is_later(older) || is_later(newer),
            "refused without a reason"
        );
        return;
    };
    assert!(!is_later(older) && !is_later(newer));
    assert!(found.is_sorted_by(|a, b| a < b), "{found:?}");
    // After the last number nothing is read back; no daemon counts that far.
    if last <= Ordinal::MAX {
        assert!(
            found.ends_with(&[last - 1, last]),
            "{found:?} without {last}"
        );
    }
    // A start without new messages changes nothing on disk.
    let again = messages(directory, 0, &[]).map(|(again, _)| again);
    assert_eq!(again, Some(found));
}
