//! The processor's temperature on a machine without a driver for its processor.
//!
//! Boards and virtual machines without `coretemp`, `k10temp` or `zenpower` have other sensors that
//! measure the processor, and Pulse takes one of them: which one depends on the order in which it
//! iterates. So one is chosen here, by a fixed order, and gets a chip and a label of its own, which
//! Pulse prefers to everything that is left. The choice depends on names and on the type of a
//! sensor, and among sensors of equal rank that are parts of one processor on the temperature.
//!
//! docs/protocol.md has the same order.

use super::board::{LabelKind, is_board, label_kind, taken_by_pulse};
use super::component::Component;
use super::limits::MAX_CHIPS;
use super::model::{Chip, Feature};
use super::processor::{hottest, is_processor};
use super::state::{Omitted, SensorState};
use super::text::unique;
use smol_str::SmolStr;

/// The first letters of the drivers of boards that Pulse does not know.
const OTHER_BOARDS: [&str; 12] = [
    "asus",
    "dell",
    "hp_wmi",
    "ibmpex",
    "it8",
    "nct",
    "f71",
    "f75",
    "sch5",
    "thinkpad",
    "w83",
    "gigabyte_wmi",
];

/// The driver of the chosen temperature's chip: the kernel's name for the processor's thermal zone,
/// which Pulse knows.
const ZONE: &str = "cpu_thermal";

/// The label of the chosen temperature.
const LABEL: &str = "CPU Temperature";

/// `temp*_type` (Documentation/hwmon/sysfs-interface): AMD's SB-TSI and Intel's PECI, by which a
/// processor transmits its own digital reading.
const TRANSMITTED: [f64; 2] = [5.0, 6.0];

/// Labels of such a reading: nct6775 (`TSI0_TEMP`, `PECI Agent 0`, `SMBUSMASTER 0`).
const TRANSMITTED_LABELS: [&str; 3] = ["tsi", "peci agent", "smbusmaster"];

/// The rank of a temperature, the best first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Rank {
    /// A driver or thermal zone of the processor.
    Processor,
    /// A board chip's copy of the reading that the processor transmits (TSI, PECI).
    Transmitted,
    /// The board chip's input for the processor's diode.
    Diode,
    /// A label that names the processor.
    Named,
    /// The chipset's copy of the processor's temperature.
    Chipset,
    /// The zone of a group of cores on a system on a chip.
    Cores,
    /// The zone of the whole system on a chip.
    Soc,
    /// A board chip's reading without a label.
    Unlabelled,
    /// An ACPI zone: often a constant, and often the board's temperature.
    Acpi,
}

impl Rank {
    /// The rank of a feature; `None` if it does not measure the processor. Everything that Pulse
    /// takes for the processor's temperature has one.
    fn of(chip: &Chip, feature: &Feature) -> Option<Self> {
        let driver = chip.driver();
        let label = feature.label.to_ascii_lowercase();
        let mut values = feature.values.iter();
        let kind = values.find(|(name, _)| name.ends_with("_type"));
        let is_transmitted = kind.is_some_and(|(_, kind)| TRANSMITTED.contains(kind))
            || TRANSMITTED_LABELS
                .iter()
                .any(|word| label.starts_with(word));
        let is_board =
            is_board(&chip.name) || OTHER_BOARDS.iter().any(|board| driver.starts_with(board));
        match label_kind(&feature.label) {
            _ if chip.component() == Component::Processor => Some(Self::Processor),
            _ if driver.contains("core") && driver.ends_with("thermal") => Some(Self::Cores),
            _ if driver == "soc_thermal" => Some(Self::Soc),
            _ if driver == "apm_xgene" => label.starts_with("soc").then_some(Self::Soc),
            // Other chips have labels like these for what they measure.
            _ if !is_board => None,
            _ if is_transmitted => Some(Self::Transmitted),
            _ if label.contains("cputin") => Some(Self::Diode),
            // On many boards the chipset's copy of the processor's temperature is 0.
            LabelKind::Processor if label.starts_with("pch") => Some(Self::Chipset),
            LabelKind::Package | LabelKind::Processor | LabelKind::Chiplet => Some(Self::Named),
            _ if label == "cpu" => Some(Self::Named),
            LabelKind::Unlabelled if driver == "acpitz" => Some(Self::Acpi),
            LabelKind::Unlabelled => Some(Self::Unlabelled),
            LabelKind::Core | LabelKind::Unknown => None,
        }
    }
}

