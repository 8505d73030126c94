//! Files that the service's user cannot read, for a tool that root runs: root reads them all, and the
//! daemon then ends at its start.

use crate::{service_user, steps};
use nix::unistd::{User, getgrouplist};
use pulse_core::trust::FileKind;
use std::ffi::CString;
use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

/// A user with its groups.
#[derive(Debug)]
pub struct Reader {
    name: String,
    uid: u32,
    gids: Vec<u32>,
}

impl Reader {
    /// The service's user; `None` if the system has no such user.
    #[must_use]
    pub fn service() -> Option<Self> {
        let name = service_user();
        let user = User::from_name(&name).ok()??;
        let groups = getgrouplist(&CString::new(&*name).ok()?, user.gid).ok()?;
        Some(Self {
            uid: user.uid.as_raw(),
            gids: groups.iter().map(|group| group.as_raw()).collect(),
            name,
        })
    }

    /// A sentence with the remedy if this user cannot read the file or list the directory. Only mode
    /// bits count: access control lists may give more. A path that does not exist is no obstacle.
    #[must_use]
    pub fn obstacle(&self, path: &Path) -> Option<String> {
        let steps = steps(path).ok()?;
        let last = steps.len().checked_sub(1)?;
        for (index, entry) in steps.iter().enumerate() {
            let (verb, needed, change) = match (index == last, entry.kind) {
                (_, FileKind::Link) => continue,
                (true, FileKind::Directory) => ("list", 0o5, "o+rx"),
                (true, _) => ("read", 0o4, "0644"),
                (false, _) => ("enter", 0o1, "o+x"),
            };
            let meta = fs::symlink_metadata(&entry.path).ok()?;
            // The kernel uses the first class that applies, even if a later one permits more.
            let shift = if meta.uid() == self.uid {
                6
            } else if self.gids.contains(&meta.gid()) {
                3
            } else {
                0
            };
            if (meta.mode() >> shift) & needed != needed {
                let (name, path) = (&self.name, entry.path.display());
                return Some(format!(
                    "the daemon's user {name} cannot {verb} {path}: run \"chmod {change} {path}\""
                ));
            }
        }
        None
    }
}
