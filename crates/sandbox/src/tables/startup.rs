//! System calls that the daemon makes only before it serves. A filter that is installed from
//! outside has to permit them too; the daemon's own filter does not.

use super::syscalls::{NOT_EXECUTABLE, SOL_SOCKET, call, is, without};
use super::{Action, Argument, Need, Syscall, Test};

const CLONE_THREAD: u32 = 0x0001_0000;
/// The flags of clone(2) with this one set, whatever the others are.
const WITH_CLONE_THREAD: Argument = Argument {
    index: 0,
    test: Test::Masked {
        mask: CLONE_THREAD,
        value: CLONE_THREAD,
    },
};

const PROT_READ_EXEC: u32 = 5;
const MAP_ANONYMOUS: u32 = 0x20;
/// Code is mapped from a file, not writable; anonymous memory is never executable.
const LIBRARY: &[Argument] = &[is(2, PROT_READ_EXEC), without(3, MAP_ANONYMOUS)];

const AF_UNIX: u32 = 1;
const SO_REUSEADDR: u32 = 2;
const SO_TYPE: u32 = 3;
const SO_ACCEPTCONN: u32 = 30;
const SO_DOMAIN: u32 = 39;
const TCGETS: u32 = 0x5401;
const F_GETFD: u32 = 1;
const F_SETFD: u32 = 2;
const F_GETFL: u32 = 3;
const F_DUPFD_CLOEXEC: u32 = 1030;
const FCNTL: &[&[Argument]] = &[
    &[is(1, F_GETFD)],
    &[is(1, F_SETFD)],
    &[is(1, F_GETFL)],
    &[is(1, F_DUPFD_CLOEXEC)],
];

const PR_SET_DUMPABLE: u32 = 4;
const PR_SET_NAME: u32 = 15;
const PR_CAPBSET_READ: u32 = 23;
const PR_SET_NO_NEW_PRIVS: u32 = 38;
const PR_SET_MDWE: u32 = 65;
const PRCTL: &[&[Argument]] = &[
    &[is(0, PR_SET_DUMPABLE), is(1, 0)],
    &[is(0, PR_SET_NAME)],
    &[is(0, PR_CAPBSET_READ)],
    &[is(0, PR_SET_NO_NEW_PRIVS), is(1, 1)],
    &[is(0, PR_SET_MDWE)],
];

/// System calls before the daemon serves, in addition to [`super::SYSCALLS`]. A call in both
/// tables is permitted with the arguments of either.
pub(crate) const SYSCALLS: &[Syscall] = &[
    // The program and its libraries.
    call!(
        SYS_execve,
        "the parent starts the daemon with this call, under the filter"
    ),
    call!(SYS_mmap, in &[LIBRARY], "maps the libraries of the dynamic build"),
    call!(SYS_mprotect, in NOT_EXECUTABLE, "protects relocation tables and stack guard pages"),
    call!(SYS_pread64, "reads the libraries of the dynamic build"),
    #[cfg(target_arch = "x86_64")]
    call!(SYS_access, "looks for ld.so.preload in the dynamic build"),
    call!(SYS_faccessat, for Elsewhere, "access, on architectures without it"),
    #[cfg(target_arch = "x86_64")]
    call!(SYS_arch_prctl, "sets the thread pointer of the C library"),
    call!(SYS_set_tid_address, "initialises the C library"),
    call!(SYS_set_robust_list, "initialises the C library"),
    call!(SYS_rseq, "initialises the C library"),
    call!(
        SYS_prlimit64,
        "limits of the stack, open files and core dumps"
    ),
    call!(
        SYS_sched_getaffinity,
        "the C library finds the end of the stack"
    ),
    call!(SYS_lseek, "reads the configuration"),
    // Threads.
    call!(SYS_clone, in &[&[WITH_CLONE_THREAD]], "creates threads; no processes"),
    Syscall {
        action: Action::Enosys,
        ..call!(
            SYS_clone3,
            "a filter cannot read its arguments; on ENOSYS libraries and runtimes use clone"
        )
    },
    call!(SYS_socketpair, "the async runtime's signal handler"),
    call!(SYS_eventfd2, "wakes the async runtime"),
    call!(SYS_epoll_create1, "the async runtime's poll instance"),
    call!(SYS_fcntl, in FCNTL, "close-on-exec flags, duplicated descriptors"),
    call!(SYS_rt_sigprocmask, "starts a thread"),
    call!(SYS_sigaltstack, "starts a thread"),
    call!(SYS_ioctl, in &[&[is(1, TCGETS)]], "finds out whether the log is a terminal"),
    // Directories, sockets.
    #[cfg(target_arch = "x86_64")]
    call!(SYS_mkdir, "creates missing directories"),
    call!(SYS_mkdirat, for Elsewhere, "mkdir, on architectures without it"),
    call!(SYS_umask, "sets the mode of a socket at bind"),
    call!(SYS_flock, "locks the log against a second daemon"),
    call!(
        SYS_socket,
        in &[&[is(0, AF_UNIX)]],
        "the callers' socket; messages to systemd and the journal"
    ),
    call!(SYS_bind, "the callers' socket and the metrics port"),
    call!(SYS_listen, "the callers' socket and the metrics port"),
    call!(SYS_setsockopt, in &[&[is(1, SOL_SOCKET), is(2, SO_REUSEADDR)]], "the metrics port"),
    call!(
        SYS_getsockopt,
        in &[
            &[is(1, SOL_SOCKET), is(2, SO_TYPE)],
            &[is(1, SOL_SOCKET), is(2, SO_ACCEPTCONN)],
            &[is(1, SOL_SOCKET), is(2, SO_DOMAIN)],
        ],
        "identifies the sockets that systemd passes"
    ),
    call!(
        SYS_getsockname,
        "identifies the sockets that systemd passes"
    ),
    // Dropping privileges.
    call!(SYS_capget, "checks for remaining capabilities"),
    call!(SYS_prctl, in PRCTL, "no_new_privs, the dumpable flag, PR_SET_MDWE"),
    call!(SYS_uname, "the host's name"),
    call!(SYS_landlock_create_ruleset, "the daemon applies Landlock"),
    call!(SYS_landlock_add_rule, "the daemon applies Landlock"),
    call!(SYS_landlock_restrict_self, "the daemon applies Landlock"),
    call!(SYS_seccomp, "the daemon installs its own filter"),
];

/// True if this table or the one for serving permits this call in process `pid`.
pub(crate) fn permits(number: i64, arguments: &[u64; 6], pid: u32) -> bool {
    SYSCALLS
        .iter()
        .filter(|call| call.number == number)
        .any(|call| call.permits(arguments, pid))
        || super::permits(number, arguments, pid)
}

/// True if this table or the one for serving lists the call, with any arguments.
pub(crate) fn lists(number: i64) -> bool {
    SYSCALLS
        .iter()
        .chain(super::SYSCALLS)
        .any(|call| call.number == number)
}
