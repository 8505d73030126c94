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

use crate::bucket::{Rate, TokenBucket};
use crate::event::{Decision, Event, EventType};
use crate::limiter::Refusal;
use crate::peer::{Peer, PeerId};
use crate::rpc::RpcError;
use std::collections::HashMap;
use std::time::{Duration, Instant};

/// Something that a caller can bring about without end.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Occurrence {
    /// It was let in.
    Accepted,
    /// It was refused, since it has no capability.
    Unauthorized,
    /// The limiter refused it.
    Limited(Refusal),
}

impl Occurrence {
    /// The kind of its record.
    #[must_use]
    pub fn kind(self) -> EventType {
        match self {
            Self::Accepted => EventType::ConnectionAccepted,
            Self::Unauthorized => EventType::ConnectionDenied,
            Self::Limited(_) => EventType::LimiterRejection,
        }
    }

    fn event(self) -> Event<'static> {
        let denied = Event::new(self.kind(), Decision::Denied);
        match self {
            Self::Accepted => Event::new(self.kind(), Decision::Allowed),
            Self::Unauthorized => Event {
                reason: Some(RpcError::Unauthorized.label()),
                ..denied
            },
            Self::Limited(refusal) => Event {
                reason: Some(RpcError::RateLimited.label()),
                limiter: Some(refusal.as_str()),
                ..denied
            },
        }
    }
}

/// Whose records an event is counted among.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Account {
    /// The caller's own.
    Own,
    /// That of all callers without a capability.
    Strangers,
}

/// A record that is due.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Due {
    /// What happened last.
    pub occurrence: Occurrence,
    /// To whom.
    pub peer: Peer,
    /// How many like it were left out before.
    pub left_out: u64,
    /// The first and the last of those, where they need not be `peer`.
    pub between: Option<(PeerId, PeerId)>,
}

impl Due {
    /// The event to be put on record.
    #[must_use]
    pub fn event(&self) -> Event<'_> {
        let between = self.between.as_ref();
        Event {
            peer: Some(&self.peer),
            suppressed: self.left_out,
            suppressed_peers: between.map(|(first, last)| (first, last)),
            ..self.occurrence.event()
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

/// What was left out so far, and when it may be put on record.
#[derive(Debug, Default)]
pub struct Summaries {
    own: HashMap<(PeerId, EventType), Own>,
    /// Callers for whom there was no account left, and who have a capability.
    others: HashMap<EventType, Own>,
    strangers: HashMap<Occurrence, Sum>,
    budget: TokenBucket,
}

/// An account of which one record is put down in each interval.
#[derive(Debug)]
struct Own {
    next: Instant,
    sum: Sum,
}

/// What was left out since the last record.
#[derive(Debug, Default)]
struct Sum(Option<Held>);

#[derive(Debug)]
struct Held {
    /// The last of them, for a record that no further event brings about.
    occurrence: Occurrence,
    peer: Peer,
    since: Instant,
    /// The others: how many, the first and the last.
    before: u64,
    first: PeerId,
    last: PeerId,
}

impl Summaries {
    /// Notes that something happened to a caller; gives the record, if one is due.
    pub fn note(
        &mut self,
        occurrence: Occurrence,
        peer: &Peer,
        account: Account,
        now: Instant,
    ) -> Option<Due> {
        if account == Account::Strangers {
            let sum = self.strangers.entry(occurrence).or_default();
            if self.budget.take(STRANGERS, now) {
                return Some(sum.record(occurrence, peer));
            }
            sum.hold(occurrence, peer, now);
            return None;
        }
        let own = self.account(&peer.id, occurrence.kind(), now);
        if now >= own.next {
            own.next = now + INTERVAL;
            return Some(own.sum.record(occurrence, peer));
        }
        own.sum.hold(occurrence, peer, now);
        None
    }

    fn account(&mut self, id: &PeerId, kind: EventType, now: Instant) -> &mut Own {
        let new = || Own {
            next: now,
            sum: Sum::default(),
        };
        let key = (id.clone(), kind);
        if self.own.len() >= MAX_ACCOUNTS && !self.own.contains_key(&key) {
            return self.others.entry(kind).or_insert_with(new);
        }
        self.own.entry(key).or_insert_with(new)
    }

    /// The records that are due although nothing more happened. Accounts that hold
    /// nothing back are closed.
    pub fn due(&mut self, now: Instant) -> Vec<Due> {
        self.own
            .retain(|_, own| own.sum.0.is_some() || now < own.next);
        let mut due = Vec::new();
        for own in self.own.values_mut().chain(self.others.values_mut()) {
            if now >= own.next
                && let Some(record) = own.sum.take()
            {
                own.next = now + INTERVAL;
                due.push(record);
            }
        }
        for sum in self.strangers.values_mut() {
            let is_old = sum
                .0
                .as_ref()
                .is_some_and(|held| now >= held.since + INTERVAL);
            // A flood of one occurrence takes all tokens; those of another still get a
            // record, which the flood then pays for.
            if is_old && let Some(record) = sum.take() {
                self.budget.borrow(STRANGERS, now);
                due.push(record);
            }
        }
        due
    }

    /// All that is left, at the end.
    pub fn finish(&mut self) -> Vec<Due> {
        let own = self.own.values_mut().chain(self.others.values_mut());
        let sums = own
            .map(|own| &mut own.sum)
            .chain(self.strangers.values_mut());
        sums.filter_map(Sum::take).collect()
    }
}

impl Sum {
    /// The record of this event, with what was left out before it.
    fn record(&mut self, occurrence: Occurrence, peer: &Peer) -> Due {
        let (left_out, between) = match self.0.take() {
            Some(held) => (held.before + 1, named(held.first, held.peer.id, &peer.id)),
            None => (0, None),
        };
        Due {
            occurrence,
            peer: peer.clone(),
            left_out,
            between,
        }
    }

    fn hold(&mut self, occurrence: Occurrence, peer: &Peer, now: Instant) {
        match &mut self.0 {
            Some(held) => {
                held.occurrence = occurrence;
                held.before += 1;
                let before = std::mem::replace(&mut held.peer, peer.clone());
                held.last = before.id;
            }
            none => {
                *none = Some(Held {
                    occurrence,
                    peer: peer.clone(),
                    since: now,
                    before: 0,
                    first: peer.id.clone(),
                    last: peer.id.clone(),
                });
            }
        }
    }

    /// The record of the last event that was left out, with those before it.
    fn take(&mut self) -> Option<Due> {
        let held = self.0.take()?;
        let between = match held.before {
            0 => None,
            _ => named(held.first, held.last, &held.peer.id),
        };
        Some(Due {
            occurrence: held.occurrence,
            peer: held.peer,
            left_out: held.before,
            between,
        })
    }
}

/// Both, unless the record names them anyway.
fn named(first: PeerId, last: PeerId, peer: &PeerId) -> Option<(PeerId, PeerId)> {
    (first != *peer || last != *peer).then_some((first, last))
}

#[cfg(test)]
mod tests;
