//! Merging of several processor chips of one kind.
//!
//! Pulse keeps a time series for each name and each core number. So no name may depend on which
//! package is the hottest at the moment: two sockets with similar temperatures would swap their
//! series between readings. The first chip of the document is kept, with its name and cores. The
//! cores of the others are appended with the numbers that follow. Only the package temperature is
//! that of the hottest package, under a name that does not depend on it.
//!
//! Features without a reading are numbered too: a core that cannot be read in one reading does not
//! change the numbers of the next socket.
//!
//! A driver gives each of its sensors a fixed channel (`temp1`), and an operator can rename the
//! sensor (sensors.conf(5)). So a package is known by its channel as well as by its label, and it
//! has the stable label whatever the operator named it. A kind without a package (Intel before
//! Sandy Bridge) has its hottest core in that place.

use super::limits::MAX_FEATURES;
use super::model::{Chip, Feature};
use super::state::{Omitted, SensorState};
use super::text::{unique, without_number};
use smol_str::{SmolStr, format_smolstr};

/// The names of chips and features of a kind of processor.
struct ProcessorKind {
    /// The driver.
    chip: &'static str,
    /// The package temperatures, in order of preference.
    packages: &'static [PackageSensor],
    /// The label of a core before its number.
    core: &'static str,
    /// The number of the first core.
    first: u64,
}

/// A package temperature of a driver.
struct PackageSensor {
    /// Parts of the labels that the driver gives it.
    parts: &'static [&'static str],
    /// Its channel, which it has under any label.
    channel: &'static str,
    /// The label in the normalised document, for any socket.
    stable: &'static str,
}

/// drivers/hwmon/coretemp.c: the package is channel 1, cores begin with channel 2.
const INTEL: [PackageSensor; 1] = [PackageSensor {
    parts: &["Package id", "Physical id"],
    channel: "temp1_",
    stable: "Package id 0",
}];

/// drivers/hwmon/k10temp.c. `Tctl` is a scale for fan control, which some processors shift by up
/// to 27 °C. `Tdie`, where it exists, is the temperature. Where the driver gives no labels, channel
/// 1 is the only one of each die.
const K10TEMP: [PackageSensor; 2] = [
    PackageSensor {
        parts: &["Tdie"],
        channel: "temp2_",
        stable: "Tdie",
    },
    PackageSensor {
        parts: &["Tctl"],
        channel: "temp1_",
        stable: "Tctl",
    },
];

/// The channels of zenpower, which is not in the kernel, are in the other order.
const ZENPOWER: [PackageSensor; 2] = [
    PackageSensor {
        parts: &["Tdie"],
        channel: "temp1_",
        stable: "Tdie",
    },
    PackageSensor {
        parts: &["Tctl"],
        channel: "temp2_",
        stable: "Tctl",
    },
];

const KINDS: [ProcessorKind; 3] = [
    ProcessorKind {
        chip: "coretemp",
        packages: &INTEL,
        core: "Core ",
        first: 0,
    },
    ProcessorKind {
        chip: "k10temp",
        packages: &K10TEMP,
        core: "Tccd",
        first: 1,
    },
    ProcessorKind {
        chip: "zenpower",
        packages: &ZENPOWER,
        core: "Tccd",
        first: 1,
    },
];

/// Merges the chips of each kind of processor into the first of them.
///
/// The features must have temperatures only; features without a value are kept.
pub(super) fn merge_processors(chips: Vec<Chip>, state: &mut SensorState) -> Vec<Chip> {
    KINDS
        .iter()
        .fold(chips, |chips, kind| kind.merge(chips, state))
}

/// True if the chip belongs to a processor and not to the board.
pub(super) fn is_processor(chip: &Chip) -> bool {
    chip.name.starts_with("cpu_thermal") || KINDS.iter().any(|kind| kind.has(chip))
}

impl ProcessorKind {
    fn merge(&self, chips: Vec<Chip>, state: &mut SensorState) -> Vec<Chip> {
        let mut chips = without_repeated(chips, self);
        let Some(first) = chips.iter().position(|chip| self.has(chip)) else {
            return chips;
        };
        let others = chips
            .extract_if(first + 1.., |chip| self.has(chip))
            .collect();
        if let Some(first) = chips.get_mut(first) {
            let sensors = self.join(first, others);
            if sensors > 0 {
                let chip = first.name.clone();
                state.omit(Omitted { chip, sensors });
            }
        }
        chips
    }

    fn has(&self, chip: &Chip) -> bool {
        chip.driver() == self.chip
    }

    /// The package temperature that a feature is. A label that the driver gives decides before
    /// the channel does.
    fn package(&self, feature: &Feature) -> Option<&PackageSensor> {
        let by_label = self.packages.iter().find(|package| {
            package
                .parts
                .iter()
                .any(|part| feature.label.contains(part))
        });
        let is_core = self.core(&feature.label).is_some();
        by_label.or_else(|| {
            let (name, _) = feature.values.first()?;
            self.packages
                .iter()
                .find(|package| name.starts_with(package.channel))
                .filter(|_| !is_core)
        })
    }

    fn is_package(&self, feature: &Feature) -> bool {
        self.package(feature).is_some()
    }

