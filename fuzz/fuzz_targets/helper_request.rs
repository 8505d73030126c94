//! Input of the node helper: a command, its administrator's options, and request lines. Each
//! line has a response of one line; no input over SSH sets an option.

#![no_main]

use libfuzzer_sys::fuzz_target;
use pulse_sensor_node::arguments::{Invocation, Request};
use pulse_sensor_node::{HelperError, SensorReader, serve};
use pulse_sensors::command::NodeCommand;
use pulse_sensors::document;
use std::ffi::{OsStr, OsString};
use std::io::{BufReader, Cursor};
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::PathBuf;
use std::sync::OnceLock;

#[path = "../common/disk.rs"]
mod disk;

/// The limit of `node::serve`.
const MAX_LINE_BYTES: usize = 1024;

fuzz_target!(|bytes: &[u8]| {
    words(bytes);
    lines(bytes);
});

fn words(bytes: &[u8]) {
    let parts = bytes.split(|byte| *byte == 0);
    let arguments: Vec<OsString> = parts
        .map(|part| OsString::from_vec(part.to_vec()))
        .collect();
    let administrator = [OsString::from("--sys-root=/sys"), "read".into()];
    let original = OsStr::from_bytes(bytes);
    if let Ok(invocation) = Invocation::parse(administrator, Some(original)) {
        let Request::Command(command) = invocation.request else {
            panic!("over SSH there are commands alone");
        };
        assert_eq!(NodeCommand::parse(bytes), Ok(command));
        assert_eq!(invocation.sys_root, PathBuf::from("/sys"));
    }
    // The administrator's arguments: options come first, and none of them is a word.
    if let Ok(invocation) = Invocation::parse(arguments, None) {
        assert!(invocation.sys_root == PathBuf::from("/sys") || contains(bytes, b"--sys-root"));
    }
}

fn contains(bytes: &[u8], part: &[u8]) -> bool {
    bytes.windows(part.len()).any(|window| window == part)
}

fn lines(bytes: &[u8]) {
    static ROOT: OnceLock<PathBuf> = OnceLock::new();
    let mut reader =
        SensorReader::open(ROOT.get_or_init(disk::directory)).expect("a disk in memory");
    let mut output = Vec::new();
    // In small pieces, as from a network.
    let input = BufReader::with_capacity(7, Cursor::new(bytes));
    let outcome = serve(input, &mut output, &mut reader);
    let output = String::from_utf8(output).expect("JSON is text");
    let mut answers = output.lines();
    let greeting = answers.next().expect("it greets");
    assert!(pulse_sensors::output::is_greeting(greeting.as_bytes()));
    let mut rest = bytes.split_inclusive(|byte| *byte == b'\n');
    for line in rest.by_ref() {
        let Some(request) = line
            .strip_suffix(b"\n")
            .filter(|line| line.len() <= MAX_LINE_BYTES)
        else {
            // A line that is too long is an error; an incomplete one is the end of input.
            assert_eq!(
                line.len() > MAX_LINE_BYTES,
                matches!(outcome, Err(HelperError::LongLine))
            );
            break;
        };
        let answer = answers.next().expect("one for each line");
        if request == b"read" {
            let read = document::read(answer.as_bytes()).expect("a document");
            assert_eq!((read.dropped.malformed, read.dropped.implausible), (0, 0));
        } else {
            assert!(answer.contains("unknown request"), "{answer}");
        }
    }
    assert_eq!(answers.next(), None);
}
