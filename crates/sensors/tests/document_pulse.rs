//! Pulse shows the same temperature in whatever order it iterates over a document.
//!
//! Pulse keeps a document in maps without order. This test has its algorithm for the package
//! temperature. A normalised document has to give the same result in every order, and no name in
//! it may depend on the temperatures.

#![allow(clippy::float_cmp, reason = "numbers that are copied, not computed")]
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::{select, subsequence};
use pulse_sensors::document::{Chip, Document, Feature, History, normalise, read};

/// A machine has one kind of processor.
const PROCESSORS: [&[&str]; 4] = [
    &[
        "coretemp-isa-0000",
        "coretemp-isa-0001",
        "coretemp-isa-0002",
    ],
    &["k10temp-pci-00c3", "k10temp-pci-00cb"],
    &["zenpower-pci-00c3", "zenpower-pci-00cb"],
    &["cpu_thermal-virtual-0"],
];

const PROCESSOR_LABELS: [&[&str]; 4] = [
    &[
        "Package id 0",
        "Package id 1",
        "Core 0",
        "Core 1",
        "Core 8",
        "Core 0 #2",
        "Exhaust",
    ],
    &["Tctl", "Tdie", "Tccd1", "Tccd2", "Tccd7"],
    &["Tdie", "Tctl", "Tccd1", "Tccd3", "SVI2_Core"],
    &["temp1"],
];

const BOARDS: [&str; 8] = [
    "acpitz-acpi-0",
    "it8728-isa-0a30",
    "nct6798-isa-0290",
    "nct6687-isa-0a20",
    "w83627ehf-isa-0290",
    "f71882fg-isa-0a00",
    "rp1_adc-isa-0000",
    "nvme-pci-0100",
];

const BOARD_LABELS: [&str; 12] = [
    "SYSTIN",
    "CPUTIN",
    "CPU Temperature",
    "PCH_CPU_TEMP",
    "temp1",
    "temp2",
    "Temp 3",
    "tctl",
    "Tdie",
    "Package id 7",
    "Tccd1",
    "Composite",
];

/// Output of real machines, the temperature of the processor, and the highest one of all sensors.
const MACHINES: [(&str, f64, f64); 6] = [
    (
        include_str!("corpus/documents/acpitz_six_zones.txt"),
        45.0,
        45.0,
    ),
    (
        include_str!("corpus/documents/open_input_216.txt"),
        42.5,
        44.0,
    ),
    (
        include_str!("corpus/documents/boards_without_labels.txt"),
        52.0,
        52.0,
    ),
    (
        include_str!("corpus/documents/coretemp_renamed.txt"),
        45.0,
        48.0,
    ),
    (
        include_str!("corpus/documents/coretemp_without_package_renamed.txt"),
        52.0,
        52.0,
    ),
    (
        include_str!("corpus/documents/dies_without_labels.txt"),
        68.75,
        68.75,
    ),
];

/// The document of a machine's first reading, as the daemon answers.
fn answer(printed: &str) -> Document {
    let mut document = read(printed.as_bytes()).unwrap().document;
    History::default().drop_meaningless(&mut document);
    normalise(document)
}

fn feature(label: &str, degrees: Option<f64>) -> Feature {
    let values = degrees.map(|degrees| ("temp1_input".into(), degrees));
    Feature {
        label: label.into(),
        values: values.into_iter().collect(),
    }
}

/// A temperature, which is sometimes missing.
fn reading() -> impl Strategy<Value = Option<f64>> {
    prop_oneof![9 => (1_000..110_000).prop_map(|m: i32| Some(f64::from(m) / 1000.0)), 1 => Just(None)]
}

