//! System calls, grouped by purpose.

use super::network::{INET, INET6};
use super::{Argument, Need, Syscall, Test};

/// One line: `call!(SYS_x, "reason")`, optionally with `in` tests of the arguments and `for`
/// the builds that need it.
macro_rules! call {
    ($constant:ident, $reason:literal) => {
        call!($constant, in &[], for Everywhere, $reason)
    };
    ($constant:ident, for $need:ident, $reason:literal) => {
        call!($constant, in &[], for $need, $reason)
    };
    ($constant:ident, in $arguments:expr, $reason:literal) => {
        call!($constant, in $arguments, for Everywhere, $reason)
    };
    ($constant:ident, in $arguments:expr, for $need:ident, $reason:literal) => {
        Syscall {
            constant: stringify!($constant),
            number: libc::$constant,
            arguments: $arguments,
            action: $crate::tables::Action::Allow,
            need: Need::$need,
            reason: $reason,
        }
    };
}

pub(super) use call;

pub(super) const fn is(index: u8, value: u32) -> Argument {
    let test = Test::Is(value);
    Argument { index, test }
}

/// None of these bits is set.
pub(super) const fn without(index: u8, bits: u32) -> Argument {
    let test = Test::Masked {
        mask: bits,
        value: 0,
    };
    Argument { index, test }
}

/// Stream sockets of protocol 0, which is TCP: 262 would be MPTCP. The flags that socket(2)
/// takes with the type are ignored.
const fn tcp(family: u32) -> [Argument; 3] {
    const SOCK_STREAM: u32 = 1;
    const SOCK_NONBLOCK_CLOEXEC: u32 = 0o2_004_000;
    let kind = Argument {
        index: 1,
        test: Test::Masked {
            mask: !SOCK_NONBLOCK_CLOEXEC,
            value: SOCK_STREAM,
        },
    };
    [is(0, family), kind, is(2, 0)]
}

const IPPROTO_TCP: u32 = 6;
const SOCKET: &[&[Argument]] = &[&tcp(INET.number), &tcp(INET6.number)];

/// sendto(2) with this flag connects. Landlock restricts connect(2) alone.
const MSG_FASTOPEN: u32 = 0x2000_0000;
const PROT_EXEC: u32 = 4;
pub(super) const NOT_EXECUTABLE: &[&[Argument]] = &[&[without(2, PROT_EXEC)]];

pub(super) const SOL_SOCKET: u32 = 1;
const SO_ERROR: u32 = 4;
const SO_PEERCRED: u32 = 17;
const SO_PEERPIDFD: u32 = 77;
const GETSOCKOPT: &[&[Argument]] = &[
    &[is(1, SOL_SOCKET), is(2, SO_ERROR)],
    &[is(1, SOL_SOCKET), is(2, SO_PEERCRED)],
    &[is(1, SOL_SOCKET), is(2, SO_PEERPIDFD)],
];

const TCP_NODELAY: u32 = 1;
const TCP_QUICKACK: u32 = 12;
const TCP_KEEPIDLE: u32 = 4;
const TCP_KEEPINTVL: u32 = 5;
const TCP_KEEPCNT: u32 = 6;
const TCP_USER_TIMEOUT: u32 = 18;
const TCP_NOTSENT_LOWAT: u32 = 25;
const SO_KEEPALIVE: u32 = 9;
const SETSOCKOPT: &[&[Argument]] = &[
    &[is(1, IPPROTO_TCP), is(2, TCP_NODELAY)],
    &[is(1, IPPROTO_TCP), is(2, TCP_QUICKACK)],
    // Keepalives and a timeout detect a collector that is gone without closing.
    &[is(1, SOL_SOCKET), is(2, SO_KEEPALIVE)],
    &[is(1, IPPROTO_TCP), is(2, TCP_KEEPIDLE)],
    &[is(1, IPPROTO_TCP), is(2, TCP_KEEPINTVL)],
    &[is(1, IPPROTO_TCP), is(2, TCP_KEEPCNT)],
    &[is(1, IPPROTO_TCP), is(2, TCP_USER_TIMEOUT)],
    &[is(1, IPPROTO_TCP), is(2, TCP_NOTSENT_LOWAT)],
];

const FIONBIO: u32 = 0x5421;

