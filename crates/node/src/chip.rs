//! A chip as it was found: what it is called, and where its values are.
//!
//! A scan reads once what does not change by itself (labels, limits); a reading
//! then only reads what does (temperatures, alarms). A value that cannot be read
//! is left out; a feature without a temperature is left out whole; neither ever
//! costs another.

use crate::attribute::{Absent, Attribute, Budget};
use crate::sysfs;
use pulse_sensors::document::{Chip, Feature, SmolStr};
use std::collections::HashSet;
use std::path::{Path, PathBuf};

/// The kernel's temperatures are thousandths of a degree.
pub(crate) const MILLI: f64 = 1000.0;

/// The member of a chip's object that is no feature.
const ADAPTER_KEY: &str = "Adapter";

/// A chip, found.
#[derive(Debug)]
pub(crate) struct FoundChip {
    /// The name that lm-sensors gives it; unique in a layout.
    pub(crate) name: String,
    /// The driver's own name.
    pub(crate) driver: String,
    /// What lm-sensors calls the adapter.
    pub(crate) adapter: Option<String>,
    /// The device it belongs to, all links followed.
    pub(crate) device: Option<PathBuf>,
    /// Its temperatures.
    pub(crate) features: Vec<FoundFeature>,
}

/// A temperature, found.
#[derive(Debug)]
pub(crate) struct FoundFeature {
    /// Its label; unique in a chip.
    pub(crate) label: SmolStr,
    /// Its values in the order of lm-sensors.
    pub(crate) values: Vec<FoundValue>,
}

/// A value, found.
#[derive(Debug)]
pub(crate) struct FoundValue {
    name: SmolStr,
    source: Source,
    divisor: f64,
}

#[derive(Debug)]
enum Source {
    Fixed(f64),
    Live(Attribute),
}

/// What a chip said in one reading.
#[derive(Debug, Default)]
pub(crate) struct ChipReading {
    /// The chip with what could be read.
    pub(crate) chip: Chip,
    /// Something that was found is no longer there.
    pub(crate) gone: bool,
}

impl FoundChip {
    /// Reads every value there is.
    pub(crate) fn read(&self) -> ChipReading {
        let mut reading = ChipReading::default();
        reading.chip.name.clone_from(&self.name);
        reading.chip.adapter.clone_from(&self.adapter);
        for feature in &self.features {
            match feature.read() {
                Ok(feature) => reading.chip.features.push(feature),
                Err(Absent::Gone) => reading.gone = true,
                Err(Absent::Unknown) => {}
            }
        }
        reading
    }
}

impl FoundFeature {
    fn read(&self) -> Result<Feature, Absent> {
        let mut values = Vec::with_capacity(self.values.len());
        for value in &self.values {
            match value.read() {
                Ok(number) if value.is("_fault") && number != 0.0 => return Err(Absent::Unknown),
                Ok(number) => values.push((value.name.clone(), number)),
                Err(absent) if value.is("_input") => return Err(absent),
                Err(_) => {}
            }
        }
        let label = self.label.clone();
        let feature = Feature { label, values };
        feature.input().ok_or(Absent::Unknown)?;
        Ok(feature)
    }
}

impl FoundValue {
    /// A value that changes by itself.
    pub(crate) fn live(name: String, path: PathBuf, divisor: f64, budget: &mut Budget) -> Self {
        let source = Source::Live(Attribute::new(path, budget));
        Self {
            name: name.into(),
            source,
            divisor,
        }
    }

    /// A value that stays until someone sets another; `None` when it cannot be
    /// read.
    pub(crate) fn fixed(name: String, path: &Path, divisor: f64) -> Option<Self> {
        let source = Source::Fixed(sysfs::number(path)?);
        Some(Self {
            name: name.into(),
            source,
            divisor,
        })
    }

    fn read(&self) -> Result<f64, Absent> {
        let raw = match &self.source {
            Source::Fixed(value) => *value,
            Source::Live(attribute) => attribute.number()?,
        };
        Ok(raw / self.divisor)
    }

    fn is(&self, suffix: &str) -> bool {
        self.name.ends_with(suffix)
    }
}

/// Gives out names once: the second of a name gets `#2`, the third `#3`.
#[derive(Debug, Default)]
pub(crate) struct Names(HashSet<String>);

impl Names {
    /// For the labels of a chip, which share an object with its adapter.
    pub(crate) fn of_features() -> Self {
        Self(HashSet::from([ADAPTER_KEY.to_owned()]))
    }

    /// The name, or the first free variant of it.
    pub(crate) fn unique(&mut self, name: &str) -> String {
        let variants = (2..).map(|n| format!("{name}#{n}"));
        let mut candidates = std::iter::once(name.to_owned()).chain(variants);
        // The set is finite and the candidates are not.
        let free = candidates.find(|c| self.0.insert(c.clone()));
        free.unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;

    #[test]
    fn names_are_given_out_once() {
        let mut names = Names::of_features();
        for (asked, given) in [
            ("temp1", "temp1"),
            ("temp1", "temp1#2"),
            ("temp1#2", "temp1#2#2"),
            ("temp1", "temp1#3"),
            ("Adapter", "Adapter#2"),
        ] {
            assert_eq!(names.unique(asked), given);
        }
    }

    fn feature(directory: &Path, files: &[(&str, &str)]) -> FoundFeature {
        let mut budget = Budget::FULL;
        let mut value = |(name, text): &(&str, &str)| {
            let path = directory.join(name);
            fs::write(&path, text).unwrap();
            FoundValue::live((*name).to_owned(), path, MILLI, &mut budget)
        };
        FoundFeature {
            label: "label".into(),
            values: files.iter().map(&mut value).collect(),
        }
    }

    #[test]
    fn a_feature_without_a_temperature_is_left_out_whole() {
        let directory = tempfile::tempdir().unwrap();
        let good = feature(directory.path(), &[("t1_input", "1500"), ("t1_max", "x")]);
        assert_eq!(good.read().unwrap().values, [("t1_input".into(), 1.5)]);
        let bad = feature(directory.path(), &[("t2_input", "x"), ("t2_max", "9")]);
        assert_eq!(bad.read(), Err(Absent::Unknown));
        let faulty = feature(directory.path(), &[("t3_input", "1"), ("t3_fault", "1")]);
        assert_eq!(faulty.read(), Err(Absent::Unknown));
    }
}
