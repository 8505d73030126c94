//! Regaining dropped privileges.

use super::{Attempt, NULL, attempt, harmful, int};

pub(super) const ATTEMPTS: &[Attempt] = &[
    harmful("become root", libc::SYS_setuid, |_| [0; 6]),
    harmful("become root's group", libc::SYS_setgid, |_| [0; 6]),
    harmful("set supplementary groups", libc::SYS_setgroups, |_| [0; 6]),
    attempt("set capabilities", libc::SYS_capset, |_| {
        [NULL, NULL, 0, 0, 0, 0]
    }),
    harmful("set the dumpable flag", libc::SYS_prctl, |_| {
        [int(libc::PR_SET_DUMPABLE), 1, 0, 0, 0, 0]
    }),
    harmful("set the personality", libc::SYS_personality, |_| {
        [0x0400_0000, 0, 0, 0, 0, 0]
    }),
];
