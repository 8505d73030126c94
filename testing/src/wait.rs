//! Waiting for a state, with a deadline.

use std::cell::Cell;
use std::thread::sleep;
use std::time::{Duration, Instant};

/// Far longer than anything takes on a busy machine; no test that passes waits this long.
const DEFAULT_TIMEOUT: Duration = Duration::from_secs(60);

const PAUSE: Duration = Duration::from_millis(2);

thread_local! {
    static TIMEOUT: Cell<Duration> = const { Cell::new(DEFAULT_TIMEOUT) };
}

/// This thread's deadline for every wait.
#[must_use]
pub fn timeout() -> Duration {
    TIMEOUT.get()
}

/// Sets this thread's deadline, for tests in which a wait is expected to fail.
pub fn set_timeout(timeout: Duration) {
    TIMEOUT.set(timeout);
}

/// Waits until `look` returns a value.
///
/// # Panics
/// When it returns none within [`timeout`]; `what` names the missing state.
pub fn until_some<T>(what: &str, mut look: impl FnMut() -> Option<T>) -> T {
    let deadline = Instant::now() + timeout();
    loop {
        if let Some(found) = look() {
            return found;
        }
        assert!(Instant::now() < deadline, "timed out waiting for {what}");
        sleep(PAUSE);
    }
}

/// Waits until `holds` is true.
///
/// # Panics
/// As [`until_some`].
pub fn until(what: &str, mut holds: impl FnMut() -> bool) {
    until_some(what, || holds().then_some(()));
}
