//! The pins in force while the file changes, is unreadable or is missing.
//!
//! A new connection needs the file as it is now: without it no key can be checked, so none
//! is opened. An open connection has proved a key that was pinned. Closing it because the
//! file is unreadable would let one transient error (a slow mount, an editor that sets the
//! wrong mode) disconnect every node at once, although nothing revoked its key. So open
//! connections keep the last pins until the file is readable again.
//!
//! A missing file pins nothing. But editors rename or remove a file before they write the
//! new one, so for open connections it counts only after `REPLACEMENT_TIME`.

use super::KnownHosts;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// The longest time for which a file is missing while it is replaced: two of the daemon's
/// checks, which are 2 s apart, fit into it.
const REPLACEMENT_TIME: Duration = Duration::from_secs(5);

/// The pins in force.
#[derive(Clone, Debug)]
pub struct Pins {
    /// The pins for open connections.
    pub for_open: Arc<KnownHosts>,
    /// The pins for new connections, or the reason that none can be opened.
    pub for_new: Result<Arc<KnownHosts>, Arc<str>>,
}

/// The file, as it was found.
#[derive(Debug)]
pub enum FileState {
    /// It was read.
    Read(KnownHosts),
    /// It does not exist.
    Missing,
    /// It exists but cannot be read or trusted, for this reason.
    Unusable(String),
}

/// A change of the pins.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PinsChange {
    /// The file was read; its pins apply to every connection.
    Read,
    /// The file is missing: nothing is pinned for new connections.
    Missing,
    /// The file stays missing: nothing is pinned for open connections either.
    Gone,
    /// The file is unusable: no connection can be opened.
    Unusable,
}

/// The pins of a file that is checked again and again.
#[derive(Debug)]
pub struct WatchedPins {
    pins: Pins,
    missing_since: Option<Instant>,
}

impl Default for WatchedPins {
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

impl WatchedPins {
    /// The pins in force.
    #[must_use]
    pub fn pins(&self) -> &Pins {
        &self.pins
    }

    /// Applies the state of the file at `now`; returns the change, if there is one.
    pub fn update(&mut self, file: FileState, now: Instant) -> Option<PinsChange> {
        match file {
            FileState::Read(known) => {
                self.missing_since = None;
                let known = Arc::new(known);
                self.pins = Pins {
                    for_open: Arc::clone(&known),
                    for_new: Ok(known),
                };
                Some(PinsChange::Read)
            }
            FileState::Missing => match self.missing_since {
                None => {
                    self.missing_since = Some(now);
                    self.pins.for_new = Ok(Arc::default());
                    Some(PinsChange::Missing)
                }
                Some(since) if now < since + REPLACEMENT_TIME => None,
                Some(_) if self.pins.for_open.is_empty() => None,
                Some(_) => {
                    self.pins.for_open = Arc::default();
                    Some(PinsChange::Gone)
                }
            },
            FileState::Unusable(reason) => {
                self.missing_since = None;
                // Reported once: the same file is checked again and again.
                let said = self.pins.for_new.as_ref().err();
                if said.is_some_and(|said| **said == *reason) {
                    return None;
                }
                self.pins.for_new = Err(reason.into());
                Some(PinsChange::Unusable)
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LINE: &str =
        "n ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIJdD7y3aLq454yWBdwLWbieU1ebz9/cu7/QEXn9OIeZJ\n";

    fn read() -> FileState {
        let (known, bad) = KnownHosts::parse(LINE).unwrap();
        assert_eq!((known.len(), bad.len()), (1, 0));
        FileState::Read(known)
    }

    /// The number of keys that are pinned for open and for new connections.
    fn pinned(watched: &WatchedPins) -> (usize, Option<usize>) {
        let Pins { for_open, for_new } = watched.pins();
        (
            for_open.len(),
            for_new.as_ref().ok().map(|known| known.len()),
        )
    }

    fn watched() -> (WatchedPins, Instant) {
        let (mut watched, now) = (WatchedPins::default(), Instant::now());
        assert_eq!(pinned(&watched), (0, Some(0)));
        assert_eq!(watched.update(read(), now), Some(PinsChange::Read));
        assert_eq!(pinned(&watched), (1, Some(1)));
        (watched, now)
    }

    #[test]
    fn unusable_file_keeps_open_ones() {
        let (mut watched, now) = watched();
        let unusable = |reason: &str| FileState::Unusable(reason.to_owned());
        assert_eq!(
            watched.update(unusable("a"), now),
            Some(PinsChange::Unusable)
        );
        assert_eq!(pinned(&watched), (1, None));
        let later = now + REPLACEMENT_TIME * 100;
        assert_eq!(watched.update(unusable("a"), later), None);
        assert_eq!(
            watched.update(unusable("b"), later),
            Some(PinsChange::Unusable)
        );
        assert_eq!(pinned(&watched), (1, None));
        assert_eq!(watched.update(read(), later), Some(PinsChange::Read));
        assert_eq!(pinned(&watched), (1, Some(1)));
    }

    #[test]
    fn replaced_file_keeps_open_ones() {
        let (mut watched, now) = watched();
        assert_eq!(
            watched.update(FileState::Missing, now),
            Some(PinsChange::Missing)
        );
        assert_eq!(pinned(&watched), (1, Some(0)));
        let just_before = now + REPLACEMENT_TIME.saturating_sub(Duration::from_millis(1));
        assert_eq!(watched.update(FileState::Missing, just_before), None);
        assert_eq!(watched.update(read(), just_before), Some(PinsChange::Read));
        // The next time counts from its own beginning.
        let again = now + REPLACEMENT_TIME;
        assert_eq!(
            watched.update(FileState::Missing, again),
            Some(PinsChange::Missing)
        );
        assert_eq!(watched.update(FileState::Missing, again), None);
        assert_eq!(pinned(&watched), (1, Some(0)));
    }

    #[test]
    fn missing_file_pins_nothing() {
        let (mut watched, now) = watched();
        watched.update(FileState::Missing, now);
        assert_eq!(
            watched.update(FileState::Missing, now + REPLACEMENT_TIME),
            Some(PinsChange::Gone)
        );
        assert_eq!(pinned(&watched), (0, Some(0)));
        assert_eq!(
            watched.update(FileState::Missing, now + REPLACEMENT_TIME * 2),
            None
        );
    }

    #[test]
    fn absence_counts_after_unusable() {
        let (mut watched, now) = watched();
        watched.update(FileState::Missing, now);
        watched.update(FileState::Unusable("a".to_owned()), now);
        let later = now + REPLACEMENT_TIME * 2;
        assert_eq!(
            watched.update(FileState::Missing, later),
            Some(PinsChange::Missing)
        );
        assert_eq!(pinned(&watched), (1, Some(0)));
    }
}
