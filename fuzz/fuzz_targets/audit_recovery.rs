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

/// The private key of the present epoch, which two seals precede.
const KEY: &str = "seal-key-2";

fuzz_target!(|bytes: &[u8]| {
    let [layout, cut, rest @ ..] = bytes else {
        return;
    };
    let (disk, key) = begun(layout & 1 == 1);
    let is_tail = befall(&disk, *layout, *cut, rest);
    let before = snapshot(&disk);
    // Before recovery, which may cut the live file.
    let good = judge(&before, key, None);
    let Ok(mut log) = Log::open(disk.clone(), Settings::default(), at(60)) else {
        // Recovery reads everything before it changes a file.
        assert_eq!(
            snapshot(&disk),
            before,
            "what cannot be gone on with is left as it is"
        );
        return;
    };
    log.append(at(61), &[body()]).expect("a disk");
    log.seal(at(62)).expect("a disk");
    let last = log.head();
    drop(log);
    let after = snapshot(&disk);
    let state = disk.disk.lock().expect("a disk").state_keys();
    let report = judge(&after, key, Some(state));
    // Other changes destroy sealed records or a key: no verdict is expected of the result.
    if is_tail {
        assert_eq!(report.verdict, Verdict::Intact, "{:?}", report.findings);
        assert_eq!(report.last_seq, last.seq);
        // At least the record that is appended above, and its seal.
        assert!(last.seq >= good.last_seq + 2, "behind what was good");
        let before = join(&before);
        let records = before.split_inclusive(|byte| *byte == b'\n');
        let count = usize::try_from(good.records).expect("a few");
        assert!(join(&after).starts_with(&records.take(count).collect::<Vec<_>>().concat()));
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
    let live = (0, LIVE.to_owned());
    // Half of the values give a torn end, which is the state that a crash leaves.
    match layout >> 2 & 7 {
        // Garbage after the last record, or after the rest of a torn one.
        0..4 => {
            let file = content(&mut disk, &live);
            file.truncate(file.len() - usize::from(cut).min(UNSEALED_BYTES));
            file.extend_from_slice(bytes);
        }
        4 => *content(&mut disk, &live) = bytes.to_vec(),
        5 => *content(&mut disk, &(1, KEY.to_owned())) = bytes.to_vec(),
        6 => drop(disk.files.remove(&live)),
        _ => {
            // A seal stores the next key first, so a crash can leave it. `store` locks the disk.
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

/// The content of a file, which is in the log's directory (0) or in that of the state (1).
fn content<'a>(disk: &'a mut Disk, file: &(u8, String)) -> &'a mut Vec<u8> {
    &mut disk.inodes.get_mut(&disk.files[file]).expect("a file").seen
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

/// Verifies the content, and with the private keys the end as well.
fn judge(files: &Files, key: PublicKey, state: Option<StateKeys>) -> Report {
    let sources: Vec<_> = files
        .iter()
        .map(|(name, content)| Source::reader(name, Cursor::new(content.clone())))
        .collect();
    let options = Options {
        key: Some(key),
        // Only the private keys prove that the log has its end.
        lagging: state.is_none(),
        state,
        ..Options::default()
    };
    verify(sources, &options, &mut |_| ()).expect("memory can be read")
}
