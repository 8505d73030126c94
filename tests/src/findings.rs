//! What the probe found in each setting, kept for the page that puts them side by
//! side.
//!
//! A setting's findings are the file `confine/<setting>.json` beside the directory of
//! the programs: `target/confine/` when `cargo xtask test` has built them.

use crate::programs;
use serde_json::Value;
use std::fs;
use std::path::PathBuf;

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
