//! The order in which devices are read, and the devices for which a reading waits.
//!
//! Any device can block a read: a failing disk for half a minute, the driver of a graphics card
//! for ever. So devices are read in threads that can be left behind, and each device has its own
//! history:
//!
//! * A *quick* device is read in every reading, which waits for it.
//! * A *slow* device, for example a one-wire sensor that converts for most of a second, is read
//!   beside the readings, which have its last value with that value's age.
//! * A device that *hangs* is not read again until the read under way returns, and then ever less
//!   often.
//!
//! This module decides; [`crate::pool`] has the threads. Time is an argument.

use std::collections::{BTreeMap, HashMap};
use std::hash::Hash;
use std::mem;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// A device is quick if its last read took at most this time.
const QUICK: Duration = Duration::from_millis(250);

/// A read under way for longer hangs. Chips on a slow bus answer within a second.
const HANGS: Duration = Duration::from_secs(5);

/// The interval between the reads of a slow device. Two of them and the time of 60 slow disks are
/// within the ten seconds that a value of a working device may be old.
const SLOW_INTERVAL: Duration = Duration::from_secs(4);

/// The maximum interval between the reads of a device that hung.
const MAX_PAUSE: Duration = Duration::from_mins(10);

/// A value that is older is not reported as a temperature.
pub(crate) const MAX_AGE: Duration = Duration::from_mins(1);

/// The reads under way at a time, except those that hang.
const MAX_READS: usize = 16;

/// The reads under way at a time, those that hang included: each has a thread.
const MAX_THREADS: usize = 64;

/// The threads beyond that for devices that answer at once, or are expected to: those that hang
/// must not cost the node its processor.
const RESERVED_THREADS: usize = 16;

/// The reads under way at a time on one host adapter: when it fails, all of its disks hang.
const MAX_READS_OF_HOST: usize = 16;

/// A device that has been due for longer is read next, however slow it is.
const MAX_DELAY: Duration = Duration::from_secs(10);

/// A read that took longer gives no value of now: its first value can be as old as that.
const MAX_READ: Duration = Duration::from_secs(1);

/// A read that takes longer than this does not delay the others: another thread goes on.
pub(crate) const TAKEOVER: Duration = Duration::from_millis(5);

/// The number of a device, never given twice.
type Id = u64;

/// A device that was found.
pub(crate) struct Found<D> {
    /// The device.
    pub(crate) device: D,
    /// The bus that it shares with others.
    pub(crate) bus: Option<Bus>,
}

/// A bus that devices share.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Bus {
    /// One transfer waits for another. The devices are read one after the other, so that the wait
    /// for the bus does not count as the time of a device.
    Serial(String),
    /// A host adapter. It serves its devices at the same time, and fails for all of them.
    Host(String),
}

/// All devices, and the reads that are due.
pub(crate) struct Schedule<K, D, R> {
    entries: BTreeMap<Id, Entry<K, D, R>>,
    /// The devices in the order of the listing.
    listed: Vec<Id>,
    /// The devices that are due, in the order in which they are read.
    queue: Vec<Id>,
    under_way: Vec<Read>,
    /// The number of the last request.
    request: u64,
    next_id: Id,
}

struct Entry<K, D, R> {
    key: Arc<K>,
    bus: Option<Bus>,
    /// `None` while a thread reads it.
    device: Option<D>,
    /// The time since which it is in the queue.
    queued: Option<Instant>,
    last: Option<Last<R>>,
    /// The last request waits for it.
    is_awaited: bool,
    /// A request has waited for it.
    was_awaited: bool,
    /// The device is not read before this time.
    not_before: Option<Instant>,
    /// The number of its reads in succession that hung.
    hangs: u32,
}

/// The last read that returned.
struct Last<R> {
    value: Arc<R>,
    at: Instant,
    took: Duration,
    request: u64,
}

/// A read under way.
struct Read {
    id: Id,
    bus: Option<Bus>,
    began: Instant,
    /// It is expected to take longer than [`TAKEOVER`].
    is_long: bool,
}

/// A read to be made by a thread.
pub(crate) struct Job<D> {
    id: Id,
    /// The device, which the thread returns.
    pub(crate) device: D,
}

/// A device and its last value, shared so that no thread waits while a document is made of them.
pub(crate) struct View<K, R> {
    pub(crate) key: Arc<K>,
    pub(crate) value: Option<Arc<R>>,
    pub(crate) freshness: Freshness,
}

/// The relation of a device's last value to the last request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Freshness {
    /// The value was read for this request.
    Current,
    /// The device answers slowly; the value has this age.
    Slow(Duration),
    /// The device does not answer; its last value has this age.
    Hanging(Duration),
    /// The device has not answered its first read.
    Silent,
    /// Its first read has not begun.
    Unread,
}

