//! Privileges that were given away.

use super::{Attempt, NONE, harmful, harmless, plain};

pub(super) const ATTEMPTS: &[Attempt] = &[
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
];
