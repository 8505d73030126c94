//! The accept budgets: how many connections a user gets before it has asked anything.
//!
//! Every connection has to be taken off the socket's backlog, which all callers share: one
//! that is left there keeps others out (connect(2): `EAGAIN`). What is done with it
//! afterwards need not cost the same for all. Within its user's budget a connection is
//! identified and answered; beyond that it is closed unread, which takes a few
//! microseconds.
//!
//! Who may have a capability and who cannot have budgets apart, so that the second kind
//! never takes from the first. A user is its UID, or the subordinate range that has the
//! UID, since whoever has a range has every UID in it. No process takes more than a
//! quarter of its user's budget: containers often share their UIDs, and one of them should
//! not close the others out.

use crate::bucket::{Rate, TokenBucket};
use crate::limiter::Limits;
use crate::peer::PeerId;
use std::collections::HashMap;
use std::time::{Duration, Instant};

/// What the credentials of a caller alone say of its rights.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Standing {
    /// No rule gives a capability to these credentials.
    Stranger,
    /// A rule may give one.
    Eligible,
}

/// The rate at which one user without a capability is answered.
pub const STRANGER: Rate = Rate {
    interval: Duration::from_millis(10),
    burst: 2_000,
};

/// The rate at which all of them are answered together.
pub const STRANGERS: Rate = Rate {
    interval: Duration::from_millis(1),
    burst: 4_000,
};

/// The least rate of a user who may have a capability.
pub const ELIGIBLE: Rate = Rate {
    interval: Duration::from_micros(1_250),
    burst: 8_000,
};

/// How many processes may have what the least rate gives before the others wait for them.
const PROCESSES: u32 = 4;

/// Users, and processes of one user, that are remembered at a time.
const MAX_USERS: usize = 1_024;
const MAX_PROCESSES: usize = 256;

/// So long after the last connection that was closed unread, the flood is over.
pub const CALM: Duration = Duration::from_secs(1);

/// The connection is to be closed unread.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct OverBudget;

/// Somebody who connects, known by the credentials alone.
#[derive(Clone, Copy, Debug)]
pub struct Connecting<'a> {
    /// The UID, or the subordinate range of it.
    pub user: &'a PeerId,
    /// The process; 0 when the kernel does not say.
    pub pid: u32,
    /// What it may be.
    pub standing: Standing,
}

/// The budgets of all users, or an equal part of them for each of several threads.
#[derive(Debug)]
pub struct AcceptBudgets {
    parts: u32,
    eligible: Users,
    eligible_rate: Rate,
    strangers: Users,
    all_strangers: TokenBucket,
    closed_at: Option<Instant>,
}

impl AcceptBudgets {
    /// Full budgets. A process whose user may have a capability can connect twice as often
    /// as the limiter lets it ask, with `nodes` nodes. Of `parts` threads that accept, each
    /// has its part.
    #[must_use]
    pub fn new(limits: &Limits, nodes: usize, parts: u32) -> Self {
        Self {
            parts,
            eligible: Users::default(),
            eligible_rate: eligible_rate(limits, nodes).part(parts),
            strangers: Users::default(),
            all_strangers: TokenBucket::default(),
            closed_at: None,
        }
    }

    /// Takes new limits; what was spent stays spent.
    pub fn set_limits(&mut self, limits: &Limits, nodes: usize) {
        self.eligible_rate = eligible_rate(limits, nodes).part(self.parts);
    }

    /// Spends one connection.
    ///
    /// # Errors
    /// [`OverBudget`] when its process, its user, or all strangers together, have had
    /// theirs.
    pub fn spend(&mut self, caller: Connecting<'_>, now: Instant) -> Result<(), OverBudget> {
        let has_one = match caller.standing {
            Standing::Eligible => self.eligible.spend(caller, self.eligible_rate, now),
            // Its own first, so that one who has had it takes nothing from the others.
            Standing::Stranger => {
                self.strangers.spend(caller, STRANGER.part(self.parts), now)
                    && self.all_strangers.take(STRANGERS.part(self.parts), now)
            }
        };
        if has_one {
            return Ok(());
        }
        self.closed_at = Some(now);
        Err(OverBudget)
    }

    /// Whether connections were closed unread a moment ago.
    #[must_use]
    pub fn is_flooded(&self, now: Instant) -> bool {
        self.closed_at.is_some_and(|at| now < at + CALM)
    }

    /// Forgets users and processes whose budgets are full.
    pub fn sweep(&mut self, now: Instant) {
        self.eligible.sweep(now);
        self.strangers.sweep(now);
    }
}

/// The limiter lets a caller ask once per node and once for everything else in an
/// interval; each of four processes may connect twice as often.
fn eligible_rate(limits: &Limits, nodes: usize) -> Rate {
    let buckets = u32::try_from(nodes).unwrap_or(u32::MAX).saturating_add(1);
    let times = buckets.saturating_mul(2 * PROCESSES);
    Rate {
        interval: (limits.interval / times).min(ELIGIBLE.interval),
        burst: times.saturating_mul(limits.burst).max(ELIGIBLE.burst),
    }
}

#[derive(Debug, Default)]
struct Users {
    users: HashMap<PeerId, User>,
    /// All that came when there was no room for one more.
    others: User,
}

#[derive(Debug, Default)]
struct User {
    bucket: TokenBucket,
    processes: HashMap<u32, TokenBucket>,
    /// As [`Users::others`].
    other_processes: TokenBucket,
}

