//! A real process on a real disk: killed, out of space, read-only.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

mod common;

use common::{check, pinned};
use pulse_audit::verify::{Verdict, open_directory, verify};
use pulse_audit::{Directory, LogError, Settings, Writer};
use pulse_core::event::{Decision, Event, EventType};
use std::io::{BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::mpsc;
use std::time::{Duration, Instant};

/// Set for the process that is killed: its two directories.
const VICTIM: &str = "PULSE_AUDIT_VICTIM";

/// No test: what this program does when it is started as the victim.
#[test]
fn the_victim() {
    let Some(place) = std::env::var_os(VICTIM).map(PathBuf::from) else {
        return;
    };
    let settings = Settings {
        segment_bytes: 30_000,
        seal_after: Duration::from_millis(2),
        reserve_bytes: 4096,
        ..Settings::default()
    };
    let directory = Directory::lock(&place.join("log"), &place.join("state")).unwrap();
    let writer = Writer::start(directory, settings).unwrap();
    std::thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| submit_for_ever(&writer));
        }
    });
}

fn submit_for_ever(writer: &Writer) {
    let event = Event::new(EventType::CommandStart, Decision::Allowed);
    let (done, receipts) = mpsc::channel();
    loop {
        let done = done.clone();
        writer.submit(&event, Box::new(move |outcome| done.send(outcome).unwrap()));
        let receipt = receipts.recv().unwrap().unwrap();
        // One write: a line is printed whole or not at all.
        std::io::stdout()
            .write_all(format!("#{}\n", receipt.seq).as_bytes())
            .unwrap();
    }
}

/// Runs it until so many records are acknowledged, kills it, gives the last one.
fn run_and_kill(place: &Path, records: usize) -> u64 {
    let mut command = Command::new(std::env::current_exe().unwrap());
    command
        .args(["--exact", "the_victim", "--nocapture"])
        .env(VICTIM, place);
    let mut child = command.stdout(Stdio::piped()).spawn().unwrap();
    let output = BufReader::new(child.stdout.take().unwrap());
    let numbers = output
        .lines()
        .map_while(Result::ok)
        .filter_map(|line| line.strip_prefix('#')?.parse().ok());
    let (mut count, mut last) = (0, 0u64);
    for number in numbers {
        (count, last) = (count + 1, last.max(number));
        if count == records {
            child.kill().unwrap();
        }
    }
    child.wait().unwrap();
    assert!(count >= records, "it ended by itself after {count} records");
    last
}

#[test]
fn kill_9_loses_nothing_that_was_acknowledged() {
    let cycles: usize = std::env::var("PULSE_KILL_CYCLES").map_or(10, |text| text.parse().unwrap());
    let place = tempfile::tempdir().unwrap();
    let log = place.path().join("log");
    std::fs::create_dir(&log).unwrap();
    let mut key = None;
    for cycle in 0..cycles {
        let acknowledged = run_and_kill(place.path(), 5 + cycle * 7 % 90);
        let options = key.map_or_else(Default::default, pinned);
        let report = verify(
            open_directory(&log).unwrap(),
            &pulse_audit::verify::Options {
                live: true,
                ..options
            },
            &mut |_| (),
        )
        .unwrap();
        assert!(
            report.findings.is_empty(),
            "cycle {cycle}: {:?}",
            report.findings
        );
        assert!(
            report.last_seq >= acknowledged,
            "cycle {cycle}: {} of {acknowledged}",
            report.last_seq
        );
        key = key.or_else(|| report.key.map(|key| key.parse().unwrap()));
    }
}

/// A mounted tmpfs, or nothing where that is not permitted.
struct Mount(PathBuf);

impl Mount {
    fn new(place: &Path, size: &str) -> Option<Self> {
        let path = place.join("mount");
        std::fs::create_dir(&path).unwrap();
        let options = format!("size={size},mode=755");
        let done = mount(&["-t", "tmpfs", "-o", &options, "tmpfs"], &path);
        if !done {
            eprintln!("SKIPPED: a tmpfs cannot be mounted here");
        }
        done.then_some(Self(path))
    }

    fn remount(&self, how: &str) -> bool {
        mount(&["-o", &format!("remount,{how}")], &self.0)
    }
}

fn mount(arguments: &[&str], path: &Path) -> bool {
    let mut command = Command::new("mount");
    command.args(arguments).arg(path).stderr(Stdio::null());
    command.status().is_ok_and(|status| status.success())
}

impl Drop for Mount {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg("-l").arg(&self.0).status();
    }
}

fn record(writer: &Writer) -> bool {
    let (done, outcome) = mpsc::channel();
    let event = Event::new(EventType::CommandStart, Decision::Allowed);
    writer.submit(
        &event,
        Box::new(move |receipt| done.send(receipt.is_ok()).unwrap()),
    );
    outcome.recv_timeout(Duration::from_secs(20)).unwrap()
}

