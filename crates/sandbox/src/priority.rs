//! The scheduling priority of the daemon.

use nix::errno::Errno;
use std::io;

/// The daemon's nice value. A thread with -10 gets about nine times the processor time of one
/// with 0 (sched(7)).
const NICE: i32 = -10;

/// Sets the nice value of this thread and of those that it starts later, as a unit's `Nice=`
/// does: on Linux the nice value belongs to a thread (setpriority(2)).
///
/// # Errors
/// `EACCES` without `CAP_SYS_NICE`; `EPERM` under a seccomp filter.
#[expect(unsafe_code, reason = "nix does not wrap setpriority")]
pub fn raise_priority() -> io::Result<()> {
    const THIS_THREAD: libc::id_t = 0;
    // SAFETY: setpriority(2) takes three integers and no pointer.
    // By its number, since the C libraries differ in the type of the first argument.
    let outcome =
        unsafe { libc::syscall(libc::SYS_setpriority, libc::PRIO_PROCESS, THIS_THREAD, NICE) };
    Errno::result(outcome)?;
    Ok(())
}
