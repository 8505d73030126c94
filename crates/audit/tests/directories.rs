//! The two directories of a log, removed and put back; a private key that is missing or another
//! log's.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

mod common;

use common::{pinned, record, until};
use pulse_audit::verify::{Options, StateKeys, Verdict, open_directory, verify};
use pulse_audit::{Dir, Directory, LogError, Settings, Storage, Writer};
use std::path::PathBuf;
use std::time::Duration;

/// A writer on two ordinary directories.
struct Place {
    place: tempfile::TempDir,
    writer: Writer,
}

impl Place {
    fn new(seal_after: Duration) -> Self {
        let place = tempfile::tempdir().unwrap();
        std::fs::create_dir(place.path().join("log")).unwrap();
        let settings = Settings {
            retry_after: Duration::from_millis(5),
            seal_after,
            ..Settings::default()
        };
        let directory = Directory::lock(&place.path().join("log"), &place.path().join("state"));
        let writer = Writer::start(directory.unwrap(), settings).unwrap();
        Self { place, writer }
    }

    fn log(&self) -> PathBuf {
        self.place.path().join("log")
    }

    fn state(&self) -> PathBuf {
        self.place.path().join("state")
    }

    fn options(&self) -> Options {
        pinned(self.writer.health().key.parse().unwrap())
    }
}

#[test]
fn a_removed_directory_stops_writing() {
    let place = Place::new(Duration::from_secs(60));
    let options = place.options();
    let writer = &place.writer;
    assert!(
        Directory::lock(&place.log(), &place.state()).is_err(),
        "two writers"
    );
    let last = record(writer).unwrap().seq;
    std::fs::remove_dir_all(place.log()).unwrap();
    assert!(record(writer).is_err() && record(writer).is_err());
    std::fs::create_dir(place.log()).unwrap();
    assert!(!writer.health().changed.is_empty());
    common::accept_loss(writer).unwrap();
    assert!(record(writer).unwrap().seq > last, "the numbers go on");
    writer.stop();
    let text = std::fs::read_to_string(place.log().join("audit.log")).unwrap();
    let first = text.lines().next().unwrap();
    assert!(first.contains(r#""event_type":"log.resumed""#), "{first}");
    assert!(
        first.contains(r#""reason":"recovery","suppressed":2"#),
        "{first}"
    );
    let report = verify(open_directory(&place.log()).unwrap(), &options, &mut |_| ()).unwrap();
    // The descriptor had the removed records.
    assert_eq!(report.verdict, Verdict::Intact, "{:?}", report.findings);
}

#[test]
fn no_state_directory_no_records() {
    let place = Place::new(Duration::from_millis(2));
    let options = place.options();
    let writer = &place.writer;
    let away = place.place.path().join("away");
    std::fs::rename(place.state(), &away).unwrap();
    // The next seal cannot store its key.
    while record(writer).is_ok() {}
    assert!(record(writer).is_err() && !writer.health().available);
    std::fs::rename(&away, place.state()).unwrap();
    until(writer, |health| health.available);
    record(writer).unwrap();
    writer.stop();
    assert!(writer.health().epoch > 0);
    let options = Options {
        state: Some(StateKeys::read(&place.state()).unwrap()),
        lagging: false,
        ..options
    };
    let report = verify(open_directory(&place.log()).unwrap(), &options, &mut |_| ()).unwrap();
    assert_eq!(report.verdict, Verdict::Intact, "{:?}", report.findings);
}

#[test]
fn a_wrong_key_prevents_the_start() {
    let (ours, theirs) = (
        Place::new(Duration::from_secs(60)),
        Place::new(Duration::from_secs(60)),
    );
    record(&ours.writer).unwrap();
    let key = |place: &Place| {
        place.writer.stop();
        place.state().join("seal-key-1")
    };
    let (own, foreign) = (key(&ours), key(&theirs));
    let (log, state) = (ours.log(), ours.state());
    // The lock ends with the writer.
    let Place {
        place: _kept,
        writer,
    } = ours;
    drop(writer);
    let start = || {
        let directory = Directory::lock(&log, &state).unwrap();
        Writer::start(directory, Settings::default()).map(|writer| writer.stop().epoch)
    };
    let before = std::fs::read(log.join("audit.log")).unwrap();
    let seed = std::fs::read(&own).unwrap();
    std::fs::remove_file(&own).unwrap();
    assert!(matches!(start(), Err(LogError::KeyMissing { epoch: 1 })));
    std::fs::copy(&foreign, &own).unwrap();
    assert!(matches!(start(), Err(LogError::ForeignKey { epoch: 1 })));
    assert_eq!(
        std::fs::read(log.join("audit.log")).unwrap(),
        before,
        "left as it is"
    );
    std::fs::write(&own, seed).unwrap();
    assert!(matches!(start(), Ok(2)));
}

/// On a full disk, a part of a new state file would only take space.
#[test]
fn an_unfinished_state_file_is_removed() {
    let place = tempfile::tempdir().unwrap();
    let state = place.path().join("state");
    let mut storage = Directory::lock(place.path(), &state).unwrap();
    std::fs::create_dir_all(state.join("files")).unwrap();
    storage.store(Dir::State, "files", b"x").unwrap_err();
    assert!(!state.join("files.new").exists());
}
