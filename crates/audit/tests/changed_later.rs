//! Changes of files after the log has stopped, or at its end: nothing is accepted unseen.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

mod common;

use common::place::{LIVE, Place, SEGMENT, settings};
use common::{accept_loss, record, rotate, until};
use pulse_audit::verify::Verdict;
use pulse_audit::{Change, Log, LogError, Settings, Timestamp};
use std::fs;
use std::io::Write;
use std::path::PathBuf;
use std::time::Duration;

const SECOND_SEGMENT: &str = "audit.log-000000000005";

/// A third file: two segments and the live one.
fn place_of_three() -> Place {
    let place = Place::new();
    rotate(place.writer()).unwrap();
    record(place.writer()).unwrap();
    place
}

#[test]
fn a_second_change_is_told() {
    let place = place_of_three();
    place.change(SEGMENT, Change::Renamed);
    place.told();
    fs::remove_file(place.path(SECOND_SEGMENT)).unwrap();
    fs::rename(place.path("elsewhere"), place.path(SEGMENT)).unwrap();
    assert_eq!(place.told()[0].file, SECOND_SEGMENT);
    assert_eq!(place.writer().health().changes, 2);
    assert!(!place.writer().is_available());
    assert_eq!(accept_loss(place.writer()).unwrap().len(), 2);
    record(place.writer()).unwrap();
    assert_eq!(place.records("log.disturbed").len(), 2);
}

#[test]
fn unseen_changes_are_not_accepted() {
    for (name, change) in [
        (LIVE, Change::Cut),
        (LIVE, Change::Removed),
        (SECOND_SEGMENT, Change::Removed),
    ] {
        let place = place_of_three();
        place.change(SEGMENT, Change::Removed);
        place.told();
        place.change(name, change);
        // The check can be faster than the acceptance, and tells it as well.
        if let Err(error) = accept_loss(place.writer()) {
            assert!(
                matches!(&error, LogError::Unseen(files) if files[0].file == name),
                "{name} {change:?}: {error:?}"
            );
            assert_eq!(accept_loss(place.writer()).unwrap().len(), 2);
        }
        assert_eq!(place.told()[0].change, change);
        assert_eq!(place.writer().health().changes, 2, "{name} {change:?}");
        record(place.writer()).unwrap();
    }
}

#[test]
fn an_offline_acceptance_names_all() {
    let mut place = Place::new();
    place.change(SEGMENT, Change::Removed);
    place.told();
    place.stop();
    place.change(LIVE, Change::Cut);
    let accept = || Log::accept_loss(place.directory(), settings(), Timestamp::now(), "uid:0");
    let outcome = accept().map(|(_, files)| files);
    assert!(
        matches!(&outcome, Err(LogError::Unseen(files)) if files[0].is_live()),
        "{outcome:?}"
    );
    assert_eq!(accept().unwrap().1.len(), 2);
}

#[test]
fn a_signal_accepts_no_other_change() {
    let patient = Settings {
        rotation_grace: Duration::from_secs(3600),
        ..settings()
    };
    for grace in [patient, settings()] {
        let is_in_time = grace.rotation_grace > Duration::from_secs(1);
        let place = Place::with(grace);
        let segment = place.path(SECOND_SEGMENT);
        let length = place.read(LIVE).len() as u64;
        fs::rename(place.path(LIVE), &segment).unwrap();
        if !is_in_time {
            place.told();
        }
        let mut file = fs::OpenOptions::new().append(true).open(&segment).unwrap();
        file.write_all(b"{}\n").unwrap();
        place.writer().reopen();
        if is_in_time {
            assert_eq!(place.told()[0].change, Change::Extended);
            continue;
        }
        std::thread::sleep(Duration::from_millis(30));
        assert!(!place.writer().is_available());
        file.set_len(length).unwrap();
        place.writer().reopen();
        until(place.writer(), |health| health.available);
        place.writer().stop();
        assert_eq!(place.verified().verdict, Verdict::Intact);
    }
}

