//! Other processes.

use super::{Attempt, CLOSED, Care, NONE, Undo, harmful, harmless, plain};

const PTRACE_SEIZE: i32 = 0x4206;

pub(super) const ATTEMPTS: &[Attempt] = &[
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
];
