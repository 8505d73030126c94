//! The pins in force while the file changes, cannot be read, or is not there.
//!
//! New connections and open ones are judged by different rules. A new connection needs
//! the file as it is now: without it no key can be checked, so none is opened. An open
//! connection has proved a key that was pinned. To close it because the file cannot be
//! read would let one transient error (a full inode table, a slow mount, an editor that
//! gets a mode wrong) cut every node at once, and nothing was said against its key. So
//! open connections are judged by what the file last said, until it can be read again.
//!
//! A file that is not there is another matter: it says that nothing is pinned. But editors
//! rename or remove a file before they write it anew, so it counts only when it has been
//! away for [`ABSENCE`].

use super::KnownHosts;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// How long a file is away that is being replaced: longer than a look or two.
pub const ABSENCE: Duration = Duration::from_secs(5);

/// The pins in force.
#[derive(Clone, Debug)]
pub struct Pins {
    /// Those that open connections are judged by.
    pub for_open: Arc<KnownHosts>,
    /// Those for new connections, or why there can be none.
    pub for_new: Result<Arc<KnownHosts>, Arc<str>>,
}

/// A look at the file.
#[derive(Debug)]
pub enum Found {
    /// It says this.
    Read(KnownHosts),
    /// It is not there.
    Missing,
    /// It is there and cannot be read, or may not be trusted, for this reason.
    Unusable(String),
}

/// The changes that a look has found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Change {
    /// Every connection is judged by what the file says now.
    Read,
    /// The file is not there: new connections find nothing pinned.
    Missing,
    /// It has been away for so long that open connections find nothing pinned either.
    Gone,
    /// New connections are refused.
    Unusable,
}

/// The pins, and for how long their file has been away.
#[derive(Debug)]
pub struct Watched {
    pins: Pins,
    missing_since: Option<Instant>,
}

impl Default for Watched {
    fn default() -> Self {
        let nothing = Arc::new(KnownHosts::default());
        Self {
            pins: Pins {
                for_open: Arc::clone(&nothing),
                for_new: Ok(nothing),
            },
            missing_since: None,
        }
    }
}

impl Watched {
    /// The pins in force.
    #[must_use]
    pub fn pins(&self) -> &Pins {
        &self.pins
    }

    /// Takes what was found at `now`; gives what that has changed.
    pub fn update(&mut self, found: Found, now: Instant) -> Option<Change> {
        match found {
            Found::Read(known) => {
                self.missing_since = None;
                let known = Arc::new(known);
                self.pins = Pins {
                    for_open: Arc::clone(&known),
                    for_new: Ok(known),
                };
                Some(Change::Read)
            }
            Found::Missing => self.miss(now),
            Found::Unusable(reason) => {
                self.missing_since = None;
                let said = self.pins.for_new.as_ref().err();
                if said.is_some_and(|said| **said == *reason) {
                    return None;
                }
                self.pins.for_new = Err(reason.into());
                Some(Change::Unusable)
            }
        }
    }

    fn miss(&mut self, now: Instant) -> Option<Change> {
        let Some(since) = self.missing_since else {
            self.missing_since = Some(now);
            self.pins.for_new = Ok(Arc::default());
            return Some(Change::Missing);
        };
        if now < since + ABSENCE || self.pins.for_open.is_empty() {
            return None;
        }
        self.pins.for_open = Arc::default();
        Some(Change::Gone)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LINE: &str =
        "n ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIJdD7y3aLq454yWBdwLWbieU1ebz9/cu7/QEXn9OIeZJ\n";

    fn read() -> Found {
        let (known, problems) = KnownHosts::parse(LINE);
        assert_eq!((known.len(), problems.len()), (1, 0));
        Found::Read(known)
    }

    /// The number of keys that are pinned for open and for new connections.
    fn pinned(watched: &Watched) -> (usize, Option<usize>) {
        let Pins { for_open, for_new } = watched.pins();
        (
            for_open.len(),
            for_new.as_ref().ok().map(|known| known.len()),
        )
    }

    fn watched() -> (Watched, Instant) {
        let (mut watched, now) = (Watched::default(), Instant::now());
        assert_eq!(pinned(&watched), (0, Some(0)));
        assert_eq!(watched.update(read(), now), Some(Change::Read));
        assert_eq!(pinned(&watched), (1, Some(1)));
        (watched, now)
    }

    #[test]
    fn unusable_file_refuses_new_connections_and_cuts_no_open_one() {
        let (mut watched, now) = watched();
        let unusable = |reason: &str| Found::Unusable(reason.to_owned());
        assert_eq!(watched.update(unusable("a"), now), Some(Change::Unusable));
        assert_eq!(pinned(&watched), (1, None));
        let later = now + ABSENCE * 100;
        assert_eq!(watched.update(unusable("a"), later), None);
        assert_eq!(watched.update(unusable("b"), later), Some(Change::Unusable));
        assert_eq!(pinned(&watched), (1, None));
        assert_eq!(watched.update(read(), later), Some(Change::Read));
        assert_eq!(pinned(&watched), (1, Some(1)));
    }

    #[test]
    fn file_that_is_replaced_is_away_for_a_moment() {
        let (mut watched, now) = watched();
        assert_eq!(watched.update(Found::Missing, now), Some(Change::Missing));
        assert_eq!(pinned(&watched), (1, Some(0)));
        let just_before = now + ABSENCE.saturating_sub(Duration::from_millis(1));
        assert_eq!(watched.update(Found::Missing, just_before), None);
        assert_eq!(watched.update(read(), just_before), Some(Change::Read));
        // The next time counts from its own beginning.
        let again = now + ABSENCE;
        assert_eq!(watched.update(Found::Missing, again), Some(Change::Missing));
        assert_eq!(watched.update(Found::Missing, again), None);
        assert_eq!(pinned(&watched), (1, Some(0)));
    }

    #[test]
    fn file_that_stays_away_pins_nothing() {
        let (mut watched, now) = watched();
        watched.update(Found::Missing, now);
        assert_eq!(
            watched.update(Found::Missing, now + ABSENCE),
            Some(Change::Gone)
        );
        assert_eq!(pinned(&watched), (0, Some(0)));
        assert_eq!(watched.update(Found::Missing, now + ABSENCE * 2), None);
    }

    #[test]
    fn unusable_file_that_goes_away_counts_from_then() {
        let (mut watched, now) = watched();
        watched.update(Found::Missing, now);
        watched.update(Found::Unusable("a".to_owned()), now);
        let later = now + ABSENCE * 2;
        assert_eq!(watched.update(Found::Missing, later), Some(Change::Missing));
        assert_eq!(pinned(&watched), (1, Some(0)));
    }
}
