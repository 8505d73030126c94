//! The priority with which the daemon gets processors while they are short.

use nix::errno::Errno;
use std::io;

/// Its nice value. The kernel gives a thread with it about nine times the share of one with
/// 0 (sched(7)).
const NICE: i32 = -10;

/// Gives priority to this thread and to those that it starts, as a unit's `Nice=` does:
/// on Linux a nice value is a thread's (setpriority(2)).
///
/// # Errors
/// `EACCES` without the capability `CAP_SYS_NICE`, `EPERM` under a filter.
#[expect(unsafe_code, reason = "nix does not wrap setpriority")]
pub fn take_priority() -> io::Result<()> {
    const THIS_THREAD: libc::id_t = 0;
    // SAFETY: setpriority(2) takes numbers and no pointer.
    let outcome =
        unsafe { libc::syscall(libc::SYS_setpriority, libc::PRIO_PROCESS, THIS_THREAD, NICE) };
    Errno::result(outcome)?;
    Ok(())
}
