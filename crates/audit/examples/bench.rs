//! The log's figures: `cargo run --profile e2e -p pulse-audit --example bench -- DIR`.
//! DIR should be on the disk that the log will be on; it needs 1.2 GiB.
#![expect(clippy::print_stdout, reason = "its output is what it is for")]
#![expect(clippy::cast_precision_loss, reason = "figures for people")]

use pulse_audit::verify::{Options, Source, verify};
use pulse_audit::{Body, Directory, Live, Log, Place, Settings, Storage, Timestamp, Writer};
use pulse_core::command::NodeCommand;
use pulse_core::event::{Decision, Event, EventType, Exchange};
use std::collections::HashMap;
use std::error::Error;
use std::fs::File;
use std::io::{self, Cursor, Read, Write};
use std::path::Path;
use std::process::Command;
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::time::{Duration, Instant};

/// How long the disk or the log has its turn.
const SLICE: Duration = Duration::from_millis(150);

type Outcome = Result<(), Box<dyn Error>>;

fn main() -> Outcome {
    let place = std::env::args().nth(1).ok_or("where to? bench DIR")?;
    let place = Path::new(&place);
    let log = place.join("bench-log");
    std::fs::create_dir_all(&log)?;
    encoding()?;
    waiting(&log, 1)?;
    waiting(&log, 64)?;
    verifying(&log.join("big"))?;
    Ok(std::fs::remove_dir_all(log)?)
}

fn exchange() -> Exchange {
    Exchange {
        address: "192.168.10.21:22".to_owned(),
        host_key: "SHA256:8Jx2hVWkJ0c8m7XGm1o0x5xS3o9p5oS1vYv3gk2Zs7Q".to_owned(),
        command: NodeCommand::SensorsJson,
        exit_code: Some(0),
        stdout_sha256: [0x5a; 32],
        stdout_bytes: 3071,
    }
}

fn event(exchange: &Exchange) -> Event<'_> {
    let mut event = Event::new(EventType::CommandFinish, Decision::Completed);
    event.correlation_id = Some("5f0c2a9e4b7d4d1c");
    event.exchange = Some(exchange);
    event.duration = Some(Duration::from_micros(1234));
    event
}

fn encoding() -> Outcome {
    let mut log = Log::open(Null::default(), Settings::default(), Timestamp::now())?;
    let (exchange, now, rounds) = (exchange(), Timestamp::now(), 20_000u32);
    let start = Instant::now();
    for _ in 0..rounds {
        let bodies: Vec<Body> = (0..50).map(|_| Body::of(&event(&exchange))).collect();
        log.append(now, &bodies)?;
    }
    let each = start.elapsed().as_secs_f64() * 1e6 / f64::from(rounds) / 50.0;
    println!("encode + hash: {each:.2} us per record");
    Ok(())
}

/// How many writes of `bytes`, each with its fdatasync, the disk does in a second.
fn raw(place: &Path, bytes: usize) -> io::Result<f64> {
    let mut file = File::options()
        .create(true)
        .append(true)
        .open(place.join("raw"))?;
    let (lines, start, mut writes) = (vec![b'x'; bytes], Instant::now(), 0u32);
    while start.elapsed() < SLICE {
        file.write_all(&lines)?;
        file.sync_data()?;
        writes += 1;
    }
    let rate = f64::from(writes) / start.elapsed().as_secs_f64();
    std::fs::remove_file(place.join("raw"))?;
    Ok(rate)
}

/// How answers reach the callers' thread, as an event loop's wake-ups do: it is
/// woken once, however many come together.
#[derive(Default)]
struct Mailbox {
    answers: Mutex<Vec<bool>>,
    filled: Condvar,
}

impl Mailbox {
    fn put(&self, answer: bool) {
        let mut answers = self.answers.lock().unwrap_or_else(PoisonError::into_inner);
        answers.push(answer);
        if answers.len() == 1 {
            self.filled.notify_one();
        }
    }

    fn take(&self) -> Vec<bool> {
        let answers = self.answers.lock().unwrap_or_else(PoisonError::into_inner);
        let wanted = self
            .filled
            .wait_while(answers, |answers| answers.is_empty());
        std::mem::take(&mut *wanted.unwrap_or_else(PoisonError::into_inner))
    }
}

/// So many callers, each with one record at a time, as tasks of one thread. The
/// disk alone and the log take turns, so that both meet the same neighbours.
fn waiting(place: &Path, callers: usize) -> Outcome {
    let writer = Writer::start(
        Directory::lock(place, &place.join("state"))?,
        Settings::default(),
    )?;
    let exchange = exchange();
    let mut turns = Vec::new();
    let mut bytes = 600 * callers.div_ceil(2);
    for _ in 0..15 {
        let raw = raw(place, bytes)?;
        let (before, start) = (writer.health().commits, Instant::now());
        let records = turn(&writer, &exchange, callers)?;
        let rate = f64::from(records) / start.elapsed().as_secs_f64();
        let batch = f64::from(records) / (writer.health().commits - before) as f64;
        turns.push((rate / (batch * raw), rate, batch, raw));
        bytes = 600
            * usize::try_from(records / u32::try_from(writer.health().commits - before)?.max(1))?
                .max(1);
    }
    turns.sort_by(|a, b| a.0.total_cmp(&b.0));
    let (share, rate, batch, raw) = turns[turns.len() / 2];
    println!(
        "{callers} callers: {rate:.0} records/s, batch {batch:.1}, disk alone {raw:.0} syncs/s: {:.0} % of both multiplied",
        share * 100.0
    );
    if callers == 1 {
        println!(
            "1 caller waits {:.2} x as long as one raw fdatasync takes ({:.0} us)",
            1.0 / share,
            1e6 / raw
        );
    }
    writer.stop();
    Ok(())
}

