//! A network namespace and a mount namespace for one test, which disappear with it.

use nix::mount::{MntFlags, MsFlags, mount, umount2};
use nix::sched::{CloneFlags, unshare};
use pulse_e2e::programs::find;
use std::fs::{self, File};
use std::io::Write;
use std::path::PathBuf;
use std::process::Command;
use tempfile::TempDir;

/// Runs a test on a thread in these namespaces; its child processes inherit them.
pub(crate) fn alone(test: impl FnOnce() + Send + 'static) {
    let thread = std::thread::spawn(|| {
        unshare(CloneFlags::CLONE_NEWNET | CloneFlags::CLONE_NEWNS).unwrap();
        let private = MsFlags::MS_REC | MsFlags::MS_PRIVATE;
        mount(None::<&str>, "/", None::<&str>, private, None::<&str>).unwrap();
        run("ip", "link set lo up");
        test();
    });
    if let Err(panic) = thread.join() {
        std::panic::resume_unwind(panic);
    }
}

/// Runs a program of these words, which must succeed.
pub(crate) fn run(program: &str, words: &str) {
    let mut command = Command::new(find(program).unwrap());
    let status = command.args(words.split(' ')).status().unwrap();
    assert!(status.success(), "{program} {words}");
}

/// A packet filter that drops everything to a port after this many kilobytes, usually within
/// a frame; removed when dropped.
pub(super) struct CutCable(());

impl CutCable {
    pub(super) fn after(kilobytes: u64, port: u16) -> Self {
        run("nft", "add table ip cut");
        run(
            "nft",
            "add chain ip cut out { type filter hook output priority 0 ; }",
        );
        let bytes = format!("quota over {kilobytes} kbytes");
        run(
            "nft",
            &format!("add rule ip cut out tcp dport {port} {bytes} drop"),
        );
        Self(())
    }
}

impl Drop for CutCable {
    fn drop(&mut self) {
        run("nft", "delete table ip cut");
    }
}

/// A tmpfs of a limited size.
pub(super) struct Disk(TempDir);

impl Disk {
    pub(super) fn new(megabytes: u64) -> Self {
        let directory = tempfile::Builder::new().prefix("pulse-disk-").tempdir();
        let directory = directory.unwrap();
        let size = format!("size={megabytes}m");
        let (place, none) = (directory.path(), MsFlags::empty());
        mount(Some("tmpfs"), place, Some("tmpfs"), none, Some(&*size)).unwrap();
        Self(directory)
    }

    pub(super) fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    /// Fills the disk to the last byte.
    pub(super) fn fill(&self) {
        let mut file = File::create(self.path("filling")).unwrap();
        for size in [1 << 20, 4096, 1] {
            while file.write_all(&vec![0; size]).is_ok() {}
        }
    }

    pub(super) fn free(&self) {
        fs::remove_file(self.path("filling")).unwrap();
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        let _ = umount2(self.0.path(), MntFlags::MNT_DETACH);
    }
}
