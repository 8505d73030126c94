//! What the daemon does beside the rest until it serves: what holds it from outside
//! must permit this too, and what it puts on itself takes it away again.
//!
//! A service manager or a container's runtime is expected to start it as its own
//! user. Started as root it needs [`PATHS_OF_ROOT`] and [`CAPABILITIES`] besides.

use super::paths::{Access, Path, Whose, file};
use super::syscalls::{NOT_EXECUTABLE, SOL_SOCKET, call, is};
use super::{Answer, Argument, Need, Syscall, Test};

/// All of these bits are set.
const fn with(index: u8, bits: u32) -> Argument {
    let test = Test::Masked {
        mask: bits,
        value: bits,
    };
    Argument { index, test }
}

const CLONE_THREAD: u32 = 0x0001_0000;

const PROT_READ_EXEC: u32 = 5;
const MAP_ANONYMOUS: u32 = 0x20;
const LIBRARY: &[Argument] = &[
    is(2, PROT_READ_EXEC),
    Argument {
        index: 3,
        test: Test::Masked {
            mask: MAP_ANONYMOUS,
            value: 0,
        },
    },
];

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

/// System calls that are made until the daemon serves, beside [`super::SYSCALLS`].
/// A call that stands in both is permitted with the arguments of either.
pub const SYSCALLS: &[Syscall] = &[
    // The program and its libraries.
    call!(
        SYS_execve,
        "whoever starts the daemon does it with this call"
    ),
    call!(SYS_mmap, in &[LIBRARY], "the dynamic build's libraries"),
    call!(SYS_mprotect, in NOT_EXECUTABLE, "relocated tables are read from then on, stacks have an end"),
    call!(SYS_pread64, "the dynamic build's libraries"),
    #[cfg(target_arch = "x86_64")]
    call!(SYS_access, "the dynamic build's libraries"),
    call!(SYS_faccessat, for Elsewhere, "access, where that is another call"),
    #[cfg(target_arch = "x86_64")]
    call!(SYS_arch_prctl, "the C library's thread pointer"),
    call!(SYS_set_tid_address, "the C library begins"),
    call!(SYS_set_robust_list, "the C library begins"),
    call!(SYS_rseq, "the C library begins"),
    call!(SYS_prlimit64, "stack, descriptors, core dumps"),
    call!(
        SYS_sched_getaffinity,
        "the C library looks where its stack ends"
    ),
    call!(SYS_lseek, "the configuration is read"),
    // Threads.
    call!(SYS_clone, in &[&[with(0, CLONE_THREAD)]], "threads, no processes"),
    Syscall {
        answer: Answer::Absent,
        ..call!(
            SYS_clone3,
            "threads: its arguments cannot be seen, a container's runtime gets ENOSYS for it"
        )
    },
    call!(SYS_socketpair, "the runtime's signals"),
    call!(SYS_eventfd2, "the runtime's wake-ups"),
    call!(SYS_epoll_create1, "the runtime"),
    call!(SYS_fcntl, in FCNTL, "descriptors, closed to others"),
    call!(SYS_rt_sigprocmask, "a thread begins"),
    call!(SYS_sigaltstack, "a thread begins"),
    call!(SYS_ioctl, in &[&[is(1, TCGETS)]], "is the log a terminal"),
    // Directories, sockets.
    #[cfg(target_arch = "x86_64")]
    call!(SYS_mkdir, "directories that are missing"),
    call!(SYS_mkdirat, for Elsewhere, "mkdir, where that is another call"),
    call!(SYS_umask, "sockets have their mode from the first instant"),
    call!(SYS_flock, "one daemon writes the log"),
    call!(SYS_socket, in &[&[is(0, AF_UNIX)]], "the callers' socket, systemd's and the journal's"),
    call!(SYS_bind, "the callers' socket, the metrics' port"),
    call!(SYS_listen, "the callers' socket, the metrics' port"),
    call!(SYS_setsockopt, in &[&[is(1, SOL_SOCKET), is(2, SO_REUSEADDR)]], "the metrics' port"),
    call!(
        SYS_getsockopt,
        in &[
            &[is(1, SOL_SOCKET), is(2, SO_TYPE)],
            &[is(1, SOL_SOCKET), is(2, SO_ACCEPTCONN)],
            &[is(1, SOL_SOCKET), is(2, SO_DOMAIN)],
        ],
        "which of systemd's sockets is which"
    ),
    call!(SYS_getsockname, "which of systemd's sockets is which"),
    // Giving privileges away.
    call!(SYS_capget, "are there any"),
    call!(SYS_prctl, in PRCTL, "no new privileges, no dumps, no new executable memory"),
    call!(SYS_uname, "the host's name"),
    call!(SYS_landlock_create_ruleset, "the daemon confines itself"),
    call!(SYS_landlock_add_rule, "the daemon confines itself"),
    call!(SYS_landlock_restrict_self, "the daemon confines itself"),
    call!(SYS_seccomp, "the daemon confines itself"),
];

