//! File systems that keep older states of their files.
//!
//! There, erasing a private key does not erase it where somebody took a snapshot: root can
//! bring an earlier key back, and cut the log to where that key fits.

use std::path::Path;

/// The name of the file system that a path is on, if it is such a one.
pub(super) fn of(path: &Path) -> Option<&'static str> {
    named(rustix::fs::statfs(path).ok()?.f_type)
}

/// By the magic number that statfs(2) gives: `linux/magic.h`, and those of file systems
/// that are not in there, from their own sources.
fn named(magic: rustix::fs::FsWord) -> Option<&'static str> {
    // On 64-bit systems the type is wider than the magic number, which has 32 bits.
    match magic & 0xffff_ffff {
        0x9123_683e => Some("btrfs"),
        0x2fc1_2fc1 => Some("ZFS"),
        0xca45_1a4e => Some("bcachefs"),
        0x3434 => Some("NILFS2"),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn snapshot_file_systems() {
        let known = [0x9123_683e, 0x2fc1_2fc1, 0xca45_1a4e, 0x3434].map(named);
        assert_eq!(known, ["btrfs", "ZFS", "bcachefs", "NILFS2"].map(Some));
        // ext4, XFS, tmpfs.
        assert_eq!([0xef53, 0x5846_5342, 0x0102_1994].map(named), [None; 3]);
        assert_eq!(of(Path::new("/proc")), None);
        assert_eq!(of(Path::new("/nonexistent")), None);
    }
}
