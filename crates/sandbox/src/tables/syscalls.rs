//! System calls, sorted by what they are for.

use super::network::{INET, INET6};
use super::{Argument, Need, Syscall, Test};

/// One line: `call!(SYS_x, "reason")`, with `in` tests of arguments and `for`
/// whom in between.
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
            answer: $crate::tables::Answer::Permitted,
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

/// TCP, by its protocol number 0; how the descriptor behaves does not matter.
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

/// Connects without connect(2), past Landlock.
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
    // Collectors that are gone without a word are noticed.
    &[is(1, SOL_SOCKET), is(2, SO_KEEPALIVE)],
    &[is(1, IPPROTO_TCP), is(2, TCP_KEEPIDLE)],
    &[is(1, IPPROTO_TCP), is(2, TCP_KEEPINTVL)],
    &[is(1, IPPROTO_TCP), is(2, TCP_KEEPCNT)],
    &[is(1, IPPROTO_TCP), is(2, TCP_USER_TIMEOUT)],
    &[is(1, IPPROTO_TCP), is(2, TCP_NOTSENT_LOWAT)],
];

const FIONBIO: u32 = 0x5421;

/// Every system call that is permitted once the daemon serves. By then its
/// threads run, its sockets listen and its user is changed, so none of that is
/// here; nor is there any way to start a program, a process or a thread.
pub const SYSCALLS: &[Syscall] = &[
    // Bytes in and out.
    call!(SYS_read, "files, sockets, the runtime's wake-ups"),
    call!(SYS_write, "records, log lines, the runtime's wake-ups"),
    call!(SYS_writev, "TLS to the collector: several pieces at once"),
    call!(SYS_recvfrom, "callers and nodes"),
    call!(
        SYS_sendto,
        in &[&[without(3, MSG_FASTOPEN)]],
        "callers and nodes"
    ),
    call!(SYS_close, "files and sockets"),
    call!(SYS_ioctl, in &[&[is(1, FIONBIO)]], "sockets that do not wait"),
    // Files.
    call!(
        SYS_openat,
        for Glibc,
        "configuration, known_hosts, records: Landlock says which"
    ),
    call!(SYS_fstat, for Musl, "sizes of files"),
    call!(SYS_newfstatat, for Glibc, "sizes of files"),
    call!(SYS_statx, for Glibc, "has known_hosts changed, is the log still there"),
    #[cfg(target_arch = "x86_64")]
    call!(
        SYS_readlink,
        "a link to the configuration or to known_hosts: who may change its target"
    ),
    call!(SYS_readlinkat, for Elsewhere, "readlink, where that is another call"),
    call!(SYS_getdents64, "segments and keys of the log"),
    call!(
        SYS_pread64,
        "old segments slice by slice, before they are removed"
    ),
    call!(SYS_statfs, "the space that is left for the log"),
    call!(SYS_ftruncate, "a torn record is cut away"),
    call!(SYS_fsync, "records are on disk before they count"),
    call!(SYS_fdatasync, "records are on disk before they count"),
    #[cfg(target_arch = "x86_64")]
    call!(SYS_rename, "segments get their names, keys appear whole"),
    call!(SYS_renameat, for Elsewhere, "rename, where that is another call"),
    call!(SYS_renameat2, for Elsewhere, "rename, where that is another call"),
    #[cfg(target_arch = "x86_64")]
    call!(SYS_unlink, "old keys, the socket"),
    call!(SYS_unlinkat, for Elsewhere, "unlink, where that is another call"),
    // Sockets.
    call!(SYS_accept4, "callers and scrapers"),
    call!(SYS_socket, in SOCKET, "SSH: TCP and nothing else"),
    call!(SYS_connect, "SSH: Landlock says which ports"),
    call!(SYS_getsockopt, in GETSOCKOPT, "who calls; did the connection come about"),
    call!(SYS_setsockopt, in SETSOCKOPT, "acknowledgements at once; collectors that are gone are noticed"),
    call!(SYS_shutdown, "ends that do not lose the reply"),
    // Waiting.
    #[cfg(target_arch = "x86_64")]
    call!(SYS_epoll_wait, for Glibc, "the runtime waits"),
    call!(SYS_epoll_pwait, for Musl, "the runtime waits; other machines have this call alone"),
    call!(SYS_epoll_ctl, "the runtime watches another socket"),
    #[cfg(target_arch = "x86_64")]
    call!(SYS_poll, "is the caller still there"),
    call!(SYS_ppoll, for Elsewhere, "poll, where that is another call"),
    call!(SYS_futex, "the audit log's thread waits and is woken"),
    call!(SYS_restart_syscall, for Elsewhere, "the kernel resumes a call after a stop"),
    call!(SYS_clock_gettime, for Elsewhere, "the time, on machines without a vDSO clock"),
    // Memory.
    call!(SYS_mmap, in NOT_EXECUTABLE, for Musl, "memory, never executable"),
    call!(SYS_munmap, for Glibc, "memory goes back"),
    call!(SYS_brk, for Glibc, "memory"),
    call!(SYS_mlock, "secrets of SSH stay out of swap"),
    call!(SYS_munlock, "secrets of SSH stay out of swap"),
    call!(SYS_getrandom, "keys, ids, jitter"),
    // Who are we. These cannot fail for anybody else, so their callers do not look.
    call!(SYS_geteuid, "the daemon's own user may ask everything"),
    call!(SYS_getpid, "background readings are on record with it"),
    call!(SYS_getegid, "background readings are on record with it"),
    // Signals and the end.
    call!(SYS_rt_sigreturn, "signals are handled"),
    call!(
        SYS_rt_sigaction,
        "a fault ends the daemon: its handler steps aside"
    ),
    call!(
        SYS_tgkill,
        in &[&[Argument { index: 0, test: Test::OwnPid }]],
        for Glibc,
        "abort: a signal to itself, to nobody else"
    ),
    call!(SYS_gettid, for Glibc, "abort asks for itself"),
    call!(SYS_exit, "the audit log's thread ends"),
    call!(SYS_exit_group, "the daemon ends, whatever its threads do"),
    // The static build.
    #[cfg(target_arch = "x86_64")]
    call!(SYS_open, for Musl, "musl's openat"),
    #[cfg(target_arch = "x86_64")]
    call!(SYS_stat, for Musl, "musl's statx"),
    #[cfg(target_arch = "x86_64")]
    call!(SYS_lstat, for Musl, "musl's statx"),
];
