//! Goes on where the log ends, whatever happened before.
//!
//! Looks first, then changes: the file's whole records are read, the key that
//! their end calls for is found, and only then torn bytes are set aside, the file
//! is cut back to its last record, and the records that tell of it are written. A
//! crash in between is met again, as it was, by the next attempt. Old keys are
//! erased last, when all they have sealed is on disk.

use crate::error::LogError;
use crate::key::{SealKey, new_log_id};
use crate::log::{Log, Position, Settings};
use crate::record::{Body, Head};
use crate::storage::{LIVE, Place, Storage, TORN, segments};
use crate::tail::{Epoch, MAX_TORN_BYTES, Tail};
use crate::text::hex;
use crate::time::Timestamp;
use sha2::{Digest, Sha256};
use std::io::{self, Read};

/// Why the log's end is looked at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Occasion<'a> {
    /// The program begins.
    Start,
    /// Writing failed: this is why, for the record. The log does not resume yet.
    Failure(&'a str),
    /// Writing is possible again; so many requests were refused meanwhile.
    Resumption(u64),
}

/// Where the chain's end was found.
enum Source {
    Live,
    /// There is no live file, or nothing in it: a rotation was cut short.
    Segment(String),
    /// Nowhere: the file was removed while we were writing it.
    Memory,
}

struct Found {
    source: Source,
    tail: Tail,
    /// There is a live file.
    has_live: bool,
}

impl<S: Storage> Log<S> {
    /// Opens the log, or begins it where there is none.
    ///
    /// # Errors
    /// [`LogError`]: a log that cannot be gone on with is left as it is.
    pub fn open(mut storage: S, settings: Settings, now: Timestamp) -> Result<Self, LogError> {
        let found = find(&storage, None)?;
        if found.tail.first.is_none() {
            return begin(storage, settings, now, &found);
        }
        let key = matching_key(&storage, &found.tail)?;
        let (position, torn) = go_on(&mut storage, found, key, now)?;
        let mut log = Self::new(storage, settings, position);
        log.tell(now, Occasion::Start, &torn)?;
        Ok(log)
    }

    /// After a failure: goes back to the last record that is safe and on from
    /// there.
    ///
    /// # Errors
    /// [`LogError`]: it can be tried again.
    pub fn recover(&mut self, now: Timestamp, occasion: Occasion<'_>) -> Result<(), LogError> {
        let mut found = find(&self.storage, Some(&self.at.head))?;
        if let Source::Memory = found.source {
            found.tail.head = self.at.head;
            found.tail.epoch = Some(Epoch {
                log_id: self.log_id().to_owned(),
                number: self.epoch(),
                key: self.public_key(),
            });
            (found.tail.unsealed, found.tail.unsealed_since) =
                (self.at.unsealed, self.at.unsealed_since);
        } else if found.tail.head != self.at.head {
            return Err(astray(&found.tail, &self.at.head));
        }
        let key = matching_key(&self.storage, &found.tail)?;
        let (position, torn) = go_on(&mut self.storage, found, key, now)?;
        self.at = position;
        self.tell(now, occasion, &torn)
    }

    /// Writes the records that tell what happened, then erases old keys.
    fn tell(
        &mut self,
        now: Timestamp,
        occasion: Occasion<'_>,
        torn: &TornFiles,
    ) -> Result<(), LogError> {
        let mut bodies = torn.bodies(occasion);
        let resumed = match occasion {
            Occasion::Failure(_) => self.resumed("failure"),
            Occasion::Start => self.resumed("start"),
            Occasion::Resumption(0) => self.resumed("recovery"),
            Occasion::Resumption(refused) => {
                self.resumed("recovery").with_number("suppressed", refused)
            }
        };
        if self.at.length == 0 && !torn.in_place {
            bodies.insert(0, torn.after(resumed));
        } else if !matches!(occasion, Occasion::Failure(_)) {
            bodies.push(torn.after(resumed));
        }
        if torn.in_place {
            self.write_after_torn(now, &bodies)?;
        } else {
            self.write(now, &bodies)?;
        }
        self.erase_other_keys()
    }

