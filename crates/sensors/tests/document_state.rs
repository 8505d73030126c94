//! The states of single sensors, the limits of a document, and what exceeds them.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::select;
use pulse_sensors::document::{
    Answering, Chip, ChipState, Disk, Document, DropReason, Dropped, DroppedValue, Feature,
    HelperInfo, MAX_AGE_MS, MAX_CHIPS, MAX_FEATURES, MAX_FEATURES_IN_ALL, MAX_STATE_ENTRIES,
    Omitted, Reading, SensorState, level, normalise, read,
};

const CHIPS: [&str; 6] = [
    "coretemp-isa-0000",
    "coretemp-isa-0001",
    "cpu_thermal-virtual-0",
    "acpitz-acpi-0",
    "nct6798-isa-0290",
    "drivetemp-scsi-0-0",
];

fn name() -> impl Strategy<Value = String> {
    select(&CHIPS[..]).prop_map(str::to_owned)
}

fn chip_state() -> impl Strategy<Value = ChipState> {
    let age = proptest::option::of(0..3 * MAX_AGE_MS);
    (name(), select(&Answering::ALL[..]), age).prop_map(|(chip, answering, age_ms)| ChipState {
        chip,
        answering,
        age_ms,
    })
}

fn dropped_value() -> impl Strategy<Value = DroppedValue> {
    let value = (-300_000..70_000_000).prop_map(|value: i32| f64::from(value) / 1000.0);
    let text = "[a-z \"\\\\é]{0,8}";
    (name(), text, value, select(&DropReason::ALL[..])).prop_map(|(chip, sensor, value, reason)| {
        DroppedValue {
            chip,
            sensor: sensor.into(),
            value,
            reason,
        }
    })
}

/// Entries of each chip are added up, so there is one of each.
fn omitted() -> impl Strategy<Value = Vec<Omitted>> {
    let chips = proptest::sample::subsequence(&CHIPS[..], 0..CHIPS.len());
    (chips, 1..9_u64).prop_map(|(chips, sensors)| {
        let omitted = |chip: &str| Omitted {
            chip: chip.to_owned(),
            sensors,
        };
        chips.into_iter().map(omitted).collect()
    })
}

fn state() -> impl Strategy<Value = SensorState> {
    let lists = (
        vec(chip_state(), 0..5),
        vec(dropped_value(), 0..5),
        omitted(),
    );
    lists.prop_map(|(chips, dropped, omitted)| SensorState {
        chips,
        dropped,
        omitted,
    })
}

fn feature(label: &str, degrees: f64) -> Feature {
    Feature {
        label: label.into(),
        values: vec![("temp1_input".into(), degrees)],
    }
}

fn chip(name: &str, features: usize) -> Chip {
    let features = (0..features).map(|n| feature(&format!("f{n}"), 40.0));
    Chip {
        name: name.to_owned(),
        adapter: None,
        features: features.collect(),
    }
}

/// A document of the helper, with chips of these names.
fn document() -> impl Strategy<Value = Document> {
    let chips = proptest::sample::subsequence(&CHIPS[..], 0..=CHIPS.len());
    (chips, state()).prop_map(|(chips, state)| Document {
        chips: chips.into_iter().map(|name| chip(name, 2)).collect(),
        collected_at: Some("2026-11-21T10:00:03Z".into()),
        helper: Some(HelperInfo::default()),
        state,
        ..Document::default()
    })
}

/// Names of chips with the number of their features, in the order of names.
fn lengths(chips: &[Chip]) -> Vec<(String, usize)> {
    let mut lengths: Vec<_> = chips
        .iter()
        .map(|chip| (chip.name.clone(), chip.features.len()))
        .collect();
    lengths.sort();
    lengths
}

