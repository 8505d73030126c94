//! Files that another program changed and that are put back as they were, whatever the way: the log
//! continues, with the change on record.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

mod common;

use common::place::{LIVE, Place, SEGMENT, settings};
use common::{accept_loss, record, until};
use pulse_audit::verify::Verdict;
use pulse_audit::{Change, Log, LogError, Timestamp};
use std::fs;

/// A log whose process was killed, or has ended in order.
fn ended(is_killed: bool) -> Place {
    let mut place = Place::new();
    place.stop();
    if is_killed {
        let mut log = Log::open(place.directory(), settings(), Timestamp::now()).unwrap();
        log.append(Timestamp::now(), &[common::body("unsealed")])
            .unwrap();
    }
    place
}

/// A second name of the file, so that what another program does leaves the file itself.
fn keep(place: &Place, name: &str) -> (std::path::PathBuf, Vec<u8>) {
    let original = place.place.path().join("original");
    fs::hard_link(place.path(name), &original).unwrap();
    (original, place.read(name))
}

fn assert_intact(place: &Place, what: &str) {
    let report = place.verified();
    assert_eq!(
        report.verdict,
        Verdict::Intact,
        "{what}: {:?}",
        report.findings
    );
}

#[test]
fn the_original_ends_every_change_after_a_restart() {
    for (is_killed, name, change) in [true, false].into_iter().flat_map(|is_killed| {
        [LIVE, SEGMENT]
            .into_iter()
            .flat_map(move |name| Change::ALL.map(|change| (is_killed, name, change)))
    }) {
        let what = format!("killed {is_killed}, {name} {change:?}");
        let mut place = ended(is_killed);
        let (original, content) = keep(&place, name);
        place.change(name, change);
        // The bytes are those of a torn write.
        if (is_killed, name, change) == (true, LIVE, Change::Extended) {
            continue;
        }
        for _ in 0..2 {
            let outcome = place.start(settings());
            assert!(
                matches!(&outcome, Err(LogError::Disturbed(one)) if one.change == change),
                "{what}: {outcome:?}"
            );
        }
        let _ = fs::remove_file(place.path("elsewhere"));
        fs::write(&original, content).unwrap();
        fs::rename(&original, place.path(name)).unwrap();
        // A rename onto another name of the same file has no effect (rename(2)).
        let _ = fs::remove_file(original);
        place.start(settings()).expect(&what);
        record(place.writer()).unwrap();
        assert!(!place.records("log.disturbed").is_empty(), "{what}");
        assert_eq!(place.records("log.loss_accepted").len(), 0, "{what}");
        place.stop();
        assert_intact(&place, &what);
        place.start(settings()).expect(&what);
    }
}

#[test]
fn a_slow_copy_puts_a_file_back() {
    for (name, change) in [LIVE, SEGMENT].into_iter().flat_map(|name| {
        [Change::Renamed, Change::Removed, Change::Cut].map(|change| (name, change))
    }) {
        let what = format!("{name} {change:?}");
        let place = Place::new();
        let content = place.read(name);
        place.change(name, change);
        place.told();
        let _ = fs::remove_file(place.path("elsewhere"));
        // As cp and scp do it: created, half written, whole.
        let _ = fs::remove_file(place.path(name));
        for part in [0, content.len() / 2] {
            fs::write(place.path(name), &content[..part]).unwrap();
            place.told();
        }
        fs::write(place.path(name), content).unwrap();
        until(place.writer(), |health| health.available);
        record(place.writer()).unwrap();
        assert_eq!(place.records("log.loss_accepted").len(), 0, "{what}");
        place.writer().stop();
        assert_intact(&place, &what);
    }
}

#[test]
fn the_original_ends_a_replacement() {
    for (is_restarted, name) in [
        (false, LIVE),
        (false, SEGMENT),
        (true, LIVE),
        (true, SEGMENT),
    ] {
        let what = format!("{name}, restarted {is_restarted}");
        let mut place = Place::new();
        let (original, _) = keep(&place, name);
        place.change(name, Change::Replaced);
        place.told();
        if is_restarted {
            place.stop();
            assert!(place.start(settings()).is_err());
        }
        fs::rename(original, place.path(name)).unwrap();
        if is_restarted {
            place.start(settings()).expect(&what);
        }
        until(place.writer(), |health| health.available);
        place.writer().stop();
        assert_intact(&place, &what);
    }
}

/// Another owner can have the copy, or another name besides.
#[test]
fn a_restart_takes_no_copy_for_the_live_file() {
    let mut place = Place::new();
    let (original, content) = keep(&place, LIVE);
    place.change(LIVE, Change::Replaced);
    place.told();
    place.stop();
    fs::write(place.path(LIVE), content).unwrap();
    assert!(place.start(settings()).is_err());
    fs::rename(original, place.path(LIVE)).unwrap();
    place.start(settings()).unwrap();
    assert!(matches!(
        accept_loss(place.writer()),
        Err(LogError::NothingLost)
    ));
}
