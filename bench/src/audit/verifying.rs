//! Verification of a large log, chain and seals, compared with `sha256sum` of the same file.
//!
//! Each is a separate process, so that the memory is its own and both include the start of a
//! process.

use super::Reading;
use super::scratch::Scratch;
use crate::Effort;
use crate::measure::Times;
use crate::process::memory_kib;
use crate::promise::{AUDIT_MEMORY, AUDIT_VERIFY};
use crate::report::{Report, rounded};
use pulse_audit::verify::{Options, Source, Verdict, verify};
use pulse_audit::{Body, Log, PublicKey, Settings, Timestamp};
use std::fs::File;
use std::path::Path;
use std::process::Command;

/// The first argument of the process that verifies a file and prints its memory.
pub(crate) const SUBCOMMAND: &str = "--verify-audit-log";
/// Measurements of each.
const TURNS: usize = 3;

pub(super) fn measure(directory: &Path, effort: Effort, report: &mut Report) {
    let path = directory.join("big");
    let key = write_log(&path, effort.audit_bytes);
    let (mut theirs, mut ours, mut memory) = (Times::default(), Times::default(), 0.0);
    // Afterwards the file is in the page cache for both.
    sha256sum(&path);
    for _ in 0..TURNS {
        theirs.add(1, || sha256sum(&path));
        ours.add(1, || {
            let mut child = Command::new(std::env::current_exe().unwrap());
            child.arg(SUBCOMMAND).arg(&path).arg(key.to_string());
            let output = child.output().unwrap();
            assert!(output.status.success(), "{output:?}");
            let kib: f64 = str::from_utf8(&output.stdout)
                .unwrap()
                .trim()
                .parse()
                .unwrap();
            memory = kib / 1024.0;
        });
    }
    report.figure(AUDIT_VERIFY, theirs.median() / ours.median() * 100.0);
    report.figure(AUDIT_MEMORY, memory);
    report.note(format!(
        "verification of {} MiB: {} s; sha256sum: {} s",
        std::fs::metadata(&path).unwrap().len() >> 20,
        rounded(ours.median() / 1000.0),
        rounded(theirs.median() / 1000.0)
    ));
}

/// Writes a log of this size: a thousand records a second, with a seal every minute.
fn write_log(path: &Path, bytes: u64) -> PublicKey {
    let storage = Scratch::with_file(File::create(path).unwrap());
    // The log's time is an argument, so hours of records are written in seconds.
    let mut log = Log::open(storage, Settings::default(), Timestamp::from_micros(0)).unwrap();
    let (key, reading) = (log.public_key(), Reading::sample());
    let bodies: Vec<Body> = (0..100).map(|_| Body::of(&reading.event())).collect();
    let mut tenth = 0;
    while std::fs::metadata(path).unwrap().len() < bytes {
        tenth += 1;
        log.append(Timestamp::from_micros(tenth * 100_000), &bodies)
            .unwrap();
    }
    key
}

fn sha256sum(path: &Path) {
    let output = Command::new("sha256sum").arg(path).output().unwrap();
    assert!(output.status.success(), "{output:?}");
}

/// Verifies in this process and prints its peak memory in KiB.
pub(crate) fn verify_in_this_process(arguments: &[String]) {
    let [path, key] = arguments else {
        panic!("{SUBCOMMAND} FILE KEY");
    };
    let options = Options {
        key: Some(key.parse().unwrap()),
        // The log was written without a state directory.
        lagging: true,
        ..Options::default()
    };
    let report = verify(vec![Source::path(path.as_ref())], &options, &mut |_| ()).unwrap();
    assert_eq!(report.verdict, Verdict::Intact, "{:?}", report.findings);
    // The highest resident set size so far.
    println!("{}", memory_kib(std::process::id(), "VmHWM:"));
}
