//! Limits: a hostile node can neither fill memory nor occupy the processor.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use pulse_sensors::document::{Chip, Document, Feature, Omitted, Reading, normalise, read};
use std::time::{Duration, Instant};

/// Members `"NAME0":VALUE,"NAME1":VALUE,…`, numbered in hexadecimal as chips are.
fn members(count: usize, name: &str, value: &str) -> String {
    let members: Vec<_> = (0..count)
        .map(|n| format!("\"{name}{n:x}\":{value}"))
        .collect();
    members.join(",")
}

/// Reads the document with the strict reader and, with a brace too many, with the tolerant one.
fn both_ways(document: &str) -> [Reading; 2] {
    let strict = read(document.as_bytes()).unwrap();
    let tolerant = read(format!("{document}}}").as_bytes()).unwrap();
    [strict, tolerant]
}

#[test]
fn chips_are_limited() {
    let document = format!(
        "{{\"sensors\":{{{}}}}}",
        members(1_100, "x-isa-", "{\"a\":{\"temp1_input\":1}}")
    );
    for reading in both_ways(&document) {
        assert_eq!(reading.document.chips.len(), 1_024);
        assert_eq!(reading.document.state.omitted.len(), 76);
    }
}

#[test]
fn features_are_limited() {
    let features = members(1_100, "f", "{\"temp1_input\":1}");
    let document = format!("{{\"x-isa-0\":{{{features}}},\"y-isa-0\":{{{features}}}}}");
    for reading in both_ways(&document) {
        let counts = reading
            .document
            .chips
            .iter()
            .map(|chip| chip.features.len());
        assert_eq!(counts.collect::<Vec<_>>(), [1_024, 1_024]);
        let omitted = reading.document.state.omitted.iter();
        assert_eq!(omitted.map(|cut| cut.sensors).collect::<Vec<_>>(), [76, 76]);
    }
}

#[test]
fn values_are_limited() {
    let values = members(100, "temp", "1");
    let document = format!("{{\"x-isa-0\":{{\"a\":{{{values}}},\"b\":{{{values}}}}}}}");
    for reading in both_ways(&document) {
        let features = &reading.document.chips[0].features;
        assert_eq!(
            features.iter().map(|f| f.values.len()).collect::<Vec<_>>(),
            [64, 64]
        );
        assert_eq!(reading.dropped.malformed, 2 * 36);
    }
}

#[test]
fn disks_are_limited() {
    let disks = vec!["{\"device\":\"/dev/sda\"}"; 1_100].join(",");
    for reading in both_ways(&format!("{{\"sensors\":{{}},\"smart\":[{disks}]}}")) {
        assert_eq!(reading.document.disks.len(), 1_024);
        let omitted = Omitted {
            chip: "/dev/sda".to_owned(),
            sensors: 76,
        };
        assert_eq!(reading.document.state.omitted, [omitted]);
    }
}

#[test]
fn long_labels_stay_unique() {
    let label = "\u{e9}".repeat(200);
    let feature = format!("\"{label}\":{{\"temp1_input\":1}}");
    for reading in both_ways(&format!(
        "{{\"x-isa-0\":{{{feature},{feature},{feature}}}}}"
    )) {
        let labels: Vec<_> = reading.document.chips[0]
            .features
            .iter()
            .map(|f| &f.label)
            .collect();
        assert!(labels.iter().all(|label| label.len() <= 256), "{labels:?}");
        assert!(
            labels[1].ends_with(" #2") && labels[2].ends_with(" #3"),
            "{labels:?}"
        );
    }
}

#[test]
fn deep_nesting_is_harmless() {
    for nest in [
        "{",
        "[",
        "{\"a\":",
        "{\"a\":[",
        "(",
        "\"a-isa-0\":{",
        "\"smart\":[{",
    ] {
        let _ = read(nest.repeat(100_000).as_bytes());
    }
}

