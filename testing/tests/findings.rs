//! The table of the probe's findings.

use pulse_e2e::findings::{layer_counts, table};
use serde_json::{Value, json};

fn findings(stopped: bool, by: &str) -> Value {
    let outcome = if stopped { "EPERM" } else { "success" };
    json!({"attempts": [{"attempt": "reboot", "outcome": outcome, "stopped": stopped, "by": by}]})
}

#[test]
fn absent_attempts_are_left_out() {
    let (yes, no) = (findings(true, "seccomp"), findings(false, ""));
    assert_eq!(layer_counts(&[yes.clone(), no.clone()])["reboot"], 1);
    assert_eq!(layer_counts(&[yes.clone(), yes.clone()])["reboot"], 2);
    let absent = findings(true, "not in this kernel");
    assert_eq!(layer_counts(&[absent.clone(), no.clone()])["reboot"], 2);
    let table = table(&[("a", yes), ("b", no), ("c", absent)]);
    let row = "| reboot | EPERM | – | not there |\n";
    assert!(table.ends_with(row), "{table}");
}
