//! The kernel itself.

use super::{Attempt, BAD, CLOSED, NONE, harmful, harmless, plain};

const TIOCSTI: i32 = 0x5412;

pub(super) const ATTEMPTS: &[Attempt] = &[
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