/// System calls of a container's runtime, between putting the filter on and starting
/// the daemon, beside those above.
pub const RUNTIME: &[Syscall] = &[call!(
    SYS_fstatfs,
    "runc since 1.1.12 looks whether /proc is the kernel's"
)];

/// Whether these tables or those for serving permit this call in process `pid`.
#[must_use]
pub fn permits(number: i64, arguments: &[u64; 6], pid: u32) -> bool {
    let mut found = SYSCALLS.iter().filter(|call| call.number == number);
    found.any(|call| call.permits(arguments, pid)) || super::permits(number, arguments, pid)
}

/// Whether the call stands in any of them, whatever its arguments.
#[must_use]
pub fn knows(number: i64) -> bool {
    let mut all = SYSCALLS.iter().chain(super::SYSCALLS);
    all.any(|call| call.number == number)
}

/// Paths that are used until the daemon serves, beside [`super::PATHS`].
pub const PATHS: &[Path] = &[
    Path {
        whose: Whose::SshDirectory,
        access: &[Access::WriteFile, Access::MakeFile, Access::MakeDirectory],
        within: &["*"],
        reason: "the SSH key is made at the first start",
    },
    Path {
        whose: Whose::LogDirectory,
        access: &[Access::MakeDirectory],
        within: &[],
        reason: "it is made when it is missing",
    },
    Path {
        whose: Whose::StateDirectory,
        access: &[Access::MakeDirectory],
        within: &[],
        reason: "it is made when it is missing",
    },
    Path {
        whose: Whose::SocketDirectory,
        access: &[Access::WriteFile, Access::MakeFile, Access::MakeDirectory],
        within: &["*"],
        reason: "the socket is made",
    },
    file("/etc/group", "the group of the callers' socket"),
    file("/etc/ld.so.cache", "the dynamic build's libraries"),
    file("/etc/ld.so.preload", "the dynamic build's libraries"),
    Path {
        whose: Whose::Fixed("/proc"),
        access: &[Access::ReadFile],
        within: &["@{pid}/maps"],
        reason: "the C library looks where its stack ends",
    },
    Path {
        whose: Whose::Fixed("/proc"),
        access: &[Access::ReadFile],
        within: &["@{pid}/attr/current", "@{pid}/attr/apparmor/current"],
        reason: "which profile holds us, for the log",
    },
    Path {
        whose: Whose::Fixed("/run/credentials"),
        access: &[Access::ReadFile],
        within: &["pulse-sensor-proxy.service/*"],
        reason: "the SSH key, when systemd keeps it",
    },
    Path {
        whose: Whose::Fixed("/run/systemd"),
        access: &[Access::WriteFile],
        within: &["notify", "journal/socket", "journal/stdout"],
        reason: "systemd is told how we fare, the journal gets our log",
    },
];

/// Paths that root uses besides: it is told by name whom to become.
pub const PATHS_OF_ROOT: &[Path] = &[
    Path {
        whose: Whose::ControlDirectory,
        access: &[
            Access::WriteFile,
            Access::MakeFile,
            Access::RemoveFile,
            Access::MakeDirectory,
        ],
        within: &["*"],
        reason: "the control socket is made, in the place of one that an earlier daemon left",
    },
    file("/etc/passwd", "the service's user"),
    file(
        "/etc/nsswitch.conf",
        "the dynamic build looks for the service's user",
    ),
];

/// A capability of a daemon that is started as root.
#[derive(Clone, Copy, Debug)]
pub struct Capability {
    /// As in capabilities(7), in lower case and without `CAP_`.
    pub name: &'static str,
    /// Why.
    pub reason: &'static str,
}

/// What root uses before it is the service's user, and gives away with that.
pub const CAPABILITIES: &[Capability] = &[
    Capability {
        name: "chown",
        reason: "directories that are made belong to the service's user",
    },
    Capability {
        name: "dac_override",
        reason: "a configuration that the service's user alone can read",
    },
    Capability {
        name: "setgid",
        reason: "the service's group, and no others",
    },
    Capability {
        name: "setuid",
        reason: "the service's user",
    },
    Capability {
        name: "sys_nice",
        reason: "priority, so that nobody is kept waiting by who keeps processors busy",
    },
    Capability {
        name: "setpcap",
        reason: "no program may get capabilities back",
    },
];

/// What the kernel asks for before it asks for what is needed: refused without a word
/// in its log.
pub const QUIETLY_REFUSED: &[Capability] = &[Capability {
    name: "dac_read_search",
    reason: "the kernel asks for it before dac_override, which is enough",
}];
