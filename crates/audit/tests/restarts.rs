//! Changes of the log's files across a restart: what was done while no process ran, what a writer
//! had stopped for, and what a crash left unsaid. Nothing of it heals in silence, and an operator
//! can accept all of it.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

mod common;

use common::place::{LIVE, Place, SEGMENT, settings};
use common::{accept_loss, record, rotate, until};
use pulse_audit::verify::Verdict;
use pulse_audit::{Change, ChangedFile, Log, LogError, Timestamp};
use std::fs;

const SECOND_SEGMENT: &str = "audit.log-000000000005";

fn start(place: &mut Place) -> Result<(), LogError> {
    place.start(settings())
}

fn accept(place: &Place) -> Result<Vec<ChangedFile>, LogError> {
    let accepted = Log::accept_loss(place.directory(), settings(), Timestamp::now(), "uid:0");
    accepted.map(|(_, files)| files)
}

/// Two starts are refused because of this change.
fn assert_refused(place: &mut Place, name: &str, change: Change) {
    for _ in 0..2 {
        let outcome = start(place);
        assert!(
            matches!(&outcome, Err(LogError::Disturbed(one))
                if (&*one.file, one.change) == (name, change)),
            "{name} {change:?}: {outcome:?}"
        );
    }
}

fn matrix() -> impl Iterator<Item = (&'static str, Change)> {
    let changes = |name| Change::ALL.map(|change| (name, change));
    [LIVE, SEGMENT].into_iter().flat_map(changes)
}

/// A log whose process was killed: its last record has no seal.
fn killed() -> (Place, u64) {
    let mut place = Place::new();
    place.stop();
    let mut log = Log::open(place.directory(), settings(), Timestamp::now()).unwrap();
    log.seal(Timestamp::now()).unwrap();
    log.append(Timestamp::now(), &[common::body("unsealed")])
        .unwrap();
    let last = log.head().seq;
    (place, last)
}

#[test]
fn damage_without_a_writer_is_accepted() {
    for (name, change) in matrix() {
        let mut place = Place::new();
        let last = place.writer().health().seq;
        place.stop();
        place.change(name, change);
        assert_refused(&mut place, name, change);
        let accepted = accept(&place).unwrap();
        assert_eq!(
            (accepted.len(), &*accepted[0].file, accepted[0].change),
            (1, name, change)
        );
        assert!(matches!(accept(&place), Err(LogError::NothingLost)));
        start(&mut place).unwrap();
        assert!(
            record(place.writer()).unwrap().seq > last,
            "{name} {change:?}"
        );
        assert_eq!(place.records("log.disturbed").len(), 1, "{name} {change:?}");
        assert_eq!(place.records("log.loss_accepted").len(), 1);
        place.writer().stop();
        let is_lossless = (name, change) == (LIVE, Change::Extended);
        let verdict = place.verified().verdict;
        assert_eq!(verdict == Verdict::Intact, is_lossless, "{name} {change:?}");
    }
}

#[test]
fn damage_after_a_kill_is_accepted() {
    for change in [
        Change::Renamed,
        Change::Removed,
        Change::Cut,
        Change::Replaced,
    ] {
        let (mut place, last) = killed();
        place.change(LIVE, change);
        assert_refused(&mut place, LIVE, change);
        assert_eq!(accept(&place).unwrap()[0].change, change);
        start(&mut place).unwrap();
        // The last record had no seal, so its number may be used again.
        assert!(record(place.writer()).unwrap().seq > last, "{change:?}");
        assert_eq!(place.records("log.loss_accepted").len(), 1, "{change:?}");
    }
}

#[test]
fn an_acceptance_without_a_start_shows_first() {
    let mut place = Place::new();
    place.stop();
    place.change(SEGMENT, Change::Removed);
    place.change(LIVE, Change::Cut);
    let outcome = accept(&place);
    assert!(
        matches!(&outcome, Err(LogError::Unseen(files)) if files.len() == 2),
        "{outcome:?}"
    );
    assert_eq!(accept(&place).unwrap().len(), 2);
    start(&mut place).unwrap();
}

#[test]
fn what_is_put_back_before_a_start_continues() {
    for is_killed in [true, false] {
        for name in [LIVE, SEGMENT] {
            let (mut place, _) = killed();
            if !is_killed {
                start(&mut place).unwrap();
                place.stop();
            }
            let whole = place.read(LIVE);
            place.change(name, Change::Renamed);
            assert_refused(&mut place, name, Change::Renamed);
            fs::rename(place.path("elsewhere"), place.path(name)).unwrap();
            start(&mut place).unwrap();
            record(place.writer()).unwrap();
            assert!(place.read(LIVE).starts_with(&whole), "no record is torn");
            assert_eq!(place.records("log.disturbed").len(), 1, "{name}");
            place.writer().stop();
            let report = place.verified();
            assert_eq!(report.verdict, Verdict::Intact, "{:?}", report.findings);
            // Once is enough.
            start(&mut place).unwrap();
            place.stop();
            assert_eq!(place.records("log.disturbed").len(), 1, "{name}");
        }
    }
}