impl Users {
    fn spend(&mut self, caller: Connecting<'_>, rate: Rate, now: Instant) -> bool {
        // Room is made by sweeps, not here: in a flood this is on the way of everybody.
        let has_room = self.users.len() < MAX_USERS;
        let user = match self.users.get_mut(caller.user) {
            Some(user) => user,
            None if has_room => self.users.entry(caller.user.clone()).or_default(),
            None => &mut self.others,
        };
        user.spend(caller.pid, rate, now)
    }

    fn sweep(&mut self, now: Instant) {
        for user in self.users.values_mut().chain([&mut self.others]) {
            user.processes.retain(|_, bucket| !bucket.is_full(now));
        }
        // A process's tokens come back more slowly than its user's.
        self.users.retain(|_, user| !user.is_full(now));
    }
}

impl User {
    fn is_full(&self, now: Instant) -> bool {
        self.processes.is_empty() && self.bucket.is_full(now) && self.other_processes.is_full(now)
    }

    fn spend(&mut self, pid: u32, rate: Rate, now: Instant) -> bool {
        let has_room = self.processes.len() < MAX_PROCESSES;
        let own = match self.processes.get_mut(&pid) {
            Some(own) => own,
            None if has_room => self.processes.entry(pid).or_default(),
            None => &mut self.other_processes,
        };
        own.take(rate.part(PROCESSES), now) && self.bucket.take(rate, now)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    fn budgets() -> AcceptBudgets {
        AcceptBudgets::new(&Limits::default(), 10, 1)
    }

    fn connecting(user: &PeerId, pid: u32, standing: Standing) -> Connecting<'_> {
        Connecting {
            user,
            pid,
            standing,
        }
    }

    /// How many of `count` connections in `time`, evenly, are not closed.
    fn taken(
        budgets: &mut AcceptBudgets,
        (start, time): (Instant, Duration),
        count: u32,
        mut caller: impl FnMut(u32) -> (PeerId, u32, Standing),
    ) -> u32 {
        let taken = (0..count).filter(|turn| {
            let (user, pid, standing) = caller(*turn);
            let now = start + time * *turn / count;
            budgets.spend(connecting(&user, pid, standing), now).is_ok()
        });
        taken.count().try_into().unwrap()
    }

    #[test]
    fn stranger_gets_burst_then_rate() {
        let (mut budgets, start) = (budgets(), Instant::now());
        let stranger = |_| (PeerId::Uid(4001), 0, Standing::Stranger);
        // A process has a quarter.
        let in_burst = taken(&mut budgets, (start, Duration::ZERO), 10_000, stranger);
        assert_eq!(in_burst, STRANGER.burst / PROCESSES);
        let later = start + SECOND * 60;
        let flood = |turn| (PeerId::Uid(4001), turn % 8, Standing::Stranger);
        let answered = taken(&mut budgets, (later, SECOND * 10), 50_000, flood);
        assert!((2_900..=3_000).contains(&answered), "{answered}");
    }

    #[test]
    fn strangers_are_bounded_together() {
        let (mut budgets, start) = (budgets(), Instant::now());
        let answered = taken(&mut budgets, (start, SECOND * 10), 200_000, |turn| {
            (PeerId::Uid(turn % 65_536), turn % 7, Standing::Stranger)
        });
        assert!(answered <= 4_000 + 10 * 1_000, "{answered}");
        assert!(budgets.strangers.users.len() <= MAX_USERS);
        let now = start + SECOND * 10;
        let poller = PeerId::Uid(65_535);
        for _ in 0..500 {
            let poller = connecting(&poller, 7, Standing::Eligible);
            assert_eq!(budgets.spend(poller, now), Ok(()));
        }
    }

    #[test]
    fn process_leaves_room_for_others() {
        let (mut budgets, start) = (budgets(), Instant::now());
        let user = PeerId::Uid(100_000);
        let mut refused = 0;
        for turn in 0..100_000u32 {
            let now = start + SECOND * turn / 10_000;
            let _ = budgets.spend(connecting(&user, turn % 2, Standing::Eligible), now);
            if turn % 1_000 == 0 {
                let poller = budgets.spend(connecting(&user, 99, Standing::Eligible), now);
                refused += u32::from(poller.is_err());
            }
        }
        assert_eq!(refused, 0);
    }

    #[test]
    fn processes_beyond_the_cap_share() {
        let (mut budgets, start) = (budgets(), Instant::now());
        let answered = taken(&mut budgets, (start, SECOND * 10), 100_000, |turn| {
            (PeerId::Uid(4001), turn, Standing::Eligible)
        });
        assert!(answered <= 8_000 + 10 * 800, "{answered}");
        let user = budgets.eligible.users.values().next().unwrap();
        assert!(user.processes.len() <= MAX_PROCESSES);
    }

    #[test]
    fn poller_of_ten_thousand_nodes_is_served() {
        let limits = Limits::default();
        let mut budgets = AcceptBudgets::new(&limits, 10_000, 1);
        let (poller, start) = (PeerId::Uid(1000), Instant::now());
        for round in 0..12 {
            for _ in 0..10_000 {
                let now = start + SECOND * 10 * round;
                let poller = connecting(&poller, 7, Standing::Eligible);
                assert_eq!(budgets.spend(poller, now), Ok(()), "round {round}");
            }
        }
    }

    #[test]
    fn flood_ends_after_a_second() {
        let (mut budgets, start) = (budgets(), Instant::now());
        assert!(!budgets.is_flooded(start));
        taken(&mut budgets, (start, Duration::ZERO), 5_000, |_| {
            (PeerId::Uid(4001), 1, Standing::Stranger)
        });
        assert!(budgets.is_flooded(start + SECOND / 2));
        assert!(!budgets.is_flooded(start + SECOND));
        budgets.sweep(start + SECOND * 60);
        assert!(budgets.strangers.users.is_empty());
    }
}
