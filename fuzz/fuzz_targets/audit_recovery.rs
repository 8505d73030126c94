//! Any state of the log's directories after a crash or a change: recovery refuses it, or
//! continues after the last complete record, loses none, and the result verifies.

#![no_main]

use libfuzzer_sys::fuzz_target;
use pulse_audit::verify::{Options, Report, Source, StateKeys, Verdict, verify};
use pulse_audit::{Body, Dir, LIVE, Log, PublicKey, Settings, Storage, Timestamp};
use pulse_core::event::Event;
use simulated::{Disk, Simulated};
use std::io::Cursor;
use std::time::Duration;

#[path = "../../crates/audit/tests/common/simulated.rs"]
#[allow(dead_code)]
mod simulated;

const KEY: &str = "seal-key-2";

fuzz_target!(|bytes: &[u8]| {
    let [layout, cut, rest @ ..] = bytes else {
        return;
    };
    let (disk, key) = begun(layout & 1 == 1);
    let is_tail = befall(&disk, *layout, *cut, rest);
    let before = snapshot(&disk);
    let good = judge(&before, key, None);
    let Ok(mut log) = Log::open(disk.clone(), Settings::default(), at(60)) else {
        let kept = snapshot(&disk);
        assert_eq!(kept, before, "what cannot be gone on with is left as it is");
        return;
    };
    log.append(at(61), &[body()]).expect("a disk");
    log.seal(at(62)).expect("a disk");
    let last = log.head();
    drop(log);
    let after = snapshot(&disk);
    let state = disk.disk.lock().expect("a disk").state_keys();
    let report = judge(&after, key, Some(state));
    if is_tail {
        assert_eq!(report.verdict, Verdict::Intact, "{:?}", report.findings);
        assert_eq!(report.last_seq, last.seq);
        assert!(last.seq >= good.last_seq + 2, "behind what was good");
        assert!(join(&after).starts_with(&records(&before, good.records)));
    }
    // Recovery accepts its own result.
    Log::open(disk, Settings::default(), at(63)).expect("its own work");
});

fn at(second: u64) -> Timestamp {
    Timestamp::from_micros(0).plus(Duration::from_secs(second))
}

fn body() -> Body {
    Body::of(&Event::ProxyStart)
}

/// A log with two seals and two unsealed records, optionally rotated.
fn begun(rotated: bool) -> (Simulated, PublicKey) {
    let disk = Simulated::default();
    let mut log = Log::open(disk.clone(), Settings::default(), at(0)).expect("a disk");
    let key = log.public_key();
    for second in 1..3 {
        log.append(at(second), &[body()]).expect("a disk");
        log.seal(at(second)).expect("a disk");
    }
    if rotated {
        log.rotate(at(4)).expect("a disk");
    }
    log.append(at(5), &[body(), body()]).expect("a disk");
    (disk, key)
}

/// Applies the input. Returns true when only the log's unsealed end was changed.
fn befall(disk: &Simulated, layout: u8, cut: u8, bytes: &[u8]) -> bool {
    let mut storage = disk.clone();
    let mut disk = disk.disk.lock().expect("a disk");
    disk.append_only = layout & 2 == 2;
    match layout >> 2 & 7 {
        // Garbage after the last record, or after the rest of a torn one.
        0..4 => tear(&mut disk, cut, bytes),
        4 => replace(&mut disk, Dir::Log, LIVE, bytes),
        5 => replace(&mut disk, Dir::State, KEY, bytes),
        6 => drop(disk.files.remove(&(0, LIVE.to_owned()))),
        _ => {
            drop(disk);
            storage
                .store(Dir::State, "seal-key-3", bytes)
                .expect("a disk");
        }
    }
    layout >> 2 & 7 < 4
}

/// A lower bound of the two unsealed records' bytes.
const UNSEALED_BYTES: usize = 255;

fn tear(disk: &mut Disk, cut: u8, bytes: &[u8]) {
    let number = disk.files[&(0, LIVE.to_owned())];
    let file = &mut disk.inodes.get_mut(&number).expect("a file").seen;
    let keep = file.len() - usize::from(cut).min(UNSEALED_BYTES);
    file.truncate(keep);
    file.extend_from_slice(bytes);
}

fn replace(disk: &mut Disk, place: Dir, name: &str, bytes: &[u8]) {
    let key = (u8::from(place == Dir::State), name.to_owned());
    if let Some(number) = disk.files.get(&key).copied() {
        disk.inodes.get_mut(&number).expect("a file").seen = bytes.to_vec();
    }
}

type Files = Vec<(String, Vec<u8>)>;

fn snapshot(disk: &Simulated) -> Files {
    disk.disk.lock().expect("a disk").log()
}

fn join(files: &Files) -> Vec<u8> {
    files
        .iter()
        .flat_map(|(_, content)| content.clone())
        .collect()
}

/// The bytes of the first records.
fn records(files: &Files, count: u64) -> Vec<u8> {
    let text = join(files);
    let lines = text.split_inclusive(|byte| *byte == b'\n');
    lines
        .take(usize::try_from(count).expect("a few"))
        .flatten()
        .copied()
        .collect()
}

/// Verifies without the private keys, so only the content.
fn judge(files: &Files, key: PublicKey, state: Option<StateKeys>) -> Report {
    let source =
        |(name, content): &(String, Vec<u8>)| Source::reader(name, Cursor::new(content.clone()));
    let options = Options {
        key: Some(key),
        lagging: state.is_none(),
        state,
        ..Options::default()
    };
    let sources: Vec<Source> = files.iter().map(source).collect();
    verify(sources, &options, &mut |_| ()).expect("memory can be read")
}
