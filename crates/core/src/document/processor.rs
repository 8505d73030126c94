//! Several processor chips of one kind become one.
//!
//! The chip of the hottest package keeps its name and gives its package
//! temperature; the cores of the others join it under numbers that go on where
//! its own end.

use super::model::{Chip, Feature};
use super::text::{unique, without_number};

/// Features other than packages and cores that a merged chip takes from the others.
const MAX_OTHERS: usize = 512;

/// How one kind of processor names its chips and features.
struct Kind {
    /// What the chip's name starts with, up to the first `-`.
    chip: &'static str,
    /// What is in the label of a package temperature, the best name first.
    packages: &'static [&'static str],
    /// What the label of a core starts with, before its number.
    core: &'static str,
    /// The number of the first core.
    first: u64,
}

/// `Tctl` is a scale for fan control that some processors shift by up to 27 °C;
/// where there is a `Tdie`, that is the temperature.
const KINDS: [Kind; 3] = [
    Kind {
        chip: "coretemp",
        packages: &["Package id"],
        core: "Core ",
        first: 0,
    },
    Kind {
        chip: "k10temp",
        packages: &["Tdie", "Tctl"],
        core: "Tccd",
        first: 1,
    },
    Kind {
        chip: "zenpower",
        packages: &["Tdie", "Tctl"],
        core: "Tccd",
        first: 1,
    },
];

/// Leaves one chip of each kind of processor, at the place of the hottest.
pub(super) fn merge_processors(chips: Vec<Chip>) -> Vec<Chip> {
    KINDS.iter().fold(chips, |chips, kind| kind.merge(chips))
}

impl Kind {
    fn merge(&self, mut chips: Vec<Chip>) -> Vec<Chip> {
        drop_repeated(&mut chips, self);
        let Some(hottest) = self.hottest(&chips) else {
            return chips;
        };
        let name = chips[hottest].name.clone();
        let others: Vec<_> = chips
            .extract_if(.., |chip| self.has(chip) && chip.name != name)
            .collect();
        if let Some(survivor) = chips.iter_mut().find(|chip| chip.name == name) {
            self.join(survivor, others);
        }
        chips
    }

    fn has(&self, chip: &Chip) -> bool {
        chip.name.split('-').next() == Some(self.chip)
    }

    /// The place of the chip whose package is hottest, the first one of equals.
    /// A chip without a package is as hot as its hottest feature, and comes last.
    fn hottest(&self, chips: &[Chip]) -> Option<usize> {
        let heat = |chip: &Chip| match self.package(chip) {
            Some(package) => (true, reading(package)),
            None => (
                false,
                chip.features.iter().map(reading).fold(f64::MIN, f64::max),
            ),
        };
        let mine = chips.iter().enumerate().filter(|(_, chip)| self.has(chip));
        mine.map(|(at, chip)| (at, heat(chip)))
            .reduce(|best, next| if next.1 > best.1 { next } else { best })
            .map(|(at, _)| at)
    }

    fn package<'a>(&self, chip: &'a Chip) -> Option<&'a Feature> {
        self.packages.iter().find_map(|label| {
            let named = chip
                .features
                .iter()
                .filter(|feature| feature.label.contains(label));
            named.reduce(|best, next| {
                if reading(next) > reading(best) {
                    next
                } else {
                    best
                }
            })
        })
    }

    fn is_package(&self, feature: &Feature) -> bool {
        self.packages
            .iter()
            .any(|label| feature.label.contains(label))
    }

    fn join(&self, survivor: &mut Chip, others: Vec<Chip>) {
        let package = self.package(survivor).map(|package| package.label.clone());
        let is_kept = |feature: &Feature| {
            !self.is_package(feature) || Some(&feature.label) == package.as_ref()
        };
        survivor.features.retain(is_kept);
        let mut cores = self.renumber(&mut survivor.features, self.first);
        let mut joined = Joined::default();
        for mut chip in others {
            chip.features.retain(|feature| !self.is_package(feature));
            cores = self.renumber(&mut chip.features, cores);
            joined.take(self, survivor, chip);
        }
        survivor.features.extend(joined.cores);
        survivor.features.extend(joined.others);
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
                Some((number, false)) => moved(number),
                Some((_, true)) => {
                    next += 1;
                    next - 1
                }
                None => continue,
            };
            feature.label = format!("{}{number}", self.core);
        }
        next
    }

    /// The number in a core's label, and whether it is a repeated one.
    fn core(&self, label: &str) -> Option<(u32, bool)> {
        let (label, repeated) = without_number(label);
        let digits = label.strip_prefix(self.core)?;
        let number = digits.parse().ok()?;
        let is_core = digits == format!("{number}") && u64::from(number) >= self.first;
        is_core.then_some((number, repeated))
    }
}

/// What the other chips give to the one that stays.
#[derive(Default)]
struct Joined {
    cores: Vec<Feature>,
    others: Vec<Feature>,
}

impl Joined {
    fn take(&mut self, kind: &Kind, survivor: &Chip, chip: Chip) {
        for mut feature in chip.features {
            if kind.core(&feature.label).is_some() {
                self.cores.push(feature);
            } else if self.others.len() < MAX_OTHERS {
                let taken = survivor.features.iter().chain(&self.others);
                feature.label = unique(feature.label, taken.map(|taken| taken.label.as_str()));
                self.others.push(feature);
            }
        }
    }
}

/// Drops processor chips that were read twice (`coretemp-isa-0000 #2`, from two
/// documents in one output): their names have an address, so they are the same.
fn drop_repeated(chips: &mut Vec<Chip>, kind: &Kind) {
    let names: Vec<String> = chips
        .iter()
        .filter(|chip| kind.has(chip))
        .map(|chip| chip.name.clone())
        .collect();
    chips.retain(|chip| match without_number(&chip.name) {
        (name, true) if kind.has(chip) => !names.iter().any(|known| known == name),
        _ => true,
    });
}

fn reading(feature: &Feature) -> f64 {
    feature.input().unwrap_or(f64::MIN)
}
