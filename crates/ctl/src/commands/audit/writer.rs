//! The process that writes a log: the one that holds the lock of its state directory.
//!
//! /proc/locks names it. The device number there is not always that of stat(2) (overlay,
//! btrfs), so a process counts when one of its open files is the directory; the device is
//! compared only where its files cannot be seen.

use crate::error::{CommandError, ErrorCode};
use nix::errno::Errno;
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use std::borrow::Cow;
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

/// The process that holds the directory's lock, if it is known.
pub(super) fn holder(state: &Path) -> Option<i32> {
    let directory = fs::metadata(state).ok()?;
    let locks = pulse_files::read_text(Path::new("/proc/locks"), MAX_PROC_BYTES).ok()?;
    let device = (
        rustix::fs::major(directory.dev()),
        rustix::fs::minor(directory.dev()),
    );
    let is_it = |lock: &Lock| {
        // The inode first: then the open files of few processes have to be examined.
        lock.inode == directory.ino()
            && has_open(lock.pid, &directory).unwrap_or(lock.device == device)
    };
    flocks(&locks).find(is_it).map(|lock| lock.pid)
}

/// True when a process writes the log.
pub(super) fn is_held(state: &Path) -> bool {
    holder(state).is_some()
}

/// The reason that a process cannot be notified.
#[derive(Debug, thiserror::Error)]
pub(super) enum NotifyError {
    /// The signal cannot be sent.
    #[error("cannot signal process {pid}")]
    Signal { pid: i32, source: Errno },
    /// The process has no handler for the signal.
    #[error("process {0} does not handle SIGUSR1 and would be killed by it")]
    NoHandler(i32),
}

impl CommandError for NotifyError {
    fn code(&self) -> ErrorCode {
        match self {
            Self::Signal { source, .. } if *source == Errno::EPERM => ErrorCode::PermissionDenied,
            Self::Signal { .. } | Self::NoHandler(_) => ErrorCode::CannotCreate,
        }
    }

    fn remedy(&self) -> Option<Cow<'static, str>> {
        match self {
            Self::Signal { source, .. } if *source == Errno::EPERM => Some("run as root".into()),
            Self::Signal { .. } => None,
            Self::NoHandler(_) => Some(
                "is it pulse-sensor-proxy, and of this version? Name the daemon with --pid".into(),
            ),
        }
    }
}

/// Notifies a process that the live file was renamed.
///
/// # Errors
/// [`NotifyError::Signal`].
pub(super) fn notify(pid: i32) -> Result<(), NotifyError> {
    send(pid, Some(Signal::SIGUSR1))
}

/// Checks that a process can be notified, and that the signal does not kill it.
///
/// # Errors
/// [`NotifyError`].
pub(super) fn check(pid: i32) -> Result<(), NotifyError> {
    // Signal 0 checks that the process exists and may be signalled (kill(2)).
    send(pid, None)?;
    // The default action of SIGUSR1 ends a process (signal(7)), and a process id may have been
    // reused by another program since it was named.
    let path = format!("/proc/{pid}/status");
    let status = pulse_files::read_text(path.as_ref(), MAX_PROC_BYTES).unwrap_or_default();
    if has_handler(&status, Signal::SIGUSR1) {
        Ok(())
    } else {
        Err(NotifyError::NoHandler(pid))
    }
}

fn send(pid: i32, signal: Option<Signal>) -> Result<(), NotifyError> {
    kill(Pid::from_raw(pid), signal).map_err(|source| NotifyError::Signal { pid, source })
}

/// The locks of whole files, without those that are waited for.
fn flocks(locks: &str) -> impl Iterator<Item = Lock> {
    locks.lines().filter_map(|line| {
        // "1: FLOCK ADVISORY WRITE 4242 fe:01:131 0 EOF" (proc_locks(5)). A waiting one has "->"
        // in the place of its kind.
        let mut words = line.split_whitespace().skip(1);
        let (kind, pid) = (words.next()?, words.nth(2)?.parse().ok()?);
        let mut file = words.next()?.split(':');
        let mut device = || u32::from_str_radix(file.next()?, 16).ok();
        let device = (device()?, device()?);
        let inode = file.next()?.parse().ok()?;
        // Ids below 1 are no processes of this PID namespace.
        (kind == "FLOCK" && pid > 0).then_some(Lock { pid, device, inode })
    })
}

/// True when a process has the directory open; none when its files cannot be seen.
fn has_open(pid: i32, directory: &fs::Metadata) -> Option<bool> {
    // A link there leads to the open file itself, also when its path was renamed or is in another
    // mount namespace (proc_pid_fd(5)).
    let mut files = fs::read_dir(format!("/proc/{pid}/fd"))
        .ok()?
        .filter_map(|file| fs::metadata(file.ok()?.path()).ok());
    Some(files.any(|file| file.dev() == directory.dev() && file.ino() == directory.ino()))
}

/// True when a process has a handler for a signal (`SigCgt` in `/proc/<pid>/status`).
fn has_handler(status: &str, signal: Signal) -> bool {
    let mask = status.lines().find_map(|line| line.strip_prefix("SigCgt:"));
    let mask = mask.and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok());
    mask.is_some_and(|mask| mask >> (signal as i32 - 1) & 1 == 1)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs::File;

    #[test]
    fn locks_are_parsed() {
        let text = "1: FLOCK  ADVISORY  WRITE 4242 fe:01:131 0 EOF\n\
                    1: -> FLOCK  ADVISORY  WRITE 4243 fe:01:131 0 EOF\n\
                    2: POSIX  ADVISORY  READ 77 00:1b:9 128 128\n\
                    3: FLOCK  ADVISORY  WRITE 0 fe:01:131 0 EOF\nrubbish\n";
        let found: Vec<Lock> = flocks(text).collect();
        let (pid, device, inode) = (4242, (0xfe, 1), 131);
        assert_eq!(found, [Lock { pid, device, inode }]);
    }

    #[test]
    fn the_holder_of_the_lock_is_found() {
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
    fn a_process_without_handler_is_spared() {
        let status = "Name:\tx\nSigIgn:\t0000000000000200\nSigCgt:\t0000000000000200\n";
        assert!(has_handler(status, Signal::SIGUSR1));
        assert!(!has_handler(status, Signal::SIGUSR2));
        assert!(!has_handler("SigIgn:\t0000000000000200\n", Signal::SIGUSR1));
        let mut child = std::process::Command::new("sleep")
            .arg("30")
            .spawn()
            .unwrap();
        let error = check(i32::try_from(child.id()).unwrap()).unwrap_err();
        assert!(error.to_string().contains("does not handle"), "{error}");
        child.kill().unwrap();
        child.wait().unwrap();
    }
}
