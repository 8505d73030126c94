//! A made-up server, and the node helper's output for it.

use pulse_e2e::programs;
use pulse_e2e::sim::tree;
use std::path::{Path, PathBuf};
use std::process::Command;
use tempfile::TempDir;

/// The device tree of a server with two processors and two disks.
pub(crate) fn server() -> TempDir {
    let directory = tempfile::tempdir().unwrap();
    let mut all = tree::all().into_iter();
    let (_, manifest) = all.find(|(name, _)| *name == "xeon").unwrap();
    tree::unpack(manifest, directory.path()).unwrap();
    directory
}

/// Stores the helper's output for these arguments in a file in the tree.
pub(crate) fn printed(devices: &Path, words: &[&str]) -> PathBuf {
    let output = Command::new(programs::helper())
        .arg("--sys-root")
        .arg(devices)
        .args(words)
        .output()
        .unwrap();
    assert!(output.status.success(), "{output:?}");
    let file = devices.join("printed");
    std::fs::write(&file, output.stdout).unwrap();
    file
}