/// The system calls that are permitted while the daemon serves. Its threads run by then, its
/// sockets listen and its user has changed, so none of that needs a line; nor can it start a
/// program, a process or a thread.
pub const SYSCALLS: &[Syscall] = &[
    // Input and output.
    call!(SYS_read, "files, sockets, the async runtime's eventfd"),
    call!(
        SYS_write,
        "records, log messages, the async runtime's eventfd"
    ),
    call!(SYS_writev, "TLS to a collector, several buffers at once"),
    call!(SYS_recvfrom, "data from callers and nodes"),
    call!(
        SYS_sendto,
        in &[&[without(3, MSG_FASTOPEN)]],
        "data to callers and nodes"
    ),
    call!(SYS_close, "files and sockets"),
    call!(SYS_ioctl, in &[&[is(1, FIONBIO)]], "non-blocking sockets"),
    // Files.
    call!(
        SYS_openat,
        for Glibc,
        "configuration, known_hosts, records; Landlock restricts the path"
    ),
    call!(SYS_fstat, for Musl, "sizes of files"),
    call!(SYS_newfstatat, for Glibc, "sizes of files"),
    call!(SYS_statx, for Glibc, "detects changes of known_hosts and of the log's file"),
    #[cfg(target_arch = "x86_64")]
    call!(
        SYS_readlink,
        "checks who can change a symbolic link to the configuration or to known_hosts"
    ),
    call!(SYS_readlinkat, for Elsewhere, "readlink, on architectures without it"),
    call!(SYS_getdents64, "lists log segments and sealing keys"),
    call!(
        SYS_pread64,
        "reads old log segments before they are removed"
    ),
    call!(SYS_statfs, "free space for the log"),
    call!(SYS_ftruncate, "removes a torn record"),
    call!(SYS_fsync, "a record counts once it is on disk"),
    call!(SYS_fdatasync, "a record counts once it is on disk"),
    #[cfg(target_arch = "x86_64")]
    call!(
        SYS_rename,
        "renames log segments, replaces key files atomically"
    ),
    call!(SYS_renameat, for Elsewhere, "rename, on architectures without it"),
    call!(SYS_renameat2, for Elsewhere, "rename, on architectures without it"),
    #[cfg(target_arch = "x86_64")]
    call!(SYS_unlink, "removes old sealing keys and the socket"),
    call!(SYS_unlinkat, for Elsewhere, "unlink, on architectures without it"),
    // Sockets.
    call!(SYS_accept4, "callers and scrapers"),
    call!(SYS_socket, in SOCKET, "SSH and collectors: TCP alone"),
    call!(
        SYS_connect,
        "SSH and collectors; Landlock restricts the port"
    ),
    call!(SYS_getsockopt, in GETSOCKOPT, "credentials of a caller, result of a connect"),
    call!(
        SYS_setsockopt,
        in SETSOCKOPT,
        "immediate acknowledgements; detection of a dead collector"
    ),
    call!(SYS_shutdown, "closes a connection without losing the reply"),
    // Waiting.
    #[cfg(target_arch = "x86_64")]
    call!(SYS_epoll_wait, for Glibc, "the async runtime waits"),
    call!(
        SYS_epoll_pwait,
        for Musl,
        "the async runtime waits; other architectures have no epoll_wait"
    ),
    call!(SYS_epoll_ctl, "the async runtime adds or removes a socket"),
    #[cfg(target_arch = "x86_64")]
    call!(SYS_poll, "detects a caller that has left"),
    call!(SYS_ppoll, for Elsewhere, "poll, on architectures without it"),
    call!(SYS_futex, "the audit log's thread waits and is woken"),
    call!(
        SYS_restart_syscall,
        for Elsewhere,
        "the kernel resumes a call after a stop signal"
    ),
    call!(SYS_clock_gettime, for Elsewhere, "the time, on machines without a vDSO clock"),
    // Memory.
    call!(SYS_mmap, in NOT_EXECUTABLE, for Musl, "memory that is not executable"),
    call!(SYS_munmap, for Glibc, "frees memory"),
    call!(SYS_brk, for Glibc, "memory"),
    call!(SYS_mlock, "keeps SSH secrets out of swap"),
    call!(SYS_munlock, "keeps SSH secrets out of swap"),
    call!(SYS_getrandom, "keys, IDs, jitter"),
    // IDs. Programs rely on these calls never to fail.
    call!(SYS_geteuid, "identifies background readings in records"),
    call!(SYS_getpid, "identifies background readings in records"),
    call!(SYS_getegid, "identifies background readings in records"),
    // Signals and exit.
    call!(SYS_rt_sigreturn, "returns from a signal handler"),
    call!(
        SYS_rt_sigaction,
        "the handler of a fault restores the default action, which ends the process"
    ),
    call!(
        SYS_tgkill,
        in &[&[Argument { index: 0, test: Test::OwnPid }]],
        for Glibc,
        "abort: a signal to this process alone"
    ),
    call!(SYS_gettid, for Glibc, "abort: the thread that gets the signal"),
    call!(SYS_exit, "the audit log's thread ends"),
    call!(SYS_exit_group, "the process ends, with every thread"),
    // The static build.
    #[cfg(target_arch = "x86_64")]
    call!(SYS_open, for Musl, "openat in musl"),
    #[cfg(target_arch = "x86_64")]
    call!(SYS_stat, for Musl, "statx in musl"),
    #[cfg(target_arch = "x86_64")]
    call!(SYS_lstat, for Musl, "statx in musl"),
];