/// Adds the chosen temperature, unless a driver of the processor has one or Pulse takes the chosen
/// one anyway.
pub(super) fn add_processor(chips: &mut Vec<Chip>, state: &mut SensorState) {
    let mut of_drivers = chips
        .iter()
        .filter(|chip| is_processor(chip) && chip.driver() != ZONE)
        .flat_map(|chip| &chip.features);
    if of_drivers.any(|feature| feature.input().is_some()) {
        return;
    }
    let ranked = |chip| {
        let ranked = move |feature| Some((Rank::of(chip, feature)?, chip, feature));
        chip.features.iter().filter_map(ranked)
    };
    let mut candidates: Vec<(Rank, &Chip, &Feature)> = chips
        .iter()
        .flat_map(ranked)
        .filter(|(.., feature)| feature.input().is_some())
        .collect();
    let Some(best) = candidates.iter().map(|(rank, ..)| *rank).min() else {
        return;
    };
    candidates.retain(|(rank, ..)| *rank == best);
    if let [(_, chip, _)] = candidates.as_slice()
        && chip.driver() == ZONE
    {
        // Pulse takes it, once the readings of boards are removed.
        return;
    }
    // Several temperatures of these ranks are parts of one processor, whose hottest counts.
    let chosen = if matches!(best, Rank::Processor | Rank::Cores | Rank::Soc) {
        hottest(candidates.iter().map(|(.., feature)| *feature))
    } else {
        // By name, so that the order of the document does not matter.
        candidates
            .iter()
            .min_by_key(|(_, chip, feature)| (&chip.name, channel(feature)))
            .map(|(.., feature)| *feature)
    };
    let Some(chosen) = chosen else { return };
    if let [only] = taken_by_pulse(chips).as_slice()
        && std::ptr::eq(*only, chosen)
    {
        // Pulse takes the chosen one already, in every order.
        return;
    }
    let feature = Feature {
        label: SmolStr::new_static(LABEL),
        values: chosen.values.clone(),
    };
    if let Some(chip) = chips.iter_mut().find(|chip| chip.driver() == ZONE) {
        chip.features.retain(|feature| feature.label != LABEL);
        chip.features.insert(0, feature);
    } else {
        // It counts against the limit of chips, which a reader of the document has too.
        for chip in chips.drain((MAX_CHIPS - 1).min(chips.len())..) {
            state.omit(Omitted {
                chip: chip.name,
                sensors: chip.features.len() as u64,
            });
        }
        chips.push(Chip {
            // A zone of this name that does not answer has a state of its own.
            name: unique(
                format!("{ZONE}-virtual-0"),
                state.chips.iter().map(|state| state.chip.as_str()),
            ),
            adapter: Some("Virtual device".to_owned()),
            features: vec![feature],
        });
    }
}