/// The rename counts although the time for a signal was not over.
#[test]
fn a_kill_forgets_no_rename() {
    let (mut place, _) = killed();
    fs::rename(place.path(LIVE), place.path("audit.log.1")).unwrap();
    assert_refused(&mut place, LIVE, Change::Renamed);
    fs::rename(place.path("audit.log.1"), place.path(LIVE)).unwrap();
    start(&mut place).unwrap();
    place.stop();
    assert_eq!(place.verified().verdict, Verdict::Intact);
}

/// A young log has no seal, and its first key would begin another one.
#[test]
fn a_young_log_is_not_begun_again() {
    let mut place = Place::new();
    place.stop();
    let young = tempfile::tempdir().unwrap();
    let open = || {
        let storage = pulse_audit::Directory::lock(young.path(), &young.path().join("state"));
        Log::open(storage.unwrap(), settings(), Timestamp::now()).map(drop)
    };
    open().unwrap();
    fs::remove_file(young.path().join(LIVE)).unwrap();
    let outcome = open();
    assert!(
        matches!(&outcome, Err(LogError::Disturbed(one)) if one.change == Change::Removed),
        "{outcome:?}"
    );
}

#[test]
fn a_stop_is_found_in_the_log_alone() {
    for files in [
        &["stopped"][..],
        &["stopped", "end"],
        &["stopped", "files", "end"],
    ] {
        let mut place = Place::new();
        place.change(SEGMENT, Change::Removed);
        place.told();
        place.stop();
        for file in files {
            fs::remove_file(place.place.path().join("state").join(file)).unwrap();
        }
        assert_refused(&mut place, SEGMENT, Change::Removed);
        accept(&place).unwrap();
        start(&mut place).unwrap();
        assert_eq!(place.records("log.disturbed").len(), 1, "{files:?}");
        place.stop();
        start(&mut place).unwrap();
    }
}

#[test]
fn a_change_that_was_undone_stays_over() {
    let mut place = Place::new();
    place.change(SEGMENT, Change::Renamed);
    place.told();
    fs::rename(place.path("elsewhere"), place.path(SEGMENT)).unwrap();
    until(place.writer(), |health| health.available);
    place.stop();
    for file in ["files", "end"] {
        fs::remove_file(place.place.path().join("state").join(file)).unwrap();
    }
    start(&mut place).unwrap();
}

#[test]
fn a_second_change_of_a_file_is_not_accepted() {
    for name in [LIVE, SEGMENT] {
        let place = Place::new();
        place.change(name, Change::Cut);
        place.told();
        fs::remove_file(place.path(name)).unwrap();
        let told = place.told();
        assert_eq!((&*told[0].file, told[0].change), (name, Change::Removed));
        assert_eq!(place.writer().health().changes, 2);
        // It is accepted once it is told, by the check or by a first attempt.
        fs::write(place.path(name), "x").unwrap();
        if let Err(error) = accept_loss(place.writer()) {
            assert!(
                matches!(&error, LogError::Unseen(files) if files[0].file == name),
                "{error:?}"
            );
            accept_loss(place.writer()).unwrap();
        }
        assert_eq!(place.writer().health().changes, 3);
        record(place.writer()).unwrap();
        assert_eq!(
            place.records("log.disturbed").len(),
            if name == LIVE { 1 } else { 2 }
        );
    }
}

#[test]
fn other_files_are_watched_while_stopped() {
    let place = Place::new();
    rotate(place.writer()).unwrap();
    record(place.writer()).unwrap();
    place.change(SEGMENT, Change::Removed);
    place.told();
    place.change(SECOND_SEGMENT, Change::Cut);
    assert_eq!(place.told()[0].file, SECOND_SEGMENT);
    assert_eq!(place.writer().health().changed.len(), 2);
    assert_eq!(accept_loss(place.writer()).unwrap().len(), 2);
}

/// The rows of docs/audit.md that continue.
#[test]
fn a_start_lets_these_pass() {
    type Case<'a> = (&'a str, &'a dyn Fn(&Place));
    let rename = |place: &Place| {
        fs::rename(place.path(LIVE), place.path(SECOND_SEGMENT)).unwrap();
    };
    let extend = |place: &Place| place.change(LIVE, Change::Extended);
    let changes: [Case<'_>; 2] = [("renamed", &rename), ("extended", &extend)];
    for (what, change) in changes {
        let (mut place, last) = killed();
        change(&place);
        start(&mut place).unwrap();
        assert!(record(place.writer()).unwrap().seq > last, "{what}");
        assert_eq!(place.records("log.disturbed").len(), 0, "{what}");
        place.writer().stop();
        let report = place.verified();
        assert_eq!(report.verdict, Verdict::Intact, "{:?}", report.findings);
    }
    let mut place = Place::new();
    place.stop();
    place.change(SEGMENT, Change::Removed);
    for file in ["files", "end"] {
        fs::remove_file(place.place.path().join("state").join(file)).unwrap();
    }
    start(&mut place).unwrap();
}

#[test]
fn own_removals_are_no_damage() {
    let mut place = Place::new();
    for _ in 0..3 {
        rotate(place.writer()).unwrap();
        record(place.writer()).unwrap();
    }
    let limits = common::at_most(1);
    let streams = Box::new(Vec::new);
    place
        .writer()
        .retain(pulse_audit::Retention { limits, streams });
    until(place.writer(), |health| health.upkeep.removed_segments >= 3);
    place.stop();
    start(&mut place).unwrap();
    record(place.writer()).unwrap();
}
