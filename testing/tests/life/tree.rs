//! The files of the machine, to be compared.

use std::collections::BTreeMap;
use std::collections::hash_map::DefaultHasher;
use std::env;
use std::fs;
use std::hash::{Hash, Hasher};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

/// The kernel's, and what ends with the machine.
const SKIPPED: [&str; 5] = ["/proc", "/sys", "/dev", "/run", "/tmp"];

/// Each path with its mode, its owner and a hash of its contents.
pub(crate) struct Tree(BTreeMap<PathBuf, (u32, u32, u32, u64)>);

impl Tree {
    pub(crate) fn read() -> Self {
        let mut tree = BTreeMap::new();
        let mut directories = vec![PathBuf::from("/")];
        // The checkout is mounted here, and the tests' output is in it.
        let checkout = env::current_dir().unwrap();
        let checkout = checkout.parent().unwrap();
        while let Some(directory) = directories.pop() {
            for entry in fs::read_dir(&directory).unwrap() {
                let path = entry.unwrap().path();
                if SKIPPED.iter().any(|skipped| path == Path::new(skipped))
                    || checkout.starts_with(&path)
                {
                    continue;
                }
                let meta = fs::symlink_metadata(&path).unwrap();
                let mut hash = DefaultHasher::new();
                if meta.is_symlink() {
                    fs::read_link(&path).unwrap().hash(&mut hash);
                } else if meta.is_file() {
                    fs::read(&path).unwrap().hash(&mut hash);
                } else if meta.is_dir() {
                    directories.push(path.clone());
                }
                let found = (meta.mode(), meta.uid(), meta.gid(), hash.finish());
                tree.insert(path, found);
            }
        }
        Self(tree)
    }

    /// The paths that are in one only, or differ; but for those at or below `left`.
    pub(crate) fn difference(&self, after: &Self, left: &[&str]) -> Vec<String> {
        let paths = self.0.keys().chain(after.0.keys());
        let mut different: Vec<String> = paths
            .filter(|path| self.0.get(*path) != after.0.get(*path))
            .filter(|path| !left.iter().any(|left| path.starts_with(left)))
            .map(|path| path.display().to_string())
            .collect();
        different.sort();
        different.dedup();
        different
    }
}
