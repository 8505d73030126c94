//! Files of other users, and files of the daemon that it must not write.

use super::{
    AT_FDCWD, Attempt, BAD_ADDRESS, Cleanup, NEW_FILE, NO_DESCRIPTOR, NULL, Target, attempt, c_str,
    creating, harmful, open, opening,
};
use libc::{O_DIRECTORY, O_RDONLY, O_RDWR, O_WRONLY};

pub(super) const ATTEMPTS: &[Attempt] = &[
    opening("read /etc/shadow", |_| {
        open(c_str(c"/etc/shadow"), O_RDONLY)
    }),
    opening("read /etc/passwd", |_| {
        open(c_str(c"/etc/passwd"), O_RDONLY)
    }),
    opening("list /root", |_| {
        open(c_str(c"/root"), O_RDONLY | O_DIRECTORY)
    }),
    opening("list /", |_| open(c_str(c"/"), O_RDONLY | O_DIRECTORY)),
    opening("list /proc", |_| {
        open(c_str(c"/proc"), O_RDONLY | O_DIRECTORY)
    }),
    opening("write /proc/self/mem", |_| {
        open(c_str(c"/proc/self/mem"), O_RDWR)
    }),
    opening("set the core pattern", |_| {
        open(c_str(c"/proc/sys/kernel/core_pattern"), O_WRONLY)
    }),
    opening("write the configuration", |fixtures| {
        open(fixtures.config(), O_WRONLY)
    }),
    creating("create a file beside the configuration", |fixtures| {
        open(fixtures.beside_config(), NEW_FILE)
    }),
    creating("create a file in ssh_dir", |fixtures| {
        open(fixtures.in_ssh(), NEW_FILE)
    }),
    creating("create a file in /tmp", |fixtures| {
        open(fixtures.in_tmp(), NEW_FILE)
    }),
    attempt(
        "create a directory in the log directory",
        libc::SYS_mkdirat,
        |fixtures| [AT_FDCWD, fixtures.in_log(), 0o700, 0, 0, 0],
    )
    .on(Target::File)
    .cleanup(Cleanup::RemoveDirectory),
    attempt(
        "create a symbolic link in the log directory",
        libc::SYS_symlinkat,
        |fixtures| [c_str(c"/etc/shadow"), AT_FDCWD, fixtures.in_log(), 0, 0, 0],
    )
    .on(Target::File)
    .cleanup(Cleanup::UnlinkSymlink),
    attempt("create a special file", libc::SYS_mknodat, |fixtures| {
        [
            AT_FDCWD,
            fixtures.in_tmp(),
            u64::from(libc::S_IFIFO | 0o600),
            0,
            0,
            0,
        ]
    })
    .on(Target::File)
    .cleanup(Cleanup::Unlink),
    attempt("change a file's mode", libc::SYS_fchmodat, |_| {
        [AT_FDCWD, c_str(c"/nonexistent"), 0o777, 0, 0, 0]
    }),
    attempt("change a file's owner", libc::SYS_fchownat, |_| {
        [AT_FDCWD, c_str(c"/nonexistent"), 0, 0, 0, 0]
    }),
    attempt("set an extended attribute", libc::SYS_setxattr, |_| {
        [c_str(c"/nonexistent"), c_str(c"user.x"), NULL, 0, 0, 0]
    }),
    attempt("open a file by handle", libc::SYS_open_by_handle_at, |_| {
        [NO_DESCRIPTOR, BAD_ADDRESS, 0, 0, 0, 0]
    }),
    attempt("watch files (inotify)", libc::SYS_inotify_init1, |_| [0; 6]).cleanup(Cleanup::Close),
    attempt(
        "watch the file system (fanotify)",
        libc::SYS_fanotify_init,
        |_| [0; 6],
    )
    .cleanup(Cleanup::Close),
    harmful("mount", libc::SYS_mount, |_| {
        [
            c_str(c"none"),
            c_str(c"/nonexistent"),
            c_str(c"tmpfs"),
            0,
            0,
            0,
        ]
    }),
    harmful("unmount", libc::SYS_umount2, |_| {
        [c_str(c"/nonexistent"), 0, 0, 0, 0, 0]
    }),
    harmful("change the root (chroot)", libc::SYS_chroot, |_| {
        [c_str(c"/nonexistent"), 0, 0, 0, 0, 0]
    }),
    harmful("change the root (pivot_root)", libc::SYS_pivot_root, |_| {
        [c_str(c"/nonexistent"), c_str(c"/nonexistent"), 0, 0, 0, 0]
    }),
];