impl<K, D, R> Default for Schedule<K, D, R> {
    fn default() -> Self {
        Self {
            entries: BTreeMap::new(),
            listed: Vec::new(),
            queue: Vec::new(),
            under_way: Vec::new(),
            request: 0,
            next_id: 0,
        }
    }
}

impl<K: Eq + Hash, D, R> Schedule<K, D, R> {
    /// Replaces the list of devices. Those that are still listed keep their history; `find` makes
    /// the others.
    pub(crate) fn set_devices(&mut self, keys: Vec<K>, find: impl Fn(&K) -> Found<D>) {
        let ids: HashMap<Arc<K>, Id> = self
            .entries
            .iter()
            .map(|(id, entry)| (Arc::clone(&entry.key), *id))
            .collect();
        let mut known = mem::take(&mut self.entries);
        self.listed.clear();
        for key in keys {
            let (id, entry) = match ids.get(&key).and_then(|id| Some((*id, known.remove(id)?))) {
                Some(listed_before) => listed_before,
                None => {
                    let found = find(&key);
                    self.next_id += 1;
                    let entry = Entry {
                        key: Arc::new(key),
                        bus: found.bus,
                        device: Some(found.device),
                        queued: None,
                        last: None,
                        is_awaited: false,
                        was_awaited: false,
                        not_before: None,
                        hangs: 0,
                    };
                    (self.next_id, entry)
                }
            };
            self.listed.push(id);
            self.entries.insert(id, entry);
        }
        self.queue.retain(|id| self.entries.contains_key(id));
    }

    /// Begins a request at this time: queues the devices that are due.
    pub(crate) fn request(&mut self, now: Instant) {
        self.request += 1;
        for id in &self.listed {
            let Some(entry) = self.entries.get_mut(id) else {
                continue;
            };
            let is_due = entry.device.is_some()
                && entry.queued.is_none()
                && entry.not_before.is_none_or(|time| now >= time);
            if is_due {
                entry.queued = Some(now);
                self.queue.push(*id);
            }
            // Reads from before hold the bus, and would hold up this request too.
            let on_bus = self.under_way.iter().filter(|read| read.bus == entry.bus);
            let is_held = match entry.bus {
                None => false,
                Some(Bus::Serial(_)) => on_bus.count() > 0,
                Some(Bus::Host(_)) => on_bus.count() >= MAX_READS_OF_HOST,
            };
            entry.is_awaited = entry.queued.is_some() && entry.is_wanted(now) && !is_held;
            entry.was_awaited |= entry.is_awaited;
        }
        let entries = &self.entries;
        // Stable: devices with nothing to tell them apart keep the order of the listing.
        self.queue
            .sort_by_cached_key(|id| entries.get(id).map(|entry| entry.turn(now)));
    }

    /// True if the last request waits for a device.
    pub(crate) fn is_awaiting(&self) -> bool {
        self.entries.values().any(|entry| entry.is_awaited)
    }

    /// The next read; `None` if no device is due, or none can be read now.
    pub(crate) fn next(&mut self, now: Instant) -> Option<Job<D>> {
        let index = self.readable(now).next()?;
        let id = self.queue.remove(index);
        let entry = self.entries.get_mut(&id)?;
        entry.queued = None;
        let device = entry.device.take()?;
        self.under_way.push(Read {
            id,
            bus: entry.bus.clone(),
            began: now,
            is_long: entry.expected() > TAKEOVER,
        });
        Some(Job { id, device })
    }

    /// The places in the queue of the devices that can be read now: there is a thread for them, and
    /// their bus is free.
    fn readable(&self, now: Instant) -> impl Iterator<Item = usize> {
        let working = self
            .under_way
            .iter()
            .filter(|read| !read.hangs(now))
            .count();
        let threads = self.under_way.len();
        let is_readable = move |entry: &Entry<K, D, R>| {
            let has_thread = if entry.expected() <= TAKEOVER {
                threads < MAX_THREADS + RESERVED_THREADS
            } else {
                working < MAX_READS && threads < MAX_THREADS
            };
            let on_bus = self.under_way.iter().filter(|read| read.bus == entry.bus);
            has_thread
                && match entry.bus {
                    None => true,
                    Some(Bus::Serial(_)) => on_bus.filter(|read| !read.hangs(now)).count() == 0,
                    Some(Bus::Host(_)) => on_bus.count() < MAX_READS_OF_HOST,
                }
        };
        self.queue
            .iter()
            .enumerate()
            .filter(move |(_, id)| self.entries.get(id).is_some_and(&is_readable))
            .map(|(index, _)| index)
    }

    /// True if one thread more would go on, beside those that read and those that are `starting`:
    /// every read under way takes long, and there are devices for more threads.
    pub(crate) fn needs_thread(&self, now: Instant, starting: usize) -> bool {
        let takes_long =
            |read: &Read| read.is_long || now.saturating_duration_since(read.began) >= TAKEOVER;
        self.under_way.iter().all(takes_long) && self.readable(now).nth(starting).is_some()
    }

