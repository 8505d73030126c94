//! kill -9 under load: no acknowledged record is lost, the chain verifies, and torn bytes are
//! kept.
//!
//! 200 cycles; `PULSE_KILL_CYCLES=1000` for more.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

mod common;

use common::{Dice, pinned};
use pulse_audit::verify::{Options, Report, open_directory, verify};
use pulse_audit::{Directory, MAX_WRITE_BYTES, PublicKey, Settings, Writer};
use pulse_core::event::Event;
use sha2::{Digest, Sha256};
use std::collections::HashMap;
use std::io::{BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::mpsc;
use std::time::{Duration, Instant};

/// The environment variable with the directories of the process that is killed.
const VICTIM: &str = "PULSE_AUDIT_VICTIM";
/// Records that the victim has in flight, so that large writes are torn.
const OUTSTANDING: usize = 24;
/// The longest time from a victim's first record until it is killed.
const LIFE_MICROS: usize = 12_000;
/// Victims per log.
const CYCLES_PER_LOG: usize = 25;

/// Not a test: the main function of the victim process.
#[test]
fn the_victim() {
    let Some(place) = std::env::var_os(VICTIM).map(PathBuf::from) else {
        return;
    };
    let settings = Settings {
        segment_bytes: 60_000,
        seal_after: Duration::from_millis(2),
        reserve_bytes: 4096,
        ..Settings::default()
    };
    let directory = Directory::lock(&place.join("log"), &place.join("state")).unwrap();
    let writer = Writer::start(directory, settings).unwrap();
    let (done, receipts) = mpsc::channel();
    for number in 0.. {
        if number >= OUTSTANDING {
            let (seq, id) = receipts.recv().unwrap();
            // One write, so that a line is printed completely or not at all.
            let line = format!("#{seq} {id}\n");
            std::io::stdout().write_all(line.as_bytes()).unwrap();
        }
        submit(&writer, number, &done);
    }
}

fn submit(writer: &Writer, number: usize, done: &mpsc::Sender<(u64, String)>) {
    let id = format!("{}-{number}", std::process::id());
    let padding = "x".repeat(number % 900);
    let event = Event::Confinement {
        active: &id,
        missing: &padding,
    };
    let (done, id) = (done.clone(), id.clone());
    let answer = move |outcome: Result<pulse_audit::Receipt, _>| {
        done.send((outcome.unwrap().seq, id)).unwrap();
    };
    writer.submit(&event, Box::new(answer));
}

/// The acknowledged records: numbers, and the writer of each.
type Acknowledged = Vec<(u64, String)>;

/// Runs a victim, kills it some time after its first acknowledgement, and gives all its
/// acknowledgements.
fn run_and_kill(place: &Path, life: Duration) -> Acknowledged {
    let mut command = Command::new(std::env::current_exe().unwrap());
    command
        .args(["--exact", "the_victim", "--nocapture"])
        .env(VICTIM, place);
    let mut child = command.stdout(Stdio::piped()).spawn().unwrap();
    let mut output = BufReader::new(child.stdout.take().unwrap()).lines();
    let mut acknowledged = Acknowledged::new();
    while acknowledged.is_empty() {
        let line = output.next().expect("it ended by itself").unwrap();
        acknowledged.extend(receipt(&line));
    }
    let reader = std::thread::spawn(move || {
        let lines = output.map_while(Result::ok);
        lines.filter_map(|line| receipt(&line)).collect::<Vec<_>>()
    });
    std::thread::sleep(life);
    child.kill().unwrap();
    let status = child.wait().unwrap();
    assert_eq!(status.code(), None, "it ended by itself");
    acknowledged.extend(reader.join().unwrap());
    acknowledged
}

fn receipt(line: &str) -> Option<(u64, String)> {
    let (seq, id) = line.strip_prefix('#')?.split_once(' ')?;
    Some((seq.parse().ok()?, id.to_owned()))
}

fn verified(log: &Path, key: Option<PublicKey>) -> Report {
    let options = Options {
        live: true,
        ..key.map_or_else(Options::default, pinned)
    };
    verify(open_directory(log).unwrap(), &options, &mut |_| ()).unwrap()
}

/// The log's text, segments first.
fn text(log: &Path) -> String {
    let files = std::fs::read_dir(log).unwrap().flatten();
    let mut names: Vec<_> = files
        .filter_map(|file| file.file_name().into_string().ok())
        .filter(|name| name == "audit.log" || name.starts_with("audit.log-"))
        .collect();
    // The live file has the shortest name, and comes last.
    names.sort_by_key(|name| (name == "audit.log", name.clone()));
    let contents = names
        .iter()
        .map(|name| std::fs::read(log.join(name)).unwrap());
    String::from_utf8_lossy(&contents.collect::<Vec<_>>().concat()).into_owned()
}

fn member<'a>(line: &'a str, name: &str) -> Option<&'a str> {
    let (_, rest) = line.split_once(&format!("\"{name}\":"))?;
    rest.trim_start_matches('"').split(['"', ',']).next()
}

