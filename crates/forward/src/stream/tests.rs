//! Streams without a connection.

use super::*;
use crate::message;
use crate::route::Lookup;
use crate::status::{Status, StreamStatus};
use pulse_audit::{Directory, Head, Log, Settings, Timestamp, segment_start};
use pulse_core::config::Forward;
use pulse_core::config::forward::{Collector, Mode};
use pulse_core::nodes::backoff::FailureKind;
use pulse_core::nodes::name::NodeName;
use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use tokio::sync::{mpsc::Sender, watch};

/// A stream over the log in `directory`, which has its state there as well, and what keeps its
/// channels open.
fn stream(directory: &Path, durable: u64) -> (Stream, Sender<StreamCommand>) {
    let collector = Collector {
        name: NodeName::parse("logs.example").unwrap(),
        address: None,
        port: 6514,
        protocol: Protocol::Syslog,
        pin: None,
    };
    let forward = Forward {
        collectors: vec![collector.clone(); 2],
        mode: Mode::Failover,
        credentials: directory.to_owned(),
        application_log: false,
        timeout: Duration::from_secs(60),
    };
    let status = Status {
        streams: vec![StreamStatus {
            collectors: vec![CollectorStatus::default(); 2],
            ..StreamStatus::default()
        }],
        ..Status::default()
    };
    let (commands, receiver) = mpsc::channel(8);
    let lookup: Lookup = Arc::new(|_| Ok(Vec::new()));
    let state = |name: &str| directory.join(name);
    let stream = Stream::begin(StreamConfig {
        index: 0,
        routes: vec![Route::new(&forward, &collector, &lookup); 2],
        files: credentials::files(&forward),
        log: directory.to_owned(),
        cursor: CursorFile::open(state("forward-a.cursor"), "one").unwrap(),
        loss: Loss::open(state("forward-a.lost"), "one").unwrap(),
        durable: watch::channel(durable).1,
        commands: receiver,
        board: Arc::new(StatusBoard::new(status)),
        messages: None,
        records: RecordMessages::new("host"),
        message_origin: message::daemon_origin("host"),
    });
    (stream, commands)
}

fn head(seq: u64) -> Head {
    Head::from_parts(seq, &"a".repeat(64)).unwrap()
}

/// Sends records, of which `durable` is the last one on disk.
fn send(stream: &mut Stream, seqs: impl IntoIterator<Item = u64>, durable: u64) {
    for seq in seqs {
        stream.sent(head(seq), durable, false);
    }
}

/// The collector acknowledges everything that was sent.
fn acknowledge(stream: &mut Stream) {
    let tag = stream.in_flight.tag() - 1;
    stream.acknowledge(0, tag);
}

fn lost(stream: &Stream) -> Vec<(u64, u64)> {
    let lost = stream.config.loss.lost().iter();
    lost.map(|range| (range.first, range.last)).collect()
}

/// Writes a log of four segments into `directory`. Gives the last record, and the segments that
/// have ended with the first record of each.
fn write_log(directory: &Path) -> (u64, BTreeMap<u64, PathBuf>) {
    let storage = Directory::lock(directory, &directory.join("state")).unwrap();
    let now = Timestamp::default();
    let mut log = Log::open(storage, Settings::default(), now).unwrap();
    for _ in 0..3 {
        log.rotate(now).unwrap();
    }
    let paths = fs::read_dir(directory).unwrap();
    let paths = paths.map(|entry| entry.unwrap().path());
    let segment = |path: PathBuf| Some((segment_start(path.file_name()?.to_str()?)?, path));
    (log.head().seq, paths.filter_map(segment).collect())
}

#[test]
fn restored_records_are_not_lost() {
    let home = tempfile::tempdir().unwrap();
    let (mut stream, _commands) = stream(home.path(), 0);
    send(&mut stream, (1..=500).chain(701..=1000), 1000);
    assert_eq!(lost(&stream), [(501, 700)]);
    acknowledge(&mut stream);
    stream.handle_unconnected(Some(StreamCommand::Replay(1)));
    stream.next = 1;
    // Record 600 is still missing.
    let restored = (1..=1000).filter(|seq| *seq != 600);
    send(&mut stream, restored, 1000);
    assert_eq!(lost(&stream), [(501, 700)], "not before the delivery");
    acknowledge(&mut stream);
    assert_eq!(lost(&stream), [(600, 600)]);
}

