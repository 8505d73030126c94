//! What the helper on the nodes may do, `pulse-sensor-node`.
//!
//! It has two forms. A reading looks at `/sys` and starts nothing. Where the node's
//! BMC is asked, `ipmitool` is started first, under the paths of its own table, and
//! the filter comes afterwards: it holds the helper, which reads what a program
//! prints that holds no secret. So no form of the filter lets a program start.

use super::paths::Access::{ControlDevice, Execute, ReadDirectory, ReadFile, WriteFile};
use super::paths::{Access, Path, Whose, file};
use super::syscalls::{NOT_EXECUTABLE, call, is, without};
use super::{Answer, Argument, Need, Syscall};

/// Below this the helper looks, unless it is told another directory.
pub const SYS: &str = "/sys";

/// Whatever opens for more than reading: `O_WRONLY`, `O_RDWR`, `O_CREAT`, `O_TRUNC`
/// and the bit of `O_TMPFILE`.
const NOT_READING: u32 = 0o3 | 0o100 | 0o1000 | 0o20_000_000;
const OPENAT: &[&[Argument]] = &[&[without(2, NOT_READING)]];
#[cfg(target_arch = "x86_64")]
const OPEN: &[&[Argument]] = &[&[without(1, NOT_READING)]];

/// The flags of a thread, of a process that is this one, and of no namespace.
const THREAD: u32 = 0x003d_0f00;
/// musl sets one more, which means nothing (`CLONE_DETACHED`).
const MUSL_THREAD: u32 = THREAD | 0x0040_0000;
const CLONE: &[&[Argument]] = &[&[is(0, THREAD)], &[is(0, MUSL_THREAD)]];

/// Every system call that is permitted, in either form. Much that libraries try when
/// a thread begins or ends is not here: they do without.
pub const SYSCALLS: &[Syscall] = &[
    // Bytes in and out.
    call!(SYS_read, "files of a device, requests"),
    call!(SYS_pread64, "a value, again and again"),
    call!(SYS_write, "answers, errors"),
    call!(SYS_close, "files and directories"),
    // Files: none is opened for writing, whether Landlock is there or not.
    call!(SYS_openat, in OPENAT, "files of a device: Landlock says which"),
    #[cfg(target_arch = "x86_64")]
    call!(SYS_readlink, "where a device is, and on which bus"),
    call!(SYS_readlinkat, for Elsewhere, "readlink, where that is another call"),
    call!(SYS_newfstatat, "is it a file, is it a directory"),
    call!(SYS_fstat, for Musl, "is it a directory"),
    call!(SYS_getdents64, "which devices there are"),
    // Threads: one reads the disks, and another after it when it hangs.
    call!(SYS_clone, in CLONE, "a thread, no process"),
    Syscall {
        answer: Answer::Absent,
        ..call!(
            SYS_clone3,
            "glibc then takes clone, whose flags can be looked at"
        )
    },
    call!(SYS_rseq, "glibc ends a program whose threads may not"),
    call!(SYS_futex, "threads wait for each other"),
    call!(SYS_exit, "a thread that hung ends"),
    // Memory.
    call!(SYS_mmap, in NOT_EXECUTABLE, "memory, never executable"),
    call!(SYS_mprotect, in NOT_EXECUTABLE, "memory, never executable"),
    call!(SYS_munmap, for Musl, "memory goes back: musl maps some for each directory"),
    call!(SYS_brk, "memory"),
    call!(SYS_getrandom, "tables of names"),
    // The end.
    call!(SYS_exit_group, "the helper ends"),
    call!(SYS_rt_sigaction, "a crash ends it too"),
    call!(SYS_rt_sigreturn, "a crash ends it too"),
    // Machines and kernels unlike the tests'.
    call!(SYS_clock_gettime, for Elsewhere, "the time, on machines without a vDSO clock"),
    call!(SYS_restart_syscall, for Elsewhere, "the kernel resumes a call after a stop"),
    // The static build.
    #[cfg(target_arch = "x86_64")]
    call!(SYS_open, in OPEN, for Musl, "musl's openat"),
    #[cfg(target_arch = "x86_64")]
    call!(SYS_stat, for Musl, "musl's fstatat"),
    #[cfg(target_arch = "x86_64")]
    call!(SYS_lstat, for Musl, "musl's fstatat"),
];

/// What is permitted besides, where `ipmitool` was started before.
pub const BESIDE_IPMITOOL: &[Syscall] = &[
    call!(SYS_wait4, "how it ended"),
    call!(
        SYS_clock_nanosleep,
        "it has closed its output and not ended"
    ),
    call!(SYS_kill, in &[&[is(1, SIGKILL)]], "it does not end: Landlock says that it is ours"),
];

const SIGKILL: u32 = 9;

const fn listing(path: &'static str, reason: &'static str) -> Path {
    Path {
        whose: Whose::Fixed(path),
        access: &[ReadDirectory],
        within: &[],
        reason,
    }
}

/// Every path of a reading.
pub const PATHS: &[Path] = &[
    listing("/sys/class/hwmon", "which chips there are"),
    listing("/sys/class/thermal", "which thermal zones there are"),
    listing("/sys/block", "which disks there are"),
    Path {
        whose: Whose::Fixed("/sys/devices"),
        access: &[ReadFile, ReadDirectory],
        within: &["**"],
        reason: "what they say: all else below /sys is links to here",
    },
];

const PROGRAM: &[Access] = &[ReadFile, Execute];

const fn program(path: &'static str, reason: &'static str) -> Path {
    Path {
        whose: Whose::Fixed(path),
        access: PROGRAM,
        within: &[],
        reason,
    }
}

const fn device(path: &'static str, reason: &'static str) -> Path {
    Path {
        whose: Whose::Fixed(path),
        access: &[ReadFile, WriteFile, ControlDevice],
        within: &[],
        reason,
    }
}

/// Every path of `ipmitool`, and of the helper beside it.
pub const IPMITOOL_PATHS: &[Path] = &[
    program("/usr/bin/ipmitool", "the program"),
    program("/usr/sbin/ipmitool", "the program, on other distributions"),
    program("/lib64/ld-linux-x86-64.so.2", "the loader of its libraries"),
    program(
        "/lib/ld-linux-aarch64.so.1",
        "the loader, on another architecture",
    ),
    Path {
        whose: Whose::Fixed("/usr/lib"),
        access: &[ReadFile],
        within: &["**"],
        reason: "its libraries",
    },
    Path {
        whose: Whose::Fixed("/usr/lib64"),
        access: &[ReadFile],
        within: &["**"],
        reason: "its libraries, on other distributions",
    },
    file("/etc/ld.so.cache", "where its libraries are"),
    Path {
        whose: Whose::Fixed("/usr/share/misc"),
        access: &[ReadFile],
        within: &["enterprise-numbers*"],
        reason: "names of manufacturers",
    },
    file("/dev/null", "it is given nothing to read"),
    device("/dev/ipmi0", "the BMC"),
    device("/dev/ipmi/0", "the BMC, by its older name"),
    device("/dev/ipmidev/0", "the BMC, by its oldest name"),
];
