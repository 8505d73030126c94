//! What an attacker would try.

use super::ground::Ground;
use libc::{
    AF_ALG, AF_INET, AF_INET6, AF_NETLINK, AF_PACKET, AF_UNIX, AF_VSOCK, MSG_FASTOPEN, O_CREAT,
    O_DIRECTORY, O_EXCL, O_RDONLY, O_RDWR, O_WRONLY, PROT_EXEC, PROT_READ, PROT_WRITE, SOCK_DGRAM,
    SOCK_RAW, SOCK_STREAM,
};
use std::ffi::CStr;

/// One attempt.
pub(super) struct Attempt {
    pub(super) what: &'static str,
    pub(super) number: i64,
    pub(super) arguments: fn(&Ground) -> [u64; 6],
    /// Whether Landlock may be what stops it.
    pub(super) landlock: bool,
    /// Whether it is about a file that is there for those who may see it.
    pub(super) of_files: bool,
    /// Whether it is about executable memory.
    pub(super) of_memory: bool,
    pub(super) care: Care,
    pub(super) undo: Undo,
}

/// What must be in force before it is tried.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Care {
    /// It does no harm.
    None,
    /// A filter or Landlock: it would disturb this process or its parent.
    Either,
    /// A filter, and its table must not permit the call.
    Filter,
    /// Such a filter, or that no task may be made.
    FilterOrLimit,
}

/// What takes it back.
#[derive(Clone, Copy)]
pub(super) enum Undo {
    Nothing,
    /// Close the descriptor that it gave.
    Close,
    /// And remove the file that it made.
    CloseAndUnlink,
    /// Remove the file that it made.
    Unlink,
    /// Remove the link that it made.
    UnlinkLink,
    /// Remove the directory that it made.
    RemoveDirectory,
}

impl Attempt {
    const fn new(what: &'static str, number: i64, arguments: fn(&Ground) -> [u64; 6]) -> Self {
        Self {
            what,
            number,
            arguments,
            landlock: false,
            of_files: false,
            of_memory: false,
            care: Care::None,
            undo: Undo::Nothing,
        }
    }

    /// One that Landlock may stop.
    const fn confined(self) -> Self {
        Self {
            landlock: true,
            ..self
        }
    }

    /// One that could do harm to the host, were it not stopped.
    const fn with_care(self) -> Self {
        Self {
            care: Care::Filter,
            ..self
        }
    }

    const fn on_files(self) -> Self {
        Self {
            of_files: true,
            ..self
        }
    }

    const fn on_memory(self) -> Self {
        Self {
            of_memory: true,
            ..self
        }
    }

    const fn undone_by(self, undo: Undo) -> Self {
        Self { undo, ..self }
    }
}

/// `AT_FDCWD`: paths are whole.
pub(super) const HERE: u64 = (-100i64).cast_unsigned();
/// No process can have this page.
const BAD: u64 = 1;
const NONE: u64 = 0;
/// No descriptor.
const CLOSED: u64 = (-1i64).cast_unsigned();

fn plain(flags: i32) -> u64 {
    i64::from(flags).cast_unsigned()
}

fn text(text: &'static CStr) -> u64 {
    text.as_ptr().addr() as u64
}

fn open(path: u64, flags: i32) -> [u64; 6] {
    [HERE, path, plain(flags), 0o600, 0, 0]
}

fn socket(family: i32, kind: i32, protocol: u64) -> [u64; 6] {
    [plain(family), plain(kind), protocol, 0, 0, 0]
}

const fn reading(what: &'static str, arguments: fn(&Ground) -> [u64; 6]) -> Attempt {
    Attempt::new(what, libc::SYS_openat, arguments)
        .confined()
        .on_files()
        .undone_by(Undo::Close)
}

const fn making(what: &'static str, arguments: fn(&Ground) -> [u64; 6]) -> Attempt {
    Attempt::new(what, libc::SYS_openat, arguments)
        .confined()
        .on_files()
        .undone_by(Undo::CloseAndUnlink)
}

const fn new_socket(what: &'static str, arguments: fn(&Ground) -> [u64; 6]) -> Attempt {
    Attempt::new(what, libc::SYS_socket, arguments).undone_by(Undo::Close)
}

