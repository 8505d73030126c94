//! What counts as a change of the log's files by another program, and what does not: the log's own
//! removals, errors, a lack of file descriptors, and inode numbers that are not stable.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

mod common;

use common::simulated::{EIO, ENOSPC, EROFS, Fault, Simulated};
use common::{at, at_most, prune, sample, settings, write};
use pulse_audit::{
    Change, Dir, LIVE, Log, LogError, PruneError, PruneStatus, RecoveryReason, SEALS,
};

const SEGMENT: &str = "audit.log-000000000001";

/// A log of this many segments, each with seals, and a live file.
fn log_of(segments: u64) -> (Simulated, Log<Simulated>) {
    let disk = Simulated::default();
    let mut log = Log::open(disk.clone(), settings(), at(0)).unwrap();
    for segment in 0..segments {
        write(&mut log, segment * 10, "x");
        log.rotate(at(segment * 10 + 5)).unwrap();
    }
    log.seal(at(segments * 10)).unwrap();
    (disk, log)
}

fn changes(log: &mut Log<Simulated>) -> Vec<(String, Change)> {
    let changed = log.changes().unwrap().into_iter();
    changed.map(|one| (one.file, one.change)).collect()
}

fn content(disk: &Simulated, name: &str) -> Vec<u8> {
    disk.disk.lock().unwrap().content(Dir::Log, name).unwrap()
}

fn change(disk: &Simulated, name: &str, change: impl FnOnce(&mut Vec<u8>)) {
    let mut inner = disk.disk.lock().unwrap();
    let inode = inner.files[&(0, name.to_owned())];
    change(&mut inner.inodes.get_mut(&inode).unwrap().seen);
}

/// The name becomes that of another file with this content.
fn replace(disk: &Simulated, name: &str, content: &[u8]) {
    disk.disk.lock().unwrap().create_log_file(name, content);
}

#[test]
fn own_removal_is_no_change() {
    let mut removals = 0;
    for fault in [EIO, EROFS, ENOSPC].map(|error| [Fault::Before(error), Fault::After(error)]) {
        for (fault, operation) in fault
            .into_iter()
            .flat_map(|one| (0..60).map(move |at| (one, at)))
        {
            let (disk, mut log) = log_of(3);
            {
                let mut inner = disk.disk.lock().unwrap();
                inner.fault = Some((inner.operations + operation, 1, fault));
                inner.seed = operation;
            }
            let outcome = prune(&mut log, 100, &at_most(1), &[]);
            disk.disk.lock().unwrap().fault = None;
            let what = format!("{fault:?} at {operation}: {outcome:?}");
            if let Err(PruneError::Log(_)) = outcome {
                log.recover(at(101), RecoveryReason::Resumption(0)).unwrap();
            }
            assert_eq!(changes(&mut log), [], "{what}");
            removals += prune(&mut log, 102, &at_most(1), &[]).unwrap().len();
            assert_eq!(changes(&mut log), [], "{what}");
        }
    }
    assert!(removals > 300, "{removals}");
}

#[test]
fn a_failed_removal_forgets_nothing() {
    let (disk, mut log) = log_of(2);
    // Each step of the removal fails, with the segment still there.
    for operation in 0..60 {
        let mut inner = disk.disk.lock().unwrap();
        inner.fault = Some((inner.operations + operation, 1000, Fault::Before(EIO)));
        drop(inner);
        let _ = prune(&mut log, 100, &at_most(1), &[]);
        disk.disk.lock().unwrap().fault = None;
        let _ = log.recover(at(101), RecoveryReason::Resumption(0));
        if !disk
            .disk
            .lock()
            .unwrap()
            .files
            .contains_key(&(0, SEGMENT.to_owned()))
        {
            break;
        }
        let inode = disk
            .disk
            .lock()
            .unwrap()
            .files
            .remove(&(0, SEGMENT.to_owned()));
        let removed = [(SEGMENT.to_owned(), Change::Removed)];
        assert_eq!(changes(&mut log), removed, "{operation}");
        let mut inner = disk.disk.lock().unwrap();
        inner.files.insert((0, SEGMENT.to_owned()), inode.unwrap());
    }
}

#[test]
fn changed_seals_stop_a_removal() {
    let (disk, mut log) = log_of(3);
    prune(&mut log, 100, &at_most(4000), &[]).unwrap();
    let reason = loop {
        match log.prune_status(at(100), &at_most(1), &[]).unwrap() {
            PruneStatus::Reading => (),
            PruneStatus::Due(reason) => break reason,
            other => panic!("{other:?}"),
        }
    };
    change(&disk, SEALS, |content| content.extend(b"x"));
    let outcome = log.prune(at(100), reason);
    assert!(
        matches!(&outcome, Err(PruneError::Log(LogError::Disturbed(one)))
            if one.file == SEALS && one.change == Change::Extended),
        "{outcome:?}"
    );
    assert_eq!(changes(&mut log), [(SEALS.to_owned(), Change::Extended)]);
    change(&disk, SEALS, |content| {
        content.truncate(content.len() - 1);
    });
    assert_eq!(changes(&mut log), []);
    log.prune(at(100), reason).unwrap();
}

