//! The permissions of the helper on the nodes, `pulse-sensor-node`.
//!
//! The helper has two modes. For a reading it reads `/sys` and starts no program. To query the
//! node's BMC it starts `ipmitool`: after Landlock, whose rules `ipmitool` inherits, and before
//! seccomp, because the system calls of `ipmitool` and its libraries change with their versions.
//! So no filter of the helper permits execve(2).

use super::paths::Access::{ControlDevice, Execute, ReadDirectory, ReadFile, WriteFile};
use super::paths::{ConfiguredPath, PathRule, file};
use super::syscalls::{NOT_EXECUTABLE, call, is, without};
use super::{Argument, Need, Syscall};

/// The root of the sensor files, unless the helper is given another.
pub(crate) const SYS: &str = "/sys";

/// Flags of open(2) that do more than read: `O_WRONLY`, `O_RDWR`, `O_CREAT`, `O_TRUNC` and
/// `__O_TMPFILE`.
const NOT_READING: u32 = 0o3 | 0o100 | 0o1000 | 0o20_000_000;
const OPENAT: &[&[Argument]] = &[&[without(2, NOT_READING)]];
#[cfg(target_arch = "x86_64")]
const OPEN: &[&[Argument]] = &[&[without(1, NOT_READING)]];

/// The flags that glibc passes for a thread. They are compared as a whole, so that no flag of a
/// namespace can be added and none that makes it a thread of this process be left out.
const THREAD: u32 = 0x003d_0f00;
/// musl adds `CLONE_DETACHED`, which the kernel ignores.
const MUSL_THREAD: u32 = THREAD | 0x0040_0000;
const CLONE: &[&[Argument]] = &[&[is(0, THREAD)], &[is(0, MUSL_THREAD)]];

/// `PR_SET_NAME` of linux/prctl.h.
const PR_SET_NAME: u32 = 15;
const NAME_THREAD: &[&[Argument]] = &[&[is(0, PR_SET_NAME)]];

/// The system calls that are permitted in both modes. Libraries make more when a thread starts
/// or ends, and cope with their failure; these calls are not listed.
pub const SYSCALLS: &[Syscall] = &[
    // Input and output.
    call!(SYS_read, "sensor files, requests"),
    call!(SYS_pread64, "reads a value again from an open file"),
    call!(SYS_write, "replies, errors"),
    call!(SYS_close, "files and directories"),
    // Files. No flags for writing, whether or not Landlock is in force.
    call!(SYS_openat, in OPENAT, "sensor files; Landlock restricts the path"),
    #[cfg(target_arch = "x86_64")]
    call!(SYS_readlink, "the location and the bus of a device"),
    call!(SYS_readlinkat, for Elsewhere, "readlink, on architectures without it"),
    call!(SYS_newfstatat, "tells files from directories"),
    call!(SYS_fstat, for Musl, "tells files from directories"),
    call!(SYS_getdents64, "lists devices"),
    // Threads: one reads the devices; while a read hangs, another one goes on.
    call!(SYS_clone, in CLONE, "creates a thread; no processes"),
    // musl does not call it, and does without the second filter.
    #[cfg(not(target_env = "musl"))]
    Syscall {
        action: super::Action::Enosys,
        ..call!(
            SYS_clone3,
            "a filter cannot read its arguments; on ENOSYS glibc calls clone"
        )
    },
    call!(SYS_rseq, "glibc aborts if it fails in a new thread"),
    call!(SYS_futex, "threads wait for each other"),
    call!(SYS_exit, "ends a thread that is not needed any more"),
    call!(SYS_prctl, in NAME_THREAD, "a thread has the name of the device that it reads"),
    // Memory.
    call!(SYS_mmap, in NOT_EXECUTABLE, "memory that is not executable"),
    call!(SYS_mprotect, in NOT_EXECUTABLE, "memory that is not executable"),
    call!(SYS_munmap, for Musl, "frees memory: musl maps some for each directory"),
    call!(SYS_brk, for Elsewhere, "memory; glibc falls back to mmap for large documents only"),
    call!(SYS_getrandom, "seeds hash tables"),
    // Exit.
    call!(SYS_exit_group, "the process ends, with every thread"),
    call!(
        SYS_rt_sigaction,
        "the handler of a fault restores the default action"
    ),
    call!(SYS_rt_sigreturn, "returns from the handler of a fault"),
    // Other machines and kernels.
    call!(SYS_clock_gettime, for Elsewhere, "the time, on machines without a vDSO clock"),
    call!(
        SYS_restart_syscall,
        for Elsewhere,
        "the kernel resumes a call after a stop signal"
    ),
    // The static build.
    #[cfg(target_arch = "x86_64")]
    call!(SYS_open, in OPEN, for Musl, "openat in musl"),
    #[cfg(target_arch = "x86_64")]
    call!(SYS_stat, for Musl, "newfstatat in musl"),
];

