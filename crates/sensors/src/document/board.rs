//! Removal of a board chip's processor temperatures, for a processor that has its own chip.
//!
//! Pulse treats Super I/O chips, ACPI thermal zones and a Raspberry Pi's I/O chip as processor
//! chips, since some machines have no other. It iterates over the chips in random order and
//! searches each for the package temperature:
//!
//! 1. A `Package id`, `Tdie` or `Tctl` replaces any temperature found before.
//! 2. So does a label that names the processor's temperature (`CPUTIN`, `CPU Temperature`), unless
//!    the same chip has one of the first kind.
//! 3. In a chip with neither, the highest `Tccd` counts if it is higher than the temperature found
//!    before.
//! 4. Otherwise a label that starts with `temp`, the default of drivers without labels, counts if
//!    none was found before.
//!
//! So if there is a processor chip, labels of the first three kinds are removed from board chips:
//! a `CPUTIN`, which is often wrong by far, would replace the package temperature in every second
//! reading. The fourth kind never replaces a package temperature and stays (`acpitz` has nothing
//! else), unless
//!
//! * the processor chip has no package temperature: then the constant 28 °C of many `acpitz`
//!   zones would be taken for the processor's; or
//! * the board chip loses a label here, and Pulse would then fall back to the fourth kind for it.
//!
//! The existence of a label decides, not whether it could be read this time: otherwise names would
//! come and go. If no processor chip has a label that Pulse understands, board chips are kept.

use super::model::{Chip, Feature};
use super::processor::is_processor;
use super::text::contains_word;

/// Parts of the names of board chips that Pulse treats as processor chips. They are families:
/// most chips are named by model (`it8728`, `nct6798`).
const BOARDS: [&str; 7] = [
    "acpitz", "it87", "nct66", "nct67", "w83627", "f71882", "rp1_adc",
];

/// The kind of a label to Pulse.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum LabelKind {
    Package,
    Processor,
    Chiplet,
    Core,
    Unlabelled,
    Unknown,
}

/// Removes the labels of board chips that Pulse would take for the package temperature, if a
/// processor chip has one.
pub(super) fn remove_board_readings(chips: &mut [Chip]) {
    let kinds: Vec<_> = chips
        .iter()
        .filter(|chip| is_processor(chip))
        .flat_map(|chip| &chip.features)
        .filter(|feature| feature.input().is_some())
        .map(|feature| label_kind(&feature.label))
        .collect();
    if kinds.iter().all(|kind| *kind == LabelKind::Unknown) {
        return;
    }
    // A label that names the processor replaces what was found before, too.
    let has_package = kinds.contains(&LabelKind::Package) || kinds.contains(&LabelKind::Processor);
    for board in chips.iter_mut() {
        if is_processor(board) || !is_board(&board.name) {
            continue;
        }
        let before = board.features.len();
        board.features.retain(|feature| {
            !matches!(
                label_kind(&feature.label),
                LabelKind::Package | LabelKind::Processor | LabelKind::Chiplet
            )
        });
        if !has_package || board.features.len() < before {
            board
                .features
                .retain(|feature| label_kind(&feature.label) != LabelKind::Unlabelled);
        }
    }
}

/// True if Pulse treats a chip of this name as a processor chip, and it is a board's. Like Pulse,
/// searches the words anywhere in the name and ignores case.
pub(super) fn is_board(name: &str) -> bool {
    BOARDS.iter().any(|board| contains_word(name, board))
}

/// The readings of which Pulse takes one for the processor's, depending on its order, where no chip
/// of a processor has a package temperature.
pub(super) fn taken_by_pulse(chips: &[Chip]) -> Vec<&Feature> {
    let known = |chip: &&Chip| is_processor(chip) || is_board(&chip.name);
    let of_kind = |chip: &'_ Chip, kind| {
        let features = chip.features.iter().enumerate();
        let is_meant =
            |feature: &Feature| feature.input().is_some() && label_kind(&feature.label) == kind;
        let indices = features.filter(|(_, feature)| is_meant(feature));
        indices.map(|(index, _)| index).collect::<Vec<_>>()
    };
    let taken = |kinds: &[LabelKind]| {
        let mut taken = Vec::new();
        for chip in chips.iter().filter(known) {
            let first = kinds
                .iter()
                .map(|kind| of_kind(chip, *kind))
                .find(|indices| !indices.is_empty());
            let indices = first.unwrap_or_default().into_iter();
            taken.extend(indices.filter_map(|index| chip.features.get(index)));
        }
        taken
    };
    // Without one that always replaces, a die does so only if it is hotter than a sensor without a
    // label that came before.
    if taken(&[LabelKind::Package, LabelKind::Processor]).is_empty() {
        taken(&[LabelKind::Chiplet, LabelKind::Unlabelled])
    } else {
        taken(&[LabelKind::Package, LabelKind::Processor, LabelKind::Chiplet])
    }
}