    /// Appends the cores and other features of other chips to the first. Returns the number of
    /// other features that exceed the limit.
    fn join(&self, first: &mut Chip, others: Vec<Chip>) -> u64 {
        // The numbers of cores follow the order of the chips in the document, which does not depend
        // on temperatures.
        let package = self
            .hottest_package(first, &others)
            .or_else(|| self.hottest_core(first, &others));
        first.features.retain(|feature| !self.is_package(feature));
        let mut number = self.renumber(&mut first.features, self.first);
        let (mut cores, mut rest) = (Vec::new(), Vec::<Feature>::new());
        let mut omitted = 0;
        for mut chip in others {
            chip.features.retain(|feature| !self.is_package(feature));
            number = self.renumber(&mut chip.features, number);
            for mut feature in chip.features {
                if self.core(&feature.label).is_some() {
                    cores.push(feature);
                } else if rest.len() < MAX_FEATURES {
                    let taken = first.features.iter().chain(&rest);
                    feature.label = unique(feature.label, taken.map(|taken| taken.label.as_str()));
                    rest.push(feature);
                } else {
                    omitted += 1;
                }
            }
        }
        let features = std::mem::take(&mut first.features);
        first.features.extend(package);
        first.features.extend(features);
        // Cores first, so that the limit of features cuts off others.
        first.features.extend(cores);
        first.features.extend(rest);
        omitted
    }

    /// The package temperature of the hottest chip, under its stable label. If any chip has a
    /// `Tdie`, the `Tctl` of others is not compared with it: the scales differ.
    fn hottest_package(&self, first: &Chip, others: &[Chip]) -> Option<Feature> {
        self.packages.iter().find_map(|package| {
            let hotter = std::iter::once(first)
                .chain(others)
                .flat_map(|chip| &chip.features)
                .filter(|feature| {
                    self.package(feature)
                        .is_some_and(|known| known.stable == package.stable)
                });
            Some(Feature {
                label: SmolStr::new_static(package.stable),
                values: hottest(hotter)?.values.clone(),
            })
        })
    }

    /// The hottest core of a kind without a package, as its package temperature.
    fn hottest_core(&self, first: &Chip, others: &[Chip]) -> Option<Feature> {
        let cores = std::iter::once(first)
            .chain(others)
            .flat_map(|chip| &chip.features);
        Some(Feature {
            label: SmolStr::new_static(self.packages.first()?.stable),
            values: hottest(cores)?.values.clone(),
        })
    }

    /// Renumbers a chip's cores from `start`. Repeated ones (`Core 0 #2`) get the numbers after the
    /// highest. Returns the next free number.
    fn renumber(&self, features: &mut [Feature], start: u64) -> u64 {
        let moved = |number: u32| u64::from(number) + start - self.first;
        let numbers = features
            .iter()
            .filter_map(|feature| self.core(&feature.label));
        let clean = numbers
            .filter(|(_, repeated)| !repeated)
            .map(|(number, _)| moved(number));
        // After the highest number and not in the first gap: a gap can belong to a core that could
        // not be read.
        let mut next = clean.max().map_or(start, |highest| highest + 1);
        for feature in features {
            let number = match self.core(&feature.label) {
                Some((number, false)) if moved(number) == u64::from(number) => continue,
                Some((number, false)) => moved(number),
                Some((_, true)) => {
                    next += 1;
                    next - 1
                }
                None => continue,
            };
            feature.label = format_smolstr!("{}{number}", self.core);
        }
        next
    }

    /// The number in the label of a core, and whether the label is a repeated one.
    fn core(&self, label: &str) -> Option<(u32, bool)> {
        let (label, repeated) = without_number(label);
        let digits = label.strip_prefix(self.core)?;
        let number: u32 = digits.parse().ok()?;
        // `Core 01` and `Core +1` parse as 1 but are other labels.
        let is_plain = digits == "0" || !digits.starts_with(['0', '+']);
        (is_plain && u64::from(number) >= self.first).then_some((number, repeated))
    }
}

/// The feature with the highest reading, the first of several.
pub(super) fn hottest<'a>(features: impl Iterator<Item = &'a Feature>) -> Option<&'a Feature> {
    features
        .filter_map(|feature| Some((feature.input()?, feature)))
        .reduce(|best, next| if next.0 > best.0 { next } else { best })
        .map(|(_, feature)| feature)
}

/// Drops repeated processor chips (`coretemp-isa-0000 #2`, from two documents in one output). Their
/// names contain the address, so they are the same chip. A chip that could be read replaces one
/// that could not.
fn without_repeated(chips: Vec<Chip>, kind: &ProcessorKind) -> Vec<Chip> {
    let mut kept: Vec<Chip> = Vec::with_capacity(chips.len());
    for chip in chips {
        let name = without_number(&chip.name).0;
        let known = kept.iter_mut().find(|known| {
            kind.has(&chip) && kind.has(known) && without_number(&known.name).0 == name
        });
        match known {
            Some(known) => {
                let mut features = known.features.iter();
                if features.all(|feature| feature.input().is_none()) {
                    known.features = chip.features;
                }
            }
            None => kept.push(chip),
        }
    }
    kept
}