/// Keeps the callers busy for a while; gives how many records came of it.
fn turn(writer: &Writer, exchange: &Exchange, callers: usize) -> Result<u32, Box<dyn Error>> {
    let mailbox = Arc::new(Mailbox::default());
    let submit = || {
        let mailbox = Arc::clone(&mailbox);
        let answer = move |outcome: Result<_, _>| mailbox.put(outcome.is_ok());
        writer.submit(&event(exchange), Box::new(answer));
    };
    (0..callers).for_each(|_| submit());
    let (start, mut records, mut waiting) = (Instant::now(), 0, callers);
    while waiting > 0 {
        for is_written in mailbox.take() {
            if !is_written {
                return Err("a record was refused".into());
            }
            records += 1;
            match start.elapsed() < SLICE {
                true => submit(),
                false => waiting -= 1,
            }
        }
    }
    Ok(records)
}

fn verifying(path: &Path) -> Outcome {
    let storage = Null {
        file: Some(File::create(path)?),
        ..Null::default()
    };
    let mut log = Log::open(storage, Settings::default(), Timestamp::from_micros(0))?;
    let (key, exchange) = (log.public_key(), exchange());
    let bodies: Vec<Body> = (0..100).map(|_| Body::of(&event(&exchange))).collect();
    for tenth in 0.. {
        log.append(Timestamp::from_micros(tenth * 100_000), &bodies)?;
        if tenth % 1000 == 0 && std::fs::metadata(path)?.len() > 1 << 30 {
            break;
        }
    }
    let options = Options {
        key: Some(key),
        ..Options::default()
    };
    let sha = || -> io::Result<Duration> {
        let start = Instant::now();
        Command::new("sha256sum").arg(path).output()?;
        Ok(start.elapsed())
    };
    let _warm = sha()?;
    for _ in 0..2 {
        let theirs = sha()?;
        let start = Instant::now();
        let report = verify(vec![Source::path(path)], &options, &mut |_| ())?;
        let ours = start.elapsed();
        println!(
            "verify {} MiB, {} records, {} seals: {ours:.2?}; sha256sum {theirs:.2?}: {:.0} % of its speed; {:?}",
            report.bytes >> 20,
            report.records,
            report.seals,
            theirs.as_secs_f64() / ours.as_secs_f64() * 100.0,
            report.verdict
        );
    }
    let status = std::fs::read_to_string("/proc/self/status")?;
    let memory = status.lines().find(|line| line.starts_with("VmHWM"));
    println!("memory at most: {}", memory.unwrap_or("?"));
    Ok(())
}

/// Keeps nothing, or one file that is not synced.
#[derive(Default)]
struct Null {
    file: Option<File>,
    length: u64,
    state: HashMap<String, Vec<u8>>,
}

impl Storage for Null {
    fn open(&mut self, _create: bool) -> io::Result<()> {
        Ok(())
    }

    fn close(&mut self) {}

    fn append(&mut self, lines: &[u8]) -> io::Result<()> {
        self.length += lines.len() as u64;
        self.file
            .as_mut()
            .map_or(Ok(()), |file| file.write_all(lines))
    }

    fn sync(&mut self) -> io::Result<()> {
        Ok(())
    }

    fn live(&self) -> io::Result<Live> {
        Ok(Live::Here(self.length))
    }

    fn rename_live(&mut self, _name: &str) -> io::Result<()> {
        Ok(())
    }

    fn cut(&mut self, _name: &str, _length: u64) -> io::Result<()> {
        Ok(())
    }

    fn list(&self, place: Place) -> io::Result<Vec<String>> {
        Ok(match place {
            Place::Log => Vec::new(),
            Place::State => self.state.keys().cloned().collect(),
        })
    }

    fn read(&self, _place: Place, name: &str) -> io::Result<Box<dyn Read + '_>> {
        let content = self.state.get(name).ok_or(io::ErrorKind::NotFound)?;
        Ok(Box::new(Cursor::new(content)))
    }

    fn store(&mut self, _place: Place, name: &str, content: &[u8]) -> io::Result<()> {
        self.state.insert(name.to_owned(), content.to_vec());
        Ok(())
    }

    fn erase(&mut self, _place: Place, name: &str) -> io::Result<()> {
        self.state.remove(name);
        Ok(())
    }

    fn reserve(&mut self, _bytes: u64) -> io::Result<()> {
        Ok(())
    }

    fn release(&mut self) -> io::Result<()> {
        Ok(())
    }
}