#[test]
fn files_are_watched_without_descriptors() {
    let (disk, mut log) = log_of(2);
    disk.disk.lock().unwrap().no_descriptors = true;
    assert_eq!(changes(&mut log), []);
    // With another inode number the content decides, which cannot be read now.
    replace(&disk, SEGMENT, &content(&disk, SEGMENT));
    assert_eq!(changes(&mut log), []);
    change(&disk, SEGMENT, |content| {
        content.truncate(content.len() - 1);
    });
    assert_eq!(changes(&mut log), [(SEGMENT.to_owned(), Change::Replaced)]);
    let file = disk
        .disk
        .lock()
        .unwrap()
        .files
        .remove(&(0, SEGMENT.to_owned()));
    assert_eq!(changes(&mut log), [(SEGMENT.to_owned(), Change::Removed)]);
    disk.disk.lock().unwrap().no_descriptors = false;
    let mut inner = disk.disk.lock().unwrap();
    inner
        .files
        .insert((0, "elsewhere".to_owned()), file.unwrap());
}

#[test]
fn inode_numbers_may_change() {
    let (disk, mut log) = log_of(2);
    let whole = content(&disk, SEGMENT);
    for _ in 0..3 {
        replace(&disk, SEGMENT, &whole);
        assert_eq!(changes(&mut log), []);
    }
    let mut other = whole.clone();
    let end = other.len() - 5;
    other[end] ^= 1;
    let replaced = [(SEGMENT.to_owned(), Change::Replaced)];
    for content in [&other, &whole[1..]] {
        replace(&disk, SEGMENT, content);
        assert_eq!(changes(&mut log), replaced);
    }
    replace(&disk, SEGMENT, &whole);
    assert_eq!(changes(&mut log), []);
}

#[test]
fn nfs_names_are_those_of_removed_files() {
    let (disk, mut log) = log_of(1);
    for (name, change) in [("elsewhere", Change::Renamed), (".nfs01", Change::Removed)] {
        let mut inner = disk.disk.lock().unwrap();
        let inode = inner.files.remove(&(0, SEGMENT.to_owned())).unwrap();
        inner.files.insert((0, name.to_owned()), inode);
        drop(inner);
        assert_eq!(changes(&mut log), [(SEGMENT.to_owned(), change)]);
        let mut inner = disk.disk.lock().unwrap();
        inner.files.remove(&(0, name.to_owned()));
        inner.files.insert((0, SEGMENT.to_owned()), inode);
    }
}

/// The names of the files that begin so.
fn named(disk: &Simulated, prefix: &str) -> Vec<String> {
    let inner = disk.disk.lock().unwrap();
    let names = inner.files.keys().map(|(_, name)| name.clone());
    names.filter(|name| name.starts_with(prefix)).collect()
}

/// Puts a file in the place of the live one, and accepts the loss.
fn displace(content: &[u8]) -> Simulated {
    let (disk, log) = log_of(1);
    replace(&disk, LIVE, content);
    accept(disk, log)
}

fn accept(disk: Simulated, mut log: Log<Simulated>) -> Simulated {
    let changed = log.changes().unwrap();
    assert_eq!(changed[0].change, Change::Replaced);
    log.stop(at(49), changed);
    let seq = log.head().seq;
    // A process that has the removed file open would copy it.
    drop(log);
    let (mut log, _) = Log::accept_loss(disk.clone(), settings(), at(50), "uid:0").unwrap();
    assert!(log.head().seq > seq);
    write(&mut log, 51, "after");
    disk
}

#[test]
fn only_the_live_files_own_number_names_a_segment() {
    let own = log_of(1).0;
    let (own, segments) = (content(&own, LIVE), named(&own, "audit.log-"));
    let [line, cut] = [&common::lines(&own)[0], &own[..own.len() / 2]];
    let first: u64 = common::forger::value(std::str::from_utf8(line).unwrap(), "seq")
        .parse()
        .unwrap_or_default();
    assert!(first > 1);
    let disk = displace(cut);
    assert_eq!(named(&disk, "audit.log-").len(), segments.len() + 1);
    assert_eq!(named(&disk, "audit.log.displaced-").len(), 0);
    // Another log's live file begins with another number.
    let stray = sample(2, 2, 9, "stray");
    let disk = displace(&stray.files[1].1);
    assert_eq!(named(&disk, "audit.log-"), segments);
    assert_eq!(named(&disk, "audit.log.displaced-").len(), 1);
}

#[test]
fn more_than_one_write_is_displaced() {
    // Another log's file that begins with the number of this one's next record.
    let next = log_of(1).1.head().seq + 1;
    let disk = Simulated::default();
    let mut log = Log::open(disk.clone(), settings(), at(0)).unwrap();
    while log.head().seq + 3 < next {
        write(&mut log, 1, "x");
    }
    log.rotate(at(2)).unwrap();
    for _ in 0..6000 {
        write(&mut log, 3, "x");
    }
    let large = content(&disk, LIVE);
    assert!(large.len() > 3 << 19, "{}", large.len());
    assert!(
        large.starts_with(format!(r#"{{"seq":{next},"#).as_bytes()),
        "{next}"
    );
    let disk = displace(&large);
    assert_eq!(named(&disk, "audit.log.displaced-").len(), 1);
}

#[test]
fn a_link_that_cannot_be_renamed_is_removed() {
    let (disk, log) = log_of(1);
    replace(&disk, LIVE, b"elsewhere");
    disk.disk.lock().unwrap().live_is_a_link = true;
    let disk = accept(disk, log);
    assert!(content(&disk, LIVE).starts_with(b"{"));
    assert_eq!(named(&disk, "audit.log.displaced-").len(), 0);
}
