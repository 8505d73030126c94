//! Results of the confinement probe in each setting, stored for the table in
//! `docs/hardening.md`.
//!
//! A setting's findings are the file `confine/<setting>.json` beside the directory of
//! the programs: `target/confine/` when `cargo xtask test` has built them.

use crate::programs;
use serde_json::Value;
use std::collections::BTreeMap;
use std::fs;
use std::path::PathBuf;

/// Settings in the order of the table's columns, with their headings. The first three are
/// the daemon's own layers, each alone.
pub const SETTINGS: [(&str, &str); 6] = [
    ("vm-landlock", "Landlock"),
    ("vm-limits", "limits"),
    ("vm-seccomp", "seccomp"),
    ("vm-unit", "systemd unit"),
    ("vm-apparmor", "AppArmor"),
    ("oci", "OCI filter"),
];

/// The file of a setting's findings.
///
/// # Panics
/// When the programs are in the root directory.
#[must_use]
pub fn file(setting: &str) -> PathBuf {
    programs::directory()
        .parent()
        .unwrap()
        .join(format!("confine/{setting}.json"))
}

/// Stores the output of `confine-probe --json`.
///
/// # Panics
/// When it cannot be written.
pub fn save(setting: &str, findings: &Value) {
    let file = file(setting);
    fs::create_dir_all(file.parent().unwrap()).unwrap();
    // A concurrent reader sees the old file or the new one, never a part.
    let new = file.with_extension(std::process::id().to_string());
    fs::write(&new, format!("{findings:#}\n")).unwrap();
    fs::rename(new, file).unwrap();
}

/// Names of the attempts that were stopped, or of those that were not.
///
/// # Panics
/// When these are no findings.
#[must_use]
pub fn attempts(findings: &Value, stopped: bool) -> Vec<&str> {
    attempts_in(findings)
        .filter(|attempt| attempt["stopped"] == stopped)
        .map(|attempt| attempt["attempt"].as_str().unwrap())
        .collect()
}

/// The stored findings of a setting; none when the probe has not run there.
///
/// # Panics
/// When it cannot be read.
#[must_use]
pub fn load(setting: &str) -> Option<Value> {
    Some(serde_json::from_str(&fs::read_to_string(file(setting)).ok()?).unwrap())
}

/// Number of settings that stop each attempt. An attempt at a feature that this kernel does
/// not have counts as stopped by all.
///
/// # Panics
/// When these are no findings.
#[must_use]
pub fn layer_counts(settings: &[Value]) -> BTreeMap<&str, usize> {
    let mut layers = BTreeMap::new();
    for attempt in settings.iter().flat_map(attempts_in) {
        let count = layers
            .entry(attempt["attempt"].as_str().unwrap())
            .or_insert(0);
        *count += usize::from(attempt["stopped"] == true);
        if attempt["by"] == "not in this kernel" {
            *count = settings.len();
        }
    }
    layers
}

/// The table in Markdown: a row for each attempt, a column for each setting.
///
/// # Panics
/// When these are no findings, or not all of the same attempts.
#[must_use]
pub fn table(columns: &[(&str, Value)]) -> String {
    let heads: Vec<&str> = columns.iter().map(|(head, _)| *head).collect();
    let mut table = format!(
        "| attempt | {} |\n{}|\n",
        heads.join(" | "),
        "|---".repeat(columns.len() + 1)
    );
    for (number, attempt) in attempts_in(&columns[0].1).enumerate() {
        let cells = columns.iter().map(|(_, findings)| {
            let found = &findings["attempts"][number];
            // Columns of different versions of the probe would mix up their rows.
            assert_eq!(found["attempt"], attempt["attempt"], "other attempts");
            let outcome = found["outcome"].as_str().unwrap();
            match (found["stopped"] == true, outcome, found["by"].as_str()) {
                (true, _, Some("not in this kernel")) => "not there",
                (true, error, _) => error,
                (false, "not tried", _) => "not tried",
                (false, ..) => "–",
            }
        });
        let cells: Vec<&str> = cells.collect();
        table.push_str(&format!(
            "| {} | {} |\n",
            attempt["attempt"].as_str().unwrap(),
            cells.join(" | ")
        ));
    }
    table
}

fn attempts_in(findings: &Value) -> impl Iterator<Item = &Value> {
    findings["attempts"].as_array().unwrap().iter()
}
