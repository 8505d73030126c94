//! Files of the log that another program renames, removes, cuts, extends or replaces: each change
//! stops the log, is told at once, counted and on record, and ends only with its undoing or an
//! operator's word.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

mod common;

use common::place::{LIVE, Place, SEGMENT, settings};
use common::{accept_loss, record, rotate, until};
use pulse_audit::verify::Verdict;
use pulse_audit::{Change, Log, LogError, Settings, Timestamp};
use std::fs;
use std::time::Duration;

/// Every change of both kinds of files.
fn matrix() -> impl Iterator<Item = (&'static str, Change)> {
    let changes = |name| Change::ALL.map(|change| (name, change));
    [LIVE, SEGMENT].into_iter().flat_map(changes)
}

#[test]
fn every_change_stops_until_accepted() {
    for (name, change) in matrix() {
        let what = format!("{name} {change:?}");
        let place = Place::new();
        let last = place.writer().health().seq;
        place.change(name, change);
        let told = place.told();
        assert_eq!(
            (told.len(), &*told[0].file, told[0].change),
            (1, name, change),
            "{what}"
        );
        let records = if name == LIVE { (5, last) } else { (1, 4) };
        assert_eq!(told[0].records, Some(records), "{what}");
        let error = record(place.writer()).unwrap_err().to_string();
        assert!(
            error.contains(&format!("{name} was {}", change.as_str())),
            "{error}"
        );
        assert!(error.contains("audit accept-loss"), "{error}");
        let health = place.writer().health();
        assert_eq!((health.changes, health.failures), (1, 1), "{what}");
        assert_eq!(health.changed.to_vec(), told, "{what}");
        // Many retries later it is still stopped, and told once.
        std::thread::sleep(Duration::from_millis(30));
        assert!(!place.writer().is_available(), "{what}");
        assert_eq!(place.writer().health().changes, 1, "{what}");
        assert_eq!(accept_loss(place.writer()).unwrap(), told, "{what}");
        let next = record(place.writer()).unwrap().seq;
        assert!(next > last, "{what}: the numbers go on");
        let disturbed = place.records("log.disturbed");
        assert_eq!(disturbed.len(), 1, "{what}: {disturbed:?}");
        let named = format!(r#""file":"{name}","reason":"{}""#, change.as_str());
        assert!(disturbed[0].contains(&named), "{}", disturbed[0]);
        let accepted = place.records("log.loss_accepted");
        assert_eq!(accepted.len(), 1, "{what}");
        assert!(
            accepted[0].contains(r#""peer":"control:0","files":1"#),
            "{}",
            accepted[0]
        );
        let again = accept_loss(place.writer());
        assert!(matches!(again, Err(LogError::NothingLost)), "{again:?}");
        // Bytes that were added to the live file are set aside, and its descriptor still has the
        // content of one that is gone; everything else is missing.
        let kept = [Change::Extended, Change::Removed, Change::Replaced];
        let is_lossless = name == LIVE && kept.contains(&change);
        place.writer().stop();
        let verdict = place.verified().verdict;
        assert_eq!(
            verdict == Verdict::Intact,
            is_lossless,
            "{what}: {verdict:?}"
        );
    }
}

#[test]
fn what_is_undone_is_on_record() {
    for (name, change) in matrix() {
        // A copy in a file's place is another file: only an operator can tell.
        if change == Change::Replaced {
            continue;
        }
        let what = format!("{name} {change:?}");
        let place = Place::new();
        let content = place.read(name);
        place.change(name, change);
        place.told();
        let elsewhere = place.path("elsewhere");
        match change {
            Change::Renamed => fs::rename(elsewhere, place.path(name)).unwrap(),
            // As cp and scp do it: the check can see a part of it.
            _ => fs::write(place.path(name), content).unwrap(),
        }
        until(place.writer(), |health| health.available);
        record(place.writer()).unwrap();
        assert!(!place.records("log.disturbed").is_empty(), "{what}");
        assert_eq!(place.records("log.loss_accepted").len(), 0, "{what}");
        place.writer().stop();
        let report = place.verified();
        assert_eq!(
            report.verdict,
            Verdict::Intact,
            "{what}: {:?}",
            report.findings
        );
    }
}

#[test]
fn a_restart_forgets_no_change() {
    for (name, change) in matrix() {
        let what = format!("{name} {change:?}");
        let mut place = Place::new();
        let last = place.writer().health().seq;
        place.change(name, change);
        place.told();
        place.stop();
        for _ in 0..2 {
            let outcome = place.start(settings());
            assert!(
                matches!(&outcome, Err(LogError::Disturbed(file)) if file.file == name),
                "{what}: {outcome:?}"
            );
        }
        let now = Timestamp::now();
        let accept = |place: &Place| {
            Log::accept_loss(place.directory(), settings(), now, "uid:0").map(|(_, files)| files)
        };
        assert_eq!(accept(&place).unwrap()[0].change, change, "{what}");
        assert!(
            matches!(accept(&place), Err(LogError::NothingLost)),
            "{what}"
        );
        place.start(settings()).unwrap();
        assert!(record(place.writer()).unwrap().seq > last, "{what}");
        assert_eq!(place.records("log.disturbed").len(), 1, "{what}");
        assert_eq!(place.records("log.loss_accepted").len(), 1, "{what}");
    }
}

#[test]
fn a_restart_finds_what_was_undone() {
    let mut place = Place::new();
    place.change(SEGMENT, Change::Renamed);
    place.told();
    place.stop();
    fs::rename(place.path("elsewhere"), place.path(SEGMENT)).unwrap();
    place.start(settings()).unwrap();
    record(place.writer()).unwrap();
    assert_eq!(place.records("log.disturbed").len(), 1);
    place.writer().stop();
    assert_eq!(place.verified().verdict, Verdict::Intact);
}

#[test]
fn a_signal_makes_a_rename_a_rotation() {
    // In time, and after the log has stopped.
    for grace in [Duration::from_secs(3600), Duration::from_millis(2)] {
        let place = Place::with(Settings {
            rotation_grace: grace,
            ..settings()
        });
        let segment = place.path("audit.log-000000000005");
        fs::rename(place.path(LIVE), &segment).unwrap();
        let is_in_time = grace > Duration::from_secs(1);
        if is_in_time {
            record(place.writer()).unwrap();
        } else {
            place.told();
        }
        place.writer().reopen();
        until(place.writer(), |health| health.available);
        until(place.writer(), |_| place.path(LIVE).exists());
        record(place.writer()).unwrap();
        let health = place.writer().health();
        assert_eq!(health.changes, u64::from(!is_in_time));
        place.writer().stop();
        let report = place.verified();
        assert_eq!(report.verdict, Verdict::Intact, "{:?}", report.findings);
    }
}

#[test]
fn own_rotations_are_no_changes() {
    let place = Place::with(Settings {
        segment_bytes: 2_000,
        ..settings()
    });
    for _ in 0..100 {
        record(place.writer()).unwrap();
    }
    place.writer().stop();
    assert_eq!(place.writer().health().changes, 0);
    assert_eq!(place.verified().verdict, Verdict::Intact);
}

#[test]
fn a_removed_reserve_is_made_again() {
    let place = Place::new();
    fs::remove_file(place.path("audit.reserve")).unwrap();
    rotate(place.writer()).unwrap();
    until(place.writer(), |_| place.path("audit.reserve").exists());
    assert_eq!(place.writer().health().changes, 0);
}

#[test]
fn a_live_file_removed_on_nfs_is_gone() {
    let place = Place::with(Settings {
        rotation_grace: Duration::from_secs(3600),
        ..settings()
    });
    // The name that the client gives to an open file when it is removed.
    fs::rename(place.path(LIVE), place.path(".nfs0000000000000001")).unwrap();
    assert_eq!(place.told()[0].change, Change::Removed);
}

/// As logrotate does it with `create`.
#[test]
fn a_signal_continues_in_a_created_file() {
    for name in ["audit.log-000000000005", "audit.log.1"] {
        let place = Place::with(Settings {
            rotation_grace: Duration::from_secs(3600),
            ..settings()
        });
        fs::rename(place.path(LIVE), place.path(name)).unwrap();
        fs::write(place.path(LIVE), "").unwrap();
        place.writer().reopen();
        until(place.writer(), |health| {
            health.failures == 1 && health.available
        });
        record(place.writer()).unwrap();
        assert!(!place.read(LIVE).is_empty(), "{name}");
        // A name that another program gave is that program's to change: the next day's rename.
        if name == "audit.log.1" {
            fs::rename(place.path(name), place.path("audit.log.2")).unwrap();
            std::thread::sleep(Duration::from_millis(30));
            record(place.writer()).unwrap();
        }
        assert_eq!(place.writer().health().changes, 0, "{name}");
        place.writer().stop();
        let verdict = place.verified().verdict;
        assert_eq!(
            verdict == Verdict::Intact,
            name != "audit.log.1",
            "{verdict:?}"
        );
    }
}

#[test]
fn a_replaced_reserve_is_made_again() {
    let mut place = Place::new();
    place.stop();
    let reserve = place.path("audit.reserve");
    fs::remove_file(&reserve).unwrap();
    std::os::unix::fs::symlink("elsewhere", &reserve).unwrap();
    place.start(settings()).unwrap();
    assert!(fs::symlink_metadata(reserve).unwrap().is_file());
}
