//! Accept budgets: how many connections a user gets before it has sent a request.
//!
//! All callers share the socket's backlog, so every connection has to be taken off it: one
//! that stays there keeps other callers out (connect(2): `EAGAIN`). But not every accepted
//! connection has to cost the same. Within its user's budget a connection is identified and
//! answered, which takes about 50 µs; an excess connection is closed unread, which takes
//! about 5 µs (measured, see "Connections are closed unread" in docs/architecture.md).
//!
//! Strangers, whose credentials give them no capability, have budgets of their own and so
//! take nothing from callers that may have one. A user is a UID, or the subordinate range
//! that contains the UID, because the owner of a range can connect as every UID in it. A
//! process gets at most a quarter of its user's budget: containers often share their UIDs,
//! and one of them must not use up the budget of the others.

use crate::callers::bucket::{Rate, TokenBucket};
use crate::callers::limiter::Limits;
use crate::callers::peer::PeerId;
use std::collections::HashMap;
use std::time::{Duration, Instant};

/// The rights that a caller's credentials alone can give it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Standing {
    /// No rule gives a capability to these credentials.
    Stranger,
    /// A rule may give one.
    Eligible,
}

/// One stranger: 100 answers a second.
const STRANGER: Rate = Rate {
    interval: Duration::from_millis(10),
    burst: 2_000,
};

/// All strangers together: 1,000 answers a second, about 5 % of a processor. Without this
/// bound the owner of a range, or many users, would have the sum of their budgets.
const ALL_STRANGERS: Rate = Rate {
    interval: Duration::from_millis(1),
    burst: 4_000,
};

/// The least rate of a user that may have a capability: 800 a second.
const MIN_ELIGIBLE: Rate = Rate {
    interval: Duration::from_micros(1_250),
    burst: 8_000,
};

/// Processes of one user that can each have the full budget of one process.
const PROCESSES: u32 = 4;

/// Users, and processes of one user, that have a bucket of their own. All others share one:
/// refusing them would let whoever comes first lock them out.
const MAX_USERS: usize = 1_024;
const MAX_PROCESSES: usize = 256;

/// A flood ends this long after the last connection that was closed unread.
pub const FLOOD_COOLDOWN: Duration = Duration::from_secs(1);

/// The connection has to be closed unread.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct OverBudget;

/// A connection of which only the credentials are known.
#[derive(Clone, Copy, Debug)]
pub struct ConnectionAttempt<'a> {
    /// The UID, or the subordinate range that contains it.
    pub user: &'a PeerId,
    /// The process; 0 when the kernel does not say.
    pub pid: u32,
    /// The rights of its credentials.
    pub standing: Standing,
}

/// The budgets of all users, or the equal share of one of several threads. Threads share no
/// lock, because all would wait for the one that the kernel has preempted.
#[derive(Debug)]
pub struct AcceptBudgets {
    threads: u32,
    eligible: Users,
    eligible_rate: Rate,
    strangers: Users,
    all_strangers: TokenBucket,
    last_excess: Option<Instant>,
}

impl AcceptBudgets {
    /// Full budgets of one of `threads` threads that accept, for a configuration with
    /// `nodes` nodes.
    #[must_use]
    pub fn new(limits: &Limits, nodes: usize, threads: u32) -> Self {
        Self {
            threads,
            eligible: Users::default(),
            eligible_rate: eligible_rate(limits, nodes).split(threads),
            strangers: Users::default(),
            all_strangers: TokenBucket::default(),
            last_excess: None,
        }
    }

    /// Replaces the limits; spent tokens stay spent.
    pub fn set_limits(&mut self, limits: &Limits, nodes: usize) {
        self.eligible_rate = eligible_rate(limits, nodes).split(self.threads);
    }

    /// Spends one connection.
    ///
    /// # Errors
    /// [`OverBudget`] when the budget of its process, of its user, or of all strangers is
    /// used up.
    pub fn spend(
        &mut self,
        attempt: ConnectionAttempt<'_>,
        now: Instant,
    ) -> Result<(), OverBudget> {
        let is_within = match attempt.standing {
            Standing::Eligible => self.eligible.spend(attempt, self.eligible_rate, now),
            // A stranger over its own budget takes nothing from the other strangers.
            Standing::Stranger => {
                self.strangers
                    .spend(attempt, STRANGER.split(self.threads), now)
                    && self
                        .all_strangers
                        .take(ALL_STRANGERS.split(self.threads), now)
            }
        };
        if is_within {
            return Ok(());
        }
        self.last_excess = Some(now);
        Err(OverBudget)
    }

