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
        log.append(at(9), &[Body::of(&event), Body::of(&event)])
            .expect("a disk");
        let files = disk.disk.lock().expect("a disk").log();
        let text: Vec<u8> = files.into_iter().flat_map(|(_, content)| content).collect();
        let lines: Vec<_> = text
            .split_inclusive(|byte| *byte == b'\n')
            .map(<[u8]>::to_vec)
            .collect();
        let sealed = usize::try_from(head.seq).expect("a few");
        Sample {
            lines,
            sealed,
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
    let sources = files
        .iter()
        .map(|file| Source::reader("file", Cursor::new(file.clone())));
    verify(sources.collect::<Vec<_>>(), options, &mut |_| ()).expect("memory can be read")
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
            0 => edit(&mut lines[at], *second, take(&mut script, 1)),
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

fn edit(line: &mut [u8], place: u8, bits: &[u8]) {
    // One byte cannot address most of a line.
    let at = usize::from(place) * 2 + usize::from(bits.first().is_some_and(|bits| bits % 2 == 1));
    if let (Some(byte), Some(bits)) = (line.get_mut(at), bits.first()) {
        *byte ^= bits.max(&1);
    }
}

/// Recomputes the hashes from a line on, of lines that still have the format of records.
fn rechain(lines: &mut [Vec<u8>], from: usize) {
    for at in from.max(1)..lines.len() {
        let prev = hash_in(&lines[at - 1]).map(<[u8]>::to_vec);
        let line = &mut lines[at];
        let Some(start) = find(line, b",\"prev_hash\":\"").map(|at| at + 14) else {
            return;
        };
        let Some(end) = find(line, b",\"event_hash\":\"") else {
            return;
        };
        let (Some(prev), true) = (prev, start + 64 <= end && end + 79 <= line.len()) else {
            return;
        };
        line[start..start + 64].copy_from_slice(&prev);
        let hash: String = Sha256::digest(&line[..end])
            .iter()
            .map(|b| format!("{b:02x}"))
            .collect();
        line[end + 15..end + 79].copy_from_slice(hash.as_bytes());
    }
}

fn hash_in(line: &[u8]) -> Option<&[u8]> {
    let at = find(line, b",\"event_hash\":\"")? + 15;
    line.get(at..at + 64)
}

fn find(text: &[u8], wanted: &[u8]) -> Option<usize> {
    text.windows(wanted.len())
        .rposition(|window| window == wanted)
}
