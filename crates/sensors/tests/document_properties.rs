//! Properties of every output of a node.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::{Index, select};
use pulse_sensors::document::{
    Chip, Disk, Document, Dropped, Feature, HelperInfo, Reading, normalise, read,
};
use pulse_sensors::shown::is_active;
use std::fmt::Write;

/// Small parts of damaged documents.
const MARKS: [&str; 26] = [
    "{", "}", "[", "]", "\"", ",", ":", "\n", " ", "   ", "\\", "(", ")", "\r\n", "\t", "\0", "{}",
    "}}", "\":{", "\": ", "45", "nan", "-inf", "null", "true", "1e999",
];

/// Larger parts of them.
const PIECES: [&str; 14] = [
    "\"smart\":[",
    "\"sensors\":{",
    "\"node_helper\":{",
    "\"ipmi\":{",
    "\"Adapter\": \"ISA adapter\"",
    "\"Adapter",
    "\"temp1_input\": 45.000",
    "\"temp1_input\"",
    "\"device\":\"/dev/sda\"",
    "\"temperature\":41.5",
    "\"error\":\"x\"",
    "\u{e9}\u{202e}\u{2028}\u{ad}\u{e0041}",
    "(temp1)",
    "\"label \"x\"\":{",
];

const NAMES: [&str; 8] = [
    "coretemp-isa-0000",
    "coretemp-isa-0001",
    "k10temp-pci-00c3",
    "cpu_thermal-virtual-0",
    "nct6798-isa-0290",
    "nvme-pci-0100",
    "acpitz-acpi-0",
    "jc42-i2c-0-1a",
];

const LABELS: [&str; 14] = [
    "Package id 0",
    "Package id 1",
    "Core 0",
    "Core 1",
    "Core 8",
    "Core 0 #2",
    "Tctl",
    "Tdie",
    "Tccd1",
    "CPUTIN",
    "temp1",
    "CPU (left)",
    "he said \"x\"",
    "a\\b",
];

/// Parts of documents in any order, including names of chips.
fn damaged() -> impl Strategy<Value = Vec<u8>> {
    let name = select(&NAMES[..]).prop_map(|name| format!("\"{name}\":{{").into_bytes());
    vec(prop_oneof![5 => garbage(), 1 => name], 0..12).prop_map(|pieces| pieces.concat())
}

/// Parts of documents without the name of a chip.
fn garbage() -> impl Strategy<Value = Vec<u8>> {
    let bytes_of = |text: &str| text.as_bytes().to_vec();
    let byte = any::<u8>().prop_map(|byte| vec![byte]);
    let any_piece = prop_oneof![
        6 => select(&MARKS[..]).prop_map(bytes_of),
        3 => select(&PIECES[..]).prop_map(bytes_of),
        1 => byte,
    ];
    vec(any_piece, 0..10).prop_map(|pieces| pieces.concat())
}

/// A number with three decimals, as lm-sensors prints it.
fn degrees() -> impl Strategy<Value = f64> {
    (-100_000..126_000).prop_map(|millidegrees: i32| f64::from(millidegrees) / 1000.0)
}

fn feature(label: &'static str, sensor: usize) -> impl Strategy<Value = Feature> {
    let values = (degrees(), proptest::option::of(degrees()));
    values.prop_map(move |(input, max)| Feature {
        label: label.into(),
        values: std::iter::once((format!("temp{sensor}_input").into(), input))
            .chain(max.map(|max| (format!("temp{sensor}_max").into(), max)))
            .collect(),
    })
}

fn chip(name: &'static str) -> impl Strategy<Value = Chip> {
    let labels = proptest::sample::subsequence(&LABELS[..], 0..LABELS.len());
    let features = labels.prop_flat_map(|labels| {
        let numbered = labels.into_iter().zip(1..);
        numbered
            .map(|(label, sensor)| feature(label, sensor))
            .collect::<Vec<_>>()
    });
    let adapter = proptest::option::of(Just("ISA adapter".to_owned()));
    (adapter, features).prop_map(|(adapter, features)| Chip {
        name: name.to_owned(),
        adapter,
        features,
    })
}

