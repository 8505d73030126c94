//! Any output of a node, of the helper, an older wrapper or `sensors -j`, is converted to a
//! document that Pulse accepts.

#![no_main]

use libfuzzer_sys::fuzz_target;
use pulse_sensors::document::{Document, normalise, read};
use serde_json::Value;

fuzz_target!(|bytes: &[u8]| {
    let Ok(reading) = read(bytes) else {
        return;
    };
    check_written(&reading.document);
    let normal = normalise(reading.document);
    check_written(&normal);
    check_for_pulse(&normal);
    assert_eq!(normalise(normal.clone()), normal, "normal is normal");
});

/// A document that was parsed and written is parsed as the same again, without a complaint.
fn check_written(document: &Document) {
    let json = document.to_json();
    let again = read(json.as_bytes()).expect("a written document can be read");
    assert_eq!((again.dropped.malformed, again.dropped.implausible), (0, 0));
    assert_eq!(&settled(again.document, document), document);
}

/// `serde_json` may parse a number with an error in its last bit; such numbers count as equal.
fn settled(mut again: Document, document: &Document) -> Document {
    let numbers = document.chips.iter().flat_map(|chip| &chip.features);
    let numbers = numbers.flat_map(|feature| &feature.values);
    let read = again.chips.iter_mut().flat_map(|chip| &mut chip.features);
    for ((_, read), (_, written)) in read.flat_map(|feature| &mut feature.values).zip(numbers) {
        if (*read - written).abs() <= written.abs() * f64::EPSILON {
            *read = *written;
        }
    }
    again
}

fn check_for_pulse(document: &Document) {
    let json = document.to_json();
    assert!(!json.contains('\n'), "one line");
    let value: Value = serde_json::from_str(&json).expect("JSON");
    let sensors = value["sensors"].as_object().expect("never left out");
    for chip in sensors.values() {
        let members = chip.as_object().expect("a chip is an object");
        for (label, feature) in members.iter().filter(|(label, _)| *label != "Adapter") {
            check_feature(label, feature);
        }
    }
    for disk in value["smart"].as_array().expect("never left out") {
        check_disk(disk);
    }
}

fn check_feature(label: &str, feature: &Value) {
    let values = feature.as_object().expect("a feature is an object");
    let inputs = values.keys().filter(|name| name.ends_with("_input"));
    assert_eq!(inputs.count(), 1, "{label}");
    assert!(values.values().all(Value::is_number), "{label}");
}

/// Pulse rejects a whole node for one malformed disk.
fn check_disk(disk: &Value) {
    for member in ["device", "serial", "wwn", "model", "type"] {
        assert!(disk[member].is_string(), "{member}");
    }
    let temperature = &disk["temperature"];
    assert!(temperature.is_i64() || temperature.is_null());
    assert!(disk["standbySkipped"].is_boolean());
    let wwn = disk["wwn"].as_str().unwrap_or_default();
    assert!(wwn.is_empty() || (wwn.len() == 18 && wwn.starts_with("0x")));
}
