//! Resource limits for a process whose threads all run: no new task, no memory that becomes
//! executable. The seccomp filter refuses the same; these limits are enforced by other parts
//! of the kernel, so one fault does not undo both.

use crate::layers::LayerStatus;
use nix::errno::Errno;
use nix::sys::resource::{Resource, getrlimit, setrlimit};
use nix::unistd::geteuid;

/// `PR_SET_MDWE` of linux/prctl.h, which the libc crate does not have for every target.
const PR_SET_MDWE: libc::c_int = 65;

/// Sets `RLIMIT_NPROC` to 0 and `PR_SET_MDWE`. Neither can be undone without privileges.
#[must_use]
pub(crate) fn set() -> LayerStatus {
    let (mut active, mut missing) = (Vec::new(), Vec::new());
    let mut note = |what: &'static str, outcome: Result<(), Errno>| match outcome {
        Ok(()) => active.push(what),
        Err(errno) => missing.push(format!("{what}: {}", errno.desc())),
    };
    // The kernel ignores this limit for root (getrlimit(2)). The layer of privileges reports
    // a process that is still root.
    note("no more tasks", setrlimit(Resource::RLIMIT_NPROC, 0, 0));
    match refuse_executable_gain() {
        // Linux before 6.3 lacks the option. The seccomp filter refuses the same.
        Err(Errno::EINVAL) => (),
        outcome => note("no new executable memory", outcome),
    }
    let active = active.join(", ");
    if missing.is_empty() {
        LayerStatus::Full(active)
    } else if active.is_empty() {
        LayerStatus::Missing(missing.join("; "))
    } else {
        LayerStatus::Partial(format!("{active}; without {}", missing.join("; ")))
    }
}

#[expect(unsafe_code, reason = "nix does not wrap this option")]
fn refuse_executable_gain() -> Result<(), Errno> {
    const NONE: libc::c_ulong = 0;
    const REFUSE_EXEC_GAIN: libc::c_ulong = 1;
    // SAFETY: PR_SET_MDWE(2const) takes an integer mask, and three zeros; no pointer.
    Errno::result(unsafe { libc::prctl(PR_SET_MDWE, REFUSE_EXEC_GAIN, NONE, NONE, NONE) }).map(drop)
}

/// True if the kernel refuses this process a new task. Root is exempt from the limit.
pub(crate) fn are_tasks_forbidden() -> bool {
    !geteuid().is_root() && getrlimit(Resource::RLIMIT_NPROC).is_ok_and(|(soft, _)| soft == 0)
}
