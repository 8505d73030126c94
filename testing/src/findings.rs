//! What the probe found in each setting, kept for the page that puts them side by
//! side.
//!
//! A setting's findings are the file `confine/<setting>.json` beside the directory of
//! the programs: `target/confine/` when `cargo xtask test` has built them.

use crate::programs;
use serde_json::Value;
use std::collections::BTreeMap;
use std::fs;
use std::path::PathBuf;

/// The settings that the page puts side by side, with the heads of their columns. The
/// first three are the daemon's own layers, each alone.
pub const SETTINGS: [(&str, &str); 6] = [
    ("vm-landlock", "Landlock"),
    ("vm-limits", "limits"),
    ("vm-seccomp", "seccomp"),
    ("vm-unit", "systemd unit"),
    ("vm-apparmor", "AppArmor"),
    ("oci", "OCI filter"),
];

/// Where the findings of a setting are kept.
///
/// # Panics
/// When the programs are in the root directory.
#[must_use]
pub fn file(setting: &str) -> PathBuf {
    let beside = programs::directory().parent().unwrap();
    beside.join(format!("confine/{setting}.json"))
}

/// Keeps what `confine-probe --json` printed there.
///
/// # Panics
/// When it cannot be written.
pub fn keep(setting: &str, findings: &Value) {
    let file = file(setting);
    fs::create_dir_all(file.parent().unwrap()).unwrap();
    // Whoever reads meanwhile sees the old ones or the new ones, whole.
    let new = file.with_extension(std::process::id().to_string());
    fs::write(&new, format!("{findings:#}\n")).unwrap();
    fs::rename(new, file).unwrap();
}

/// The attempts that were, or were not, stopped.
///
/// # Panics
/// When these are no findings.
#[must_use]
pub fn attempts(findings: &Value, stopped: bool) -> Vec<&str> {
    let attempts = findings["attempts"].as_array().unwrap().iter();
    attempts
        .filter(|attempt| attempt["stopped"] == stopped)
        .map(|attempt| attempt["attempt"].as_str().unwrap())
        .collect()
}

/// What was kept of a setting, if it was tried.
///
/// # Panics
/// When it cannot be read.
#[must_use]
pub fn kept(setting: &str) -> Option<Value> {
    let text = fs::read_to_string(file(setting)).ok()?;
    Some(serde_json::from_str(&text).unwrap())
}

/// How many of these settings stop each attempt. What this kernel does not have is
/// stopped by nobody, and by everybody: it is left out.
///
/// # Panics
/// When these are no findings.
#[must_use]
pub fn layers_of(settings: &[Value]) -> BTreeMap<&str, usize> {
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

/// A table for the page: an attempt a line, a setting a column.
///
/// # Panics
/// When these are no findings, or not all of the same attempts.
#[must_use]
pub fn table(columns: &[(&str, Value)]) -> String {
    let heads: Vec<&str> = columns.iter().map(|(head, _)| *head).collect();
    let rule = "|---".repeat(columns.len() + 1);
    let mut table = format!("| attempt | {} |\n{rule}|\n", heads.join(" | "));
    for (number, attempt) in attempts_in(&columns[0].1).enumerate() {
        let cells = columns
            .iter()
            .map(|(_, findings)| cell(&findings["attempts"][number], attempt));
        let cells: Vec<String> = cells.collect();
        let what = attempt["attempt"].as_str().unwrap();
        table.push_str(&format!("| {what} | {} |\n", cells.join(" | ")));
    }
    table
}

fn attempts_in(findings: &Value) -> impl Iterator<Item = &Value> {
    findings["attempts"].as_array().unwrap().iter()
}

fn cell(found: &Value, attempt: &Value) -> String {
    assert_eq!(found["attempt"], attempt["attempt"], "other attempts");
    let outcome = found["outcome"].as_str().unwrap();
    match (found["stopped"] == true, outcome, found["by"].as_str()) {
        (true, _, Some("not in this kernel")) => "not there".to_owned(),
        (true, error, _) => error.to_owned(),
        (false, "not tried", _) => "not tried".to_owned(),
        (false, ..) => "–".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn findings(stopped: bool, by: &str) -> Value {
        let outcome = if stopped { "EPERM" } else { "success" };
        json!({"attempts": [{"attempt": "reboot", "outcome": outcome, "stopped": stopped, "by": by}]})
    }

    #[test]
    fn layers_are_counted() {
        let (yes, no) = (findings(true, "seccomp"), findings(false, ""));
        assert_eq!(layers_of(&[yes.clone(), no.clone()])["reboot"], 1);
        assert_eq!(layers_of(&[yes.clone(), yes.clone()])["reboot"], 2);
        let absent = findings(true, "not in this kernel");
        assert_eq!(layers_of(&[absent.clone(), no.clone()])["reboot"], 2);
        let table = table(&[("a", yes), ("b", no), ("c", absent)]);
        assert!(
            table.ends_with("| reboot | EPERM | – | not there |\n"),
            "{table}"
        );
    }
}
