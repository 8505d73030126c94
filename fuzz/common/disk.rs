//! A directory in memory for targets whose parsers read files.

use std::fs;
use std::path::{Path, PathBuf};

// A tmpfs: each input writes files, and a disk would decide how many inputs run in a second.
const MEMORY: &str = "/dev/shm";
const PREFIX: &str = "pulse-fuzz-";

/// Makes a directory for this process, and removes those of processes that have ended.
pub fn directory() -> PathBuf {
    // A process does not remove its own: a finding aborts it.
    for entry in fs::read_dir(MEMORY).into_iter().flatten().flatten() {
        if let Some(pid) = entry.file_name().to_string_lossy().strip_prefix(PREFIX)
            && !Path::new("/proc").join(pid).exists()
        {
            // Another process may remove it at the same time.
            let _ = fs::remove_dir_all(entry.path());
        }
    }
    let directory = Path::new(MEMORY).join(format!("{PREFIX}{}", std::process::id()));
    fs::create_dir_all(&directory).expect("a disk in memory");
    directory
}
