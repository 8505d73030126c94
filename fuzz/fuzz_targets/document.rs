//! Any output of a node, of the helper, an older wrapper or `sensors -j`, is converted to a
//! document that Pulse accepts.

#![no_main]

use libfuzzer_sys::fuzz_target;
use pulse_sensors::document::{
    Document, History, MAX_CHIPS, MAX_FEATURES_IN_ALL, MAX_STATE_ENTRIES, normalise, read,
};
use serde_json::Value;

fuzz_target!(|bytes: &[u8]| {
    let Ok(mut reading) = read(bytes) else {
        return;
    };
    // Both forms are written: by the helper as it is read, by the daemon as it is normalised.
    check_written(&reading.document);
    let mut history = History::default();
    history.drop_meaningless(&mut reading.document);
    let judged = reading.document.clone();
    assert_eq!(history.drop_meaningless(&mut reading.document), 0);
    assert_eq!(reading.document, judged, "judged is judged");
    let normal = normalise(reading.document);
    check_written(&normal);
    check_for_pulse(&normal);
    check_limits(&normal);
    assert_eq!(normalise(normal.clone()), normal, "normal is normal");
});

/// A document that was parsed and written is parsed as the same again, without a complaint.
fn check_written(document: &Document) {
    let mut again = read(document.to_json().as_bytes()).expect("a written document can be read");
    assert_eq!((again.dropped.malformed, again.dropped.implausible), (0, 0));
    // `serde_json` may parse a number with an error in its last bit; such numbers count as equal.
    let values = again
        .document
        .chips
        .iter_mut()
        .zip(&document.chips)
        .flat_map(|(read, written)| read.features.iter_mut().zip(&written.features))
        .flat_map(|(read, written)| read.values.iter_mut().zip(&written.values));
    for ((_, read), (_, written)) in values {
        if (*read - written).abs() <= written.abs() * f64::EPSILON {
            *read = *written;
        }
    }
    let dropped = again
        .document
        .state
        .dropped
        .iter_mut()
        .zip(&document.state.dropped)
        .map(|(read, written)| (&mut read.value, &written.value));
    for (read, written) in dropped {
        if (*read - written).abs() <= written.abs() * f64::EPSILON {
            *read = *written;
        }
    }
    assert_eq!(&again.document, document);
}

fn check_limits(document: &Document) {
    assert!(document.chips.len() <= MAX_CHIPS);
    let features = document.chips.iter().map(|chip| chip.features.len());
    assert!(features.sum::<usize>() <= MAX_FEATURES_IN_ALL);
    let state = &document.state;
    for entries in [state.chips.len(), state.dropped.len(), state.omitted.len()] {
        assert!(entries <= MAX_STATE_ENTRIES);
    }
}

fn check_for_pulse(document: &Document) {
    let json = document.to_json();
    assert!(!json.contains('\n'), "one line");
    let value: Value = serde_json::from_str(&json).expect("JSON");
    let sensors = value["sensors"].as_object().expect("never left out");
    for chip in sensors.values() {
        let members = chip.as_object().expect("a chip is an object");
        // The adapter is a text among the features, as `sensors -j` prints it.
        for (label, feature) in members.iter().filter(|(label, _)| *label != "Adapter") {
            let values = feature.as_object().expect("a feature is an object");
            let inputs = values.keys().filter(|name| name.ends_with("_input"));
            assert_eq!(inputs.count(), 1, "{label}");
            assert!(values.values().all(Value::is_number), "{label}");
        }
    }
    // Pulse rejects a whole node for one malformed disk.
    for disk in value["smart"].as_array().expect("never left out") {
        for member in ["device", "serial", "wwn", "model", "type"] {
            assert!(disk[member].is_string(), "{member}");
        }
        let temperature = &disk["temperature"];
        assert!(temperature.is_i64() || temperature.is_null());
        assert!(disk["standbySkipped"].is_boolean());
        // Empty, `0x` and 16 digits, or an NVMe namespace's `eui.` and 16 or 32.
        let wwn = disk["wwn"].as_str().unwrap_or_default();
        let digits = match wwn.strip_prefix("eui.") {
            Some(digits) => matches!(digits.len(), 16 | 32),
            None => wwn.len() == 18 && wwn.starts_with("0x"),
        };
        assert!(wwn.is_empty() || digits, "{wwn}");
    }
}
