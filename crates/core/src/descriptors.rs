//! File descriptors: how many a configuration needs, and how many are left for callers.
//!
//! A process that runs out of descriptors fails anywhere: nodes cannot be connected to, files
//! not be read, callers not be identified. So callers, who alone can bring that about, get
//! what the rest does not need.

/// The descriptors of the daemon itself: standard streams, event loops, listening sockets, the
/// log with its lock and directory, systemd, and files that are read for a moment.
const OWN: u64 = 64;

/// The descriptors that callers get when there are enough. The proportions stay when there are
/// fewer.
const MAX_CALLERS: CallerDescriptors = CallerDescriptors {
    connections: 4096,
    handed_over: 4096,
    rejections: 512,
    strangers: 256,
};

/// With fewer for callers the operator is warned: a poller of many nodes and some others.
const MIN_CALLERS: u64 = 256;

/// The parts of a configuration that need descriptors of their own.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DescriptorDemand {
    /// Nodes: each has a connection.
    pub nodes: usize,
    /// Collectors: each may have a connection, and another one is tried meanwhile.
    pub collectors: usize,
    /// Connections to the metrics port; 0 without one.
    pub scrapers: usize,
}

/// The most connections of callers at a time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CallerDescriptors {
    /// Of callers with a capability.
    pub connections: usize,
    /// Accepted during a flood and not yet served.
    pub handed_over: usize,
    /// Of refused callers that have not closed their end.
    pub rejections: usize,
    /// As `handed_over`, of callers that cannot have a capability.
    pub strangers: usize,
}

impl DescriptorDemand {
    /// The descriptors that are not for callers.
    fn fixed(self) -> u64 {
        let Self {
            nodes,
            collectors,
            scrapers,
        } = self;
        OWN.saturating_add((nodes + 2 * collectors + scrapers) as u64)
    }

    /// The limit of open files below which the operator is warned.
    #[must_use]
    pub fn needed(self) -> u64 {
        self.fixed().saturating_add(MIN_CALLERS)
    }

    /// The share of callers under this limit of open files. It is never empty: a daemon that is
    /// short of descriptors still answers.
    #[must_use]
    pub fn callers(self, limit: u64) -> CallerDescriptors {
        let CallerDescriptors {
            connections,
            handed_over,
            rejections,
            strangers,
        } = MAX_CALLERS;
        let all = (connections + handed_over + rejections + strangers) as u64;
        let left = limit.saturating_sub(self.fixed()).min(all);
        // Of at most 4,096 parts of at most 8,960: no overflow.
        let share = |most: usize| {
            usize::try_from(most as u64 * left / all)
                .unwrap_or(most)
                .max(8)
        };
        CallerDescriptors {
            connections: share(connections),
            handed_over: share(handed_over),
            rejections: share(rejections),
            strangers: share(strangers),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const DEMAND: DescriptorDemand = DescriptorDemand {
        nodes: 20,
        collectors: 2,
        scrapers: 300,
    };

    fn sum(callers: CallerDescriptors) -> u64 {
        let CallerDescriptors {
            connections,
            handed_over,
            rejections,
            strangers,
        } = callers;
        (connections + handed_over + rejections + strangers) as u64
    }

    #[test]
    fn callers_leave_the_rest_alone() {
        for limit in [700, 1024, 4096, 9_000, 524_288, u64::MAX] {
            let callers = DEMAND.callers(limit);
            assert!(
                sum(callers) + DEMAND.fixed() <= limit,
                "{limit}: {callers:?}"
            );
        }
        assert_eq!(DEMAND.callers(u64::MAX), MAX_CALLERS);
    }

    #[test]
    fn a_low_limit_leaves_some() {
        for limit in [0, 64, DEMAND.fixed()] {
            let callers = DEMAND.callers(limit);
            assert_eq!((callers.connections, callers.rejections), (8, 8), "{limit}");
            assert!(limit < DEMAND.needed());
        }
    }

    #[test]
    fn more_nodes_need_more() {
        let more = DescriptorDemand {
            nodes: 120,
            ..DEMAND
        };
        assert_eq!(more.needed(), DEMAND.needed() + 100);
        assert!(more.callers(1024).connections < DEMAND.callers(1024).connections);
    }
}
