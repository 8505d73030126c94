//! A log in a directory, and another program that changes its files.

use super::{pinned, record, rotate};
use pulse_audit::verify::{Options, Report, StateKeys, open_directory, verify};
use pulse_audit::{Change, ChangedFile, Directory, Incident, LogError, Settings, Writer};
use std::fs;
use std::io::Write;
use std::path::PathBuf;
use std::time::Duration;

pub const LIVE: &str = "audit.log";
pub const SEGMENT: &str = "audit.log-000000000001";

pub fn settings() -> Settings {
    Settings {
        retry_after: Duration::from_millis(2),
        check_interval: Duration::from_millis(2),
        rotation_grace: Duration::from_millis(2),
        ..Settings::default()
    }
}

/// A log of a segment and a live file, each with records.
pub struct Place {
    writer: Option<Writer>,
    key: String,
    pub place: tempfile::TempDir,
}

impl Place {
    pub fn new() -> Self {
        Self::with(settings())
    }

    pub fn with(settings: Settings) -> Self {
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

    pub fn directory(&self) -> Directory {
        Directory::lock(&self.path(""), &self.place.path().join("state")).unwrap()
    }

    pub fn start(&mut self, settings: Settings) -> Result<(), LogError> {
        let started = Writer::start(self.directory(), settings)?;
        self.writer = Some(started);
        Ok(())
    }

    pub fn stop(&mut self) {
        drop(self.writer.take());
    }

    pub fn writer(&self) -> &Writer {
        self.writer.as_ref().unwrap()
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.place.path().join("log").join(name)
    }

    pub fn read(&self, name: &str) -> Vec<u8> {
        fs::read(self.path(name)).unwrap()
    }

    /// Changes a file as another program would.
    pub fn change(&self, name: &str, change: Change) {
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
    pub fn told(&self) -> Vec<ChangedFile> {
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
    pub fn records(&self, event: &str) -> Vec<String> {
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

    pub fn verified(&self) -> Report {
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
