//! A directory in memory for targets whose parsers read files.

use std::fs;
use std::path::{Path, PathBuf};

const MEMORY: &str = "/dev/shm";
const PREFIX: &str = "pulse-fuzz-";

/// Makes a directory for this process, and removes those of processes that have ended.
pub fn directory() -> PathBuf {
    for entry in fs::read_dir(MEMORY).into_iter().flatten().flatten() {
        let name = entry.file_name().to_string_lossy().into_owned();
        let owner = name.strip_prefix(PREFIX);
        if owner.is_some_and(|pid| !Path::new("/proc").join(pid).exists()) {
            // Another process may remove it at the same time.
            let _ = fs::remove_dir_all(entry.path());
        }
    }
    let directory = Path::new(MEMORY).join(format!("{PREFIX}{}", std::process::id()));
    fs::create_dir_all(&directory).expect("a disk in memory");
    directory
}
