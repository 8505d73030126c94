//! Shared helpers of the log's tests.
#![allow(dead_code, unreachable_pub, reason = "no test uses all of it")]
#![allow(clippy::unwrap_used, missing_docs, reason = "tests")]

pub mod forger;
pub mod keys;
pub mod place;
pub mod python;
pub mod simulated;

use pulse_audit::verify::{Attack, LogFiles, Options, Report, Seals, Source, Verdict, verify};
use pulse_audit::{
    Body, ChangedFile, Dir, Head, Health, Log, LogError, PruneError, PruneStatus, PruneStep,
    PublicKey, Receipt, RemovedSegment, Rotation, SEALS, Settings, Storage, Timestamp, Unavailable,
    Writer,
};
use pulse_core::audit_log::retention::{Limits, Stream};
use pulse_core::callers::capability::Capabilities;
use pulse_core::callers::peer::{Credentials, Peer, PeerId};
use pulse_core::event::{Event, RequestId};
use pulse_core::nodes::name::NodeName;
use pulse_core::rpc::Retry;
use simulated::Simulated;
use std::io::Cursor;
use std::sync::mpsc;
use std::time::{Duration, Instant};

pub const SECOND: u64 = 1_000_000;

pub fn settings() -> Settings {
    Settings {
        host: "pve1".to_owned(),
        ..Settings::default()
    }
}

/// A time, in seconds of the test.
pub fn at(second: u64) -> Timestamp {
    Timestamp::from_micros(1_795_255_200 * SECOND).plus(Duration::from_secs(second))
}

pub fn body(text: &str) -> Body {
    let peer = Peer {
        credentials: Credentials {
            uid: 7,
            gid: 7,
            pid: 7,
        },
        id: PeerId::Uid(7),
        container: None,
        capabilities: Capabilities::read_only(),
    };
    Body::of(&Event::CommandStart {
        request: RequestId {
            correlation_id: text,
            peer: &peer,
        },
        node: &NodeName::parse("pve1").unwrap(),
        retry: Retry::WhenDue,
    })
}

pub fn sources(files: &[(String, Vec<u8>)]) -> Vec<Source> {
    let source =
        |(name, content): &(String, Vec<u8>)| Source::reader(name, Cursor::new(content.clone()));
    files.iter().map(source).collect()
}

pub fn check(files: &[(String, Vec<u8>)], options: &Options) -> Report {
    verify(sources(files), options, &mut |_| ()).unwrap()
}

/// The log on a disk, with the seals of removed segments.
pub fn check_disk(disk: &Simulated, options: &Options) -> Report {
    let (files, seals) = {
        let disk = disk.disk.lock().unwrap();
        (disk.log(), disk.content(Dir::Log, SEALS))
    };
    check_pruned(&files, seals, options)
}

/// As [`check`], with the seals of removed segments.
pub fn check_pruned(
    files: &[(String, Vec<u8>)],
    seals: Option<Vec<u8>>,
    options: &Options,
) -> Report {
    let seals = match seals {
        Some(seals) => Seals::Here(Source::reader(SEALS, Cursor::new(seals))),
        None => Seals::Missing(SEALS.to_owned()),
    };
    let files = sources(files);
    verify(LogFiles { seals, files }, options, &mut |_| ()).unwrap()
}

/// A limit in bytes for all files together.
pub fn at_most(bytes: u64) -> Limits {
    Limits {
        bytes: Some(bytes),
        ..Limits::default()
    }
}

/// Removes all segments that are due, as the writer does.
pub fn prune<S: Storage>(
    log: &mut Log<S>,
    second: u64,
    limits: &Limits,
    streams: &[Stream],
) -> Result<Vec<RemovedSegment>, PruneError> {
    let mut removed = Vec::new();
    loop {
        match log.prune_status(at(second), limits, streams)? {
            PruneStatus::Reading => (),
            PruneStatus::Due(reason) => {
                if let PruneStep::Removed(one) = log.prune(at(second), reason)? {
                    removed.push(one);
                }
            }
            PruneStatus::NotDue | PruneStatus::Held(..) => return Ok(removed),
        }
    }
}

/// Options for the content only: the end is not checked.
pub fn pinned(key: PublicKey) -> Options {
    Options {
        key: Some(key),
        lagging: true,
        ..Options::default()
    }
}

