//! Two copies of a log: a copy that lags, starts late or repeats records is consistent; one with
//! other records than the first never is.

#![no_main]

use libfuzzer_sys::fuzz_target;
use pulse_audit::verify::{LogFiles, Options, Report, Source, Verdict, verify_against};
use std::io::Cursor;
use std::sync::OnceLock;

#[path = "../common/log.rs"]
mod log;

fuzz_target!(|bytes: &[u8]| {
    let [kind, script @ ..] = bytes else {
        return;
    };
    static SAMPLE: OnceLock<log::Sample> = OnceLock::new();
    let sample = SAMPLE.get_or_init(log::Sample::new);
    let all = sample.lines.concat();
    match kind % 3 {
        // Arbitrary bytes as either copy.
        0 => {
            let (one, other) = script.split_at(script.len() / 2);
            // Neither needs to have a record, so no verdict is expected.
            judge(one, other, sample);
            assert_ne!(judge(script, &all, sample).verdict, Verdict::Intact);
        }
        // A copy that a collector may have.
        1 => {
            let report = judge(&all, &lagging(script, sample), sample);
            // Every record of the copy is one of the log: any other verdict is a false alarm.
            assert_eq!(report.verdict, Verdict::Intact, "{:?}", report.findings);
        }
        // The log lost its end, and the collector has it.
        _ => {
            let kept = usize::from(script.first().copied().unwrap_or(0)) % sample.lines.len();
            let report = judge(&sample.lines[..kept].concat(), &all, sample);
            assert_eq!(report.verdict, Verdict::Broken, "cut to {kept}");
        }
    }
});

fn judge(first: &[u8], second: &[u8], sample: &log::Sample) -> Report {
    let options = Options {
        key: Some(sample.key),
        // The end is compared with the other copy only.
        lagging: true,
        ..Options::default()
    };
    let mut open = |is_second: bool| {
        let copy = Cursor::new(if is_second { second } else { first }.to_vec());
        Ok(LogFiles::from(vec![Source::reader("copy", copy)]))
    };
    verify_against(&mut open, &options, &mut |_| ())
        .expect("memory can be read")
        .0
}

/// A range of records, with occasional repetitions of earlier ones.
fn lagging(script: &[u8], sample: &log::Sample) -> Vec<u8> {
    let count = sample.lines.len();
    let mut copy = Vec::new();
    let [first, rest @ ..] = script else {
        return copy;
    };
    let mut next = usize::from(*first) % count;
    let begin = next;
    for step in rest {
        let Some(line) = sample.lines.get(next) else {
            break;
        };
        copy.extend_from_slice(line);
        next += 1;
        if step & 7 == 7 {
            // Sent again because it was not acknowledged; a forwarder never goes back to before its
            // first record.
            next = (next - (usize::from(step >> 3) % 4).min(next)).max(begin);
        }
    }
    copy
}