fn chips(at_least: usize) -> impl Strategy<Value = Vec<Chip>> {
    let names = proptest::sample::subsequence(&NAMES[..], at_least..=NAMES.len());
    names.prop_flat_map(|names| names.into_iter().map(chip).collect::<Vec<_>>())
}

fn disk() -> impl Strategy<Value = Disk> {
    let texts = ("/dev/sd[a-z]", "[A-Z0-9\"\\\\ é]{0,20}", "0x[0-9a-f]{16}|");
    let temperature = proptest::option::of(1..90);
    (texts, temperature, any::<bool>()).prop_map(|((device, model, wwn), temperature, asleep)| {
        Disk {
            device,
            serial: model.replace(' ', ""),
            wwn,
            model: model.trim().to_owned(),
            kind: "sata".into(),
            temperature,
            last_updated: asleep.then(|| "2026-11-21T10:00:03Z".into()),
            standby_skipped: asleep,
        }
    })
}

fn document() -> impl Strategy<Value = Document> {
    (chips(0), vec(disk(), 0..4), any::<bool>()).prop_map(|(chips, disks, helper)| Document {
        chips,
        disks,
        collected_at: helper.then(|| "2026-11-21T10:00:03.5+01:00".into()),
        helper: helper.then(|| HelperInfo {
            version: "0.1.0".into(),
        }),
        ..Document::default()
    })
}

/// The member of a chip: as lm-sensors prints it, or on one line.
fn member(chip: &Chip, pretty: bool) -> String {
    let (line, label, value) = if pretty {
        ("\n", "      ", "         ")
    } else {
        ("", "", "")
    };
    let mut text = format!(
        "\"{}\":{{{line}{label}\"Adapter\": \"ISA adapter\"",
        chip.name
    );
    for feature in &chip.features {
        let key = if pretty {
            format!("\"{}\"", feature.label)
        } else {
            json(&feature.label)
        };
        write!(text, ",{line}{label}{key}:{{{line}").unwrap();
        let values = feature
            .values
            .iter()
            .map(|(name, number)| format!("{value}\"{name}\": {number:.3}"));
        write!(
            text,
            "{}",
            values.collect::<Vec<_>>().join(&format!(",{line}"))
        )
        .unwrap();
        write!(text, "{line}{label}}}").unwrap();
    }
    text + line + if pretty { "   }" } else { "}" }
}

fn json(text: &str) -> String {
    serde_json::to_string(text).unwrap()
}

/// Replaces a part of the text with other bytes.
fn damage(text: &str, from: Index, length: usize, with: &[u8]) -> Vec<u8> {
    let from = from.index(text.len());
    let to = text.len().min(from + length);
    [&text.as_bytes()[..from], with, &text.as_bytes()[to..]].concat()
}

fn disks_member() -> &'static str {
    "\"smart\":[{\"device\":\"/dev/sda\",\"temperature\":41}]"
}

/// The whole document, with the members of its chips as given.
fn whole(members: &[Vec<u8>], pretty: bool) -> Vec<u8> {
    if pretty {
        return [
            b"{\n   ".as_slice(),
            &members.join(b",\n   ".as_slice()),
            b"\n}\n",
        ]
        .concat();
    }
    let disks = format!("}},{}}}\n", disks_member());
    [
        b"{\"sensors\":{".as_slice(),
        &members.join(b",".as_slice()),
        disks.as_bytes(),
    ]
    .concat()
}

fn named<'a>(reading: &'a Reading, name: &str) -> Option<&'a Chip> {
    reading.document.chips.iter().find(|chip| chip.name == name)
}

