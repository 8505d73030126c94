//! Files of others, and of its own that are not to be written.

use super::{
    Attempt, BAD, CLOSED, HERE, NEW, NONE, Undo, harmful, harmless, making, open, reading, text,
};
use libc::{O_DIRECTORY, O_RDONLY, O_RDWR, O_WRONLY};

pub(super) const ATTEMPTS: &[Attempt] = &[
    reading("read the passwords", |_| {
        open(text(c"/etc/shadow"), O_RDONLY)
    }),
    reading("read the users", |_| open(text(c"/etc/passwd"), O_RDONLY)),
    reading("list root's home, where .ssh is", |_| {
        open(text(c"/root"), O_RDONLY | O_DIRECTORY)
    }),
    reading("list the file system", |_| {
        open(text(c"/"), O_RDONLY | O_DIRECTORY)
    }),
    reading("list the processes", |_| {
        open(text(c"/proc"), O_RDONLY | O_DIRECTORY)
    }),
    reading("write its own memory", |_| {
        open(text(c"/proc/self/mem"), O_RDWR)
    }),
    reading("set the kernel's core pattern", |_| {
        open(text(c"/proc/sys/kernel/core_pattern"), O_WRONLY)
    }),
    reading("write the configuration", |ground| {
        open(ground.config(), O_WRONLY)
    }),
    making("make a file beside the configuration", |ground| {
        open(ground.beside_config(), NEW)
    }),
    making("make a file among the SSH keys", |ground| {
        open(ground.in_ssh(), NEW)
    }),
    making("make a file in /tmp", |ground| open(ground.in_tmp(), NEW)),
    harmless(
        "make a directory among the records",
        libc::SYS_mkdirat,
        |ground| [HERE, ground.in_log(), 0o700, 0, 0, 0],
    )
    .confined()
    .on_files()
    .undone_by(Undo::RemoveDirectory),
    harmless(
        "make a link among the records",
        libc::SYS_symlinkat,
        |ground| [text(c"/etc/shadow"), HERE, ground.in_log(), 0, 0, 0],
    )
    .confined()
    .on_files()
    .undone_by(Undo::UnlinkLink),
    harmless("make a device", libc::SYS_mknodat, |ground| {
        [
            HERE,
            ground.in_tmp(),
            u64::from(libc::S_IFIFO | 0o600),
            0,
            0,
            0,
        ]
    })
    .confined()
    .on_files()
    .undone_by(Undo::Unlink),
    harmless("change a file's mode", libc::SYS_fchmodat, |_| {
        [HERE, text(c"/nonexistent"), 0o777, 0, 0, 0]
    }),
    harmless("change a file's owner", libc::SYS_fchownat, |_| {
        [HERE, text(c"/nonexistent"), 0, 0, 0, 0]
    }),
    harmless("set an extended attribute", libc::SYS_setxattr, |_| {
        [text(c"/nonexistent"), text(c"user.x"), NONE, 0, 0, 0]
    }),
    harmless("open a file by handle", libc::SYS_open_by_handle_at, |_| {
        [CLOSED, BAD, 0, 0, 0, 0]
    }),
    harmless("watch files", libc::SYS_inotify_init1, |_| [0; 6]).undone_by(Undo::Close),
    harmless("watch the file system", libc::SYS_fanotify_init, |_| [0; 6]).undone_by(Undo::Close),
    harmful("mount", libc::SYS_mount, |_| {
        [
            text(c"none"),
            text(c"/nonexistent"),
            text(c"tmpfs"),
            0,
            0,
            0,
        ]
    }),
    harmful("unmount", libc::SYS_umount2, |_| {
        [text(c"/nonexistent"), 0, 0, 0, 0, 0]
    }),
    harmful("change the root", libc::SYS_chroot, |_| {
        [text(c"/nonexistent"), 0, 0, 0, 0, 0]
    }),
    harmful("exchange the root", libc::SYS_pivot_root, |_| {
        [text(c"/nonexistent"), text(c"/nonexistent"), 0, 0, 0, 0]
    }),
];
