//! Finding the end of the chain: in the live file, in the last segment after an interrupted
//! rotation, or only in memory when the file was removed. Nothing is changed here.

use crate::error::LogError;
use crate::record::Head;
use crate::storage::{Dir, LIVE, Storage, segments};
use crate::tail::{MAX_TORN_BYTES, Tail};

/// The file with the end of the chain.
pub(crate) enum Source {
    Live,
    /// The last segment, or the renamed live file: there is no live file, or it is empty, because
    /// a rotation was interrupted.
    Segment {
        name: String,
        /// The torn bytes are in the live file, not in the segment.
        torn_in_live: bool,
    },
    /// None: the file was removed while it was being written.
    Memory,
}

pub(crate) struct LogEnd {
    pub(crate) source: Source,
    pub(crate) tail: Tail,
    /// There is a live file, possibly empty.
    pub(crate) has_live: bool,
}

/// Finds the end of the chain. With `memory`, the last record that was written, it must be
/// exactly that record: what is written after it failed, and counts as torn. `renamed` is the
/// live file's new name, if that is known; else the last segment is what comes before a new one.
pub(crate) fn find(
    storage: &impl Storage,
    memory: Option<&Head>,
    renamed: Option<&str>,
) -> Result<LogEnd, LogError> {
    let names = storage
        .list(Dir::Log)
        .map_err(LogError::while_doing("list the audit log's directory"))?;
    let has_live = names.iter().any(|name| name == LIVE);
    let until = memory.map(|head| head.seq);
    let live = if has_live {
        read_tail(storage, LIVE, until)?
    } else {
        Tail::empty()
    };
    if live.first.is_some() {
        return Ok(LogEnd {
            source: Source::Live,
            tail: live,
            has_live,
        });
    }
    let before = renamed.map(str::to_owned);
    let mut found = match before.or_else(|| segments(&names).pop()) {
        Some(name) => LogEnd {
            tail: read_tail(storage, &name, until)?,
            source: Source::Segment {
                name,
                torn_in_live: false,
            },
            has_live,
        },
        None => LogEnd {
            source: Source::Live,
            tail: Tail::empty(),
            has_live,
        },
    };
    if memory.is_some_and(|head| found.tail.head.seq < head.seq) {
        found = LogEnd {
            source: Source::Memory,
            tail: Tail::empty(),
            has_live,
        };
    }
    if !live.torn.is_empty() {
        // One crash tears one write, in one file.
        if !found.tail.torn.is_empty() {
            return Err(LogError::Damaged {
                seq: found.tail.head.seq,
            });
        }
        found.tail.torn = live.torn;
        if let Source::Segment { torn_in_live, .. } = &mut found.source {
            *torn_in_live = true;
        }
    }
    Ok(found)
}

pub(super) fn read_tail(
    storage: &impl Storage,
    name: &str,
    until: Option<u64>,
) -> Result<Tail, LogError> {
    let read = |until| Tail::read(storage.read(Dir::Log, name)?, until);
    let doing = || LogError::while_doing("read the audit log");
    let mut tail = read(until).map_err(doing())?;
    // A file that begins after that record has only records of a failed write.
    if let (Some((first, _)), Some(until)) = (tail.first, until)
        && first == until + 1
    {
        tail = read(Some(0)).map_err(doing())?;
    }
    if tail.torn.bytes().len() > MAX_TORN_BYTES {
        return Err(LogError::Damaged { seq: tail.head.seq });
    }
    Ok(tail)
}