/// The system calls that are permitted in addition while `ipmitool` runs.
pub const IPMITOOL_SYSCALLS: &[Syscall] = &[
    call!(SYS_wait4, "the exit status of ipmitool"),
    call!(
        SYS_clock_nanosleep,
        "waits for an ipmitool that has closed its output"
    ),
    call!(
        SYS_kill,
        in &[&[is(1, SIGKILL)]],
        "stops an ipmitool that hangs; Landlock refuses other processes"
    ),
];

const SIGKILL: u32 = 9;

/// The paths of a reading.
pub const PATHS: &[PathRule] = &[
    listing("/sys/class/hwmon", "lists hardware monitoring chips"),
    listing("/sys/class/thermal", "lists thermal zones"),
    listing("/sys/block", "lists disks"),
    PathRule {
        path: ConfiguredPath::Fixed("/sys/devices"),
        access: &[ReadFile, ReadDirectory],
        within: &["**"],
        reason: "the sensor files, to which the links in those directories point",
    },
];

const fn listing(path: &'static str, reason: &'static str) -> PathRule {
    PathRule {
        access: &[ReadDirectory],
        ..file(path, reason)
    }
}

const fn program(path: &'static str, reason: &'static str) -> PathRule {
    PathRule {
        access: &[ReadFile, Execute],
        ..file(path, reason)
    }
}

const fn device(path: &'static str, reason: &'static str) -> PathRule {
    PathRule {
        access: &[ReadFile, WriteFile, ControlDevice],
        ..file(path, reason)
    }
}

/// The paths of `ipmitool`, and of the helper that waits for it.
pub(crate) const IPMITOOL_PATHS: &[PathRule] = &[
    program("/usr/bin/ipmitool", "the program"),
    program("/usr/sbin/ipmitool", "the program, on other distributions"),
    program("/lib64/ld-linux-x86-64.so.2", "its dynamic loader"),
    program(
        "/lib/ld-linux-aarch64.so.1",
        "its dynamic loader, on aarch64",
    ),
    PathRule {
        within: &["**"],
        ..file("/usr/lib", "its libraries")
    },
    PathRule {
        within: &["**"],
        ..file("/usr/lib64", "its libraries, on other distributions")
    },
    file("/etc/ld.so.cache", "the locations of its libraries"),
    PathRule {
        within: &["enterprise-numbers*"],
        ..file("/usr/share/misc", "the names of manufacturers")
    },
    file("/dev/null", "its standard input"),
    device("/dev/ipmi0", "the BMC"),
    device("/dev/ipmi/0", "the BMC, by its older name"),
    device("/dev/ipmidev/0", "the BMC, by its oldest name"),
];

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::HashSet;

    fn every_call() -> impl Iterator<Item = &'static Syscall> {
        SYSCALLS.iter().chain(IPMITOOL_SYSCALLS)
    }

    fn is_permitted(number: i64, arguments: [u64; 6]) -> bool {
        every_call().any(|call| call.number == number && call.permits(&arguments, 1))
    }

    #[test]
    fn lines_are_unique_and_have_reasons() {
        let mut numbers = HashSet::new();
        for call in every_call() {
            assert!(numbers.insert(call.number), "{} twice", call.name());
            assert!(call.reason.len() > 5, "{} has no reason", call.name());
        }
        for table in [PATHS, IPMITOOL_PATHS] {
            let mut paths = HashSet::new();
            for rule in table {
                assert!(paths.insert(rule.path), "{:?} twice", rule.path);
                assert!(
                    matches!(rule.path, ConfiguredPath::Fixed(_)),
                    "{:?}",
                    rule.path
                );
                assert!(rule.reason.len() > 5 && !rule.access.is_empty());
            }
        }
    }

    #[test]
    fn no_call_starts_a_program() {
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
        // The flags of fork and vfork; a thread with a user namespace.
        assert!(!clone(17) && !clone(0x4111) && !clone(thread | new_user));
    }

    #[test]
    fn files_open_read_only() {
        let open = |flags| is_permitted(libc::SYS_openat, [0, 0, flags, 0, 0, 0]);
        let (cloexec, directory, path) = (0o2_000_000, 0o200_000, 0o10_000_000);
        assert!(open(cloexec) && open(cloexec | directory) && open(path));
        // O_WRONLY, O_RDWR, O_CREAT, O_TRUNC, O_TMPFILE.
        for flags in [0o1, 0o2, 0o100, 0o1000, 0o20_200_000] {
            assert!(!open(cloexec | flags), "{flags:o}");
        }
    }

    #[test]
    fn only_ipmitool_writes_devices() {
        let may = |rule: &PathRule, access| rule.access.contains(&access);
        for rule in PATHS {
            assert!(!may(rule, Execute) && !may(rule, WriteFile), "{rule:?}");
        }
        for rule in IPMITOOL_PATHS {
            let ConfiguredPath::Fixed(path) = rule.path else {
                continue;
            };
            let is_device = path.starts_with("/dev/ipmi");
            assert_eq!(may(rule, WriteFile), is_device, "{path}");
            let is_program = path.ends_with("/ipmitool") || path.contains("/ld-linux");
            assert_eq!(may(rule, Execute), is_program, "{path}");
        }
    }
}
