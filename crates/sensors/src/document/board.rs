//! Chips of the board say nothing about a processor that speaks for itself.
//!
//! Pulse takes Super I/O chips, ACPI's thermal zones and a Raspberry Pi's I/O chip for
//! processor chips, as some machines have nothing else. It walks over the chips in
//! random order, and in each one looks for the package temperature:
//!
//! 1. a `Package id`, `Tdie` or `Tctl` is taken whatever was found before;
//! 2. so is a label that speaks of the processor's temperature (`CPUTIN`,
//!    `CPU Temperature`), unless this very chip has one of the first sort;
//! 3. in a chip with neither, the hottest `Tccd` is taken if it is hotter than what
//!    was found before;
//! 4. else one label that starts with `temp`, as drivers without labels have them,
//!    is taken if nothing was found before.
//!
//! So beside a real processor chip the first three sorts are left out of the others:
//! a `CPUTIN`, often far off, would replace the package in every second reading.
//! The fourth can never replace a package, so it stays (`acpitz` has nothing else)
//! unless
//!
//! * the processor has no package of its own to be found first or last: then the
//!   28 °C that so many `acpitz` report for ever would be the processor's; or
//! * its chip loses a label here, and so would come to be looked at this way.
//!
//! Whether a label is there decides, not whether it could be read this time. Where
//! no processor chip says anything that Pulse understands, the board's word stays.

use super::model::{Chip, Feature};
use super::processor::is_processor;

/// What is in the names of the board's chips that Pulse takes for a processor's:
/// families, since most of them are named by model (`it8728`, `nct6798`).
const BOARDS: [&str; 7] = [
    "acpitz", "it87", "nct66", "nct67", "w83627", "f71882", "rp1_adc",
];

/// How Pulse reads a label on such a chip.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Meaning {
    Package,
    Processor,
    Chiplet,
    Core,
    Unlabelled,
    Nothing,
}

/// Leaves to the processor's own chip what Pulse takes for the package.
pub(super) fn silence_boards(chips: &mut [Chip]) {
    let processors = chips.iter().filter(|chip| is_processor(chip));
    let heard: Vec<_> = processors.flat_map(readings).collect();
    if heard.iter().all(|meaning| *meaning == Meaning::Nothing) {
        return;
    }
    let has_package = heard.contains(&Meaning::Package);
    for board in chips.iter_mut().filter(|chip| is_board(chip)) {
        silence(board, has_package);
    }
}

fn silence(board: &mut Chip, has_package: bool) {
    let before = board.features.len();
    board.features.retain(|feature| !is_claim(&feature.label));
    if !has_package || board.features.len() < before {
        let is_unlabelled = |feature: &Feature| meaning(&feature.label) == Meaning::Unlabelled;
        board.features.retain(|feature| !is_unlabelled(feature));
    }
}

fn readings(chip: &Chip) -> impl Iterator<Item = Meaning> {
    let readable = chip
        .features
        .iter()
        .filter(|feature| feature.input().is_some());
    readable.map(|feature| meaning(&feature.label))
}

/// Pulse looks for these words anywhere in a name, in any case; so do we. A
/// processor's chip is never one of the board.
fn is_board(chip: &Chip) -> bool {
    !is_processor(chip) && BOARDS.iter().any(|board| mentions(&chip.name, board))
}

fn is_claim(label: &str) -> bool {
    matches!(
        meaning(label),
        Meaning::Package | Meaning::Processor | Meaning::Chiplet
    )
}

fn meaning(label: &str) -> Meaning {
    let says = |word| mentions(label, word);
    if label.contains("Package id") || label.contains("Tdie") || says("tctl") {
        Meaning::Package
    } else if says("cputin") || (says("cpu") && says("temp")) {
        Meaning::Processor
    } else if label.starts_with("Tccd") {
        Meaning::Chiplet
    } else if label.starts_with("Core ") {
        Meaning::Core
    } else if label.starts_with("temp") || label.starts_with("Temp") {
        Meaning::Unlabelled
    } else {
        Meaning::Nothing
    }
}

/// Whether the word is anywhere in the text, in any case.
fn mentions(text: &str, word: &str) -> bool {
    let mut parts = text.as_bytes().windows(word.len());
    parts.any(|part| part.eq_ignore_ascii_case(word.as_bytes()))
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

    /// The labels that are left on a board's chip beside a processor's.
    fn beside(processor: (&str, &[&str]), board: (&str, &[&str])) -> Vec<String> {
        let mut chips = [chip(board.0, board.1), chip(processor.0, processor.1)];
        silence_boards(&mut chips);
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
    fn a_board_does_not_replace_the_package() {
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
    fn what_can_never_be_the_package_stays() {
        let labels = ["temp1", "temp2"];
        for board in ["acpitz-acpi-0", "it8728-isa-0a30"] {
            assert_eq!(beside(INTEL, (board, &labels)), labels);
        }
    }

    #[test]
    fn a_processor_without_package_does_not_get_one_from_the_board() {
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
    fn a_chip_that_loses_a_label_is_not_looked_at_more_closely() {
        let board = (
            "nct6798-isa-0290",
            ["CPUTIN", "temp12", "SYSTIN"].as_slice(),
        );
        assert_eq!(beside(INTEL, board), ["SYSTIN"]);
    }

    #[test]
    fn a_board_speaks_where_no_processor_does() {
        let board = ("nct6798-isa-0290", ["CPUTIN", "temp12"].as_slice());
        for mute in [
            ("nvme-pci-0100", ["Composite"].as_slice()),
            ("coretemp-isa-0000", &["Exhaust"]),
        ] {
            assert_eq!(beside(mute, board), ["CPUTIN", "temp12"]);
        }
        let mut unreadable = chip(INTEL.0, INTEL.1);
        unreadable
            .features
            .iter_mut()
            .for_each(|feature| feature.values.clear());
        let mut chips = [unreadable, chip(board.0, board.1)];
        silence_boards(&mut chips);
        assert_eq!(chips[1], chip(board.0, board.1));
    }
}
