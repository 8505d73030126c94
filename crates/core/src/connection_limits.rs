//! The gate: how many connections a caller may hold open, before it has asked
//! anything. What it counts is cheap (a socket and a small task), so the caps are
//! wide; they only keep one caller from taking every descriptor.

use std::collections::HashMap;
use std::hash::Hash;

/// How many connections may be open.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct GateCaps {
    /// For one caller.
    pub per_key: usize,
    /// For all callers.
    pub total: usize,
}

/// Too many connections are open.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Crowded;

/// Open connections by caller.
#[derive(Debug)]
pub struct Gate<K> {
    caps: GateCaps,
    open: HashMap<K, usize>,
    total: usize,
}

impl<K: Hash + Eq + Clone> Gate<K> {
    /// Nobody inside.
    #[must_use]
    pub fn new(caps: GateCaps) -> Self {
        Self {
            caps,
            open: HashMap::new(),
            total: 0,
        }
    }

    /// Takes new caps; who is inside stays.
    pub fn set_caps(&mut self, caps: GateCaps) {
        self.caps = caps;
    }

    /// Lets a connection in; [`Gate::leave`] takes it out again.
    ///
    /// # Errors
    /// [`Crowded`] when the caller, or all together, have too many.
    pub fn enter(&mut self, key: &K) -> Result<(), Crowded> {
        let inside = self.open.get(key).copied().unwrap_or(0);
        if inside >= self.caps.per_key || self.total >= self.caps.total {
            return Err(Crowded);
        }
        self.open.insert(key.clone(), inside + 1);
        self.total += 1;
        Ok(())
    }

    /// A connection that was let in has ended.
    pub fn leave(&mut self, key: &K) {
        let Some(inside) = self.open.get_mut(key) else {
            return;
        };
        *inside -= 1;
        if *inside == 0 {
            self.open.remove(key);
        }
        self.total -= 1;
    }

    /// Connections inside.
    #[must_use]
    pub fn total(&self) -> usize {
        self.total
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_caller_cannot_take_the_place_of_others() {
        let mut gate = Gate::new(GateCaps {
            per_key: 2,
            total: 3,
        });
        assert_eq!(
            (gate.enter(&1), gate.enter(&1), gate.enter(&1)),
            (Ok(()), Ok(()), Err(Crowded))
        );
        assert_eq!((gate.enter(&2), gate.enter(&3)), (Ok(()), Err(Crowded)));
        gate.leave(&1);
        gate.leave(&9);
        assert_eq!((gate.enter(&3), gate.total()), (Ok(()), 3));
        for key in [1, 2, 3] {
            gate.leave(&key);
        }
        assert!(gate.open.is_empty() && gate.total() == 0);
    }
}