pub(super) fn label_kind(label: &str) -> LabelKind {
    let has = |word| contains_word(label, word);
    if label.contains("Package id") || label.contains("Tdie") || has("tctl") {
        LabelKind::Package
    } else if has("cputin") || (has("cpu") && has("temp")) {
        LabelKind::Processor
    } else if label.starts_with("Tccd") {
        LabelKind::Chiplet
    } else if label.starts_with("Core ") {
        LabelKind::Core
    } else if label.starts_with("temp") || label.starts_with("Temp") {
        LabelKind::Unlabelled
    } else {
        LabelKind::Unknown
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn chip(name: &str, labels: &[&str]) -> Chip {
        let feature = |label: &&str| Feature {
            label: (*label).into(),
            values: vec![("temp1_input".into(), 40.0)],
        };
        Chip {
            name: name.to_owned(),
            adapter: None,
            features: labels.iter().map(feature).collect(),
        }
    }

    /// The remaining labels of a board chip, beside a processor chip.
    fn beside(processor: (&str, &[&str]), board: (&str, &[&str])) -> Vec<String> {
        let mut chips = [chip(board.0, board.1), chip(processor.0, processor.1)];
        remove_board_readings(&mut chips);
        assert_eq!(chips[1], chip(processor.0, processor.1));
        let [board, _] = chips;
        board
            .features
            .into_iter()
            .map(|feature| feature.label.into())
            .collect()
    }

    const INTEL: (&str, &[&str]) = ("coretemp-isa-0000", &["Package id 0", "Core 0"]);
    const NO_PACKAGE: (&str, &[&str]) = ("coretemp-isa-0000", &["Core 0"]);

    #[test]
    fn board_does_not_replace_the_package() {
        let labels = [
            "SYSTIN",
            "CPUTIN",
            "cpu temperature",
            "Temp of CPU",
            "PCH_CPU_TEMP",
            "tctl",
            "AUXTIN0",
            "CPU fan zone",
            "TSI0_TEMP",
        ];
        let left = ["SYSTIN", "AUXTIN0", "CPU fan zone", "TSI0_TEMP"];
        for board in ["nct6798-isa-0290", "nct6687-isa-0a20", "w83627ehf-isa-0290"] {
            assert_eq!(beside(INTEL, (board, &labels)), left, "{board}");
        }
        for board in ["nvme-pci-0100", "amdgpu-pci-0300", "jc42-i2c-0-1a"] {
            assert_eq!(beside(INTEL, (board, &labels)), labels, "{board}");
        }
    }

    #[test]
    fn unlabelled_readings_stay() {
        let labels = ["temp1", "temp2"];
        for board in ["acpitz-acpi-0", "it8728-isa-0a30"] {
            assert_eq!(beside(INTEL, (board, &labels)), labels);
        }
    }

    #[test]
    fn board_is_no_substitute_package() {
        let pi = ("cpu_thermal-virtual-0", ["temp1"].as_slice());
        for processor in [NO_PACKAGE, ("zenpower-pci-00c3", &["Tccd1"]), pi] {
            for board in ["acpitz-acpi-0", "it8728-isa-0a30", "rp1_adc-isa-0000"] {
                assert_eq!(
                    beside(processor, (board, &["temp1", "fan zone"])),
                    ["fan zone"]
                );
            }
        }
    }

    #[test]
    fn unlabelled_readings_go_with_a_claim() {
        let board = (
            "nct6798-isa-0290",
            ["CPUTIN", "temp12", "SYSTIN"].as_slice(),
        );
        assert_eq!(beside(INTEL, board), ["SYSTIN"]);
    }

    #[test]
    fn board_stays_without_a_processor() {
        let board = ("nct6798-isa-0290", ["CPUTIN", "temp12"].as_slice());
        for other in [
            ("nvme-pci-0100", ["Composite"].as_slice()),
            ("coretemp-isa-0000", &["Exhaust"]),
        ] {
            assert_eq!(beside(other, board), ["CPUTIN", "temp12"]);
        }
        let mut unreadable = chip(INTEL.0, INTEL.1);
        unreadable
            .features
            .iter_mut()
            .for_each(|feature| feature.values.clear());
        let mut chips = [unreadable, chip(board.0, board.1)];
        remove_board_readings(&mut chips);
        assert_eq!(chips[1], chip(board.0, board.1));
    }
}
