//! Comparison of the helper with `sensors -j`, on the same trees.
//!
//! In a mount namespace, parts of a simulated tree are mounted over those of `/sys`, and lm-sensors
//! reads them. The test needs root, lm-sensors and `unshare`; otherwise it is skipped with a
//! message.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod common;

use common::{Tree, by_words, json, text};
use serde_json::{Map, Value};
use std::path::Path;
use std::process::{Command, Output};

/// `$1` is the tree. The configuration of lm-sensors is not used, since it renames sensors.
const SCRIPT: &str = r#"
for part in class bus devices; do mount --bind "$1/$part" "/sys/$part" || exit 99; done
exec sensors -c /dev/null -j
"#;

/// The exit code of the script if it cannot mount.
const CANNOT_MOUNT: i32 = 99;

fn lm_sensors(tree: &Path) -> Output {
    let mut command = Command::new("unshare");
    command.args([
        "--mount",
        "--propagation",
        "private",
        "sh",
        "-c",
        SCRIPT,
        "sh",
    ]);
    command.arg(tree).output().unwrap()
}

/// The reason why the comparison is impossible here.
fn obstacle() -> Option<&'static str> {
    let runs = |program: &str| Command::new(program).arg("--version").output().is_ok();
    if !runs("sensors") {
        return Some("lm-sensors is not installed");
    }
    if !runs("unshare") {
        return Some("unshare is not installed");
    }
    let output = lm_sensors(Tree::of("pi").root());
    let forbidden = text(&output.stderr).starts_with("unshare:");
    let cannot = forbidden || output.status.code() == Some(CANNOT_MOUNT);
    cannot.then_some("a mount namespace needs root")
}

/// The chips with a valid temperature, with temperatures only.
fn temperatures(chips: &Value) -> Value {
    let known = |(name, chip): (&String, &Value)| {
        let mut kept = Map::new();
        for (label, feature) in chip.as_object()? {
            if label == "Adapter" || is_temperature(feature) {
                kept.insert(label.clone(), feature.clone());
            }
        }
        (kept.len() > 1).then(|| (name.clone(), Value::Object(kept)))
    };
    chips
        .as_object()
        .unwrap()
        .iter()
        .filter_map(known)
        .collect()
}

fn is_temperature(feature: &Value) -> bool {
    let values = feature.as_object().unwrap();
    let is_input = |name: &String| name.starts_with("temp") && name.ends_with("_input");
    let faulty = |(name, value): (&String, &Value)| name.ends_with("_fault") && *value == 1.0;
    values.keys().any(is_input) && !values.iter().any(faulty)
}

#[test]
fn output_matches_lm_sensors() {
    if let Some(obstacle) = obstacle() {
        eprintln!("skipped: {obstacle}");
        return;
    }
    for (node, only_theirs, only_ours) in [
        ("xeon", None, None),
        // The disk is suspended: lm-sensors would wake it.
        ("ryzen", Some("drivetemp-scsi-2-0"), None),
        // lm-sensors does not read thermal zones.
        ("pi", None, Some("cpu_thermal-virtual-0")),
    ] {
        let tree = Tree::of(node);
        let printed = lm_sensors(tree.root());
        let mut theirs = temperatures(&json(&printed.stdout));
        let mut ours = json(by_words(tree.root(), &["sensors", "-j"]).stdout);
        for (chips, extra) in [(&mut theirs, only_theirs), (&mut ours, only_ours)] {
            let chips = chips.as_object_mut().unwrap();
            assert!(extra.is_none_or(|name| chips.remove(name).is_some()));
        }
        assert_eq!(ours, theirs, "{node}");
    }
}
