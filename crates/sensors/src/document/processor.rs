//! Several processor chips of one kind become one.
//!
//! Pulse keeps a series of temperatures for each name and each core number, so
//! nothing in a name may depend on which package is hottest at the moment: two
//! sockets of nearly the same temperature would swap their series with every
//! reading. What stays is therefore the first chip in the order of the document,
//! with its name and its cores; the cores of the others join it under numbers that
//! go on where those before them end. Only the package temperature is that of the
//! hottest, and it is called the same whichever that is.
//!
//! Features without a reading take part in the numbering too: a core that cannot
//! be read for once does not move those of the next socket.

use super::builder::MAX_FEATURES;
use super::model::{Chip, Feature};
use super::text::{unique, without_number};
use smol_str::{SmolStr, format_smolstr};

/// How one kind of processor names its chips and features.
struct Kind {
    /// What the chip's name starts with, up to the first `-`.
    chip: &'static str,
    /// How packages are labelled, the best temperature first.
    packages: &'static [Package],
    /// What the label of a core starts with, before its number.
    core: &'static str,
    /// The number of the first core.
    first: u64,
}

/// A label of package temperatures.
struct Package {
    /// What is in the label.
    part: &'static str,
    /// What it is called for Pulse, whichever socket it comes from.
    stable: &'static str,
}

const INTEL: [Package; 1] = [Package {
    part: "Package id",
    stable: "Package id 0",
}];

/// `Tctl` is a scale for fan control that some processors shift by up to 27 °C;
/// where there is a `Tdie`, that is the temperature.
const AMD: [Package; 2] = [
    Package {
        part: "Tdie",
        stable: "Tdie",
    },
    Package {
        part: "Tctl",
        stable: "Tctl",
    },
];

const KINDS: [Kind; 3] = [
    Kind {
        chip: "coretemp",
        packages: &INTEL,
        core: "Core ",
        first: 0,
    },
    Kind {
        chip: "k10temp",
        packages: &AMD,
        core: "Tccd",
        first: 1,
    },
    Kind {
        chip: "zenpower",
        packages: &AMD,
        core: "Tccd",
        first: 1,
    },
];

/// Leaves one chip of each kind of processor, at the place of the first.
///
/// Wants features with temperatures only; those without any are kept.
pub(super) fn merge_processors(chips: Vec<Chip>) -> Vec<Chip> {
    KINDS.iter().fold(chips, |chips, kind| kind.merge(chips))
}

/// Whether the chip is a processor's own, and not one of the board.
pub(super) fn is_processor(chip: &Chip) -> bool {
    chip.name.starts_with("cpu_thermal") || KINDS.iter().any(|kind| kind.has(chip))
}

impl Kind {
    fn merge(&self, chips: Vec<Chip>) -> Vec<Chip> {
        let mut chips = without_repeated(chips, self);
        let Some(first) = chips.iter().position(|chip| self.has(chip)) else {
            return chips;
        };
        let others = chips
            .extract_if(first + 1.., |chip| self.has(chip))
            .collect();
        if let Some(first) = chips.get_mut(first) {
            self.join(first, others);
        }
        chips
    }

    fn has(&self, chip: &Chip) -> bool {
        chip.name.split('-').next() == Some(self.chip)
    }

    /// Whether both are this kind's, and one is the other read once more.
    fn is_same(&self, one: &Chip, other: &Chip) -> bool {
        let stems = (without_number(&one.name).0, without_number(&other.name).0);
        self.has(one) && self.has(other) && stems.0 == stems.1
    }

    fn is_package(&self, feature: &Feature) -> bool {
        let mut packages = self.packages.iter();
        packages.any(|package| feature.label.contains(package.part))
    }

    fn join(&self, first: &mut Chip, others: Vec<Chip>) {
        let package = self.hottest_package(first, &others);
        first.features.retain(|feature| !self.is_package(feature));
        let mut cores = self.renumber(&mut first.features, self.first);
        let mut joined = Joined::default();
        for mut chip in others {
            chip.features.retain(|feature| !self.is_package(feature));
            cores = self.renumber(&mut chip.features, cores);
            joined.take(self, first, chip);
        }
        let features = std::mem::take(&mut first.features);
        first.features.extend(package);
        first.features.extend(features);
        joined.give(first);
    }

    /// The hottest package of all chips under its stable label. When any has a
    /// `Tdie`, a `Tctl` of another one does not compete: the scales differ.
    fn hottest_package(&self, first: &Chip, others: &[Chip]) -> Option<Feature> {
        self.packages.iter().find_map(|package| {
            let chips = std::iter::once(first).chain(others);
            let features = chips.flat_map(|chip| &chip.features);
            let named = features.filter(|feature| feature.label.contains(package.part));
            let readings = named.filter_map(|feature| Some((feature.input()?, feature)));
            let hotter = readings.reduce(|best, next| if next.0 > best.0 { next } else { best });
            Some(Feature {
                label: SmolStr::new_static(package.stable),
                values: hotter?.1.values.clone(),
            })
        })
    }

    /// Moves a chip's cores up so that they start at `start`, and gives repeated
    /// ones (`Core 0 #2`) numbers of their own; returns the next free number.
    fn renumber(&self, features: &mut [Feature], start: u64) -> u64 {
        let moved = |number: u32| u64::from(number) + start - self.first;
        let numbers = features
            .iter()
            .filter_map(|feature| self.core(&feature.label));
        let clean = numbers
            .filter(|(_, repeated)| !repeated)
            .map(|(number, _)| moved(number));
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

    /// The number in a core's label, and whether it is a repeated one.
    fn core(&self, label: &str) -> Option<(u32, bool)> {
        let (label, repeated) = without_number(label);
        let digits = label.strip_prefix(self.core)?;
        let number: u32 = digits.parse().ok()?;
        let is_plain = digits == "0" || !digits.starts_with(['0', '+']);
        let is_core = is_plain && u64::from(number) >= self.first;
        is_core.then_some((number, repeated))
    }
}

/// What the other chips give to the first.
#[derive(Default)]
struct Joined {
    cores: Vec<Feature>,
    others: Vec<Feature>,
}

impl Joined {
    fn take(&mut self, kind: &Kind, first: &Chip, chip: Chip) {
        for mut feature in chip.features {
            if kind.core(&feature.label).is_some() {
                self.cores.push(feature);
            } else if self.others.len() < MAX_FEATURES {
                let taken = first.features.iter().chain(&self.others);
                feature.label = unique(feature.label, taken.map(|taken| taken.label.as_str()));
                self.others.push(feature);
            }
        }
    }

    /// Cores come before the rest, so that they are not what a bound cuts off.
    fn give(self, chip: &mut Chip) {
        chip.features.extend(self.cores);
        chip.features.extend(self.others);
    }
}

/// Drops processor chips that were read twice (`coretemp-isa-0000 #2`, from two
/// documents in one output): their names have an address, so they are the same.
/// One that could be read stands in for one that could not.
fn without_repeated(chips: Vec<Chip>, kind: &Kind) -> Vec<Chip> {
    let mut kept: Vec<Chip> = Vec::with_capacity(chips.len());
    for chip in chips {
        match kept.iter_mut().find(|known| kind.is_same(known, &chip)) {
            Some(known) if !is_read(known) => known.features = chip.features,
            Some(_) => {}
            None => kept.push(chip),
        }
    }
    kept
}

fn is_read(chip: &Chip) -> bool {
    let mut features = chip.features.iter();
    features.any(|feature| feature.input().is_some())
}