fn chips_of(lengths: &[usize]) -> Vec<Chip> {
    let chips = lengths.iter().enumerate();
    chips
        .map(|(n, length)| chip(&format!("x-isa-{n:x}"), *length))
        .collect()
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn state_is_read_as_written(document in document()) {
        let text = document.to_json();
        let expected = Reading { document, dropped: Dropped::default() };
        prop_assert_eq!(read(text.as_bytes()).unwrap(), expected.clone());
        // A missing comma: the tolerant reader has to do it.
        let broken = text.replacen("},\"smart\"", "}\"smart\"", 1);
        prop_assert_eq!(read(broken.as_bytes()).unwrap(), expected);
    }

    #[test]
    fn normalising_keeps_the_state(document in document()) {
        let before = document.state.clone();
        let normal = normalise(document);
        prop_assert_eq!(&normal.state.dropped, &before.dropped);
        prop_assert_eq!(&normal.state.omitted, &before.omitted);
        prop_assert_eq!(normal.state.chips.len(), before.chips.len());
        prop_assert_eq!(normalise(normal.clone()), normal);
    }

    #[test]
    fn no_value_is_older_than_a_minute(document in document()) {
        let normal = normalise(document);
        for state in normal.state.chips {
            if state.age_ms.is_some_and(|age| age > MAX_AGE_MS) {
                prop_assert_eq!(state.answering, Answering::Unreadable);
                prop_assert!(normal.chips.iter().all(|chip| chip.name != state.chip));
            }
        }
    }

    #[test]
    fn level_cuts_the_longest(
        lengths_before in vec(0..40_usize, 0..12),
        max in 0..200_usize,
        rotation in 0..12_usize,
    ) {
        let before = chips_of(&lengths_before);
        let mut chips = before.clone();
        let omitted = level(&mut chips, max);
        let left: usize = chips.iter().map(|chip| chip.features.len()).sum();
        prop_assert!(left <= max);
        // Nothing is cut without need, and at most the remainder of the share more than that.
        let all: usize = lengths_before.iter().sum();
        prop_assert!(left >= all.min(max.saturating_sub(lengths_before.len())));
        // What is left and what is omitted is everything; what is cut has the length of the longest.
        let longest = chips.iter().map(|chip| chip.features.len()).max().unwrap_or(0);
        for (chip, before) in chips.iter().zip(&before) {
            let cut = omitted.iter().find(|omitted| omitted.chip == chip.name);
            let sensors = cut.map_or(0, |cut| usize::try_from(cut.sensors).unwrap());
            prop_assert_eq!(chip.features.len() + sensors, before.features.len());
            prop_assert!(before.features.starts_with(&chip.features));
            prop_assert!(cut.is_none() || chip.features.len() == longest);
        }
        // Idempotent, and the same in every order.
        let again = chips.clone();
        prop_assert_eq!(level(&mut chips, max), Vec::new());
        prop_assert_eq!(&chips, &again);
        let mut rotated = before;
        let rotation = rotation.min(rotated.len());
        rotated.rotate_left(rotation);
        level(&mut rotated, max);
        prop_assert_eq!(lengths(&rotated), lengths(&chips));
    }
}

#[test]
fn other_shapes_are_malformed() {
    let chips =
        r#""sensors":{"x-isa-0":{"a":{"temp1_input":40.0}}},"smart":[{"device":"/dev/sda"}]"#;
    let good = r#"{"chip":"x-isa-0","state":"stale","age_ms":41000}"#;
    for (state, kept) in [
        ("5", 0),
        ("null", 0),
        ("\"slow\"", 0),
        ("[]", 0),
        ("[{\"chip\":\"x\"}]", 0),
        ("{\"chips\":5}", 0),
        ("{\"chips\":null}", 0),
        ("{\"chips\":{}}", 0),
        ("{\"chips\":{\"a\":{\"b\":1}}}", 0),
        ("{\"chips\":[5]}", 0),
        ("{\"chips\":[[]]}", 0),
        ("{\"chips\":[{}]}", 0),
        ("{\"chips\":[GOOD,{\"chip\":\"x-isa-0\"}]}", 1),
        (
            "{\"chips\":[GOOD,{\"chip\":\"y\",\"state\":\"asleep\"}]}",
            1,
        ),
        (
            "{\"chips\":[GOOD,{\"chip\":[],\"state\":\"slow\"},GOOD]}",
            2,
        ),
        (
            "{\"chips\":[GOOD,{\"chip\":{\"a\":1},\"state\":\"slow\"}]}",
            1,
        ),
        (
            "{\"omitted\":[{\"chip\":\"x\",\"sensors\":-1}],\"chips\":[GOOD]}",
            1,
        ),
        (
            "{\"dropped\":[{\"chip\":\"x\",\"sensor\":\"a\",\"value\":\"127\",\"reason\":\"open_input\"}]}",
            0,
        ),
        ("{\"chips\":[GOOD", 1),
        ("{\"chips\":[GOOD}", 1),
    ] {
        let state = state.replace("GOOD", good);
        for text in [
            format!("{{{chips},\"sensor_state\":{state}}}"),
            format!("{{\"sensor_state\":{state},{chips}}}"),
        ] {
            let reading = read(text.as_bytes()).unwrap();
            assert!(reading.dropped.malformed > 0, "{text}");
            let document = reading.document;
            assert_eq!(
                (document.chips.len(), document.disks.len()),
                (1, 1),
                "{text}"
            );
            assert_eq!(document.state.chips.len(), kept, "{text}");
            assert!(
                document.state.dropped.is_empty() && document.state.omitted.is_empty(),
                "{text}"
            );
        }
    }
}

#[test]
fn unknown_members_are_ignored() {
    let text = r#"{"sensors":{},"sensor_state":{"chips":[{"chip":"x","state":"slow","age_ms":null,
        "since":{"a":[1]}}],"later":[{"a":1}]}}"#;
    let reading = read(text.as_bytes()).unwrap();
    assert_eq!(reading.dropped, Dropped::default());
    assert_eq!(reading.document.state.chips.len(), 1);
}

