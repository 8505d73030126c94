//! After any change a log is intact, with the right key, only when every sealed record is
//! unchanged.

#![no_main]

use libfuzzer_sys::fuzz_target;
use pulse_audit::verify::{Options, Report, Source, Start, Verdict, verify};
use pulse_audit::{Body, Head, Log, PublicKey, Settings, Timestamp};
use pulse_core::event::Event;
use sha2::{Digest, Sha256};
use std::io::Cursor;
use std::sync::OnceLock;
use std::time::Duration;

#[path = "../../crates/audit/tests/common/simulated.rs"]
#[allow(dead_code)]
mod simulated;

/// A log of three segments, several seals, and two unsealed records.
struct Sample {
    lines: Vec<Vec<u8>>,
    /// The number of sealed lines.
    sealed: usize,
    key: PublicKey,
    /// The last seal, as at a collector.
    head: Head,
}

fn sample() -> &'static Sample {
    static SAMPLE: OnceLock<Sample> = OnceLock::new();
    SAMPLE.get_or_init(|| {
        let disk = simulated::Simulated::default();
        let at = |second| Timestamp::from_micros(0).plus(Duration::from_secs(second));
        let mut log = Log::open(disk.clone(), Settings::default(), at(0)).expect("a disk");
        let key = log.public_key();
        let event = Event::ProxyStart;
        for round in 0..3 {
            log.append(at(round), &[Body::of(&event), Body::of(&event)])
                .expect("a disk");
            log.seal(at(round)).expect("a disk");
            if round < 2 {
                log.rotate(at(round)).expect("a disk");
            }
        }
        let head = log.head();
        // These are after the last seal: a change of them proves nothing.
        log.append(at(9), &[Body::of(&event), Body::of(&event)])
            .expect("a disk");
        let disk = disk.disk.lock().expect("a disk");
        let text: Vec<u8> = disk.log().into_iter().flat_map(|(_, text)| text).collect();
        Sample {
            lines: text
                .split_inclusive(|byte| *byte == b'\n')
                .map(<[u8]>::to_vec)
                .collect(),
            // Records are numbered from 1, one a line.
            sealed: usize::try_from(head.seq).expect("a few"),
            key,
            head,
        }
    })
}

fuzz_target!(|bytes: &[u8]| {
    let sample = sample();
    let options = Options {
        key: Some(sample.key),
        heads: vec![sample.head],
        live: bytes.first().is_some_and(|byte| byte % 2 == 1),
        ..Options::default()
    };
    let report = judge(&[bytes.to_vec()], &options);
    assert_ne!(report.verdict, Verdict::Intact, "bytes out of nowhere");
    // A part of a log without its key: no verdict is expected.
    let _ = judge(
        &[bytes.to_vec()],
        &Options {
            start: Start::AnyRecord,
            repetitions: true,
            ..Options::default()
        },
    );

    let files = changed(bytes.get(1..).unwrap_or_default(), sample);
    let report = judge(&files, &options);
    let (now, original) = (files.concat(), sample.lines.concat());
    // The last seal covers all records before it; those after it may change unnoticed.
    let covered = sample.lines[..sample.sealed].concat();
    match report.verdict {
        Verdict::Intact => assert!(
            now.starts_with(&covered),
            "a change under a seal: {report:?}"
        ),
        _ => assert_ne!(now, original, "a false alarm: {report:?}"),
    }
});

fn judge(files: &[Vec<u8>], options: &Options) -> Report {
    let sources: Vec<_> = files
        .iter()
        .map(|file| Source::reader("file", Cursor::new(file.clone())))
        .collect();
    verify(sources, options, &mut |_| ()).expect("memory can be read")
}

/// Applies the input: each step is an operation, two positions and some bytes.
fn changed(mut script: &[u8], sample: &Sample) -> Vec<Vec<u8>> {
    let mut lines = sample.lines.clone();
    let mut cut_at = lines.len();
    while let [verb, first, second, rest @ ..] = script {
        let (at, to) = (place(*first, lines.len()), place(*second, lines.len()));
        script = rest;
        if lines.is_empty() {
            break;
        }
        match verb % 9 {
            0 => {
                // One byte addresses a part of a line only: every second place, and the lowest of
                // the changed bits selects it or the next.
                if let [bits] = take(&mut script, 1)
                    && let Some(byte) =
                        lines[at].get_mut(usize::from(*second) * 2 + usize::from(bits % 2))
                {
                    *byte ^= bits.max(&1);
                }
            }
            1 => lines[at] = take(&mut script, usize::from(*second)).to_vec(),
            2 => drop(lines.remove(at)),
            3 => lines.swap(at, to),
            4 => lines.insert(to, lines[at].clone()),
            5 => lines[at].truncate(usize::from(*second)),
            6 => lines.truncate(at),
            7 => rechain(&mut lines, at),
            _ => cut_at = at,
        }
    }
    // In two files, as after a rotation.
    let cut_at = cut_at.min(lines.len());
    vec![lines[..cut_at].concat(), lines[cut_at..].concat()]
}

fn place(byte: u8, count: usize) -> usize {
    usize::from(byte) % count.max(1)
}

fn take<'a>(script: &mut &'a [u8], count: usize) -> &'a [u8] {
    let (taken, rest) = script.split_at(count.min(script.len()));
    *script = rest;
    taken
}

/// Recomputes the hashes from a line on, of lines that still have the format of records.
fn rechain(lines: &mut [Vec<u8>], from: usize) {
    for at in from.max(1)..lines.len() {
        let (before, rest) = lines.split_at_mut(at);
        let (previous, line) = (&before[at - 1], &mut rest[0]);
        // 14 and 15 bytes are the members' names with their quotes, 64 a hash in hexadecimal.
        let (Some(hash), Some(start), Some(end)) = (
            find(previous, b",\"event_hash\":\""),
            find(line, b",\"prev_hash\":\"").map(|at| at + 14),
            find(line, b",\"event_hash\":\""),
        ) else {
            return;
        };
        let Some(previous) = previous.get(hash + 15..hash + 79) else {
            return;
        };
        // The last occurrences of the names may be in a text of the event.
        if start + 64 > end || end + 79 > line.len() {
            return;
        }
        line[start..start + 64].copy_from_slice(previous);
        let hash: String = Sha256::digest(&line[..end])
            .iter()
            .map(|b| format!("{b:02x}"))
            .collect();
        line[end + 15..end + 79].copy_from_slice(hash.as_bytes());
    }
}

fn find(text: &[u8], wanted: &[u8]) -> Option<usize> {
    // From the end, where the hashes are.
    text.windows(wanted.len())
        .rposition(|window| window == wanted)
}