/// Checks that each acknowledged record is there.
fn is_all_there(text: &str, acknowledged: &Acknowledged) {
    let ids: HashMap<&str, &str> = text
        .lines()
        .filter_map(|line| Some((member(line, "seq")?, member(line, "reason")?)))
        .collect();
    for (seq, id) in acknowledged {
        assert_eq!(ids.get(seq.to_string().as_str()), Some(&id.as_str()));
    }
}

/// Checks that torn bytes are in the files that the log names, with the hashes in it.
fn count_torn(log: &Path, text: &str) -> usize {
    let is_recovery = |line: &&str| line.contains("\"event_type\":\"log.recovered\"");
    let told: HashMap<&str, &str> = text
        .lines()
        .filter(is_recovery)
        .filter_map(|line| Some((member(line, "torn_file")?, member(line, "torn_sha256")?)))
        .collect();
    for (file, hash) in &told {
        let content = std::fs::read(log.join(file)).unwrap();
        let found = Sha256::digest(content)
            .iter()
            .fold(String::new(), |hex, byte| format!("{hex}{byte:02x}"));
        assert_eq!(found, *hash, "{file}");
    }
    told.len()
}

/// A kill is seldom in the middle of a write. This makes what it leaves then: a part of
/// unacknowledged lines.
fn tear(log: &Path, content: &[u8], dice: &mut Dice) {
    let from = dice.below(content.len());
    // A crash tears no more than one write.
    let to = from + dice.below(MAX_WRITE_BYTES.min(content.len() - from));
    // Neither a line that only lacks its newline nor, in an empty file, an old one, which would be
    // another log's beginning.
    let part = [b"{\"seq\":0", &content[from..to]].concat();
    let mut options = std::fs::OpenOptions::new();
    let mut file = options.append(true).open(log.join("audit.log")).unwrap();
    file.write_all(&part).unwrap();
}

/// Creates a log and kills its writers; gives the number of torn writes that it has kept.
fn live_through(cycles: usize, dice: &mut Dice) -> usize {
    let place = tempfile::tempdir().unwrap();
    let log = place.path().join("log");
    std::fs::create_dir(&log).unwrap();
    let mut key = None;
    let (mut torn, mut kept) = (0, 0);
    for cycle in 0..cycles {
        let life = Duration::from_micros(dice.below(LIFE_MICROS) as u64);
        let acknowledged = run_and_kill(place.path(), life);
        let report = verified(&log, key);
        assert!(
            report.findings.is_empty(),
            "cycle {cycle}: {:?}",
            report.findings
        );
        let text = text(&log);
        is_all_there(&text, &acknowledged);
        kept = count_torn(&log, &text);
        assert!(kept >= torn, "cycle {cycle}: {kept} of {torn} torn writes");
        if dice.below(3) == 0 && log.join("audit.log").exists() {
            tear(&log, text.as_bytes(), dice);
            torn = kept + 1;
        }
        key = key.or_else(|| report.key.map(|key| key.parse().unwrap()));
    }
    kept
}

#[test]
fn sigkill_loses_no_acked_record() {
    let asked = std::env::var("PULSE_KILL_CYCLES");
    let cycles: usize = asked.map_or(200, |text| text.parse().unwrap());
    let (mut dice, started, mut torn) = (Dice(cycles as u64), Instant::now(), 0);
    for done in (0..cycles).step_by(CYCLES_PER_LOG) {
        torn += live_through(CYCLES_PER_LOG.min(cycles - done), &mut dice);
    }
    eprintln!(
        "{cycles} kills in {:.1?}, {torn} torn writes",
        started.elapsed()
    );
}
