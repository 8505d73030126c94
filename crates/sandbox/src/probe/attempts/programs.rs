//! Programs, processes and executable memory. The argument list of execve(2) is an invalid
//! address, so no program starts even if the call is permitted.

use super::{
    AT_FDCWD, Attempt, BAD_ADDRESS, NO_DESCRIPTOR, NULL, Target, attempt, c_str, int, new_task,
};
use libc::{PROT_EXEC, PROT_READ, PROT_WRITE};

pub(super) const ATTEMPTS: &[Attempt] = &[
    attempt("start a program", libc::SYS_execve, |_| {
        [c_str(c"/bin/sh"), BAD_ADDRESS, BAD_ADDRESS, 0, 0, 0]
    })
    .on(Target::File),
    attempt("start a program by descriptor", libc::SYS_execveat, |_| {
        [AT_FDCWD, c_str(c"/bin/sh"), BAD_ADDRESS, BAD_ADDRESS, 0, 0]
    })
    .on(Target::File),
    #[cfg(target_arch = "x86_64")]
    new_task("fork", libc::SYS_fork, |_| [0; 6]),
    #[cfg(target_arch = "x86_64")]
    new_task("vfork", libc::SYS_vfork, |_| [0; 6]),
    new_task("clone a process", libc::SYS_clone, |_| {
        [int(libc::SIGCHLD), 0, 0, 0, 0, 0]
    }),
    new_task("clone into new namespaces", libc::SYS_clone, |_| {
        [int(libc::CLONE_NEWUSER | libc::CLONE_NEWNET), 0, 0, 0, 0, 0]
    }),
    attempt("clone3", libc::SYS_clone3, |_| [NULL, 0, 0, 0, 0, 0]),
    attempt(
        "create a memory file (memfd)",
        libc::SYS_memfd_create,
        |_| [BAD_ADDRESS, 0, 0, 0, 0, 0],
    ),
    attempt("map writable, executable memory", libc::SYS_mmap, |_| {
        [
            0,
            4096,
            int(PROT_READ | PROT_WRITE | PROT_EXEC),
            int(libc::MAP_PRIVATE | libc::MAP_ANONYMOUS),
            NO_DESCRIPTOR,
            0,
        ]
    })
    .on(Target::Memory),
    attempt("map executable memory", libc::SYS_mmap, |_| {
        [
            0,
            4096,
            int(PROT_READ | PROT_EXEC),
            int(libc::MAP_PRIVATE | libc::MAP_ANONYMOUS),
            NO_DESCRIPTOR,
            0,
        ]
    })
    .on(Target::Memory),
    attempt("map a program's code", libc::SYS_mmap, |fixtures| {
        [
            0,
            4096,
            int(PROT_READ | PROT_EXEC),
            int(libc::MAP_PRIVATE),
            fixtures.program(),
            0,
        ]
    })
    .on(Target::Memory),
    attempt("make memory executable", libc::SYS_mprotect, |fixtures| {
        [
            fixtures.page(),
            4096,
            int(PROT_READ | PROT_WRITE | PROT_EXEC),
            0,
            0,
            0,
        ]
    })
    .on(Target::Memory),
    attempt(
        "make memory executable (pkey_mprotect)",
        libc::SYS_pkey_mprotect,
        |fixtures| {
            [
                fixtures.page(),
                4096,
                int(PROT_READ | PROT_WRITE | PROT_EXEC),
                NO_DESCRIPTOR,
                0,
                0,
            ]
        },
    )
    .on(Target::Memory),
];
