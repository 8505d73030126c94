//! Limits on the connections that a caller holds open, whether or not it sends requests.
//!
//! A connection costs a descriptor and a small task, so the limits are wide: they only keep
//! one caller from using up the descriptors of all.

use crate::callers::peer::PeerId;
use std::collections::HashMap;

/// The most connections that may be open.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ConnectionCaps {
    /// Of one caller.
    pub per_peer: usize,
    /// Of all callers.
    pub total: usize,
}

/// The caller, or all callers together, have too many connections open.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TooManyConnections;

/// The open connections of each caller.
#[derive(Debug)]
pub struct ConnectionLimits {
    caps: ConnectionCaps,
    open: HashMap<PeerId, usize>,
    total: usize,
}

impl ConnectionLimits {
    /// Limits with no connection open.
    #[must_use]
    pub fn new(caps: ConnectionCaps) -> Self {
        Self {
            caps,
            open: HashMap::new(),
            total: 0,
        }
    }

    /// Replaces the caps; open connections stay open.
    pub fn set_caps(&mut self, caps: ConnectionCaps) {
        self.caps = caps;
    }

    /// Counts a new connection; [`ConnectionLimits::close`] ends it.
    ///
    /// # Errors
    /// [`TooManyConnections`]; the connection is not counted then.
    pub fn open(&mut self, peer: &PeerId) -> Result<(), TooManyConnections> {
        // A refused caller gets no entry, so there are at most as many entries as connections.
        let open = self.open.get(peer).copied().unwrap_or(0);
        if open >= self.caps.per_peer || self.total >= self.caps.total {
            return Err(TooManyConnections);
        }
        self.open.insert(peer.clone(), open + 1);
        self.total += 1;
        Ok(())
    }

    /// Ends a connection that was counted.
    pub fn close(&mut self, peer: &PeerId) {
        let Some(open) = self.open.get_mut(peer) else {
            return;
        };
        *open -= 1;
        if *open == 0 {
            self.open.remove(peer);
        }
        self.total -= 1;
    }

    /// The open connections of all callers.
    #[must_use]
    pub fn total(&self) -> usize {
        self.total
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn caller_leaves_room_for_others() {
        let mut limits = ConnectionLimits::new(ConnectionCaps {
            per_peer: 2,
            total: 3,
        });
        let [a, b, c, unknown] = [1, 2, 3, 9].map(PeerId::Uid);
        assert_eq!((limits.open(&a), limits.open(&a)), (Ok(()), Ok(())));
        assert_eq!(limits.open(&a), Err(TooManyConnections));
        assert_eq!(limits.open(&b), Ok(()));
        assert_eq!(limits.open(&c), Err(TooManyConnections));
        limits.close(&a);
        limits.close(&unknown);
        assert_eq!((limits.open(&c), limits.total), (Ok(()), 3));
        for peer in [a, b, c] {
            limits.close(&peer);
        }
        assert!(limits.open.is_empty() && limits.total == 0);
    }
}
