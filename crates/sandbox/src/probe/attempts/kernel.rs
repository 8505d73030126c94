//! Interfaces of the kernel. Where a call needs no permission, an argument is wrong: the error
//! then shows that the kernel got as far as to look at it.

use super::{Attempt, BAD_ADDRESS, NO_DESCRIPTOR, NULL, attempt, harmful, int};

/// Simulates terminal input (TIOCSTI(2const)).
const TIOCSTI: i32 = 0x5412;

pub(super) const ATTEMPTS: &[Attempt] = &[
    attempt("load a BPF program", libc::SYS_bpf, |_| {
        [5, NULL, 0, 0, 0, 0]
    }),
    attempt("io_uring", libc::SYS_io_uring_setup, |_| {
        [1, NULL, 0, 0, 0, 0]
    }),
    attempt("userfaultfd", libc::SYS_userfaultfd, |_| {
        [0x4000_0000, 0, 0, 0, 0, 0]
    }),
    attempt(
        "open performance counters",
        libc::SYS_perf_event_open,
        |_| [NULL, 0, NO_DESCRIPTOR, NO_DESCRIPTOR, 0, 0],
    ),
    attempt("use the kernel keyring", libc::SYS_keyctl, |_| {
        [9999, 0, 0, 0, 0, 0]
    }),
    attempt("add a key to the keyring", libc::SYS_add_key, |_| {
        [NULL, NULL, NULL, 0, 0, 0]
    }),
    attempt(
        "secret memory (memfd_secret)",
        libc::SYS_memfd_secret,
        |_| [0x4000_0000, 0, 0, 0, 0, 0],
    ),
    attempt("splice (Dirty Pipe)", libc::SYS_splice, |_| {
        [NO_DESCRIPTOR, NULL, NO_DESCRIPTOR, NULL, 1, 0]
    }),
    attempt("read the kernel's log", libc::SYS_syslog, |_| {
        [99, NULL, 0, 0, 0, 0]
    }),
    attempt("type into a terminal (TIOCSTI)", libc::SYS_ioctl, |_| {
        [NO_DESCRIPTOR, int(TIOCSTI), NULL, 0, 0, 0]
    }),
    attempt("install another seccomp filter", libc::SYS_seccomp, |_| {
        [1, 0, NULL, 0, 0, 0]
    }),
    harmful("load a kernel module", libc::SYS_init_module, |_| {
        [BAD_ADDRESS, 0, BAD_ADDRESS, 0, 0, 0]
    }),
    harmful(
        "load a kernel module from a file",
        libc::SYS_finit_module,
        |_| [NO_DESCRIPTOR, BAD_ADDRESS, 0, 0, 0, 0],
    ),
    harmful("unload a kernel module", libc::SYS_delete_module, |_| {
        [BAD_ADDRESS, 0, 0, 0, 0, 0]
    }),
    harmful("load another kernel", libc::SYS_kexec_load, |_| {
        [0, 9999, BAD_ADDRESS, NO_DESCRIPTOR, 0, 0]
    }),
    harmful("reboot", libc::SYS_reboot, |_| [0, 0, 0, 0, 0, 0]),
    harmful("set the clock", libc::SYS_clock_settime, |_| {
        [9999, BAD_ADDRESS, 0, 0, 0, 0]
    }),
    harmful("adjust the clock", libc::SYS_adjtimex, |_| {
        [BAD_ADDRESS, 0, 0, 0, 0, 0]
    }),
    harmful("enable swap", libc::SYS_swapon, |_| {
        [BAD_ADDRESS, 0, 0, 0, 0, 0]
    }),
    harmful("disable swap", libc::SYS_swapoff, |_| {
        [BAD_ADDRESS, 0, 0, 0, 0, 0]
    }),
    harmful("enable process accounting", libc::SYS_acct, |_| {
        [BAD_ADDRESS, 0, 0, 0, 0, 0]
    }),
    harmful("change disk quotas", libc::SYS_quotactl, |_| {
        [NO_DESCRIPTOR, BAD_ADDRESS, 0, BAD_ADDRESS, 0, 0]
    }),
    harmful("set the host name", libc::SYS_sethostname, |_| {
        [BAD_ADDRESS, NO_DESCRIPTOR, 0, 0, 0, 0]
    }),
    #[cfg(target_arch = "x86_64")]
    harmful("access I/O ports", libc::SYS_iopl, |_| [99, 0, 0, 0, 0, 0]),
    #[cfg(target_arch = "x86_64")]
    harmful("set segment descriptors", libc::SYS_modify_ldt, |_| {
        [99, BAD_ADDRESS, 0, 0, 0, 0]
    }),
];