    fn erase_other_keys(&mut self) -> Result<(), LogError> {
        for epoch in key_epochs(&self.storage)? {
            if epoch != self.epoch() {
                self.erase(epoch)?;
            }
        }
        Ok(())
    }
}

/// Begins a log. The first key is stored before the first record names it; one
/// that is there already was stored by a beginning that was cut short.
fn begin<S: Storage>(
    mut storage: S,
    settings: Settings,
    now: Timestamp,
    found: &Found,
) -> Result<Log<S>, LogError> {
    let epochs = key_epochs(&storage)?;
    if epochs.iter().any(|epoch| *epoch > 0) {
        return Err(LogError::Missing);
    }
    let stored = read_key(&storage, 0)?.filter(|key| key.epoch == 0);
    let key = match stored {
        Some(key) => key,
        None => {
            let key = SealKey::generate(&new_log_id()?, 0)?;
            storage
                .store(Place::State, &SealKey::file_name(0), &key.to_file())
                .map_err(LogError::while_doing("store the first key"))?;
            key
        }
    };
    let torn = set_aside(&mut storage, LIVE, 1, 0, &found.tail)?;
    if torn.in_place {
        return Err(LogError::Damaged { seq: 0 });
    }
    open_live(&mut storage, !found.has_live)?;
    let mut log = Log::new(storage, settings, Position::new(Head::START, key, now));
    let mut bodies = torn.bodies(Occasion::Start);
    let opened = Body::named("log.open")
        .with_text("log_id", log.log_id())
        .with_text("host", &log.settings.host)
        .with_number("epoch", 0)
        .with_text("key", &log.public_key().to_string());
    bodies.insert(0, opened);
    log.write(now, &bodies)?;
    Ok(log)
}

impl Position {
    fn new(head: Head, key: SealKey, now: Timestamp) -> Self {
        Self {
            head,
            key,
            unsealed: 0,
            unsealed_since: None,
            first: head.seq + 1,
            began: now,
            length: 0,
        }
    }
}

/// Looks where the chain ends; with `memory`, looks for just that record.
fn find(storage: &impl Storage, memory: Option<&Head>) -> Result<Found, LogError> {
    let names = storage
        .list(Place::Log)
        .map_err(LogError::while_doing("list the audit log's directory"))?;
    let has_live = names.iter().any(|name| name == LIVE);
    let until = memory.map(|head| head.seq);
    let live = match has_live {
        true => read_tail(storage, LIVE, until)?,
        false => Tail::empty(),
    };
    if live.first.is_some() {
        let source = Source::Live;
        return Ok(Found {
            source,
            tail: live,
            has_live,
        });
    }
    let mut found = match segments(&names).pop() {
        Some(name) => {
            let tail = read_tail(storage, &name, until)?;
            Found {
                source: Source::Segment(name),
                tail,
                has_live,
            }
        }
        None => Found {
            source: Source::Live,
            tail: Tail::empty(),
            has_live,
        },
    };
    if memory.is_some_and(|head| found.tail.head.seq < head.seq) {
        found = Found {
            source: Source::Memory,
            tail: Tail::empty(),
            has_live,
        };
    }
    if !live.torn.is_empty() {
        if !found.tail.torn.is_empty() {
            return Err(LogError::Damaged {
                seq: found.tail.head.seq,
            });
        }
        found.tail.torn = live.torn;
        found.tail.torn_in_live = true;
    }
    Ok(found)
}

fn read_tail(storage: &impl Storage, name: &str, until: Option<u64>) -> Result<Tail, LogError> {
    let read = |until| {
        let file = storage.read(Place::Log, name)?;
        Tail::read(file, until)
    };
    let doing = || LogError::while_doing("read the audit log");
    let mut tail = read(until).map_err(doing())?;
    // A file that begins after the record is nothing but what came after it.
    if let (Some((first, _)), Some(until)) = (tail.first, until)
        && first == until + 1
    {
        tail = read(Some(0)).map_err(doing())?;
    }
    if tail.torn.is_too_much() {
        return Err(LogError::Damaged { seq: tail.head.seq });
    }
    Ok(tail)
}

