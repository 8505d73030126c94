//! Who writes a log: the process that holds the lock of its state directory.
//!
//! The kernel tells in /proc/locks. The device it names there is not always the
//! one that stat(2) does (overlay, btrfs), so a process counts when one of its open
//! files is the directory; the device is compared only where that may not be seen.

use super::AuditError;
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

/// Room for 100,000 locks.
const MAX_PROC_BYTES: usize = 8 << 20;

/// A lock as /proc/locks has it.
#[derive(Debug, PartialEq, Eq)]
struct Lock {
    pid: i32,
    device: (u32, u32),
    inode: u64,
}

/// The process that holds the directory's lock, if it can be told.
pub(crate) fn holder(state: &Path) -> Option<i32> {
    let directory = fs::metadata(state).ok()?;
    let locks = pulse_files::read_text(Path::new("/proc/locks"), MAX_PROC_BYTES).ok()?;
    let device = (
        rustix::fs::major(directory.dev()),
        rustix::fs::minor(directory.dev()),
    );
    let is_it = |lock: &Lock| {
        lock.inode == directory.ino()
            && has_open(lock.pid, &directory).unwrap_or(lock.device == device)
    };
    flocks(&locks).find(is_it).map(|lock| lock.pid)
}

/// Whether somebody writes the log.
pub(crate) fn is_held(state: &Path) -> bool {
    holder(state).is_some()
}

/// Tells a process that the live file was renamed.
///
/// # Errors
/// [`AuditError::Writer`] when it is gone or not ours to tell.
pub(crate) fn tell(pid: i32) -> Result<(), AuditError> {
    send(pid, Some(Signal::SIGUSR1))
}

/// Whether a process can be told, and would not die of it.
///
/// # Errors
/// [`AuditError::Writer`] says why not.
pub(crate) fn check(pid: i32) -> Result<(), AuditError> {
    send(pid, None)?;
    let status = format!("/proc/{pid}/status");
    let status = pulse_files::read_text(Path::new(&status), MAX_PROC_BYTES).unwrap_or_default();
    if heeds(&status, Signal::SIGUSR1) {
        Ok(())
    } else {
        Err(AuditError::Writer(format!(
            "process {pid} does not heed SIGUSR1 and would be ended by it: is it \
             pulse-sensor-proxy, and of this version? Name it with --pid"
        )))
    }
}

fn send(pid: i32, signal: Option<Signal>) -> Result<(), AuditError> {
    kill(Pid::from_raw(pid), signal).map_err(|error| {
        AuditError::Writer(format!(
            "process {pid} cannot be told: {error}: try as root"
        ))
    })
}

/// The locks of whole files, without those that are waited for.
fn flocks(locks: &str) -> impl Iterator<Item = Lock> {
    locks.lines().filter_map(|line| {
        let mut words = line.split_whitespace().skip(1);
        let (kind, pid) = (words.next()?, words.nth(2)?.parse().ok()?);
        let mut file = words.next()?.split(':');
        let mut device = || u32::from_str_radix(file.next()?, 16).ok();
        let device = (device()?, device()?);
        let inode = file.next()?.parse().ok()?;
        (kind == "FLOCK" && pid > 0).then_some(Lock { pid, device, inode })
    })
}

/// Whether a process has the directory open; none when that may not be seen.
fn has_open(pid: i32, directory: &fs::Metadata) -> Option<bool> {
    let files = fs::read_dir(format!("/proc/{pid}/fd")).ok()?;
    let is_it = |file: fs::Metadata| file.dev() == directory.dev() && file.ino() == directory.ino();
    let mut files = files.filter_map(|file| fs::metadata(file.ok()?.path()).ok());
    Some(files.any(is_it))
}

/// Whether a process has a handler for a signal (`SigCgt` in `/proc/<pid>/status`).
fn heeds(status: &str, signal: Signal) -> bool {
    let mask = status.lines().find_map(|line| line.strip_prefix("SigCgt:"));
    let mask = mask.and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok());
    mask.is_some_and(|mask| mask >> (signal as i32 - 1) & 1 == 1)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs::File;

    #[test]
    fn locks_are_read_as_the_kernel_writes_them() {
        let text = "1: FLOCK  ADVISORY  WRITE 4242 fe:01:131 0 EOF\n\
                    1: -> FLOCK  ADVISORY  WRITE 4243 fe:01:131 0 EOF\n\
                    2: POSIX  ADVISORY  READ 77 00:1b:9 128 128\n\
                    3: FLOCK  ADVISORY  WRITE 0 fe:01:131 0 EOF\nrubbish\n";
        let found: Vec<Lock> = flocks(text).collect();
        let (pid, device, inode) = (4242, (0xfe, 1), 131);
        assert_eq!(found, [Lock { pid, device, inode }]);
    }

    #[test]
    fn whoever_holds_the_lock_is_found_and_nobody_else() {
        let directory = tempfile::tempdir().unwrap();
        assert_eq!(holder(directory.path()), None);
        let file = File::open(directory.path()).unwrap();
        file.lock().unwrap();
        let own = i32::try_from(std::process::id()).unwrap();
        assert_eq!(holder(directory.path()), Some(own));
        drop(file);
        assert_eq!(holder(directory.path()), None);
    }

    #[test]
    fn a_process_that_would_die_of_the_signal_is_not_told() {
        let status = "Name:\tx\nSigIgn:\t0000000000000200\nSigCgt:\t0000000000000200\n";
        assert!(heeds(status, Signal::SIGUSR1));
        assert!(!heeds(status, Signal::SIGUSR2));
        assert!(!heeds("SigIgn:\t0000000000000200\n", Signal::SIGUSR1));
        let mut child = std::process::Command::new("sleep")
            .arg("30")
            .spawn()
            .unwrap();
        let error = check(i32::try_from(child.id()).unwrap()).unwrap_err();
        assert!(error.to_string().contains("does not heed"), "{error}");
        child.kill().unwrap();
        child.wait().unwrap();
    }
}