    /// Takes the outcome of a read, which took this time.
    pub(crate) fn finish(&mut self, job: Job<D>, value: R, took: Duration, now: Instant) {
        let Job { id, device } = job;
        let began = self.under_way.iter().position(|read| read.id == id);
        let began = began.map(|index| self.under_way.swap_remove(index).began);
        // A device that is no longer listed is dropped.
        let Some(entry) = self.entries.get_mut(&id) else {
            return;
        };
        entry.device = Some(device);
        entry.is_awaited = false;
        let began = began.unwrap_or(now);
        let under_way = now.saturating_duration_since(began);
        entry.hangs = if under_way > HANGS {
            entry.hangs.saturating_add(1)
        } else {
            0
        };
        entry.not_before = if under_way > HANGS {
            let pause = under_way.saturating_mul(2_u32.saturating_pow(entry.hangs));
            Some(now + pause.min(MAX_PAUSE))
        } else if took > QUICK {
            Some(began + SLOW_INTERVAL)
        } else {
            None
        };
        entry.last = Some(Last {
            value: Arc::new(value),
            // A read has several values; none is older than its beginning.
            at: now.checked_sub(took).unwrap_or(began),
            took,
            request: self.request,
        });
    }

    /// Each device with its last value, in the order of the listing.
    pub(crate) fn devices(&self, now: Instant) -> Vec<View<K, R>> {
        let view = |id: &Id| {
            let entry = self.entries.get(id)?;
            Some(View {
                key: Arc::clone(&entry.key),
                value: entry.last.as_ref().map(|last| Arc::clone(&last.value)),
                freshness: self.freshness(*id, entry, now),
            })
        };
        self.listed.iter().filter_map(view).collect()
    }

    fn freshness(&self, id: Id, entry: &Entry<K, D, R>, now: Instant) -> Freshness {
        let read = self.under_way.iter().find(|read| read.id == id);
        let Some(last) = &entry.last else {
            return match read {
                Some(_) => Freshness::Silent,
                None => Freshness::Unread,
            };
        };
        if last.request == self.request && last.took <= MAX_READ {
            return Freshness::Current;
        }
        // The time after which a read under way counts as hung: a device that answers slowly may take
        // longer this time.
        let patience = match last.took {
            took if took <= QUICK => QUICK,
            took => HANGS.max(took.saturating_mul(4)),
        };
        let hangs = match read {
            Some(read) => now.saturating_duration_since(read.began) >= patience,
            None => entry.hangs > 0,
        };
        if hangs {
            Freshness::Hanging(last.age(now))
        } else {
            Freshness::Slow(last.age(now))
        }
    }
}

impl<K, D, R> Entry<K, D, R> {
    /// True if a request waits for the device while it is queued.
    fn is_wanted(&self, now: Instant) -> bool {
        match &self.last {
            None => !self.was_awaited,
            // A value that is too old is worth a wait as the first one is, unless the device hung.
            Some(last) => self.hangs == 0 && (last.took <= QUICK || last.age(now) > MAX_AGE),
        }
    }

    /// The time that a read is expected to take, as one of three steps.
    fn expected(&self) -> Duration {
        match &self.last {
            _ if self.hangs > 0 => Duration::MAX,
            Some(last) if last.took <= TAKEOVER => TAKEOVER,
            Some(last) if last.took <= QUICK => QUICK,
            Some(_) => Duration::MAX,
            // Disks and the buses of small sensors are slower than processors and boards.
            None => match self.bus {
                None => TAKEOVER,
                Some(Bus::Host(_)) => QUICK,
                Some(Bus::Serial(_)) => Duration::MAX,
            },
        }
    }

    /// The place in the queue: faster devices first, of those the ones that are awaited, and then
    /// the one with the oldest value, so that each has its turn when there is no time for all. An
    /// overdue device counts as quick.
    fn turn(&self, now: Instant) -> (Duration, bool, Option<Instant>) {
        let is_overdue = self
            .queued
            .is_some_and(|since| now.saturating_duration_since(since) > MAX_DELAY);
        let step = match self.expected() {
            step if is_overdue && step > TAKEOVER => QUICK,
            step => step,
        };
        (
            step,
            !self.is_awaited,
            self.last.as_ref().map(|last| last.at),
        )
    }
}

impl<R> Last<R> {
    fn age(&self, now: Instant) -> Duration {
        now.saturating_duration_since(self.at)
    }
}

impl Read {
    fn hangs(&self, now: Instant) -> bool {
        now.saturating_duration_since(self.began) > HANGS
    }
}

#[cfg(test)]
mod tests;