fn chip(name: &'static str, labels: &'static [&'static str]) -> impl Strategy<Value = Chip> {
    let features = subsequence(labels, 1..=labels.len()).prop_flat_map(|labels| {
        let degrees = vec(reading(), labels.len());
        degrees.prop_map(move |degrees| {
            let features = labels.iter().zip(degrees);
            features
                .map(|(label, degrees)| feature(label, degrees))
                .collect()
        })
    });
    features.prop_map(|features| Chip {
        name: name.to_owned(),
        adapter: None,
        features,
    })
}

fn some_of(
    names: &'static [&'static str],
    labels: &'static [&'static str],
) -> impl Strategy<Value = Vec<Chip>> {
    subsequence(names, 0..=names.len()).prop_flat_map(move |names| {
        names
            .into_iter()
            .map(|name| chip(name, labels))
            .collect::<Vec<_>>()
    })
}

fn document() -> impl Strategy<Value = Document> {
    let processors = (0..PROCESSORS.len())
        .prop_flat_map(|kind| some_of(PROCESSORS[kind], PROCESSOR_LABELS[kind]));
    let chips = (processors, some_of(&BOARDS, &BOARD_LABELS));
    let chips = chips.prop_map(|(processors, boards)| [processors, boards].concat());
    chips.prop_shuffle().prop_map(|chips| Document {
        chips,
        ..Document::default()
    })
}

/// The same chips and features in another order, as a map may return them.
fn shuffled(document: &Document) -> impl Strategy<Value = Vec<Chip>> + use<> {
    let chips = document.chips.clone().into_iter().map(|chip| {
        let features = Just(chip.features.clone()).prop_shuffle();
        features.prop_map(move |features| Chip {
            features,
            ..chip.clone()
        })
    });
    chips.collect::<Vec<_>>().prop_shuffle()
}

/// The package temperature that Pulse finds in this order.
fn package_for_pulse(chips: &[Chip]) -> f64 {
    let names = [
        "coretemp",
        "k10temp",
        "zenpower",
        "acpitz",
        "it87",
        "nct6687",
        "nct6798",
        "w83627",
        "f71882",
        "cpu_thermal",
        "rp1_adc",
    ];
    let known = chips
        .iter()
        .filter(|chip| names.iter().any(|name| chip.name.contains(name)));
    known.fold(0.0, package_after)
}

/// The package temperature after one more chip.
fn package_after(before: f64, chip: &Chip) -> f64 {
    let labelled = |is_meant: &dyn Fn(&str) -> bool| {
        let features = chip
            .features
            .iter()
            .filter(|feature| is_meant(&feature.label));
        features.filter_map(Feature::input).collect::<Vec<_>>()
    };
    let strong = labelled(&|label| {
        ["Package id", "Tdie", "Tctl", "tctl"]
            .iter()
            .any(|part| label.contains(part))
    });
    let weak = labelled(&|label| {
        label.contains("CPU") && (label.contains("TIN") || label.to_lowercase().contains("temp"))
    });
    let chiplets = labelled(&|label| label.starts_with("Tccd"));
    let unlabelled = labelled(&|label| label.to_lowercase().starts_with("temp"));
    if let Some(found) = strong.last().or(weak.first()) {
        *found
    } else if !chiplets.is_empty() {
        chiplets.into_iter().fold(before, f64::max)
    } else if before <= 0.0 {
        unlabelled.first().copied().unwrap_or(before)
    } else {
        before
    }
}

fn processors(document: &Document) -> Vec<Chip> {
    let chips = document.chips.iter().filter(|chip| {
        let words = ["coretemp", "k10temp", "zenpower", "cpu_thermal"];
        words.iter().any(|word| chip.name.starts_with(word))
    });
    chips.cloned().collect()
}

/// Every feature with a reading, and with a limit that identifies its origin.
fn all_read(document: &Document, degrees: &[f64]) -> Document {
    let mut document = document.clone();
    let features = document
        .chips
        .iter_mut()
        .flat_map(|chip| &mut chip.features);
    for ((feature, degrees), origin) in features.zip(degrees).zip(1_u32..) {
        let input = ("temp1_input".into(), *degrees);
        feature.values = vec![input, ("temp1_max".into(), f64::from(origin))];
    }
    document
}