/// Options that check the end by the private keys on the log's disk.
pub fn pinned_with_state(key: PublicKey, disk: &Simulated) -> Options {
    Options {
        key: Some(key),
        state: Some(disk.disk.lock().unwrap().state_keys()),
        ..Options::default()
    }
}

/// A log of several epochs and segments, sealed at its end.
pub struct Sample {
    pub files: Vec<(String, Vec<u8>)>,
    pub key: PublicKey,
    pub disk: Simulated,
}

pub fn sample(segments: u64, seals: u64, records: u64, name: &str) -> Sample {
    let disk = Simulated::default();
    let mut log = Log::open(disk.clone(), settings(), at(0)).unwrap();
    let key = log.public_key();
    let mut second = 1;
    for segment in 0..segments {
        if segment > 0 {
            log.rotate(at(second)).unwrap();
        }
        for _ in 0..seals {
            for record in 0..records {
                write(&mut log, second, &format!("{name}-{segment}-{record}"));
                second += 1;
            }
            log.seal(at(second)).unwrap();
        }
    }
    let files = disk.disk.lock().unwrap().log();
    Sample { files, key, disk }
}

pub fn write<S: Storage>(log: &mut Log<S>, second: u64, text: &str) {
    log.append(at(second), &[body(text)]).unwrap();
}

pub fn join(files: &[(String, Vec<u8>)]) -> Vec<u8> {
    files
        .iter()
        .flat_map(|(_, content)| content.clone())
        .collect()
}

pub fn one(content: Vec<u8>) -> Vec<(String, Vec<u8>)> {
    vec![("log".to_owned(), content)]
}

/// The verification key, from a log's first record: a writer soon has the next one.
pub fn first_key(log: &[u8]) -> PublicKey {
    let text = std::str::from_utf8(log).unwrap();
    forger::value(text, "key").parse().unwrap()
}

/// Lines with their newlines.
pub fn lines(content: &[u8]) -> Vec<Vec<u8>> {
    content
        .split_inclusive(|byte| *byte == b'\n')
        .map(<[u8]>::to_vec)
        .collect()
}

pub fn is_seal(line: &[u8]) -> bool {
    String::from_utf8_lossy(line).contains("\"event_type\":\"log.sealed\"")
}

/// Options for a collector's knowledge: the key, and the last record.
pub fn known(sample: &Sample) -> Options {
    let report = check(&sample.files, &pinned(sample.key));
    assert_eq!(report.verdict, Verdict::Intact, "{:?}", report.findings);
    let head = Head::from_parts(report.last_seq, &report.last_hash);
    Options {
        heads: head.into_iter().collect(),
        lagging: false,
        ..pinned(sample.key)
    }
}

pub fn attack(report: &Report) -> Attack {
    assert_eq!(report.verdict, Verdict::Broken);
    report.findings[0].attack
}

/// A small random number generator with the same numbers in every run.
pub struct Dice(pub u64);

impl Dice {
    pub fn below(&mut self, limit: usize) -> usize {
        self.0 = self
            .0
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1);
        usize::try_from(self.0 >> 33).unwrap() % limit
    }
}

pub fn record(writer: &Writer) -> Result<Receipt, Unavailable> {
    let (done, receipt) = mpsc::channel();
    writer.submit(
        &Event::ProxyStart,
        Box::new(move |outcome| done.send(outcome).unwrap()),
    );
    receipt.recv_timeout(Duration::from_secs(20)).unwrap()
}

pub fn rotate(writer: &Writer) -> Result<Rotation, Unavailable> {
    let (done, outcome) = mpsc::channel();
    writer.rotate(Box::new(move |rotation| done.send(rotation).unwrap()));
    outcome.recv_timeout(Duration::from_secs(20)).unwrap()
}

/// Accepts a loss, as the operator on the control socket.
pub fn accept_loss(writer: &Writer) -> Result<Vec<ChangedFile>, LogError> {
    let (done, outcome) = mpsc::channel();
    let done = move |accepted| done.send(accepted).unwrap();
    writer.accept_loss("control:0".to_owned(), Box::new(done));
    outcome.recv_timeout(Duration::from_secs(20)).unwrap()
}

/// Waits for a state, with a deadline that is far beyond it.
pub fn until(writer: &Writer, wanted: impl Fn(&Health) -> bool) {
    let deadline = Instant::now() + Duration::from_secs(20);
    while !wanted(&writer.health()) {
        assert!(Instant::now() < deadline, "{:?}", writer.health());
        std::thread::sleep(Duration::from_millis(1));
    }
}
