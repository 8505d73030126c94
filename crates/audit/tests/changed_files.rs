//! Files of the log that another program renames, removes, cuts, extends or replaces: each change
//! stops the log, is told at once, counted and on record, and ends only with its undoing or an
//! operator's word.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

mod common;

use common::{accept_loss, pinned, record, rotate, until};
use pulse_audit::verify::{Options, Report, StateKeys, Verdict, open_directory, verify};
use pulse_audit::{
    Change, ChangedFile, Directory, Incident, Log, LogError, Settings, Timestamp, Writer,
};
use std::fs;
use std::io::Write;
use std::path::PathBuf;
use std::time::Duration;

const LIVE: &str = "audit.log";
const SEGMENT: &str = "audit.log-000000000001";

fn settings() -> Settings {
    Settings {
        retry_after: Duration::from_millis(2),
        check_interval: Duration::from_millis(2),
        rotation_grace: Duration::from_millis(2),
        ..Settings::default()
    }
}

/// A log of a segment and a live file, each with records.
struct Place {
    writer: Option<Writer>,
    key: String,
    place: tempfile::TempDir,
}

impl Place {
    fn new() -> Self {
        Self::with(settings())
    }

    fn with(settings: Settings) -> Self {
        let place = tempfile::tempdir().unwrap();
        fs::create_dir(place.path().join("log")).unwrap();
        let mut new = Self {
            writer: None,
            key: String::new(),
            place,
        };
        new.start(settings).unwrap();
        new.key = new.writer().health().key;
        record(new.writer()).unwrap();
        rotate(new.writer()).unwrap();
        record(new.writer()).unwrap();
        new
    }

    fn directory(&self) -> Directory {
        Directory::lock(&self.path(""), &self.place.path().join("state")).unwrap()
    }

    fn start(&mut self, settings: Settings) -> Result<(), LogError> {
        let started = Writer::start(self.directory(), settings)?;
        self.writer = Some(started);
        Ok(())
    }

    fn stop(&mut self) {
        drop(self.writer.take());
    }

    fn writer(&self) -> &Writer {
        self.writer.as_ref().unwrap()
    }

    fn path(&self, name: &str) -> PathBuf {
        self.place.path().join("log").join(name)
    }

    fn read(&self, name: &str) -> Vec<u8> {
        fs::read(self.path(name)).unwrap()
    }

    /// Changes a file as another program would.
    fn change(&self, name: &str, change: Change) {
        let (path, other) = (self.path(name), self.path("elsewhere"));
        let content = self.read(name);
        match change {
            Change::Renamed => fs::rename(&path, other).unwrap(),
            Change::Removed => fs::remove_file(&path).unwrap(),
            Change::Cut => {
                let file = fs::OpenOptions::new().write(true).open(&path).unwrap();
                file.set_len(content.len() as u64 / 2).unwrap();
            }
            Change::Extended => {
                let mut file = fs::OpenOptions::new().append(true).open(&path).unwrap();
                file.write_all(b"x").unwrap();
            }
            Change::Replaced => {
                fs::write(&other, "another file\n").unwrap();
                fs::rename(other, &path).unwrap();
            }
        }
    }

    /// Waits until the change is told.
    fn told(&self) -> Vec<ChangedFile> {
        loop {
            for incident in self.writer().take_incidents() {
                match incident {
                    Incident::Changed(files) => return files,
                    Incident::Failed(error) => panic!("{error}"),
                    Incident::Resumed(_) | Incident::Accepted { .. } => (),
                }
            }
            std::thread::yield_now();
        }
    }

    /// The records of a type, over all files.
    fn records(&self, event: &str) -> Vec<String> {
        let mut names: Vec<_> = fs::read_dir(self.path("")).unwrap().flatten().collect();
        names.sort_by_key(fs::DirEntry::file_name);
        let texts = names
            .iter()
            .map(|name| String::from_utf8_lossy(&fs::read(name.path()).unwrap()).into_owned());
        let text: String = texts.collect();
        let wanted = format!(r#""event_type":"{event}""#);
        let lines = text.lines().filter(|line| line.contains(&wanted));
        lines.map(str::to_owned).collect()
    }

    fn verified(&self) -> Report {
        let options = Options {
            state: Some(StateKeys::read(&self.place.path().join("state")).unwrap()),
            lagging: false,
            ..pinned(self.key.parse().unwrap())
        };
        verify(
            open_directory(&self.path("")).unwrap(),
            &options,
            &mut |_| (),
        )
        .unwrap()
    }
}

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
        // Bytes that were added to the live file are set aside; everything else is missing.
        let is_lossless = (name, change) == (LIVE, Change::Extended);
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
            _ => fs::write(place.path(name), content).unwrap(),
        }
        until(place.writer(), |health| health.available);
        record(place.writer()).unwrap();
        assert_eq!(place.records("log.disturbed").len(), 1, "{what}");
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
        let outcome = accept_loss(place.writer());
        assert!(
            matches!(&outcome, Err(LogError::Disturbed(one)) if one.file == name),
            "{name} {change:?}: {outcome:?}"
        );
        assert_eq!(place.told()[0].change, change);
        assert_eq!(place.writer().health().changes, 2, "{name} {change:?}");
        assert_eq!(accept_loss(place.writer()).unwrap().len(), 2);
        record(place.writer()).unwrap();
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
        matches!(&outcome, Err(LogError::Disturbed(one)) if one.is_live()),
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
