//! A pruned log with the seals of its removed part: after any change to these or to the rest it
//! is intact only when every seal still leads to the next one.

#![no_main]

use libfuzzer_sys::fuzz_target;
use pulse_audit::verify::{LogFiles, Options, Report, Seals, Source, Verdict, verify};
use pulse_audit::{Body, Dir, Log, PruneStatus, PublicKey, SEALS, Settings, Timestamp};
use pulse_core::audit_log::retention::Limits;
use pulse_core::event::Event;
use std::io::Cursor;
use std::sync::OnceLock;
use std::time::Duration;

#[path = "../../crates/audit/tests/common/simulated.rs"]
#[allow(dead_code)]
mod simulated;

/// The rest of a log, and the seals of the removed part.
struct Pruned {
    log: Vec<Vec<u8>>,
    seals: Vec<Vec<u8>>,
    key: PublicKey,
}

fuzz_target!(|bytes: &[u8]| {
    static PRUNED: OnceLock<Pruned> = OnceLock::new();
    let pruned = PRUNED.get_or_init(pruned);
    let [kind, script @ ..] = bytes else {
        return;
    };
    let (mut log, mut seals) = (pruned.log.clone(), pruned.seals.clone());
    match kind % 4 {
        // Arbitrary bytes in place of either.
        0 => seals = vec![script.to_vec()],
        1 => log = vec![script.to_vec()],
        2 => change(&mut seals, script),
        _ => {
            let (one, other) = script.split_at(script.len() / 2);
            change(&mut seals, one);
            change(&mut log, other);
        }
    }
    let report = judge(&log, Some(&seals), pruned.key);
    match report.verdict {
        Verdict::Intact => {
            // A copy may lack the end of the log, not a part before it.
            assert!(pruned.log.concat().starts_with(&log.concat()) && !log.is_empty());
            // All seals are there, in their order; there may be other lines between them.
            let text = seals.concat();
            let mut lines = text.split_inclusive(|byte| *byte == b'\n');
            let has_all = pruned
                .seals
                .iter()
                .all(|seal| lines.any(|line| line == seal));
            assert!(has_all, "a seal is missing: {report:?}");
        }
        _ => assert!(
            log != pruned.log || seals != pruned.seals,
            "a false alarm: {report:?}"
        ),
    }
    // Without the seals the first key proves nothing of the rest.
    assert_ne!(judge(&log, None, pruned.key).verdict, Verdict::Intact);
});

fn judge(log: &[Vec<u8>], seals: Option<&[Vec<u8>]>, key: PublicKey) -> Report {
    let source = |name: &str, lines: &[Vec<u8>]| Source::reader(name, Cursor::new(lines.concat()));
    let seals = match seals {
        Some(seals) => Seals::Here(source(SEALS, seals)),
        None => Seals::Missing(SEALS.to_owned()),
    };
    let files = vec![source("log", log)];
    let options = Options {
        key: Some(key),
        // As for a copy: its missing end is no finding, so that only the seals decide.
        lagging: true,
        ..Options::default()
    };
    verify(LogFiles { seals, files }, &options, &mut |_| ()).expect("memory can be read")
}

/// Steps, each an operation, two positions and perhaps bytes.
fn change(lines: &mut Vec<Vec<u8>>, mut script: &[u8]) {
    while let [verb, first, second, rest @ ..] = script {
        script = rest;
        if lines.is_empty() {
            return;
        }
        let (at, to) = (
            usize::from(*first) % lines.len(),
            usize::from(*second) % lines.len(),
        );
        match verb % 7 {
            0 => {
                // Two bytes apart: a line has more than 255 bytes.
                let place = usize::from(*second) * 2 % lines[at].len().max(1);
                if let Some(byte) = lines[at].get_mut(place) {
                    // Never 0, which would leave the byte as it is.
                    *byte ^= (verb / 7).max(1);
                }
            }
            1 => drop(lines.remove(at)),
            2 => lines.swap(at, to),
            3 => lines.insert(to, lines[at].clone()),
            4 => lines[at].truncate(usize::from(*second)),
            5 => lines.truncate(at),
            _ => {
                let (bytes, rest) = script.split_at(usize::from(*second).min(script.len()));
                script = rest;
                lines.insert(at, bytes.to_vec());
            }
        }
    }
}

fn pruned() -> Pruned {
    let disk = simulated::Simulated::default();
    let at = |second| Timestamp::from_micros(0).plus(Duration::from_secs(second));
    let mut log = Log::open(disk.clone(), Settings::default(), at(0)).expect("a disk");
    let key = log.public_key();
    let body = || Body::of(&Event::ProxyStart);
    for hour in 0..4 {
        for minute in 0..2 {
            let now = at(hour * 3600 + minute * 30);
            log.append(now, &[body(), body()]).expect("a disk");
            log.seal(now).expect("a disk");
        }
        log.rotate(at(hour * 3600 + 40)).expect("a disk");
    }
    let now = at(4 * 3600);
    // Between two segments' ages: some are removed, and some are left.
    let limits = Limits {
        age: Some(Duration::from_secs(2 * 3600 + 1800)),
        ..Limits::default()
    };
    loop {
        match log.prune_status(now, &limits, &[]).expect("a disk") {
            // A segment is read in slices; its status is known after the last one.
            PruneStatus::Reading => (),
            PruneStatus::Due(reason) => drop(log.prune(now, reason).expect("a disk")),
            PruneStatus::NotDue | PruneStatus::Held(..) => break,
        }
    }
    log.append(now, &[body()]).expect("a disk");
    log.seal(now).expect("a disk");
    let disk = disk.disk.lock().expect("a disk");
    let lines = |content: &[u8]| -> Vec<Vec<u8>> {
        let lines = content.split_inclusive(|byte| *byte == b'\n');
        lines.map(<[u8]>::to_vec).collect()
    };
    Pruned {
        log: disk
            .log()
            .iter()
            .flat_map(|(_, content)| lines(content))
            .collect(),
        seals: lines(&disk.content(Dir::Log, SEALS).expect("seals are kept")),
        key,
    }
}
