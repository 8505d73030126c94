//! The installation's page, typed: every block of commands, in order, by root in bash.

use super::machine::{SENSORS, add_address, make_sensors, need, packages};
use super::{LEFT, purge, remove_log};
use crate::tree::Tree;
use pulse_e2e::programs::skipped;
use std::fs;
use std::path::Path;
use std::process::Command;

const PAGE: &str = include_str!("../../../docs/install.md");

/// The part of the page that leads to the first reading.
fn steps() -> &'static str {
    let (_, steps) = PAGE.split_once("## 1. ").unwrap();
    steps.split_once("## 7. ").unwrap().0
}

/// The indented blocks of a text, as they are copied from the packaged file: with the indentation.
fn blocks(text: &str) -> Vec<String> {
    let mut blocks: Vec<Vec<&str>> = Vec::new();
    let mut is_inside = false;
    for line in text.lines() {
        let was_inside = is_inside;
        is_inside = line.starts_with("    ");
        match blocks.last_mut() {
            Some(block) if is_inside && was_inside => block.push(line),
            _ if is_inside => blocks.push(vec![line]),
            _ => {}
        }
    }
    blocks.iter().map(|lines| lines.join("\n")).collect()
}

/// Types a block, as root in a directory with the packages. Returns what it printed.
fn typed(block: &str, directory: &Path) -> String {
    let output = Command::new("bash")
        .args(["-e", "-o", "pipefail", "-c", block])
        .current_dir(directory)
        .env("DEBIAN_FRONTEND", "noninteractive")
        .output()
        .unwrap();
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{block}\n{text}{errors}");
    text
}

/// This machine is the host, and both nodes of the page.
#[test]
fn page_leads_to_temperatures() {
    if skipped(&[need()]) {
        return;
    }
    let before = Tree::read();
    make_sensors();
    for address in ["192.0.2.5", "192.0.2.11", "192.0.2.12"] {
        add_address(address);
    }
    let directory = tempfile::tempdir().unwrap();
    for file in packages("first") {
        let name = Path::new(file).file_name().unwrap();
        fs::copy(file, directory.path().join(name)).unwrap();
    }
    let mut key_line = String::new();
    let mut fingerprints = Vec::new();
    let blocks = blocks(steps());
    assert!(blocks.len() > 8, "{blocks:?}");
    for block in &blocks {
        println!("{block}");
        // The one word that stands for what another block has printed, and the sensors, which a
        // container has none of. The node's own address is where its connections come from here.
        let helper = "/usr/libexec/pulse-sensor-node";
        let block = block
            .replace("KEYLINE", &key_line)
            .replace(helper, &format!("{helper} --sys-root {SENSORS}"))
            .replace("from=\"192.0.2.5\"", "from=\"192.0.2.0/24\"");
        let mut printed = typed(&block, directory.path());
        if block.contains("pve1.key") {
            // The same for the other node.
            let other = block.replace("pve1", "pve2").replace(".11", ".12");
            printed += &typed(&other, directory.path());
        }
        if block.contains("keys show") {
            printed.lines().last().unwrap().clone_into(&mut key_line);
        }
        // As `ssh-keygen -l` prints it: the length, the fingerprint, a comment.
        let of_key = |line: &str| {
            Some(
                line.strip_prefix("256 SHA256:")?
                    .split_once(' ')?
                    .0
                    .to_owned(),
            )
        };
        fingerprints.extend(printed.lines().filter_map(of_key));
        if block.contains("pulse-sensorctl temps") {
            assert!(printed.contains("42"), "{printed}");
        }
    }
    assert_eq!(fingerprints.len(), 3);
    let pins = fs::read_to_string("/var/lib/pulse-sensor-proxy/ssh/known_hosts").unwrap();
    let pinned: Vec<_> = pins.lines().map(|line| &line[..16]).collect();
    assert_eq!(pinned, ["pve1 ssh-ed25519", "pve2 ssh-ed25519"], "{pins}");
    fingerprints.dedup();
    assert_eq!(fingerprints.len(), 1, "{fingerprints:?}");
    purge();
    remove_log();
    assert_eq!(before.difference(&Tree::read(), &LEFT), [""; 0]);
}