fn until_available(writer: &Writer) {
    let deadline = Instant::now() + Duration::from_secs(20);
    while !writer.health().available {
        assert!(Instant::now() < deadline, "{:?}", writer.health());
        std::thread::sleep(Duration::from_millis(1));
    }
}

fn start(mount: &Mount, state: &Path) -> Writer {
    let settings = Settings {
        reserve_bytes: 16 * 1024,
        retry_after: Duration::from_millis(5),
        ..Settings::default()
    };
    Writer::start(Directory::lock(&mount.0, state).unwrap(), settings).unwrap()
}

fn prove(writer: &Writer, mount: &Mount, key: &str) -> String {
    writer.stop();
    let content = std::fs::read(mount.0.join("audit.log")).unwrap();
    let report = check(
        &[("audit.log".to_owned(), content.clone())],
        &pinned(key.parse().unwrap()),
    );
    assert_eq!(report.verdict, Verdict::Intact, "{:?}", report.findings);
    String::from_utf8(content).unwrap()
}

#[test]
fn a_full_disk_refuses_is_on_record_and_mends_itself() {
    let place = tempfile::tempdir().unwrap();
    let Some(mount) = Mount::new(place.path(), "256k") else {
        return;
    };
    let writer = start(&mount, &place.path().join("state"));
    let key = writer.health().key;
    assert!(record(&writer));
    let ballast = mount.0.join("ballast");
    let _ = std::fs::write(&ballast, vec![0; 1024 * 1024]);
    let refused = (0..1000).any(|_| !record(&writer));
    assert!(refused && !writer.health().available);
    assert!(!record(&writer));
    std::fs::remove_file(ballast).unwrap();
    until_available(&writer);
    assert!(record(&writer));
    let text = prove(&writer, &mount, &key);
    assert!(
        text.contains("No space left on device"),
        "the refusal is on record"
    );
    assert!(text.contains(r#""reason":"recovery","suppressed":"#));
}

#[test]
fn a_read_only_disk_refuses_and_mends_itself() {
    let place = tempfile::tempdir().unwrap();
    let Some(mount) = Mount::new(place.path(), "1m") else {
        return;
    };
    let state = place.path().join("state");
    let writer = start(&mount, &state);
    let key = writer.health().key;
    assert!(record(&writer));
    writer.stop();
    drop(writer);
    if !mount.remount("ro") {
        eprintln!("SKIPPED: the tmpfs cannot be made read-only here");
        return;
    }
    let outcome = Writer::start(
        Directory::lock(&mount.0, &state).unwrap(),
        Settings::default(),
    );
    assert!(
        matches!(outcome, Err(LogError::Storage { .. })),
        "it does not start"
    );
    assert!(mount.remount("rw"));
    let writer = start(&mount, &state);
    assert!(record(&writer));
    prove(&writer, &mount, &key);
}

#[test]
fn a_file_with_chattr_a_is_written_and_not_rotated() {
    let place = tempfile::tempdir().unwrap();
    let (log, state) = (place.path().join("log"), place.path().join("state"));
    std::fs::create_dir(&log).unwrap();
    let open =
        || Writer::start(Directory::lock(&log, &state).unwrap(), Settings::default()).unwrap();
    let writer = open();
    let key = writer.health().key;
    assert!(record(&writer));
    writer.stop();
    drop(writer);
    let file = log.join("audit.log");
    let chattr = |how: &str| {
        Command::new("chattr")
            .arg(how)
            .arg(&file)
            .stderr(Stdio::null())
            .status()
    };
    if !chattr("+a").is_ok_and(|status| status.success()) {
        eprintln!("SKIPPED: chattr +a is not possible here");
        return;
    }
    // A torn write, as a crash leaves it: it cannot be cut off.
    let mut torn = std::fs::OpenOptions::new()
        .append(true)
        .open(&file)
        .unwrap();
    torn.write_all(b"{\"seq\":9,\"half").unwrap();
    let writer = open();
    let (done, outcome) = mpsc::channel();
    writer.rotate(Box::new(move |rotation| done.send(rotation).unwrap()));
    let outcome = outcome.recv_timeout(Duration::from_secs(20)).unwrap();
    let is_reported = matches!(outcome, Ok(pulse_audit::Rotation::NotPermitted(_)));
    let went_on = record(&writer);
    writer.stop();
    let content = std::fs::read(&file).unwrap();
    assert!(chattr("-a").unwrap().success());
    assert!(is_reported && went_on);
    let report = check(
        &[("audit.log".to_owned(), content)],
        &pinned(key.parse().unwrap()),
    );
    assert_eq!(report.verdict, Verdict::Intact, "{:?}", report.findings);
}
