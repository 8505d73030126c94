//! Devices that hold a helper which cannot end.
//!
//! A process ends when all of its threads do, and a thread in uninterruptible sleep does not end
//! before its system call returns. So a driver that never answers keeps the helper of a closed
//! connection, and the next helper must not read that device, or there would be one more with
//! each connection. Such a helper is found by what it shows in /proc: its first thread has ended
//! (`Z`), and a thread with the name of the device sleeps uninterruptibly (`D`), see proc(5).
//!
//! This looks before the confinement is in force, and must not ask for a file's metadata: the
//! standard library remembers that statx(2) works, which the filter of system calls refuses.

use crate::attribute;
use std::fs::{self, File};
use std::io;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

/// The root of the process file system.
pub(crate) const PROC: &str = "/proc";

/// The name of the helper, as the kernel cuts it.
const HELPER: &str = "pulse-sensor-no";

/// The maximum length of a name of a thread (`TASK_COMM_LEN` without the last zero).
const MAX_NAME_BYTES: usize = 15;

/// The maximum number of devices that are left out.
const MAX_HELD: usize = 64;

/// The beginning of a status file that is read: name, state and user come first.
const MAX_STATUS_BYTES: usize = 1024;

/// A device that holds a helper.
#[derive(Debug)]
pub(crate) struct Held {
    /// The name of the device's entry, cut as the kernel does.
    name: String,
    /// The status of the thread, kept open: Landlock permits no other access to /proc.
    status: File,
}

/// The devices that hold a helper of this user.
pub(crate) fn held_devices(proc: &Path, uid: u32) -> Vec<Held> {
    let is_left_over = |process: &Path| {
        // Cheaper than the status, and enough to rule out all others. Not `stat`, for which the
        // kernel asks whether this process may trace that one (ptrace(2)).
        let name = attribute::open(&process.join("comm")).and_then(|file| beginning(&file));
        name.is_ok_and(|name| name.trim_end() == HELPER)
            && read_status(&process.join("status"))
                .is_some_and(|(_, status)| status.has_ended && status.uid == uid)
    };
    subdirectories(proc)
        .filter(|process| is_left_over(process))
        .flat_map(|process| subdirectories(&process.join("task")))
        .filter_map(|thread| read_status(&thread.join("status")))
        .filter(|(_, status)| status.is_uninterruptible)
        .map(|(file, status)| Held {
            name: status.name,
            status: file,
        })
        .take(MAX_HELD)
        .collect()
}

impl Held {
    pub(crate) fn name(&self) -> &str {
        &self.name
    }

    /// True if this is the device of an entry with this name.
    pub(crate) fn is(&self, entry: &str) -> bool {
        entry.get(..MAX_NAME_BYTES).unwrap_or(entry) == self.name
    }

    /// True if the helper has not ended.
    pub(crate) fn is_held(&self) -> bool {
        // Whatever its state: a driver can sleep in turns. The file of a thread that has ended
        // cannot be read any more (ESRCH).
        Status::read(&self.status).is_some()
    }
}

/// The directories of processes or threads.
fn subdirectories(directory: &Path) -> impl Iterator<Item = PathBuf> + use<> {
    let entries = fs::read_dir(directory).ok();
    let is_number = |name: &str| name.bytes().all(|byte| byte.is_ascii_digit());
    entries
        .into_iter()
        .flatten()
        .filter_map(Result::ok)
        .filter(move |entry| entry.file_name().to_str().is_some_and(is_number))
        .map(|entry| entry.path())
}

fn read_status(path: &Path) -> Option<(File, Status)> {
    let file = attribute::open(path).ok()?;
    let status = Status::read(&file)?;
    Some((file, status))
}

/// The beginning of a file, which the kernel composes for each read.
fn beginning(file: &File) -> io::Result<String> {
    let mut buffer = [0; MAX_STATUS_BYTES];
    let length = file.read_at(&mut buffer, 0)?;
    Ok(String::from_utf8_lossy(buffer.get(..length).unwrap_or_default()).into_owned())
}

/// The lines of a status file that matter here.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Status {
    name: String,
    is_uninterruptible: bool,
    /// It waits for the other threads of its process, or for its parent.
    has_ended: bool,
    /// The real user ID.
    uid: u32,
}

impl Status {
    fn read(file: &File) -> Option<Self> {
        Self::parse(&beginning(file).ok()?)
    }

    pub(crate) fn parse(text: &str) -> Option<Self> {
        let field = |name: &str| {
            text.lines()
                .find_map(|line| line.strip_prefix(name)?.strip_prefix(":\t"))
        };
        let state = field("State")?;
        Some(Self {
            name: field("Name")?.to_owned(),
            is_uninterruptible: state.starts_with('D'),
            has_ended: state.starts_with('Z'),
            uid: field("Uid")?.split('\t').next()?.parse().ok()?,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn status(name: &str, state: &str, uid: u32) -> String {
        format!("Name:\t{name}\nUmask:\t0022\nState:\t{state}\nTgid:\t7\nUid:\t{uid}\t0\t0\t0\n")
    }

    /// A process with a second thread in a directory like /proc.
    fn add(proc: &Path, process: u32, first: (&str, &str), uid: u32, second: (&str, &str)) {
        let directory = proc.join(process.to_string());
        let thread = directory.join("task").join((process + 1).to_string());
        fs::create_dir_all(&thread).unwrap();
        fs::write(directory.join("comm"), format!("{}\n", first.0)).unwrap();
        fs::write(directory.join("status"), status(first.0, first.1, uid)).unwrap();
        fs::write(thread.join("status"), status(second.0, second.1, uid)).unwrap();
    }

    #[test]
    fn helper_that_cannot_end_is_found() {
        let proc = tempfile::tempdir().unwrap();
        let dead = (HELPER, "Z");
        let disk = ("thermal_zone123", "D (disk sleep)");
        add(proc.path(), 10, dead, 7, disk);
        // Another user's, one that works, one that ends, another program.
        add(proc.path(), 20, dead, 8, ("hwmon1", "D (disk sleep)"));
        add(
            proc.path(),
            30,
            (HELPER, "S"),
            7,
            ("hwmon2", "D (disk sleep)"),
        );
        add(proc.path(), 40, dead, 7, ("hwmon3", "S (sleeping)"));
        add(
            proc.path(),
            50,
            ("sshd", "Z"),
            7,
            ("hwmon4", "D (disk sleep)"),
        );
        fs::create_dir(proc.path().join("60")).unwrap();
        let held = held_devices(proc.path(), 7);
        assert_eq!(held.len(), 1, "{held:?}");
        assert!(held[0].is("thermal_zone1234") && !held[0].is("thermal_zone12"));
        assert!(held[0].is_held());
        let file = proc.path().join("10/task/11/status");
        fs::write(&file, status("thermal_zone123", "R (running)", 7)).unwrap();
        assert!(held[0].is_held());
        fs::write(&file, "").unwrap();
        assert!(!held[0].is_held());
        assert!(held_devices(Path::new("/nonexistent"), 7).is_empty());
    }

    #[test]
    fn own_status_is_parsed() {
        let (_, status) = read_status(Path::new("/proc/thread-self/status")).unwrap();
        assert!(!status.is_uninterruptible);
        assert_eq!(status.uid, pulse_sandbox::own_uid());
        assert_eq!(Status::parse("Name:\tx\nState:\tD\n"), None);
    }
}