/// A call that could do harm, with arguments that are wrong in any case.
const fn harmful(what: &'static str, number: i64, arguments: fn(&Ground) -> [u64; 6]) -> Attempt {
    Attempt::new(what, number, arguments).with_care()
}

/// One that would make a process.
const fn new_task(what: &'static str, number: i64, arguments: fn(&Ground) -> [u64; 6]) -> Attempt {
    Attempt {
        care: Care::FilterOrLimit,
        ..Attempt::new(what, number, arguments)
    }
}

const fn harmless(what: &'static str, number: i64, arguments: fn(&Ground) -> [u64; 6]) -> Attempt {
    Attempt::new(what, number, arguments)
}

const NEW: i32 = O_WRONLY | O_CREAT | O_EXCL;
const IPPROTO_ICMP: u64 = 1;
const IPPROTO_SCTP: u64 = 132;
const IPPROTO_MPTCP: u64 = 262;

/// All of them.
pub(super) const ATTEMPTS: &[Attempt] = &[
    // Programs and processes. The list of arguments cannot be read, so nothing is
    // started even where it may be.
    harmless("start a program", libc::SYS_execve, |_| {
        [text(c"/bin/sh"), BAD, BAD, 0, 0, 0]
    })
    .confined()
    .on_files(),
    harmless("start a program by descriptor", libc::SYS_execveat, |_| {
        [HERE, text(c"/bin/sh"), BAD, BAD, 0, 0]
    })
    .confined()
    .on_files(),
    #[cfg(target_arch = "x86_64")]
    new_task("fork", libc::SYS_fork, |_| [0; 6]),
    #[cfg(target_arch = "x86_64")]
    new_task("vfork", libc::SYS_vfork, |_| [0; 6]),
    new_task("clone a process", libc::SYS_clone, |_| {
        [plain(libc::SIGCHLD), 0, 0, 0, 0, 0]
    }),
    new_task("clone into new namespaces", libc::SYS_clone, |_| {
        [
            plain(libc::CLONE_NEWUSER | libc::CLONE_NEWNET),
            0,
            0,
            0,
            0,
            0,
        ]
    }),
    harmless("clone3", libc::SYS_clone3, |_| [NONE, 0, 0, 0, 0, 0]),
    harmless("a memory file to execute", libc::SYS_memfd_create, |_| {
        [BAD, 0, 0, 0, 0, 0]
    }),
    harmless("writable and executable memory", libc::SYS_mmap, |_| {
        [
            0,
            4096,
            plain(PROT_READ | PROT_WRITE | PROT_EXEC),
            plain(libc::MAP_PRIVATE | libc::MAP_ANONYMOUS),
            CLOSED,
            0,
        ]
    })
    .on_memory(),
    harmless("executable memory", libc::SYS_mmap, |_| {
        [
            0,
            4096,
            plain(PROT_READ | PROT_EXEC),
            plain(libc::MAP_PRIVATE | libc::MAP_ANONYMOUS),
            CLOSED,
            0,
        ]
    })
    .on_memory(),
    harmless("map a program's code", libc::SYS_mmap, |ground| {
        [
            0,
            4096,
            plain(PROT_READ | PROT_EXEC),
            plain(libc::MAP_PRIVATE),
            ground.program(),
            0,
        ]
    })
    .on_memory(),
    harmless("make memory executable", libc::SYS_mprotect, |ground| {
        [
            ground.page(),
            4096,
            plain(PROT_READ | PROT_WRITE | PROT_EXEC),
            0,
            0,
            0,
        ]
    })
    .on_memory(),
    harmless(
        "make memory executable by key",
        libc::SYS_pkey_mprotect,
        |ground| {
            [
                ground.page(),
                4096,
                plain(PROT_READ | PROT_WRITE | PROT_EXEC),
                CLOSED,
                0,
                0,
            ]
        },
    )
    .on_memory(),
    // Files.
    reading("read the passwords", |_| {
        open(text(c"/etc/shadow"), O_RDONLY)
    }),
    reading("read the users", |_| open(text(c"/etc/passwd"), O_RDONLY)),
    reading("list root's home, where .ssh is", |_| {
        open(text(c"/root"), O_RDONLY | O_DIRECTORY)
    }),
    reading("list the file system", |_| {
        open(text(c"/"), O_RDONLY | O_DIRECTORY)
    }),
    reading("list the processes", |_| {
        open(text(c"/proc"), O_RDONLY | O_DIRECTORY)
    }),
    reading("write its own memory", |_| {
        open(text(c"/proc/self/mem"), O_RDWR)
    }),
    reading("set the kernel's core pattern", |_| {
        open(text(c"/proc/sys/kernel/core_pattern"), O_WRONLY)
    }),
    reading("write the configuration", |ground| {
        open(ground.config(), O_WRONLY)
    }),
    making("make a file beside the configuration", |ground| {
        open(ground.beside_config(), NEW)
    }),
    making("make a file among the SSH keys", |ground| {
        open(ground.in_ssh(), NEW)
    }),
    making("make a file in /tmp", |ground| open(ground.in_tmp(), NEW)),
    harmless(
        "make a directory among the records",
        libc::SYS_mkdirat,
        |ground| [HERE, ground.in_log(), 0o700, 0, 0, 0],
    )
    .confined()
    .on_files()
    .undone_by(Undo::RemoveDirectory),
    harmless(
        "make a link among the records",
        libc::SYS_symlinkat,
        |ground| [text(c"/etc/shadow"), HERE, ground.in_log(), 0, 0, 0],
    )
    .confined()
    .on_files()
    .undone_by(Undo::UnlinkLink),
    harmless("make a device", libc::SYS_mknodat, |ground| {
        [
            HERE,
            ground.in_tmp(),
            u64::from(libc::S_IFIFO | 0o600),
            0,
            0,
            0,
        ]
    })
    .confined()
    .on_files()
    .undone_by(Undo::Unlink),
    harmless("change a file's mode", libc::SYS_fchmodat, |_| {
        [HERE, text(c"/nonexistent"), 0o777, 0, 0, 0]
    }),
    harmless("change a file's owner", libc::SYS_fchownat, |_| {
        [HERE, text(c"/nonexistent"), 0, 0, 0, 0]
    }),
    harmless("set an extended attribute", libc::SYS_setxattr, |_| {
        [text(c"/nonexistent"), text(c"user.x"), NONE, 0, 0, 0]
    }),
    harmless("open a file by handle", libc::SYS_open_by_handle_at, |_| {
        [CLOSED, BAD, 0, 0, 0, 0]
    }),
    harmless("watch files", libc::SYS_inotify_init1, |_| [0; 6]).undone_by(Undo::Close),
    harmless("watch the file system", libc::SYS_fanotify_init, |_| [0; 6]).undone_by(Undo::Close),
    harmful("mount", libc::SYS_mount, |_| {
        [
            text(c"none"),
            text(c"/nonexistent"),
            text(c"tmpfs"),
            0,
            0,
            0,
        ]
    }),
    harmful("unmount", libc::SYS_umount2, |_| {
        [text(c"/nonexistent"), 0, 0, 0, 0, 0]
    }),
    harmful("change the root", libc::SYS_chroot, |_| {
        [text(c"/nonexistent"), 0, 0, 0, 0, 0]
    }),
    harmful("exchange the root", libc::SYS_pivot_root, |_| {
        [text(c"/nonexistent"), text(c"/nonexistent"), 0, 0, 0, 0]
    }),
    // The network.
    Attempt::new("connect to another port", libc::SYS_connect, |ground| {
        let [address, length] = ground.other_port();
        [ground.tcp(0), address, length, 0, 0, 0]
    })
    .confined(),
    Attempt::new(
        "connect to another port over IPv6",
        libc::SYS_connect,
        |ground| {
            let [address, length] = ground.other_port_of_ipv6();
            [ground.tcp_of_ipv6(), address, length, 0, 0, 0]
        },
    )
    .confined(),
    harmless(
        "connect past connect (TCP Fast Open)",
        libc::SYS_sendto,
        |ground| {
            let [address, length] = ground.other_port();
            [
                ground.tcp(1),
                text(c"x"),
                1,
                plain(MSG_FASTOPEN),
                address,
                length,
            ]
        },
    )
    .confined(),
    Attempt::new(
        "another program's abstract socket",
        libc::SYS_connect,
        |ground| {
            let [address, length] = ground.abstract_name();
            [ground.unix(), address, length, 0, 0, 0]
        },
    )
    .confined(),
    harmless("bind a port", libc::SYS_bind, |ground| {
        let [address, length] = ground.any_port();
        [ground.tcp(2), address, length, 0, 0, 0]
    })
    .confined(),
    harmless("listen", libc::SYS_listen, |ground| {
        [ground.tcp(3), 1, 0, 0, 0, 0]
    }),
    new_socket("UDP", |_| socket(AF_INET, SOCK_DGRAM, 0)),
    new_socket("UDP over IPv6", |_| socket(AF_INET6, SOCK_DGRAM, 0)),
    new_socket("raw packets", |_| socket(AF_INET, SOCK_RAW, IPPROTO_ICMP)),
    new_socket("packets of the link", |_| socket(AF_PACKET, SOCK_RAW, 0)),
    new_socket("ping", |_| socket(AF_INET, SOCK_DGRAM, IPPROTO_ICMP)),
    new_socket("multipath TCP", |_| {
        socket(AF_INET, SOCK_STREAM, IPPROTO_MPTCP)
    }),
    new_socket("SCTP", |_| socket(AF_INET, SOCK_STREAM, IPPROTO_SCTP)),
    new_socket("other services' Unix sockets", |_| {
        socket(AF_UNIX, SOCK_STREAM, 0)
    }),
    new_socket("the kernel's netlink", |_| socket(AF_NETLINK, SOCK_RAW, 0)),
    new_socket("the hypervisor's sockets", |_| {
        socket(AF_VSOCK, SOCK_STREAM, 0)
    }),
    new_socket("the kernel's cryptography", |_| {
        socket(AF_ALG, libc::SOCK_SEQPACKET, 0)
    }),
    // Other processes.
    harmless("signal another process", libc::SYS_kill, |ground| {
        [ground.parent(), 0, 0, 0, 0, 0]
    })
    .confined(),
    harmless("signal another thread", libc::SYS_tgkill, |ground| {
        [ground.parent(), ground.parent(), 0, 0, 0, 0]
    })
    .confined(),
    Attempt {
        care: Care::Either,
        ..harmless("trace another process", libc::SYS_ptrace, |ground| {
            [plain(PTRACE_SEIZE), ground.parent(), 0, 0, 0, 0]
        })
        .confined()
    },
    harmless(
        "read another process's memory",
        libc::SYS_process_vm_readv,
        |ground| [ground.parent(), ground.iovec(), 1, ground.iovec(), 1, 0],
    )
    .confined(),
    harmful(
        "write another process's memory",
        libc::SYS_process_vm_writev,
        |ground| [ground.parent(), ground.iovec(), 0, ground.iovec(), 0, 0],
    ),
    harmless(
        "get hold of another process",
        libc::SYS_pidfd_open,
        |ground| [ground.parent(), 0, 0, 0, 0, 0],
    )
    .undone_by(Undo::Close),
    harmless(
        "take another process's descriptor",
        libc::SYS_pidfd_getfd,
        |_| [CLOSED, 0, 0, 0, 0, 0],
    ),
    harmless("compare processes", libc::SYS_kcmp, |ground| {
        [ground.parent(), ground.parent(), 99, 0, 0, 0]
    })
    .confined(),
    harmful("new namespaces", libc::SYS_unshare, |_| {
        [plain(libc::CLONE_NEWUSER), 0, 0, 0, 0, 0]
    }),
    harmless("enter other namespaces", libc::SYS_setns, |_| {
        [CLOSED, 0, 0, 0, 0, 0]
    }),
    harmless("another process's limits", libc::SYS_prlimit64, |ground| {
        [ground.parent(), 7, NONE, NONE, 0, 0]
    }),
    // Privileges.
    harmful("become root", libc::SYS_setuid, |_| [0; 6]),
    harmful("become root's group", libc::SYS_setgid, |_| [0; 6]),
    harmful("take groups", libc::SYS_setgroups, |_| [0; 6]),
    harmless("take capabilities", libc::SYS_capset, |_| {
        [NONE, NONE, 0, 0, 0, 0]
    }),
    harmful("be dumpable again", libc::SYS_prctl, |_| {
        [plain(libc::PR_SET_DUMPABLE), 1, 0, 0, 0, 0]
    }),
    harmful("another personality", libc::SYS_personality, |_| {
        [0x0400_0000, 0, 0, 0, 0, 0]
    }),
    // The kernel.
    harmless("load a BPF program", libc::SYS_bpf, |_| {
        [5, NONE, 0, 0, 0, 0]
    }),
    harmless("io_uring", libc::SYS_io_uring_setup, |_| {
        [1, NONE, 0, 0, 0, 0]
    }),
    harmless("page faults by hand", libc::SYS_userfaultfd, |_| {
        [0x4000_0000, 0, 0, 0, 0, 0]
    }),
    harmless("performance counters", libc::SYS_perf_event_open, |_| {
        [NONE, 0, CLOSED, CLOSED, 0, 0]
    }),
    harmless("the kernel's keys", libc::SYS_keyctl, |_| {
        [9999, 0, 0, 0, 0, 0]
    }),
    harmless("add a key to the kernel", libc::SYS_add_key, |_| {
        [NONE, NONE, NONE, 0, 0, 0]
    }),
    harmless("secret memory", libc::SYS_memfd_secret, |_| {
        [0x4000_0000, 0, 0, 0, 0, 0]
    }),
    harmless("splice (Dirty Pipe)", libc::SYS_splice, |_| {
        [CLOSED, NONE, CLOSED, NONE, 1, 0]
    }),
    harmless("the kernel's log", libc::SYS_syslog, |_| {
        [99, NONE, 0, 0, 0, 0]
    }),
    harmless("type into a terminal", libc::SYS_ioctl, |_| {
        [CLOSED, plain(TIOCSTI), NONE, 0, 0, 0]
    }),
    harmless("another seccomp filter", libc::SYS_seccomp, |_| {
        [1, 0, NONE, 0, 0, 0]
    }),
    harmful("load a kernel module", libc::SYS_init_module, |_| {
        [BAD, 0, BAD, 0, 0, 0]
    }),
    harmful("load a module's file", libc::SYS_finit_module, |_| {
        [CLOSED, BAD, 0, 0, 0, 0]
    }),
    harmful("unload a kernel module", libc::SYS_delete_module, |_| {
        [BAD, 0, 0, 0, 0, 0]
    }),
    harmful("load another kernel", libc::SYS_kexec_load, |_| {
        [0, 9999, BAD, CLOSED, 0, 0]
    }),
    harmful("reboot", libc::SYS_reboot, |_| [0, 0, 0, 0, 0, 0]),
    harmful("set the clock", libc::SYS_clock_settime, |_| {
        [9999, BAD, 0, 0, 0, 0]
    }),
    harmful("adjust the clock", libc::SYS_adjtimex, |_| {
        [BAD, 0, 0, 0, 0, 0]
    }),
    harmful("swap on", libc::SYS_swapon, |_| [BAD, 0, 0, 0, 0, 0]),
    harmful("swap off", libc::SYS_swapoff, |_| [BAD, 0, 0, 0, 0, 0]),
    harmful("process accounting", libc::SYS_acct, |_| {
        [BAD, 0, 0, 0, 0, 0]
    }),
    harmful("quotas", libc::SYS_quotactl, |_| {
        [CLOSED, BAD, 0, BAD, 0, 0]
    }),
    harmful("another host name", libc::SYS_sethostname, |_| {
        [BAD, CLOSED, 0, 0, 0, 0]
    }),
    #[cfg(target_arch = "x86_64")]
    harmful("the machine's ports", libc::SYS_iopl, |_| {
        [99, 0, 0, 0, 0, 0]
    }),
    #[cfg(target_arch = "x86_64")]
    harmful("segment descriptors", libc::SYS_modify_ldt, |_| {
        [99, BAD, 0, 0, 0, 0]
    }),
];

const PTRACE_SEIZE: i32 = 0x4206;
const TIOCSTI: i32 = 0x5412;