#[test]
fn numbers_beyond_the_end_do_not_count() {
    let home = tempfile::tempdir().unwrap();
    let (mut running, _commands) = stream(home.path(), 0);
    send(&mut running, (1..=10).chain([1_000_000]), 10);
    acknowledge(&mut running);
    assert_eq!(running.acknowledged, ResumePoint::After(head(10)));
    running.store();
    drop(running);
    // After a restart, too.
    let (mut stream, _commands) = stream(home.path(), 0);
    send(&mut stream, [11, 20], 20);
    assert_eq!(lost(&stream), [(12, 19)]);
}

#[test]
fn lower_numbers_are_no_gap() {
    let home = tempfile::tempdir().unwrap();
    let (mut stream, _commands) = stream(home.path(), 0);
    send(&mut stream, (1..=50).chain([7]).chain(51..=60), 60);
    assert_eq!(lost(&stream), []);
    acknowledge(&mut stream);
    assert_eq!(stream.acknowledged, ResumePoint::After(head(60)));
    stream.sent(head(3), 60, true);
    acknowledge(&mut stream);
    assert_eq!(stream.acknowledged, ResumePoint::After(head(60)));
}

#[test]
fn a_forged_gap_is_recovered() {
    let home = tempfile::tempdir().unwrap();
    let (mut stream, _commands) = stream(home.path(), 0);
    send(&mut stream, (1..=9).chain([50]).chain(10..=60), 60);
    assert_eq!(lost(&stream), [(10, 49)]);
    acknowledge(&mut stream);
    assert_eq!(lost(&stream), []);
}

#[test]
fn an_unreadable_log_is_no_loss() {
    let home = tempfile::tempdir().unwrap();
    let (last, segments) = write_log(home.path());
    let first: Vec<_> = segments.keys().copied().collect();
    // Root may read every file, so a loop stands for one that cannot be read.
    fs::remove_file(&segments[&1]).unwrap();
    std::os::unix::fs::symlink(&segments[&1], &segments[&1]).unwrap();
    let (mut stream, _commands) = stream(home.path(), last);
    assert!(stream.take_position().is_err());
    fs::remove_file(&segments[&1]).unwrap();
    stream.rewind().unwrap();
    assert_eq!((stream.next, lost(&stream)), (first[1], vec![]));
    // Records that are removed from now on are lost.
    fs::remove_file(&segments[&first[1]]).unwrap();
    stream.rewind().unwrap();
    assert_eq!(lost(&stream), [(first[1], first[2] - 1)]);
}

#[tokio::test(start_paused = true)]
async fn cursor_error_ends_without_a_collector() {
    let home = tempfile::tempdir().unwrap();
    let (mut stream, _commands) = stream(home.path(), 0);
    let cursor = home.path().join("forward-a.cursor");
    // A directory cannot be replaced by the cursor.
    fs::create_dir(&cursor).unwrap();
    send(&mut stream, 1..=5, 5);
    acknowledge(&mut stream);
    stream.store();
    let has_error = |stream: &Stream| stream.config.board.lock().streams[0].cursor_error.is_some();
    assert!(has_error(&stream));
    fs::remove_dir(&cursor).unwrap();
    for _ in 0..10 {
        let over = stream.leave_alone(0, FailureKind::Transient);
        stream.pause(over).await;
    }
    assert!(!has_error(&stream));
}

#[tokio::test(start_paused = true)]
async fn each_collector_has_its_own_pace() {
    let home = tempfile::tempdir().unwrap();
    let (mut stream, _commands) = stream(home.path(), 0);
    for _ in 0..6 {
        stream.leave_alone(0, FailureKind::Unreachable);
        stream.leave_alone(1, FailureKind::Transient);
    }
    let left = |stream: &Stream| [0, 1].map(|index: usize| stream.attempts[index].until);
    let [down, refusing] = left(&stream);
    assert!(down.elapsed() == Duration::ZERO && refusing > down + Duration::from_secs(20));
    stream.pause(down).await;
    // The first alone is tried.
    assert!(stream.connect().await.is_none());
    let [later, same] = left(&stream);
    assert!(later > down && same == refusing);
}