/// The record that we wrote last is not where it should be.
fn astray(tail: &Tail, memory: &Head) -> LogError {
    let seq = tail.head.seq;
    match &tail.epoch {
        Some(epoch) if seq < memory.seq => LogError::RolledBack {
            seq,
            epoch: epoch.number,
        },
        _ => LogError::Damaged { seq },
    }
}

/// Sets torn bytes aside and opens the live file behind its last record.
fn go_on(
    storage: &mut impl Storage,
    found: Found,
    key: SealKey,
    now: Timestamp,
) -> Result<(Position, TornFiles), LogError> {
    let Found {
        source,
        mut tail,
        has_live,
    } = found;
    let mut position = Position::new(tail.head, key, now);
    let mut torn;
    match &source {
        Source::Live => {
            torn = set_aside(storage, LIVE, tail.head.seq + 1, tail.length, &tail)?;
            if torn.in_place {
                // What could not be cut away stays: whole records, then torn bytes.
                tail = read_tail(storage, LIVE, None)?;
                tail.complete();
                torn = set_aside(storage, LIVE, tail.head.seq + 1, tail.length, &tail)?;
            }
            torn.in_place |= tail.is_unended;
            position.head = tail.head;
            position.length = tail.length;
            if torn.in_place {
                position.length += tail.torn.bytes().len() as u64;
            }
            if let Some((first, began)) = tail.first {
                (position.first, position.began) = (first, began);
            }
        }
        Source::Segment(name) if !tail.torn_in_live => {
            torn = set_aside(storage, name, tail.head.seq + 1, tail.length, &tail)?.linked(name);
            // Synced even when nothing is torn: the chain goes on from its end.
            cut(storage, name, tail.length)?;
        }
        Source::Segment(name) => {
            torn = set_aside(storage, LIVE, tail.head.seq + 1, 0, &tail)?.linked(name);
            cut(storage, name, tail.length)?;
        }
        Source::Memory => torn = set_aside(storage, LIVE, tail.head.seq + 1, 0, &tail)?,
    }
    if torn.in_place && !matches!(source, Source::Live) {
        return Err(LogError::Damaged { seq: tail.head.seq });
    }
    (position.unsealed, position.unsealed_since) = (tail.unsealed, tail.unsealed_since);
    open_live(storage, !has_live)?;
    Ok((position, torn))
}

fn open_live(storage: &mut impl Storage, create: bool) -> Result<(), LogError> {
    storage
        .open(create)
        .map_err(LogError::while_doing("open the audit log"))
}

fn cut(storage: &mut impl Storage, name: &str, length: u64) -> Result<(), LogError> {
    storage
        .cut(name, length)
        .map_err(LogError::while_doing("cut torn bytes off the audit log"))
}

/// Torn bytes, kept in files of their own.
#[derive(Default)]
struct TornFiles {
    files: Vec<(String, Vec<u8>)>,
    /// The last of them also stands where it was: the file could not be cut.
    in_place: bool,
    /// The segment that the log goes on from, when it is another file.
    segment: Option<String>,
}

/// Copies what is torn, then cuts it off if that is permitted.
fn set_aside(
    storage: &mut impl Storage,
    name: &str,
    seq: u64,
    length: u64,
    tail: &Tail,
) -> Result<TornFiles, LogError> {
    let doing = || LogError::while_doing("set torn bytes aside");
    let bytes = tail.torn.bytes();
    let mut torn = TornFiles::default();
    if !bytes.is_empty() {
        let kept = files_of(storage, seq).map_err(doing())?;
        if !kept.iter().any(|(_, content)| content == bytes) {
            let free = free_name(seq, &kept);
            storage.store(Place::Log, &free, bytes).map_err(doing())?;
        }
        match storage.cut(name, length) {
            Err(error) if error.kind() == io::ErrorKind::PermissionDenied => torn.in_place = true,
            outcome => outcome.map_err(doing())?,
        }
    }
    torn.files = files_of(storage, seq).map_err(doing())?;
    if torn.in_place {
        torn.files.sort_by_key(|(_, content)| content != bytes);
    }
    Ok(torn)
}

