//! Recovery continues after the last record, whatever follows it; the verifier accepts any bytes.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

mod common;

use common::simulated::{EIO, ENOSPC, EROFS, Fault, Simulated};
use common::{at, body, check, join, one, pinned, sample, settings};
use proptest::prelude::*;
use pulse_audit::verify::{Options, Start, Verdict};
use pulse_audit::{Dir, Log, LogError, RecoveryReason};

fn pieces() -> impl Strategy<Value = Vec<u8>> {
    // Parts of records, and any bytes.
    let known = prop::sample::select(vec![
        "{\"seq\":5",
        ",\"ts\":\"2026-11-21T10:00:03.123456Z\"",
        ",\"event_type\":\"log.sealed\"",
        ",\"prev_hash\":\"",
        "\",\"event_hash\":\"",
        "\"}",
        "\n",
        "0123456789abcdef",
    ]);
    let piece = prop_oneof![
        known.prop_map(|text| text.as_bytes().to_vec()),
        prop::collection::vec(any::<u8>(), 0..20),
        Just(vec![b'a'; 64]),
        Just(vec![0; 5000]),
    ];
    prop::collection::vec(piece, 0..12).prop_map(|pieces| pieces.concat())
}

/// Operations on the log, and faults of its disk.
#[derive(Clone, Debug)]
struct Step {
    asked: Asked,
    fault: Option<(u64, u64, Fault)>,
    second: u64,
}

#[derive(Clone, Debug)]
enum Asked {
    Append(usize),
    Seal,
    Rotate,
    Recover,
}

fn step() -> impl Strategy<Value = Step> {
    let asked = prop_oneof![
        4 => (1usize..5).prop_map(Asked::Append),
        1 => Just(Asked::Seal),
        1 => Just(Asked::Rotate),
        1 => Just(Asked::Recover),
    ];
    let number = prop::sample::select(vec![EIO, ENOSPC, EROFS]);
    let fault = prop_oneof![
        number.clone().prop_map(Fault::Before),
        number.clone().prop_map(Fault::After),
        number.prop_map(Fault::Lost),
        Just(Fault::PowerBefore),
        Just(Fault::PowerAfter),
    ];
    let fault = prop::option::of((0u64..14, 1u64..4, fault));
    (asked, fault, 0u64..500).prop_map(|(asked, fault, second)| Step {
        asked,
        fault,
        second,
    })
}

/// Gives the number of acknowledged records.
fn take(log: &mut Log<Simulated>, step: &Step) -> Result<usize, LogError> {
    let now = at(step.second);
    match step.asked {
        Asked::Append(count) => log
            .append(now, &vec![body("acknowledged"); count])
            .map(|_| count),
        Asked::Seal => log.seal(now).map(|_| 0),
        Asked::Rotate => log.rotate(now).map(|_| 0),
        Asked::Recover => log.recover(now, RecoveryReason::Resumption(0)).map(|()| 0),
    }
}

/// Continues after a failure, as the daemon does: by recovery, or after a restart.
fn resume(log: &mut Log<Simulated>, disk: &Simulated, second: u64) {
    let is_dead = disk.disk.lock().unwrap().dead;
    if !is_dead {
        let _ = log.recover(at(second), RecoveryReason::Failure("a fault"));
        disk.disk.lock().unwrap().fault = None;
        return log
            .recover(at(second), RecoveryReason::Resumption(1))
            .unwrap();
    }
    disk.disk.lock().unwrap().restart();
    *log = Log::open(disk.clone(), settings(), at(second)).unwrap();
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(512))]

    #[test]
    fn any_torn_bytes_are_recovered(torn in pieces(), cut in 0usize..600, append_only: bool) {
        let sample = sample(1, 1, 2, "x");
        let mut unsealed = Log::open(sample.disk.clone(), settings(), at(50)).unwrap();
        common::write(&mut unsealed, 51, "last");
        drop(unsealed);
        let crashed = {
            let mut disk = sample.disk.disk.lock().unwrap();
            disk.append_only = append_only;
            let number = disk.files[&(0, "audit.log".to_owned())];
            let seen = &mut disk.inodes.get_mut(&number).unwrap().seen;
            // At most the last record is cut: the one before was stored as the end of the log.
            let last = seen[..seen.len() - 1].iter().rposition(|byte| *byte == b'\n').unwrap() + 1;
            let keep = (seen.len() - cut).max(last);
            seen.truncate(keep);
            seen.extend_from_slice(&torn);
            seen.clone()
        };
        let mut log = Log::open(sample.disk.clone(), settings(), at(60)).unwrap();
        common::write(&mut log, 61, "after");
        log.seal(at(62)).unwrap();
        drop(log);
        let disk = sample.disk.disk.lock().unwrap();
        let report = check(&disk.log(), &pinned(sample.key));
        prop_assert_eq!(report.verdict, Verdict::Intact, "{:?}", report.findings);
        let kept = disk.files.keys().filter(|(_, name)| name.contains("torn"));
        let kept: Vec<u8> = kept.flat_map(|(_, name)| disk.content(Dir::Log, name).unwrap()).collect();
        // No byte is lost: each is in its place or in a file of torn bytes.
        let left = join(&disk.log());
        prop_assert!(crashed.ends_with(&kept));
        prop_assert!(left.starts_with(&crashed[..crashed.len() - kept.len()]));
        prop_assert!(!append_only || left.starts_with(&crashed));
    }

    #[test]
    fn disk_faults_lose_no_acked_record(
        steps in prop::collection::vec(step(), 1..25),
        seed: u64,
    ) {
        let disk = Simulated::default();
        let mut log = Log::open(disk.clone(), settings(), at(0)).unwrap();
        let (key, mut acknowledged) = (log.public_key(), 0);
        disk.disk.lock().unwrap().seed = seed;
        for step in &steps {
            {
                let mut disk = disk.disk.lock().unwrap();
                let now = disk.operations;
                disk.fault = step.fault.map(|(from, count, fault)| (now + from, count, fault));
            }
            match take(&mut log, step) {
                Ok(count) => acknowledged += count,
                Err(_) => resume(&mut log, &disk, step.second),
            }
        }
        let head = log.head();
        drop(log);
        disk.disk.lock().unwrap().restart();
        let files = disk.disk.lock().unwrap().log();
        let report = check(&files, &Options { heads: vec![head], lagging: false, ..pinned(key) });
        prop_assert_eq!(report.verdict, Verdict::Intact, "{:?}", report.findings);
        let text = String::from_utf8_lossy(&join(&files)).into_owned();
        prop_assert!(text.matches("acknowledged").count() >= acknowledged);
    }

    #[test]
    fn any_file_can_be_verified(bytes in pieces(), at in any::<prop::sample::Index>()) {
        let sample = sample(1, 1, 2, "x");
        let mut content = join(&sample.files);
        let place = at.index(content.len());
        content.splice(place..place, bytes.iter().copied());
        let report = check(&one(content), &pinned(sample.key));
        prop_assert_eq!(report.verdict == Verdict::Intact, bytes.is_empty());
        let _ = check(&one(bytes), &Options { start: Start::AnyRecord, ..Options::default() });
    }
}