    /// True for [`FLOOD_COOLDOWN`] after a connection was over a budget.
    #[must_use]
    pub fn is_flooded(&self, now: Instant) -> bool {
        self.last_excess.is_some_and(|at| now < at + FLOOD_COOLDOWN)
    }

    /// Forgets users and processes whose budgets are full.
    pub fn sweep(&mut self, now: Instant) {
        self.eligible.sweep(now);
        self.strangers.sweep(now);
    }
}

/// Twice what the limiter lets each of four processes ask: once per node and once for
/// everything else in an interval. A poller with a connection for each request is then
/// never closed unread.
fn eligible_rate(limits: &Limits, nodes: usize) -> Rate {
    let times = u32::try_from(nodes)
        .unwrap_or(u32::MAX)
        .saturating_add(1)
        .saturating_mul(2 * PROCESSES);
    Rate {
        // The shorter interval is the higher rate.
        interval: (limits.interval / times).min(MIN_ELIGIBLE.interval),
        burst: times.saturating_mul(limits.burst).max(MIN_ELIGIBLE.burst),
    }
}

#[derive(Debug, Default)]
struct Users {
    users: HashMap<PeerId, User>,
    /// All users beyond [`MAX_USERS`].
    others: User,
}

#[derive(Debug, Default)]
struct User {
    bucket: TokenBucket,
    processes: HashMap<u32, TokenBucket>,
    /// All processes beyond [`MAX_PROCESSES`].
    other_processes: TokenBucket,
}

impl Users {
    fn spend(&mut self, attempt: ConnectionAttempt<'_>, rate: Rate, now: Instant) -> bool {
        // A full map is not swept here: during a flood that would cost every connection a
        // pass over it. The daemon sweeps regularly.
        let has_room = self.users.len() < MAX_USERS;
        let user = match self.users.get_mut(attempt.user) {
            Some(user) => user,
            None if has_room => self.users.entry(attempt.user.clone()).or_default(),
            None => &mut self.others,
        };
        user.spend(attempt.pid, rate, now)
    }

    fn sweep(&mut self, now: Instant) {
        for user in self.users.values_mut().chain([&mut self.others]) {
            user.processes.retain(|_, bucket| !bucket.is_full(now));
        }
        // Every bucket is asked: a process's refills more slowly than its user's.
        self.users.retain(|_, user| {
            !(user.processes.is_empty()
                && user.bucket.is_full(now)
                && user.other_processes.is_full(now))
        });
    }
}

impl User {
    fn spend(&mut self, pid: u32, rate: Rate, now: Instant) -> bool {
        let has_room = self.processes.len() < MAX_PROCESSES;
        let own = match self.processes.get_mut(&pid) {
            Some(own) => own,
            None if has_room => self.processes.entry(pid).or_default(),
            None => &mut self.other_processes,
        };
        // The process first: one that is over its share takes nothing from its user.
        own.take(rate.split(PROCESSES), now) && self.bucket.take(rate, now)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    fn budgets() -> AcceptBudgets {
        AcceptBudgets::new(&Limits::default(), 10, 1)
    }

    fn attempt(user: &PeerId, pid: u32, standing: Standing) -> ConnectionAttempt<'_> {
        ConnectionAttempt {
            user,
            pid,
            standing,
        }
    }

    /// The number of connections within a budget, of `count` spread evenly over `time`.
    fn taken(
        budgets: &mut AcceptBudgets,
        (start, time): (Instant, Duration),
        count: u32,
        mut caller: impl FnMut(u32) -> (PeerId, u32, Standing),
    ) -> u32 {
        let taken = (0..count).filter(|turn| {
            let (user, pid, standing) = caller(*turn);
            let now = start + time * *turn / count;
            budgets.spend(attempt(&user, pid, standing), now).is_ok()
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
            let poller = attempt(&poller, 7, Standing::Eligible);
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
            let _ = budgets.spend(attempt(&user, turn % 2, Standing::Eligible), now);
            if turn % 1_000 == 0 {
                let poller = budgets.spend(attempt(&user, 99, Standing::Eligible), now);
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
    fn poller_of_10_000_nodes_is_served() {
        let limits = Limits::default();
        let mut budgets = AcceptBudgets::new(&limits, 10_000, 1);
        let (poller, start) = (PeerId::Uid(1000), Instant::now());
        for round in 0..12 {
            for _ in 0..10_000 {
                let now = start + SECOND * 10 * round;
                let poller = attempt(&poller, 7, Standing::Eligible);
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
