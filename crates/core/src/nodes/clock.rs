//! A node's clock beside this host's.
//!
//! Neither of the two is known to be right. A difference makes host certificates invalid, lets
//! `expiry-time=` of a key come early or late, and gives readings the wrong time.

use pulse_sensors::calendar::rfc3339;
use std::fmt;

/// The difference from which on a clock is wrong, in seconds. It includes the time of a reading.
const WRONG_FROM: u64 = 60;
/// The difference up to which a clock that was wrong still is, in seconds, so that one at the limit is
/// not found wrong and right in turn.
const WRONG_UNTIL: u64 = 50;

/// The time of a node and of this host at a reading, in seconds since 1970.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NodeClock {
    /// By the node's clock.
    pub node: u64,
    /// By this host's clock.
    pub here: u64,
}

impl NodeClock {
    /// True if the clocks differ by more than a minute, or by almost as much where they did before.
    #[must_use]
    pub fn is_wrong(self, was_wrong: bool) -> bool {
        let limit = if was_wrong { WRONG_UNTIL } else { WRONG_FROM };
        self.node.abs_diff(self.here) > limit
    }

    /// The seconds by which the node's clock is ahead of this host's; negative if it is behind.
    #[must_use]
    pub fn offset(self) -> i64 {
        let seconds = i64::try_from(self.node.abs_diff(self.here)).unwrap_or(i64::MAX);
        if self.node < self.here {
            -seconds
        } else {
            seconds
        }
    }
}

/// The sentence about a wrong clock. It follows the node's name.
impl fmt::Display for NodeClock {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let relation = if self.node < self.here {
            "behind"
        } else {
            "ahead of"
        };
        write!(
            f,
            "has a clock {} s {relation} this host's, {} there and {} here: correct the wrong one, \"timedatectl\" shows whether it is synchronised",
            self.node.abs_diff(self.here),
            rfc3339(self.node),
            rfc3339(self.here)
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HERE: u64 = 1_795_255_203;

    fn node_at(node: u64) -> NodeClock {
        NodeClock { node, here: HERE }
    }

    #[test]
    fn minute_is_the_limit() {
        for (node, was_wrong, expected) in [
            (HERE, false, false),
            (HERE + 60, false, false),
            (HERE + 61, false, true),
            (HERE - 61, false, true),
            (HERE + 55, true, true),
            (HERE - 50, true, false),
            (0, false, true),
            (u64::MAX, false, true),
        ] {
            assert_eq!(node_at(node).is_wrong(was_wrong), expected, "{node}");
        }
    }

    #[test]
    fn offset_has_its_sign() {
        assert_eq!(node_at(HERE + 90).offset(), 90);
        assert_eq!(node_at(HERE - 90).offset(), -90);
        assert_eq!(node_at(u64::MAX).offset(), i64::MAX);
    }

    #[test]
    fn sentence_has_both_times() {
        assert_eq!(
            node_at(HERE - 3600).to_string(),
            "has a clock 3600 s behind this host's, 2026-11-21T09:00:03Z there and 2026-11-21T10:00:03Z here: correct the wrong one, \"timedatectl\" shows whether it is synchronised"
        );
        assert!(node_at(HERE + 61).to_string().contains("61 s ahead of"));
    }
}
