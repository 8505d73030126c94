//! Waiting: often enough to be quick, long enough for a busy machine.

use std::cell::Cell;
use std::thread::sleep;
use std::time::{Duration, Instant};

/// Longer than anything takes when all is well; nothing waits this long then.
const USUAL_PATIENCE: Duration = Duration::from_secs(60);

const PAUSE: Duration = Duration::from_millis(2);

thread_local! {
    static PATIENCE: Cell<Duration> = const { Cell::new(USUAL_PATIENCE) };
}

/// How long this thread waits for anything.
#[must_use]
pub fn patience() -> Duration {
    PATIENCE.get()
}

/// Sets it, where things are expected to go wrong.
pub fn set_patience(patience: Duration) {
    PATIENCE.set(patience);
}

/// Waits until there is something.
///
/// # Panics
/// When there is nothing for all too long; `what` says what was missed.
pub fn until_some<T>(what: &str, mut look: impl FnMut() -> Option<T>) -> T {
    let deadline = Instant::now() + patience();
    loop {
        if let Some(found) = look() {
            return found;
        }
        assert!(Instant::now() < deadline, "waited in vain for {what}");
        sleep(PAUSE);
    }
}

/// Waits until something holds.
///
/// # Panics
/// As [`until_some`].
pub fn until(what: &str, mut holds: impl FnMut() -> bool) {
    until_some(what, || holds().then_some(()));
}