/// The number of a feature's sensor: 3 for `temp3_input`.
fn channel(feature: &Feature) -> Option<u32> {
    let (name, _) = feature.values.first()?;
    let (number, _) = name.strip_prefix("temp")?.split_once('_')?;
    number.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::document::board::remove_board_readings;

    /// A chip with features of this label and temperature, on channels 1, 2, ….
    fn chip(name: &str, features: &[(&str, f64)]) -> Chip {
        let features = (1..)
            .zip(features)
            .map(|(channel, (label, degrees))| Feature {
                label: (*label).into(),
                values: vec![(format!("temp{channel}_input").into(), *degrees)],
            });
        Chip {
            name: name.to_owned(),
            adapter: None,
            features: features.collect(),
        }
    }

    /// The temperature that Pulse takes, the same for every order of the chips, and whether a chip
    /// was added for it.
    fn chosen(mut chips: Vec<Chip>) -> (Option<f64>, bool) {
        let of = |mut chips: Vec<Chip>| {
            let before = chips.len();
            add_processor(&mut chips, &mut SensorState::default());
            let is_added = chips.len() > before;
            remove_board_readings(&mut chips);
            let taken = taken_by_pulse(&chips);
            assert!(taken.len() <= 1, "{chips:#?}");
            (taken.first().and_then(|only| only.input()), is_added)
        };
        let first = of(chips.clone());
        for _ in 0..chips.len() {
            chips.rotate_left(1);
            assert_eq!(of(chips.clone()), first, "{chips:#?}");
        }
        first
    }

    #[test]
    fn better_sources_come_first() {
        let sources = [
            chip("k8temp-pci-00c3", &[("Core0 Temp", 10.0)]),
            chip("nct6798-isa-0290", &[("SYSTIN", 1.0), ("TSI0_TEMP", 20.0)]),
            chip("nct6776-isa-0290", &[("SYSTIN", 1.0), ("CPUTIN", 30.0)]),
            chip("it8689-isa-0a40", &[("CPU Temperature", 40.0)]),
            chip("nct6791-isa-0290", &[("PCH_CPU_TEMP", 45.0)]),
            chip("bigcore0_thermal-virtual-0", &[("temp1", 50.0)]),
            chip("soc_thermal-virtual-0", &[("temp1", 60.0)]),
            chip("it8728-isa-0a30", &[("temp1", 70.0), ("temp2", 71.0)]),
            chip("acpitz-acpi-0", &[("temp1", 80.0), ("temp2", 81.0)]),
        ];
        let best = [10.0, 20.0, 30.0, 40.0, 45.0, 50.0, 60.0, 70.0, 80.0];
        for (first, best) in best.into_iter().enumerate() {
            assert_eq!(chosen(sources[first..].to_vec()).0, Some(best));
        }
    }

    #[test]
    fn hottest_core_counts() {
        let zones = [
            chip("littlecore_thermal-virtual-0", &[("temp1", 40.0)]),
            chip("bigcore1_thermal-virtual-0", &[("temp1", 44.0)]),
            chip("gpu_thermal-virtual-0", &[("temp1", 60.0)]),
            chip("soc_thermal-virtual-0", &[("temp1", 42.0)]),
        ];
        assert_eq!(chosen(zones.to_vec()), (Some(44.0), true));
        let zones = [chip(
            "cpu_thermal-virtual-0",
            &[("temp1", 40.0), ("temp2", 45.0)],
        )];
        assert_eq!(chosen(zones.to_vec()).0, Some(45.0));
    }

    /// PECI and TSI by `temp*_type`.
    #[test]
    fn transmitted_reading_is_known_by_its_type() {
        let mut board = chip(
            "it8728-isa-0a30",
            &[("temp1", 35.0), ("temp2", 33.0), ("temp3", 52.0)],
        );
        for (index, kind) in [4.0, 3.0, 6.0].into_iter().enumerate() {
            let name = format!("temp{}_type", index + 1);
            board.features[index].values.push((name.into(), kind));
        }
        assert_eq!(chosen(vec![board]), (Some(52.0), true));
    }

    #[test]
    fn chips_stay_within_their_limit() {
        let board = |number| chip(&format!("acpitz-acpi-{number}"), &[("temp1", 40.0)]);
        let mut chips: Vec<Chip> = (0..MAX_CHIPS).map(board).collect();
        add_processor(&mut chips, &mut SensorState::default());
        assert_eq!(chips.len(), MAX_CHIPS);
        assert_eq!(chips[MAX_CHIPS - 1].driver(), ZONE);
    }

    #[test]
    fn clear_choice_needs_no_chip() {
        for chips in [
            vec![chip("acpitz-acpi-0", &[("temp1", 40.0)])],
            vec![chip("cpu_thermal-virtual-0", &[("temp1", 40.0)])],
            vec![chip(
                "nct6776-isa-0290",
                &[("SYSTIN", 1.0), ("CPUTIN", 30.0)],
            )],
            vec![chip(
                "nvme-pci-0100",
                &[("Composite", 40.0), ("Sensor 1", 41.0)],
            )],
            vec![
                chip("coretemp-isa-0000", &[("Package id 0", 50.0)]),
                chip("nct6798-isa-0290", &[("TSI0_TEMP", 20.0), ("CPUTIN", 30.0)]),
            ],
        ] {
            assert!(!chosen(chips).1);
        }
    }
}
