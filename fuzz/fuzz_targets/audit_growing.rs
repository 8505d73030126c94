//! A log that is written, rotated, torn and corrupted while it is read: the forwarder gets every
//! record once, and only those on disk; `audit tail --follow` gets every line.

#![no_main]

use libfuzzer_sys::fuzz_target;
use pulse_audit::show::{Filter, Follower};
use pulse_audit::{LIVE, LogReader, RecordLine};
use std::fs::{self, OpenOptions};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::sync::OnceLock;

#[path = "../common/disk.rs"]
mod disk;
#[path = "../common/log.rs"]
mod log;

/// An upper bound of the lines of an input.
const MOST: usize = 100_000;

fuzz_target!(|script: &[u8]| {
    static SAMPLE: OnceLock<log::Sample> = OnceLock::new();
    static DIRECTORY: OnceLock<PathBuf> = OnceLock::new();
    let sample = SAMPLE.get_or_init(log::Sample::new);
    let directory = DIRECTORY.get_or_init(disk::directory);
    for file in fs::read_dir(directory).expect("a disk in memory").flatten() {
        fs::remove_file(file.path()).expect("a disk in memory");
    }
    let mut site = Site {
        directory,
        reader: LogReader::from(directory, 1),
        follower: Follower::new(directory, 0, Filter::default()),
        written: 0,
        first_of_live: 1,
        read: Vec::new(),
        followed: Vec::new(),
        is_spoilt: false,
    };
    let mut script = script.iter();
    while let Some(step) = script.next() {
        match step & 7 {
            0..=2 => {
                let next = usize::try_from(site.written).expect("a few");
                let lines = sample.lines.iter().skip(next);
                for line in lines.take(usize::from(step >> 3) + 1) {
                    site.write(line);
                    site.written += 1;
                }
            }
            3 => {
                let segment = directory.join(format!("audit.log-{:012}", site.first_of_live));
                // A segment has the number of its first record in its name, so it needs one.
                if site.written >= site.first_of_live
                    && fs::rename(directory.join(LIVE), segment).is_ok()
                {
                    site.first_of_live = site.written + 1;
                }
            }
            4 => {
                let bytes = script.by_ref().take(usize::from(step >> 3));
                let bytes: Vec<u8> = bytes.copied().collect();
                site.is_spoilt |= !bytes.is_empty();
                site.write(&bytes);
            }
            5 => {
                // Without `create`: right after a rotation there is no file to cut.
                let file = OpenOptions::new().write(true).open(directory.join(LIVE));
                if let Ok(file) = file {
                    site.is_spoilt = true;
                    let length = u64::from(step >> 3) * 64;
                    file.set_len(length).expect("a disk in memory");
                }
            }
            // The written records are on disk, or not yet.
            6 => site.look(sample, site.written.saturating_sub(u64::from(step >> 3))),
            _ => site.look(sample, site.written),
        }
    }
    // A writer that has renamed its file starts another one.
    site.write(b"");
    site.look(sample, site.written);
    if !site.is_spoilt {
        let all: Vec<u64> = (1..=site.written).collect();
        assert_eq!(site.read, all);
        assert_eq!(site.followed, all);
    }
});

struct Site<'a> {
    directory: &'a Path,
    reader: LogReader,
    follower: Follower,
    /// Records in the files.
    written: u64,
    first_of_live: u64,
    read: Vec<u64>,
    followed: Vec<u64>,
    /// True after an operation that no writer does.
    is_spoilt: bool,
}

impl Site<'_> {
    fn write(&self, bytes: &[u8]) {
        OpenOptions::new()
            .append(true)
            .create(true)
            .open(self.directory.join(LIVE))
            .and_then(|mut file| file.write_all(bytes))
            .expect("a disk in memory");
    }

    /// Both read as far as possible, which always ends.
    fn look(&mut self, sample: &log::Sample, durable: u64) {
        for turn in 0.. {
            assert!(turn < MOST, "the reader does not come to an end");
            let Some(record) = self.reader.next(durable).expect("a disk in memory") else {
                break;
            };
            // Even from a spoilt log the reader gives only records with their own hash.
            let line = RecordLine::parse(record.text).expect("it is a record");
            assert!(line.is_whole() && line.head() == record.head);
            // Inserted bytes may be records of any number, which the writer never had.
            if !self.is_spoilt {
                assert!(record.head.seq <= durable, "it may not be on disk");
                let at = usize::try_from(record.head.seq - 1).expect("a few");
                assert_eq!(Some(record.text), sample.lines[at].strip_suffix(b"\n"));
            }
            self.read.push(record.head.seq);
        }
        for turn in 0.. {
            assert!(turn < MOST, "who follows does not come to an end");
            let Some(shown) = self.follower.next_shown().expect("a disk in memory") else {
                break;
            };
            self.followed.push(shown.seq);
        }
    }
}
