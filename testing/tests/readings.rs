//! Readings of a real node: with the helper, with another command, and with a shell.

use pulse_e2e::programs::{Need, skipped};
use pulse_e2e::sim::tree;
use pulse_e2e::sshd::helper_command;
use pulse_e2e::{Config, RealNode, wait};
use serde_json::{Value, json};
use std::path::{Path, PathBuf};

/// The tree of a made-up node, unpacked.
fn devices_of(node: &str) -> tempfile::TempDir {
    let directory = tempfile::tempdir().unwrap();
    let all = tree::all();
    let (_, manifest) = all.iter().find(|(name, _)| *name == node).unwrap();
    tree::unpack(manifest, directory.path()).unwrap();
    directory
}

/// A recorded output, and the document that it is converted to.
fn recorded(name: &str) -> (PathBuf, Value) {
    let corpus =
        Path::new(env!("CARGO_MANIFEST_DIR")).join("../crates/sensors/tests/corpus/documents");
    let expected = std::fs::read(corpus.join(format!("{name}.json"))).unwrap();
    let expected: Value = serde_json::from_slice(&expected).unwrap();
    (
        corpus.join(format!("{name}.txt")),
        expected["document"].clone(),
    )
}

fn with_helper(sys_root: &Path) -> RealNode {
    let command = helper_command(sys_root);
    RealNode::start(&format!("restrict,command=\"{command}\""), Config::new())
}

#[test]
fn helper_serves_one_channel() {
    if skipped(&[Need::Sshd]) {
        return;
    }
    let devices = devices_of("xeon");
    let node = with_helper(devices.path());
    for _ in 0..20 {
        assert_pulse_accepts(&node.daemon.temperature("pve1").unwrap());
    }
    node.daemon.stop();
    wait::until("the session's end", || node.sshd.count("Close session") > 0);
    for once in ["Connection from", "Accepted publickey", "Starting session"] {
        assert_eq!(node.sshd.count(once), 1, "{once}");
    }
}

#[test]
fn hottest_processor_is_reported() {
    if skipped(&[Need::Sshd]) {
        return;
    }
    let devices = devices_of("xeon");
    let node = with_helper(devices.path());
    let document = node.daemon.temperature("pve1").unwrap();
    let chips = document["sensors"].as_object().unwrap();
    let processors: Vec<_> = chips.keys().filter(|c| c.starts_with("coretemp")).collect();
    let [processor] = processors[..] else {
        panic!("expected one of two processors, found {processors:?}");
    };
    let features = chips[processor].as_object().unwrap();
    let packages = features
        .iter()
        .filter(|(name, _)| name.starts_with("Package id"));
    let degrees: Vec<_> = packages.map(|(_, f)| f["temp1_input"].as_f64()).collect();
    assert_eq!(degrees, [Some(52.0)], "the higher of 47 and 52 degrees");
    assert_eq!(document["smart"][0]["wwn"], "eui.5cd2e4a1b2c30100");
}

#[test]
fn reading_shows_current_values() {
    if skipped(&[Need::Sshd]) {
        return;
    }
    let devices = devices_of("pi");
    let node = with_helper(devices.path());
    for (millidegrees, degrees) in [("50700", 50.7), ("61250", 61.25), ("49000", 49.0)] {
        let zone = "devices/virtual/thermal/thermal_zone0/temp";
        tree::set(devices.path(), zone, millidegrees).unwrap();
        let chip = &node.daemon.temperature("pve1").unwrap()["sensors"]["cpu_thermal-virtual-0"];
        assert_eq!(chip["temp1"]["temp1_input"], degrees);
    }
}

#[test]
fn printing_command_is_read() {
    if skipped(&[Need::Sshd]) {
        return;
    }
    for name in ["sensors_plain", "wrapper", "several_documents"] {
        let (printed, expected) = recorded(name);
        let options = format!("restrict,command=\"cat {}\"", printed.display());
        let node = RealNode::start(&options, Config::new());
        for _ in 0..3 {
            assert_eq!(node.daemon.temperature("pve1").unwrap(), expected, "{name}");
        }
        // One more for the question whether the command is forced.
        wait::until("sshd's log", || node.sshd.count("Starting session") == 4);
        assert_eq!(node.sshd.count("Accepted publickey"), 1, "{name}");
    }
}

#[test]
fn shell_account_with_sensors_is_read() {
    if skipped(&[Need::Sshd]) {
        return;
    }
    let (printed, expected) = recorded("noise_of_a_login_shell");
    let node = RealNode::start("", Config::new());
    let script = format!(
        "#!/bin/sh\n[ \"$*\" = -j ] && exec cat {}\n",
        printed.display()
    );
    node.sshd.install("sensors", &script);
    for _ in 0..3 {
        assert_eq!(node.daemon.temperature("pve1").unwrap(), expected);
    }
    wait::until("sshd's log", || node.sshd.count("Starting session") == 5);
}

#[test]
fn failed_command_gives_its_reason() {
    if skipped(&[Need::Sshd]) {
        return;
    }
    let complaint = "echo 'Kernel driver missing' >&2; exit 1";
    let node = RealNode::start(&format!("restrict,command=\"{complaint}\""), Config::new());
    let error = node.daemon.temperature("pve1").unwrap_err();
    assert!(error.starts_with("node \"pve1\" "), "{error}");
    assert!(
        error.contains("exit code 1, \"Kernel driver missing"),
        "{error}"
    );
}

#[test]
fn ended_helper_is_restarted() {
    if skipped(&[Need::Sshd]) {
        return;
    }
    let devices = devices_of("ryzen");
    let node = RealNode::start("restrict,command=\"two-readings\"", Config::new());
    let command = helper_command(devices.path());
    let script = format!("#!/bin/sh\nsed -u 2q | {command}\n");
    node.sshd.install("two-readings", &script);
    for reading in 0..6 {
        let document = node.daemon.temperature("pve1");
        assert_pulse_accepts(&document.unwrap_or_else(|e| panic!("{reading}: {e}")));
    }
}

/// Checks the rules of Pulse's parser.
fn assert_pulse_accepts(document: &Value) {
    let chips = document["sensors"]
        .as_object()
        .expect("sensors, and not null");
    assert!(!chips.is_empty());
    for (chip, features) in chips {
        let features = features.as_object().unwrap();
        for (feature, values) in features.iter().filter(|(name, _)| *name != "Adapter") {
            let values = values.as_object().unwrap();
            let inputs = values.keys().filter(|name| name.ends_with("_input"));
            assert_eq!(inputs.count(), 1, "{chip}: {feature}");
            assert!(values.values().all(Value::is_number), "{chip}: {feature}");
        }
    }
    for disk in document["smart"].as_array().unwrap() {
        let temperature = &disk["temperature"];
        assert!(temperature.is_i64() || temperature.is_null(), "{disk}");
        assert!(
            disk["device"].is_string() && disk["wwn"].is_string(),
            "{disk}"
        );
    }
    assert_ne!(*document, json!({}));
}
