//! Other processes.

use super::{Attempt, Cleanup, NO_DESCRIPTOR, NULL, Precondition, Target, attempt, harmful, int};

/// Attaches without stopping the process (ptrace(2)).
const PTRACE_SEIZE: i32 = 0x4206;

pub(super) const ATTEMPTS: &[Attempt] = &[
    attempt("signal another process", libc::SYS_kill, |fixtures| {
        [fixtures.parent(), 0, 0, 0, 0, 0]
    })
    .on(Target::Landlock),
    attempt("signal another thread", libc::SYS_tgkill, |fixtures| {
        [fixtures.parent(), fixtures.parent(), 0, 0, 0, 0]
    })
    .on(Target::Landlock),
    attempt("trace another process", libc::SYS_ptrace, |fixtures| {
        [int(PTRACE_SEIZE), fixtures.parent(), 0, 0, 0, 0]
    })
    .on(Target::Landlock)
    .needs(Precondition::FilterOrLandlock),
    attempt(
        "read another process's memory",
        libc::SYS_process_vm_readv,
        |fixtures| {
            [
                fixtures.parent(),
                fixtures.iovec(),
                1,
                fixtures.iovec(),
                1,
                0,
            ]
        },
    )
    .on(Target::Landlock),
    harmful(
        "write another process's memory",
        libc::SYS_process_vm_writev,
        |fixtures| {
            [
                fixtures.parent(),
                fixtures.iovec(),
                0,
                fixtures.iovec(),
                0,
                0,
            ]
        },
    ),
    attempt(
        "open a pidfd of another process",
        libc::SYS_pidfd_open,
        |fixtures| [fixtures.parent(), 0, 0, 0, 0, 0],
    )
    .cleanup(Cleanup::Close),
    attempt(
        "copy another process's descriptor",
        libc::SYS_pidfd_getfd,
        |_| [NO_DESCRIPTOR, 0, 0, 0, 0, 0],
    ),
    attempt("compare processes (kcmp)", libc::SYS_kcmp, |fixtures| {
        [fixtures.parent(), fixtures.parent(), 99, 0, 0, 0]
    })
    .on(Target::Landlock),
    harmful("create namespaces", libc::SYS_unshare, |_| {
        [int(libc::CLONE_NEWUSER), 0, 0, 0, 0, 0]
    }),
    attempt("enter a namespace", libc::SYS_setns, |_| {
        [NO_DESCRIPTOR, 0, 0, 0, 0, 0]
    }),
    attempt(
        "read another process's limits",
        libc::SYS_prlimit64,
        |fixtures| [fixtures.parent(), 7, NULL, NULL, 0, 0],
    ),
];
