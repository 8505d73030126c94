//! The priority of threads that have to keep up with work that others make.

use nix::errno::Errno;
use nix::sys::resource::{Resource, setrlimit};
use std::io;

/// Their nice value. The kernel gives a thread with it about nine times the share of one
/// with 0, while processors are short (sched(7)).
const NICE: i32 = -10;

/// The same, as `RLIMIT_NICE` counts (getrlimit(2)).
const CEILING: u64 = 20 + NICE.unsigned_abs() as u64;

/// Lets this process's threads take priority, also when it is not root's any more. A unit
/// does that with `LimitNICE=`.
///
/// # Errors
/// `EPERM` where we may not.
pub fn allow_priority() -> io::Result<()> {
    Ok(setrlimit(Resource::RLIMIT_NICE, CEILING, CEILING)?)
}

/// Gives this thread priority (setpriority(2): on Linux a nice value is a thread's).
///
/// # Errors
/// `EACCES` or `EPERM` where it may not have it.
#[expect(unsafe_code, reason = "nix does not wrap setpriority")]
pub fn take_priority() -> io::Result<()> {
    const THIS_THREAD: libc::id_t = 0;
    // SAFETY: setpriority(2) takes numbers and no pointer.
    let outcome =
        unsafe { libc::syscall(libc::SYS_setpriority, libc::PRIO_PROCESS, THIS_THREAD, NICE) };
    Errno::result(outcome)?;
    Ok(())
}

/// Lets no further thread take priority, for good.
///
/// # Errors
/// Those of setrlimit(2).
pub fn forbid_priority() -> io::Result<()> {
    Ok(setrlimit(Resource::RLIMIT_NICE, 0, 0)?)
}
