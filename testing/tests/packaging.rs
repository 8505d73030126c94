//! The units, checked by systemd's own tools.

use pulse_e2e::programs::{Need, find, skipped};
use std::path::{Path, PathBuf};
use std::process::Command;

const UNITS: [&str; 3] = [
    "pulse-sensor-proxy.service",
    "pulse-sensor-proxy.socket",
    "pulse-sensor-proxy-control.socket",
];

fn repository(path: &str) -> PathBuf {
    Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/..")).join(path)
}

fn units() -> impl Iterator<Item = PathBuf> {
    let directory = repository("packaging/systemd");
    UNITS.into_iter().map(move |unit| directory.join(unit))
}

#[test]
fn systemd_understands_the_units() {
    const ANALYZE: &str = "systemd-analyze";
    if skipped(&[Need::Optional(ANALYZE)]) {
        return;
    }
    let judged = Command::new(find(ANALYZE).unwrap())
        .args(["verify", "--man=no", "--recursive-errors=no"])
        .args(units())
        .output()
        .unwrap();
    // Its exit code is 0 even for unknown keys, so its output is checked. The program is not
    // installed where the tests run.
    let said = String::from_utf8(judged.stderr).unwrap();
    let ours = said.lines().filter(|line| line.contains("pulse-sensor"));
    let complaints: Vec<_> = ours
        .filter(|line| !line.contains("Command /usr/bin/pulse-sensor-proxy is not executable"))
        .collect();
    assert_eq!(complaints, Vec::<&str>::new());
}

#[test]
fn exposure_is_one_at_most() {
    const ANALYZE: &str = "systemd-analyze";
    if skipped(&[Need::Optional(ANALYZE)]) {
        return;
    }
    let service = units().next().unwrap();
    let judged = Command::new(find(ANALYZE).unwrap())
        .args(["security", "--offline=yes", "--threshold=10", "--no-pager"])
        .arg(service)
        .output()
        .unwrap();
    let table = String::from_utf8_lossy(&judged.stdout);
    assert!(judged.status.success(), "{table}");
    assert!(table.contains("Overall exposure level"), "{table}");
}
