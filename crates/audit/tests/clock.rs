//! Clock steps in both directions: numbers and hashes keep the order, seals are in time by every
//! clock, and the verifier reports the steps.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

mod common;

use common::simulated::Simulated;
use common::{at, check, pinned, record, settings};
use proptest::prelude::*;
use pulse_audit::verify::{NoteKind, Verdict};
use pulse_audit::{Log, Settings, Writer};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

#[test]
fn a_clock_step_seals_first() {
    let disk = Simulated::default();
    let mut log = Log::open(disk.clone(), settings(), at(0)).unwrap();
    let key = log.public_key();
    for second in [1, 100_000, 5, 200_000, 200_001] {
        common::write(&mut log, second, "x");
    }
    let files = disk.disk.lock().unwrap().log();
    let report = check(&files, &pinned(key));
    assert_eq!(report.verdict, Verdict::Intact, "{:?}", report.findings);
    assert!(
        report
            .notes
            .iter()
            .any(|note| note.kind == NoteKind::ClockStepped)
    );
}

#[test]
fn a_stopped_clock_still_seals() {
    let disk = Simulated::default();
    let settings = Settings {
        seal_after: Duration::from_millis(5),
        ..settings()
    };
    let calls = AtomicU64::new(0);
    let clock = move || match calls.fetch_add(1, Ordering::Relaxed) {
        call if call < 20 => at(1_000_000 - call * 1_000),
        _ => at(5),
    };
    let writer = Writer::start_with_clock(disk.clone(), settings, Box::new(clock)).unwrap();
    for epoch in 1..6 {
        record(&writer).unwrap();
        common::until(&writer, |health| {
            health.epoch >= epoch && health.unsealed == 0
        });
    }
    writer.stop();
    let files = disk.disk.lock().unwrap().log();
    let key = common::first_key(&files[0].1);
    let report = check(&files, &pinned(key));
    assert_eq!(report.verdict, Verdict::Intact, "{:?}", report.findings);
    assert_eq!(report.sealed_through, report.last_seq);
}

#[test]
fn an_idle_log_seals_after_a_step() {
    let settings = Settings {
        check_interval: Duration::from_millis(2),
        ..settings()
    };
    let seconds = Arc::new(AtomicU64::new(1));
    let clock = Arc::clone(&seconds);
    let clock = move || at(clock.load(Ordering::Relaxed));
    let writer = Writer::start_with_clock(Simulated::default(), settings, Box::new(clock)).unwrap();
    record(&writer).unwrap();
    assert_ne!(writer.health().unsealed, 0);
    // An hour later, as after a suspend. Nobody asks, and the monotonic clock has not moved.
    seconds.store(3600, Ordering::Relaxed);
    common::until(&writer, |health| health.unsealed == 0);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn clock_steps_are_named(
        moments in prop::collection::vec(0u64..400_000, 1..40),
    ) {
        let disk = Simulated::default();
        let mut log = Log::open(disk.clone(), settings(), at(200_000)).unwrap();
        let key = log.public_key();
        for (number, second) in moments.iter().enumerate() {
            let now = at(*second);
            match number % 7 {
                5 => { log.rotate(now).unwrap(); }
                6 => log = Log::open(disk.clone(), settings(), now).unwrap(),
                _ => common::write(&mut log, *second, "x"),
            }
        }
        let files = disk.disk.lock().unwrap().log();
        let report = check(&files, &pinned(key));
        prop_assert_eq!(report.verdict, Verdict::Intact, "{:?}", report.findings);
        let went_back = moments.windows(2).any(|pair| pair[1] + 1 < pair[0]) || moments[0] < 199_999;
        let is_named = report.notes.iter().any(|note| note.kind == NoteKind::ClockStepped);
        prop_assert_eq!(went_back, is_named);
    }
}
