//! Input of the node helper: a command, its administrator's options, and request lines. Each
//! line has a response of one line; no input over SSH sets an option.

#![no_main]

use libfuzzer_sys::fuzz_target;
use pulse_sensor_node::arguments::{Invocation, Request};
use pulse_sensor_node::{HelperError, SensorReader, serve};
use pulse_sensors::command::NodeCommand;
use pulse_sensors::document;
use pulse_sensors::output::is_greeting;
use std::ffi::{OsStr, OsString};
use std::io::BufReader;
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::{Path, PathBuf};
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
    // Over SSH: sshd puts the client's bytes into one variable, in which nothing is an option.
    let administrator = [OsString::from("--sys-root=/sys"), "read".into()];
    if let Ok(invocation) = Invocation::parse(administrator, Some(OsStr::from_bytes(bytes))) {
        let Request::Command(command) = invocation.request else {
            panic!("over SSH there are commands alone");
        };
        assert_eq!(NodeCommand::parse(bytes), Ok(command));
        assert_eq!(invocation.sys_root, PathBuf::from("/sys"));
    }
    // The administrator's arguments: options come first, and none of them is a word. A zero
    // byte, which no argument has, separates them.
    let arguments = bytes.split(|byte| *byte == 0);
    let arguments = arguments.map(|part| OsString::from_vec(part.to_vec()));
    if let Ok(invocation) = Invocation::parse(arguments, None) {
        let option = b"--sys-root";
        assert!(
            invocation.sys_root == Path::new("/sys")
                || bytes.windows(option.len()).any(|window| window == option)
        );
    }
}

fn lines(bytes: &[u8]) {
    static ROOT: OnceLock<PathBuf> = OnceLock::new();
    let mut reader =
        SensorReader::open(ROOT.get_or_init(disk::directory)).expect("a disk in memory");
    let mut output = Vec::new();
    // In small pieces, as from a network.
    let outcome = serve(BufReader::with_capacity(7, bytes), &mut output, &mut reader);
    let output = String::from_utf8(output).expect("JSON is text");
    let mut answers = output.lines();
    // Before any request: the daemon concludes from another first line that there is no helper.
    assert!(is_greeting(answers.next().expect("it greets").as_bytes()));
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
        // The directory is empty, so its document is as well, and still valid.
        if request == b"read" {
            let read = document::read(answer.as_bytes()).expect("a document");
            assert_eq!((read.dropped.malformed, read.dropped.implausible), (0, 0));
        } else {
            assert!(answer.contains("unknown request"), "{answer}");
        }
    }
    // Nothing is served after a line that is too long.
    assert_eq!(answers.next(), None);
}
