//! Files that are slow to read, or never answer.
//!
//! The kernel asks this process for permission before it reads a marked file (fanotify(7)), and the
//! reader waits meanwhile, whatever program it is: the static helper too. This needs root.

use nix::sys::fanotify::{
    EventFFlags, Fanotify, FanotifyResponse, InitFlags, MarkFlags, MaskFlags, Response,
};
use std::collections::HashMap;
use std::os::fd::AsRawFd;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;
use std::{fs, thread};

/// The time of a read that never ends.
pub const NEVER: Duration = Duration::MAX;

/// The interval in which the thread looks for reads.
const PAUSE: Duration = Duration::from_millis(1);

/// Marked files. They answer at once when this is dropped.
pub struct SlowFiles {
    is_over: Arc<AtomicBool>,
    thread: Option<thread::JoinHandle<()>>,
}

impl SlowFiles {
    /// Marks files with the time that reading each takes; `None` without root.
    ///
    /// # Panics
    /// If a file cannot be marked.
    #[must_use]
    pub fn mark(files: &[(PathBuf, Duration)]) -> Option<Self> {
        let flags = InitFlags::FAN_CLASS_CONTENT | InitFlags::FAN_CLOEXEC | InitFlags::FAN_NONBLOCK;
        let group = Fanotify::init(flags, EventFFlags::O_RDONLY).ok()?;
        let mut times = HashMap::new();
        for (file, time) in files {
            let (add, mask) = (MarkFlags::FAN_MARK_ADD, MaskFlags::FAN_ACCESS_PERM);
            group
                .mark(add, mask, nix::fcntl::AT_FDCWD, Some(file))
                .expect("a file that exists can be marked");
            times.insert(
                fs::canonicalize(file).expect("a file that exists has a path"),
                *time,
            );
        }
        let is_over = Arc::new(AtomicBool::new(false));
        let stop = Arc::clone(&is_over);
        let thread = thread::spawn(move || {
            let group = Arc::new(group);
            while !stop.load(Ordering::Relaxed) {
                answer(&group, &times);
                thread::sleep(PAUSE);
            }
            // Closing the group permits all reads that wait.
        });
        Some(Self {
            is_over,
            thread: Some(thread),
        })
    }
}

impl Drop for SlowFiles {
    fn drop(&mut self) {
        self.is_over.store(true, Ordering::Relaxed);
        self.thread.take().map(thread::JoinHandle::join);
    }
}

/// Permits each read that began when its time is over.
fn answer(group: &Arc<Fanotify>, times: &HashMap<PathBuf, Duration>) {
    // EAGAIN: no read has begun.
    for event in group.read_events().unwrap_or_default() {
        let time = event
            .fd()
            .and_then(|fd| fs::read_link(format!("/proc/self/fd/{}", fd.as_raw_fd())).ok())
            .and_then(|path| times.get(&path).copied())
            .unwrap_or_default();
        // Without an answer the reader waits; the descriptor is not needed for that.
        if time == NEVER {
            continue;
        }
        let group = Arc::clone(group);
        thread::spawn(move || {
            thread::sleep(time);
            if let Some(file) = event.fd() {
                let _ = group.write_response(FanotifyResponse::new(file, Response::FAN_ALLOW));
            }
        });
    }
}
