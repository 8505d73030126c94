//! What a process needs no more of once its threads run: the kernel counts its tasks
//! and looks at its memory, whatever the filter of system calls says.

use crate::layers::Hold;
use nix::errno::Errno;
use nix::sys::resource::{Resource, setrlimit};
use nix::unistd::geteuid;

/// No thread and no process more, and no memory that becomes executable, for good.
#[must_use]
pub(crate) fn put_on() -> Hold {
    let (mut held, mut lacking) = (Vec::new(), Vec::new());
    let mut note = |what: &'static str, outcome: Result<(), Errno>| match outcome {
        Ok(()) => held.push(what),
        Err(errno) => lacking.push(format!("{what}: {}", errno.desc())),
    };
    note("no more tasks", forbid_tasks());
    match refuse_executable_gain() {
        // A kernel before 6.3 leaves it to the filter, which refuses the same.
        Err(Errno::EINVAL) => (),
        outcome => note("no new executable memory", outcome),
    }
    let held = held.join(", ");
    match lacking.is_empty() {
        true => Hold::Whole(held),
        false if held.is_empty() => Hold::Missing(lacking.join("; ")),
        false => Hold::Partly(format!("{held}; without {}", lacking.join("; "))),
    }
}

/// The kernel does not count the tasks of root (getrlimit(2)): that root is held by
/// the filter alone is said by the layer of privileges.
fn forbid_tasks() -> Result<(), Errno> {
    setrlimit(Resource::RLIMIT_NPROC, 0, 0)
}

/// `PR_SET_MDWE(2const)`.
#[expect(unsafe_code, reason = "nix does not wrap this option")]
fn refuse_executable_gain() -> Result<(), Errno> {
    const NONE: libc::c_ulong = 0;
    const REFUSE_EXEC_GAIN: libc::c_ulong = 1;
    // SAFETY: this option of prctl(2) takes a number and no pointer.
    let outcome = unsafe { libc::prctl(PR_SET_MDWE, REFUSE_EXEC_GAIN, NONE, NONE, NONE) };
    Errno::result(outcome).map(drop)
}

/// linux/prctl.h
const PR_SET_MDWE: libc::c_int = 65;

/// Whether the kernel refuses this process any more tasks.
pub(crate) fn are_tasks_forbidden() -> bool {
    let limit = nix::sys::resource::getrlimit(Resource::RLIMIT_NPROC);
    !geteuid().is_root() && limit.is_ok_and(|(soft, _)| soft == 0)
}