/// The names in a document with the origin of each value, except for packages.
fn names(document: &Document) -> Vec<(String, String, Option<f64>)> {
    let of_chip = |chip: &Chip| {
        let features = chip.features.clone().into_iter();
        let name = chip.name.clone();
        features.map(move |feature| {
            let is_package =
                ["Package id", "Tdie", "Tctl"].contains(&feature.label.trim_end_matches(" 0"));
            let origin = (!is_package).then(|| feature.values[1].1);
            (name.clone(), feature.label.to_string(), origin)
        })
    };
    document.chips.iter().flat_map(of_chip).collect()
}

/// A die's reading replaces what was found before only if it is hotter, and a sensor without a
/// label may have been found.
#[test]
fn cold_die_of_a_board_is_not_ambiguous() {
    let board = |name: &str, features: &[(&str, f64)]| Chip {
        name: name.to_owned(),
        adapter: None,
        features: features
            .iter()
            .map(|(label, degrees)| feature(label, Some(*degrees)))
            .collect(),
    };
    let chips = vec![
        board("w83627ehf-isa-0290", &[("Tccd1", 1.0)]),
        board(
            "rp1_adc-isa-0000",
            &[("temp2", 14.048), ("Composite", 92.917)],
        ),
    ];
    let mut normal = normalise(Document {
        chips,
        ..Document::default()
    });
    let one = package_for_pulse(&normal.chips);
    normal.chips.reverse();
    assert_eq!(package_for_pulse(&normal.chips), one);
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, cases: 512, max_shrink_iters: 2_000, ..ProptestConfig::default() })]

    #[test]
    fn order_does_not_change_the_package(
        (normal, one, other) in document().prop_map(normalise).prop_flat_map(|normal| {
            (Just(normal.clone()), shuffled(&normal), shuffled(&normal))
        })
    ) {
        prop_assert_eq!(package_for_pulse(&one), package_for_pulse(&other));
        let own = processors(&normal);
        let is_known = own.iter().any(|chip| chip.features.iter().any(|feature| {
            !feature.label.starts_with("SVI2_Core")
        }));
        if is_known {
            prop_assert_eq!(package_for_pulse(&one), package_for_pulse(&own));
        }
    }

    #[test]
    fn machines_have_the_right_temperature(
        (processor, highest, chips) in select(&MACHINES[..]).prop_flat_map(|(printed, processor, highest)| {
            (Just(processor), Just(highest), shuffled(&answer(printed)))
        })
    ) {
        prop_assert_eq!(package_for_pulse(&chips), processor);
        let inputs = chips.iter().flat_map(|chip| &chip.features).filter_map(Feature::input);
        prop_assert_eq!(inputs.fold(0.0, f64::max), highest);
    }

    #[test]
    fn names_do_not_depend_on_readings(
        document in document(),
        one in vec(1.0..110.0_f64, 128),
        other in vec(1.0..110.0_f64, 128),
    ) {
        let [one, other] = [one, other].map(|degrees| normalise(all_read(&document, &degrees)));
        prop_assert_eq!(names(&one), names(&other));
    }

    #[test]
    fn core_numbers_do_not_move(
        document in document(),
        degrees in vec(1.0..110.0_f64, 128),
        is_read in vec(any::<bool>(), 128),
    ) {
        let all = all_read(&document, &degrees);
        let mut some = all.clone();
        let features = some.chips.iter_mut().flat_map(|chip| &mut chip.features);
        features.zip(is_read).filter(|(_, is_read)| !is_read).for_each(|(feature, _)| feature.values.clear());
        let is_core = |(_, label, _): &(String, String, Option<f64>)| label.starts_with("Core ") || label.starts_with("Tccd");
        let all = names(&Document { chips: processors(&normalise(all)), ..Document::default() });
        let some = names(&Document { chips: processors(&normalise(some)), ..Document::default() });
        prop_assert!(some.iter().filter(|name| is_core(name)).all(|name| all.contains(name)), "{some:?} {all:?}");
    }
}
