//! What the helper on the nodes may do, `pulse-sensor-node`.
//!
//! It has two forms. A reading looks at `/sys` and starts nothing. Where the node's
//! BMC is asked, `ipmitool` is started once the paths of its own table hold, and the
//! filter comes afterwards: which calls `ipmitool` and its libraries make is theirs to
//! change. So the filter lets no program start in either form.

use super::paths::Access::{ControlDevice, Execute, ReadDirectory, ReadFile, WriteFile};
use super::paths::{Access, Path, Whose, file};
use super::syscalls::{NOT_EXECUTABLE, call, is, without};
use super::{Argument, Need, Syscall};

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
    // musl does not try it, and pays for one filter less.
    #[cfg(not(target_env = "musl"))]
    Syscall {
        answer: super::Answer::Absent,
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

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::HashSet;

    fn every_call() -> impl Iterator<Item = &'static Syscall> {
        SYSCALLS.iter().chain(BESIDE_IPMITOOL)
    }

    fn is_permitted(number: i64, arguments: [u64; 6]) -> bool {
        every_call().any(|call| call.number == number && call.permits(&arguments, 1))
    }

    #[test]
    fn every_line_is_there_once_and_has_its_reason() {
        let mut numbers = HashSet::new();
        for call in every_call() {
            assert!(numbers.insert(call.number), "{} twice", call.name());
            assert!(call.reason.len() > 5, "{} has no reason", call.name());
        }
        for table in [PATHS, IPMITOOL_PATHS] {
            let mut places = HashSet::new();
            for path in table {
                assert!(places.insert(path.whose), "{:?} twice", path.whose);
                assert!(matches!(path.whose, Whose::Fixed(_)), "{:?}", path.whose);
                assert!(path.reason.len() > 5 && !path.access.is_empty());
            }
        }
    }

    #[test]
    fn neither_form_of_the_filter_starts_a_program_or_a_process() {
        let never = [
            libc::SYS_execve,
            libc::SYS_execveat,
            libc::SYS_clone3,
            libc::SYS_ptrace,
            libc::SYS_prctl,
            libc::SYS_seccomp,
            libc::SYS_socket,
            libc::SYS_memfd_create,
            libc::SYS_io_uring_setup,
        ];
        for number in never {
            assert!(!is_permitted(number, [0; 6]), "{number}");
        }
        let clone = |flags| is_permitted(libc::SYS_clone, [flags, 0, 0, 0, 0, 0]);
        let (thread, new_user) = (u64::from(THREAD), 0x1000_0000);
        assert!(clone(thread) && clone(u64::from(MUSL_THREAD)));
        // As fork and vfork do it; a thread with a namespace of its own.
        assert!(!clone(17) && !clone(0x4111) && !clone(thread | new_user));
    }

    #[test]
    fn files_are_opened_for_reading_alone() {
        let open = |flags| is_permitted(libc::SYS_openat, [0, 0, flags, 0, 0, 0]);
        let (cloexec, directory, path) = (0o2_000_000, 0o200_000, 0o10_000_000);
        assert!(open(cloexec) && open(cloexec | directory) && open(path));
        // To write, both, create, cut off, without a name.
        for flags in [0o1, 0o2, 0o100, 0o1000, 0o20_200_000] {
            assert!(!open(cloexec | flags), "{flags:o}");
        }
    }

    #[test]
    fn a_reading_changes_and_executes_nothing_and_ipmitool_changes_devices_alone() {
        let may = |path: &Path, access| path.access.contains(&access);
        for path in PATHS {
            assert!(!may(path, Execute) && !may(path, WriteFile), "{path:?}");
        }
        for path in IPMITOOL_PATHS {
            let Whose::Fixed(place) = path.whose else {
                continue;
            };
            let is_device = place.starts_with("/dev/ipmi");
            assert_eq!(may(path, WriteFile), is_device, "{place}");
            let is_program = place.ends_with("/ipmitool") || place.contains("/ld-linux");
            assert_eq!(may(path, Execute), is_program, "{place}");
        }
    }
}