/// Quadratic time would be minutes for each pattern.
#[test]
fn any_document_takes_linear_time() {
    let patterns = [
        "\"",
        "\"\n",
        "\\",
        "\\\"",
        "\\\":",
        "(",
        "({",
        "(\"",
        "\":",
        "\" ",
        "\"a\":\"",
        "\"a\":\"\"x",
        "\"a\":{",
        "\"a\":[",
        "{",
        "}",
        ":",
        " ",
        "\n",
        "ERROR: Can't get ",
        "E",
        "\"\nx",
        "\"a\nb",
        "\"smart\":[{",
        "\"smart\":[{\"device\":\"x\"},",
        "\"a-isa-0\":{\"l\":{\"t\":1}},",
        "\"l\":{\"temp1_input\":1},",
        "\"ipmi\":{",
        "\"x\"a-isa-0\":{",
        "\u{feff}",
        "\0",
        "1",
        "n",
    ];
    for prefix in ["", "{\"coretemp-isa-0000\":{", "{\"x-isa-0\":{\"y\":{"] {
        for pattern in patterns {
            let text = prefix.to_owned() + &pattern.repeat(200_000 / pattern.len());
            let start = Instant::now();
            if let Ok(reading) = read(text.as_bytes()) {
                let _ = normalise(reading.document).to_json();
            }
            assert!(
                start.elapsed() < Duration::from_secs(20),
                "{prefix}{pattern}"
            );
        }
    }
}

/// Merging is the most work for the size of the input.
#[test]
fn merging_takes_linear_time() {
    let features = members(1_024, "Die ", "{\"temp1_input\":1}");
    let chips = members(128, "coretemp-isa-", &format!("{{{features}}}"));
    let reading = read(format!("{{{chips}}}").as_bytes()).unwrap();
    let start = Instant::now();
    assert_eq!(normalise(reading.document).chips.len(), 1);
    assert!(start.elapsed() < Duration::from_secs(20));
}

fn hot(label: String, degrees: f64) -> Feature {
    Feature {
        label: label.into(),
        values: vec![("temp1_input".into(), degrees)],
    }
}

/// Chips with `cores` each, more than a reader returns.
fn sockets(names: &[&str], cores: u32) -> Document {
    let features = |package: f64| {
        let cores = (0..cores).map(|core| hot(format!("Core {core}"), 40.0));
        let package = hot("Package id 9".into(), package);
        cores.chain([package]).collect()
    };
    let chips = names.iter().zip([50.0, 51.0, 52.0, 53.0]);
    Document {
        chips: chips
            .map(|(name, package)| Chip {
                name: (*name).to_owned(),
                adapter: None,
                features: features(package),
            })
            .collect(),
        ..Document::default()
    }
}

#[test]
fn merged_chip_keeps_its_package() {
    let names = [
        "coretemp-isa-0000",
        "coretemp-isa-0001",
        "coretemp-isa-0002",
    ];
    let normal = normalise(sockets(&names, 400));
    let features = &normal.chips[0].features;
    assert_eq!((normal.chips.len(), features.len()), (1, 1_024));
    assert_eq!(features[0], hot("Package id 0".into(), 52.0));
    assert_eq!(features[1_023], hot("Core 1022".into(), 40.0));
    assert_eq!(normalise(normal.clone()), normal);
}

#[test]
fn single_chip_is_limited_too() {
    let normal = normalise(sockets(&["coretemp-isa-0000", "x-isa-0"], 1_200));
    let counts = normal.chips.iter().map(|chip| chip.features.len());
    assert_eq!(counts.collect::<Vec<_>>(), [1_024, 1_024]);
}

/// A node can print the label with the number after the highest.
#[test]
fn huge_core_numbers_stay_unique() {
    let mut document = sockets(&["coretemp-isa-0000", "coretemp-isa-0001"], 1);
    for (chip, number) in document
        .chips
        .iter_mut()
        .zip([u32::MAX.into(), 1_u64 << 32])
    {
        let lie = hot(format!("Core {number}"), 40.0);
        chip.features.push(lie);
    }
    let normal = normalise(document);
    let again = read(normal.to_json().as_bytes()).unwrap();
    assert_eq!(again.document, normal);
}
