//! Records of what callers can do without end, and the sums of those that are left out.
//!
//! A caller connects and is refused as often as it likes, and each time is worth a record;
//! but whoever decides how many records there are decides how fast the log grows. So what
//! comes too soon after a record of its kind is left out and counted, and the next record
//! says how many it stands for.
//!
//! A caller with a capability is known to the operator by name: it has an account of its
//! own, one record a second for each kind of event. Callers without one are as many as
//! there are UIDs, 65,536 to anybody who has a subordinate range. They share one account
//! of about ten records a second in total, whose records name the first and the last that
//! were left out. No record of the one kind waits for one of the other.
//!
//! Nothing is lost from the count: what is held back comes out with the next event, with
//! the daemon's tick ([`Summaries::due`]) or at its end ([`Summaries::finish`]). Each
//! record is an event that happened, so a reader counts one and what it says was left out.

use crate::callers::bucket::{Rate, TokenBucket};
use crate::callers::peer::{Peer, PeerId};
use crate::event::{Access, Event, EventType, Suppressed};
use std::collections::HashMap;
use std::num::NonZeroU64;
use std::time::{Duration, Instant};

/// The account that an event is counted in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Account {
    /// The caller's own.
    Own,
    /// That of all callers without a capability.
    Strangers,
}

/// Decisions of one account that are not on record yet, at least one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Tally {
    /// The last of them.
    access: Access,
    peer: Peer,
    /// The others: how many, the first of them and the last.
    before: u64,
    first: PeerId,
    last: PeerId,
}

impl Tally {
    /// One of them.
    #[must_use]
    pub fn one(access: Access, peer: &Peer) -> Self {
        Self {
            access,
            peer: peer.clone(),
            before: 0,
            first: peer.id.clone(),
            last: peer.id.clone(),
        }
    }

    /// Adds later ones.
    pub fn add(&mut self, later: Self) {
        // The event that was the latest so far becomes one of those left out.
        let before = std::mem::replace(&mut self.peer, later.peer);
        self.last = match later.before {
            0 => before.id,
            _ => later.last,
        };
        self.before += later.before + 1;
        self.access = later.access;
    }

    /// The event of their record: the last of them, with what is left out.
    #[must_use]
    pub fn event(&self) -> Event<'_> {
        // The record names its own caller anyway.
        let peers = (self.first != self.peer.id || self.last != self.peer.id)
            .then_some((&self.first, &self.last));
        Event::Access {
            access: self.access,
            peer: &self.peer,
            suppressed: NonZeroU64::new(self.before).map(|count| Suppressed { count, peers }),
        }
    }
}

/// The time between two records of one kind in an account of its own.
const INTERVAL: Duration = Duration::from_secs(1);

/// The records of all callers without a capability.
pub const STRANGERS: Rate = Rate {
    interval: Duration::from_millis(100),
    burst: 10,
};

/// Accounts at a time, one for each identity and kind; the rest share one for each kind.
const MAX_ACCOUNTS: usize = 1_024;

/// The events left out so far, and the earliest time of each next record.
#[derive(Debug, Default)]
pub struct Summaries {
    own: HashMap<(PeerId, EventType), Own>,
    /// Callers with a capability for whom there was no account left.
    others: HashMap<EventType, Own>,
    strangers: HashMap<Access, Held>,
    budget: TokenBucket,
}

/// An account that has one record in each interval.
#[derive(Debug)]
struct Own {
    next: Instant,
    left_out: Option<Tally>,
}

/// The decisions of strangers that are left out, and since when.
#[derive(Debug)]
struct Held {
    since: Instant,
    left_out: Tally,
}

impl Summaries {
    /// Notes that something happened to a caller; gives what is to be put on record now.
    pub fn note(&mut self, tally: Tally, account: Account, now: Instant) -> Option<Tally> {
        match account {
            Account::Own => self.note_own(tally, now),
            Account::Strangers => self.note_stranger(tally, now),
        }
    }

    fn note_own(&mut self, tally: Tally, now: Instant) -> Option<Tally> {
        let new = || Own {
            next: now,
            left_out: None,
        };
        let kind = tally.access.event_type();
        let key = (tally.peer.id.clone(), kind);
        let account = if self.own.len() < MAX_ACCOUNTS || self.own.contains_key(&key) {
            self.own.entry(key).or_insert_with(new)
        } else {
            self.others.entry(kind).or_insert_with(new)
        };
        // Added before it is known to be due: the record is that of the latest event.
        match &mut account.left_out {
            Some(left_out) => left_out.add(tally),
            none => *none = Some(tally),
        }
        account.record(now)
    }

    fn note_stranger(&mut self, tally: Tally, now: Instant) -> Option<Tally> {
        let access = tally.access;
        let left_out = match self.strangers.remove(&access) {
            Some(mut held) => {
                held.left_out.add(tally);
                held
            }
            None => Held {
                since: now,
                left_out: tally,
            },
        };
        if self.budget.take(STRANGERS, now) {
            return Some(left_out.left_out);
        }
        self.strangers.insert(access, left_out);
        None
    }

    /// The records that are due although nothing more happened. Accounts that hold
    /// nothing back are closed.
    pub fn due(&mut self, now: Instant) -> Vec<Tally> {
        self.own
            .retain(|_, own| own.left_out.is_some() || now < own.next);
        let own = self.own.values_mut().chain(self.others.values_mut());
        let mut due: Vec<Tally> = own.filter_map(|own| own.record(now)).collect();
        // A flood of one decision takes all tokens; the others still get a record,
        // which the flood then pays for.
        let old = self
            .strangers
            .extract_if(|_, held| now >= held.since + INTERVAL);
        for (_, held) in old {
            self.budget.borrow(STRANGERS, now);
            due.push(held.left_out);
        }
        due
    }

    /// All that is left, at the end.
    pub fn finish(&mut self) -> Vec<Tally> {
        let own = self.own.drain().map(|(_, own)| own);
        let own = own.chain(self.others.drain().map(|(_, own)| own));
        let strangers = self.strangers.drain().map(|(_, held)| held.left_out);
        own.filter_map(|own| own.left_out)
            .chain(strangers)
            .collect()
    }
}

impl Own {
    fn record(&mut self, now: Instant) -> Option<Tally> {
        if now < self.next {
            return None;
        }
        let due = self.left_out.take()?;
        self.next = now + INTERVAL;
        Some(due)
    }
}

#[cfg(test)]
mod tests;