/// The written document is one JSON object without repeated keys, and reading it returns the same
/// document.
fn assert_strict(document: &Document) {
    let text = document.to_json();
    assert!(!text.chars().any(is_active), "{text:?}");
    let value: serde_json::Value = serde_json::from_str(&text).unwrap();
    assert!(value["sensors"].is_object() && value["smart"].is_array());
    let again = read(text.as_bytes()).unwrap();
    assert_eq!(&again.document, document, "{text}");
    assert_eq!(again.dropped, Dropped::default(), "{text}");
}

fn cores(document: &Document) -> usize {
    let features = document.chips.iter().flat_map(|chip| &chip.features);
    features
        .filter(|feature| feature.label.starts_with("Core "))
        .count()
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn any_bytes_are_read_or_refused(bytes in vec(any::<u8>(), 0..400)) {
        if let Ok(reading) = read(&bytes) {
            assert_strict(&reading.document);
            assert_strict(&normalise(reading.document));
        }
    }

    #[test]
    fn damaged_documents_become_strict(bytes in damaged()) {
        if let Ok(reading) = read(&bytes) {
            assert_strict(&reading.document);
            let normal = normalise(reading.document);
            assert_strict(&normal);
            prop_assert_eq!(normalise(normal.clone()), normal);
        }
    }

    #[test]
    fn own_documents_are_read_unchanged(document in document()) {
        let reading = read(document.to_json().as_bytes()).unwrap();
        prop_assert_eq!(reading, Reading { document, dropped: Dropped::default() });
    }

    #[test]
    fn damage_stays_in_its_chip(
        chips in chips(2),
        victim in any::<Index>(),
        from in any::<Index>(),
        length in prop_oneof![0..4_usize, 0..400_usize],
        with in garbage(),
        pretty in any::<bool>(),
    ) {
        let mut members: Vec<_> = chips.iter().map(|chip| member(chip, pretty).into_bytes()).collect();
        let undamaged = read(&whole(&members, pretty)).unwrap();
        let victim = victim.index(chips.len());
        members[victim] = damage(&member(&chips[victim], pretty), from, length, &with);
        let text = whole(&members, pretty);
        let reading = read(&text).unwrap();
        for chip in chips.iter().filter(|chip| chip.name != chips[victim].name) {
            prop_assert_eq!(named(&reading, &chip.name), named(&undamaged, &chip.name),
                "{}", String::from_utf8_lossy(&text));
        }
        let disks = &undamaged.document.disks;
        prop_assert!(disks.iter().all(|disk| reading.document.disks.contains(disk)));
    }

    #[test]
    fn normalising_is_idempotent(document in document()) {
        let once = normalise(document);
        assert_strict(&once);
        prop_assert_eq!(normalise(once.clone()), once);
    }

    #[test]
    fn merging_keeps_every_core(document in document()) {
        let processors = |document: &Document| Document {
            chips: document.chips.iter().filter(|chip| chip.name.starts_with("coretemp")).cloned().collect(),
            ..Document::default()
        };
        let before = processors(&document);
        let after = processors(&normalise(document));
        prop_assert!(after.chips.len() <= 1);
        prop_assert_eq!(cores(&before), cores(&after));

        let inputs = |document: &Document, is_meant: &dyn Fn(&Feature) -> bool| {
            let features = document.chips.iter().flat_map(|chip| &chip.features);
            features.filter(|f| is_meant(f)).filter_map(Feature::input).collect::<Vec<_>>()
        };
        let hottest = |inputs: Vec<f64>| inputs.into_iter().reduce(f64::max);
        // By its label or by its channel; without a package the hottest core counts.
        let is_package = |f: &Feature| {
            f.label.contains("Package id") || f.label.contains("Physical id")
                || f.values.iter().any(|(name, _)| name == "temp1_input") && !f.label.starts_with("Core ")
        };
        let expected = hottest(inputs(&before, &is_package)).or(hottest(inputs(&before, &|_| true)));
        let labelled = |f: &Feature| f.label == "Package id 0";
        prop_assert_eq!(inputs(&after, &labelled), expected.into_iter().collect::<Vec<_>>());
    }
}
