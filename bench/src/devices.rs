//! A made-up server, and the node helper's output for it.

use pulse_e2e::programs;
use pulse_e2e::sim::tree;
use std::fmt::Write;
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

/// The device tree of a server with these processors, of so many cores each.
pub(crate) fn processors(count: usize, cores: usize) -> TempDir {
    let mut manifest = String::from("[bus/platform]\ndevices/\n[block]\n[class/thermal]\n");
    for processor in 0..count {
        let device = format!("devices/platform/coretemp.{processor}");
        let chip = format!("{device}/hwmon/hwmon{processor}");
        writeln!(
            manifest,
            "[class/hwmon]\nhwmon{processor} -> ../../{chip}\n\
             [{device}]\nsubsystem -> ../../../bus/platform\n\
             [{chip}]\nname = coretemp\ndevice -> ../../../coretemp.{processor}"
        )
        .unwrap();
        // The first channel is the package.
        for channel in 1..=cores + 1 {
            writeln!(
                manifest,
                "temp{channel}_label = {label}\ntemp{channel}_input = 45000\n\
                 temp{channel}_max = 84000\ntemp{channel}_crit = 94000\n\
                 temp{channel}_crit_alarm = 0",
                label = match channel {
                    1 => format!("Package id {processor}"),
                    _ => format!("Core {}", channel - 2),
                }
            )
            .unwrap();
        }
    }
    let directory = tempfile::tempdir().unwrap();
    tree::unpack(&manifest, directory.path()).unwrap();
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