#[test]
fn empty_state_is_not_written() {
    assert!(!Document::default().to_json().contains("sensor_state"));
    let mut document = Document::default();
    document.state.omit(Omitted {
        chip: "x".to_owned(),
        sensors: 3,
    });
    let expected = r#""sensor_state":{"omitted":[{"chip":"x","sensors":3}]}}"#;
    assert!(document.to_json().ends_with(expected));
}

#[test]
fn entries_are_limited() {
    let chip = r#"{"chip":"x-isa-0","state":"slow"}"#;
    let value = r#"{"chip":"x","sensor":"a","value":127,"reason":"open_input"}"#;
    let omitted = (0..1_100).map(|n| format!("{{\"chip\":\"{n}\",\"sensors\":1}}"));
    let text = format!(
        r#"{{"sensors":{{}},"sensor_state":{{"chips":[{}],"dropped":[{}],"omitted":[{}]}}}}"#,
        vec![chip; 1_100].join(","),
        vec![value; 1_100].join(","),
        omitted.collect::<Vec<_>>().join(",")
    );
    for text in [text.clone(), format!("{text}}}")] {
        let reading = read(text.as_bytes()).unwrap();
        let state = reading.document.state;
        assert_eq!(state.chips.len(), MAX_STATE_ENTRIES);
        assert_eq!(state.dropped.len(), MAX_STATE_ENTRIES);
        assert_eq!(state.omitted.len(), MAX_STATE_ENTRIES);
        assert_eq!(reading.dropped.malformed, 3 * 76);
    }
}

/// A package and its cores.
fn socket(name: &str, cores: usize) -> Chip {
    let package = std::iter::once(feature("Package id 0", 50.0));
    let cores = (0..cores).map(|core| Feature {
        label: format!("Core {core}").into(),
        values: vec![(format!("temp{}_input", core + 2).into(), 40.0)],
    });
    Chip {
        name: name.to_owned(),
        adapter: None,
        features: package.chain(cores).collect(),
    }
}

#[test]
fn two_sockets_of_288_cores_are_whole() {
    let mut chips = vec![
        socket("coretemp-isa-0000", 288),
        socket("coretemp-isa-0001", 288),
        chip("nct6798-isa-0290", 12),
    ];
    chips.extend((1..5).map(|disk| chip(&format!("nvme-pci-0{disk}00"), 3)));
    let document = Document {
        chips,
        disks: vec![Disk::default(); 4],
        ..Document::default()
    };
    let normal = normalise(document);
    assert_eq!(normal.chips.len(), 6);
    assert_eq!(normal.chips[0].features.len(), 577);
    assert!(normal.state.is_empty());
}

#[test]
fn cut_cores_are_said() {
    let names = [
        "coretemp-isa-0000",
        "coretemp-isa-0001",
        "coretemp-isa-0002",
    ];
    let sockets = names.map(|name| socket(name, 400)).to_vec();
    let normal = normalise(Document {
        chips: sockets,
        ..Document::default()
    });
    assert_eq!(normal.chips[0].features.len(), MAX_FEATURES);
    assert_eq!(normal.chips[0].features[0].label, "Package id 0");
    let expected = Omitted {
        chip: names[0].to_owned(),
        sensors: 177,
    };
    assert_eq!(normal.state.omitted, [expected]);
}

/// Disks and boards stay when processors have too many cores.
#[test]
fn cores_lose_to_disks_and_boards() {
    let mut chips: Vec<Chip> = (0..16)
        .map(|n| socket(&format!("coretemp-isa-{n:04x}"), 300))
        .collect();
    chips.extend((0..60).map(|n| chip(&format!("drivetemp-scsi-{n}-0"), 1)));
    let text = Document {
        chips,
        ..Document::default()
    }
    .to_json();
    for text in [text.clone(), format!("{text}}}")] {
        let document = read(text.as_bytes()).unwrap().document;
        let features: usize = document.chips.iter().map(|chip| chip.features.len()).sum();
        assert!(
            (4_000..=MAX_FEATURES_IN_ALL).contains(&features),
            "{features}"
        );
        assert_eq!(document.chips.len(), 76);
        assert!(document.chips.iter().all(|chip| !chip.features.is_empty()));
        assert_eq!(document.state.omitted.len(), 16);
        assert!(document.state.omitted.iter().all(|cut| cut.sensors == 49));
    }
}

#[test]
fn chips_over_the_limit_are_said() {
    let chips = (0..=MAX_CHIPS).map(|n| chip(&format!("x-isa-{n:x}"), 3));
    let document = Document {
        chips: chips.collect(),
        ..Document::default()
    };
    let expected = Omitted {
        chip: "x-isa-400".to_owned(),
        sensors: 3,
    };
    let reading = read(document.to_json().as_bytes()).unwrap();
    assert_eq!(reading.document.chips.len(), MAX_CHIPS);
    assert_eq!(reading.document.state.omitted, [expected]);
    assert_eq!(reading.dropped.malformed, 0);
}
