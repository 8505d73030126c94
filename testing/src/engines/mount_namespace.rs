//! A mount namespace for an engine.

use nix::mount::{MsFlags, mount};
use nix::sched::{CloneFlags, setns, unshare};
use std::fs::File;
use std::process::{Child, Command};
use std::thread;

/// A mount namespace with its own `/run`.
#[derive(Debug)]
pub(super) struct MountNamespace(File);

impl MountNamespace {
    pub(super) fn new() -> Self {
        // A separate thread, because unshare(2) changes the calling thread's namespace.
        let enter = || {
            unshare(CloneFlags::CLONE_NEWNS).unwrap();
            // Private first: the mount over `/run` must not reach the host's namespace.
            let private = MsFlags::MS_REC | MsFlags::MS_PRIVATE;
            mount(None::<&str>, "/", None::<&str>, private, None::<&str>).unwrap();
            let (tmpfs, flags) = (Some("tmpfs"), MsFlags::empty());
            mount(tmpfs, "/run", tmpfs, flags, Some("mode=755")).unwrap();
            Self(File::open("/proc/thread-self/ns/mnt").unwrap())
        };
        thread::scope(|scope| scope.spawn(enter).join().unwrap())
    }

    pub(super) fn spawn(&self, command: &mut Command) -> Child {
        let enter = || {
            // setns(2) requires a thread that shares no file system attributes with others.
            unshare(CloneFlags::CLONE_FS).unwrap();
            setns(&self.0, CloneFlags::CLONE_NEWNS).unwrap();
            command.spawn().unwrap()
        };
        thread::scope(|scope| scope.spawn(enter).join().unwrap())
    }
}
