//! Programs, processes and memory that could be code. The list of arguments cannot be
//! read, so nothing is started even where it may be.

use super::{Attempt, BAD, CLOSED, HERE, NONE, harmless, new_task, plain, text};
use libc::{PROT_EXEC, PROT_READ, PROT_WRITE};

pub(super) const ATTEMPTS: &[Attempt] = &[
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
];