#[test]
fn a_signal_allows_no_move_elsewhere() {
    let place = Place::with(Settings {
        check_interval: Duration::from_secs(3600),
        ..settings()
    });
    let elsewhere = place.place.path().join("elsewhere");
    fs::rename(place.path(LIVE), &elsewhere).unwrap();
    place.writer().reopen();
    assert_eq!(place.told()[0].change, Change::Renamed);
    place.writer().reopen();
    std::thread::sleep(Duration::from_millis(30));
    assert!(!place.writer().is_available());
    fs::rename(elsewhere, place.path(LIVE)).unwrap();
    until(place.writer(), |health| health.available);
}

#[test]
fn a_copy_is_not_the_live_file() {
    let place = Place::new();
    fs::rename(place.path(LIVE), place.path("elsewhere")).unwrap();
    fs::copy(place.path("elsewhere"), place.path(LIVE)).unwrap();
    let original = place.place.path().join("original");
    fs::rename(place.path("elsewhere"), &original).unwrap();
    let change = place.told()[0].change;
    // The check can come between the three steps.
    if change == Change::Replaced {
        std::thread::sleep(Duration::from_millis(30));
        assert!(!place.writer().is_available());
        fs::rename(original, place.path(LIVE)).unwrap();
    }
    until(place.writer(), |health| health.available);
}

#[test]
fn a_removed_file_stays_open() {
    let place = Place::new();
    place.change(LIVE, Change::Removed);
    place.told();
    let path = place.path(LIVE);
    let deleted = format!(
        "{} (deleted)",
        fs::canonicalize(place.path(""))
            .unwrap()
            .join(LIVE)
            .display()
    );
    let open = fs::read_dir("/proc/self/fd").unwrap().flatten();
    let descriptor = open
        .map(|entry| entry.path())
        .find(|fd| fs::read_link(fd).is_ok_and(|to| to.as_os_str() == &*deleted))
        .unwrap();
    fs::copy(descriptor, place.path("copy")).unwrap();
    fs::rename(place.path("copy"), path).unwrap();
    until(place.writer(), |health| health.available);
    place.writer().stop();
    assert_eq!(place.verified().verdict, Verdict::Intact);
}

#[test]
fn a_stop_remembers_a_rename() {
    let mut place = Place::with(Settings {
        rotation_grace: Duration::from_secs(3600),
        check_interval: Duration::from_secs(3600),
        ..settings()
    });
    place.change(LIVE, Change::Renamed);
    place.stop();
    let outcome = place.start(settings());
    assert!(
        matches!(&outcome, Err(LogError::Disturbed(one)) if one.change == Change::Renamed),
        "{outcome:?}"
    );
    Log::accept_loss(place.directory(), settings(), Timestamp::now(), "uid:0").unwrap();
    place.start(settings()).unwrap();
}

#[test]
fn the_reason_is_stored_later() {
    let place = Place::new();
    let state = place.place.path().join("state");
    // The name of the unfinished file is taken.
    fs::create_dir(state.join("stopped.new")).unwrap();
    place.change(SEGMENT, Change::Removed);
    place.told();
    assert!(!state.join("stopped").exists());
    fs::remove_dir(state.join("stopped.new")).unwrap();
    until(place.writer(), |_| state.join("stopped").exists());
}

#[test]
fn the_first_change_stays_the_reason() {
    let place = Place::new();
    place.change(SEGMENT, Change::Renamed);
    place.told();
    let state = place.place.path().join("state");
    let is_key = |path: &PathBuf| path.to_string_lossy().contains("seal-key-");
    let files = fs::read_dir(state).unwrap().flatten();
    for key in files.map(|file| file.path()).filter(is_key) {
        fs::remove_file(key).unwrap();
    }
    fs::rename(place.path("elsewhere"), place.path(SEGMENT)).unwrap();
    until(place.writer(), |health| {
        let error = health.last_error.as_deref().unwrap_or_default();
        error.starts_with(&format!("{SEGMENT} was renamed")) && error.contains("private key")
    });
}