fn free_name(seq: u64, kept: &[(String, Vec<u8>)]) -> String {
    match kept.len() {
        0 => format!("{TORN}{seq}"),
        others => format!("{TORN}{seq}.{}", others + 1),
    }
}

/// What was set aside before the record `seq`, also by an attempt that a crash
/// ended before it could tell.
fn files_of(storage: &impl Storage, seq: u64) -> io::Result<Vec<(String, Vec<u8>)>> {
    let first = format!("{TORN}{seq}");
    let another = format!("{first}.");
    let mut names = storage.list(Place::Log)?;
    names.retain(|name| {
        let number = name.strip_prefix(&another);
        *name == first
            || number.is_some_and(|number| number.bytes().all(|byte| byte.is_ascii_digit()))
    });
    names.sort_unstable();
    let read = |name: String| {
        let mut content = Vec::new();
        let file = storage.read(Place::Log, &name)?;
        file.take(MAX_TORN_BYTES as u64 + 4096)
            .read_to_end(&mut content)?;
        Ok((name, content))
    };
    names.into_iter().map(read).collect()
}

impl TornFiles {
    fn linked(mut self, segment: &str) -> Self {
        self.segment = Some(segment.to_owned());
        self
    }

    /// Names the segment in the record that goes on from it.
    fn after(&self, resumed: Body) -> Body {
        match &self.segment {
            Some(segment) => resumed.with_text("segment", segment),
            None => resumed,
        }
    }

    /// The records that tell of what is torn and of what failed.
    fn bodies(&self, occasion: Occasion<'_>) -> Vec<Body> {
        let mut bodies: Vec<Body> = self
            .files
            .iter()
            .map(|(name, bytes)| recovered(name, bytes))
            .collect();
        if let Occasion::Failure(error) = occasion {
            let body = bodies.pop().unwrap_or_else(|| Body::named("log.recovered"));
            bodies.push(
                body.with_text("decision", "denied")
                    .with_text("error", error),
            );
        }
        bodies
    }
}

fn recovered(name: &str, bytes: &[u8]) -> Body {
    let hash = hex(&Sha256::digest(bytes));
    Body::named("log.recovered")
        .with_number("torn_bytes", bytes.len() as u64)
        .with_text("torn_sha256", &String::from_utf8_lossy(&hash))
        .with_text("torn_file", name)
}

fn key_epochs(storage: &impl Storage) -> Result<Vec<u64>, LogError> {
    let names = storage
        .list(Place::State)
        .map_err(LogError::while_doing("list the state directory"))?;
    Ok(names
        .iter()
        .filter_map(|name| SealKey::epoch_of(name))
        .collect())
}

fn read_key(storage: &impl Storage, epoch: u64) -> Result<Option<SealKey>, LogError> {
    let doing = LogError::while_doing("read the seal's private key");
    let mut text = zeroize::Zeroizing::new(Vec::with_capacity(512));
    let file = match storage.read(Place::State, &SealKey::file_name(epoch)) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        file => file,
    };
    match file.and_then(|file| file.take(512).read_to_end(&mut text)) {
        Ok(_) => Ok(SealKey::from_file(&text)),
        Err(error) => Err(doing(error)),
    }
}

/// The private key that the log's end calls for.
fn matching_key(storage: &impl Storage, tail: &Tail) -> Result<SealKey, LogError> {
    let seq = tail.head.seq;
    let Some(wanted) = &tail.epoch else {
        return Err(LogError::Damaged { seq });
    };
    let epoch = wanted.number;
    match read_key(storage, epoch)? {
        Some(key)
            if key.log_id == wanted.log_id && key.epoch == epoch && key.public() == wanted.key =>
        {
            Ok(key)
        }
        Some(_) => Err(LogError::ForeignKey { epoch }),
        None if key_epochs(storage)?.iter().any(|other| *other > epoch) => {
            Err(LogError::RolledBack { seq, epoch })
        }
        None => Err(LogError::KeyMissing { epoch }),
    }
}
