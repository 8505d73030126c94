//! A chip that a scan found, and the reading of its values.
//!
//! The scan reads labels and limits once, since only an operator changes them. A reading reads
//! temperatures and alarms. A value that cannot be read is left out, and so is a feature without a
//! temperature; other values are not affected.

use crate::attribute::{Attribute, NoValue};
use crate::quota::{Permit, Quota};
use crate::sysfs;
use pulse_sensors::document::{Feature, SmolStr};
use std::collections::HashSet;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// The divisor of the kernel's temperatures, which are in thousandths of a degree.
pub(crate) const MILLI: f64 = 1000.0;

/// The member of a chip's JSON object that is not a feature.
const ADAPTER_KEY: &str = "Adapter";

/// The power status of a suspended device.
const SUSPENDED: &str = "suspended";

/// A chip that a scan found.
#[derive(Debug)]
pub(crate) struct FoundChip {
    pub(crate) identity: Arc<ChipIdentity>,
    /// Temperatures.
    pub(crate) features: Vec<FoundFeature>,
    /// The number of temperatures over the limits.
    pub(crate) omitted: u64,
    /// The power status of a chip that must not be woken.
    pub(crate) power: Option<PowerStatus>,
}

/// The names and the place of a chip.
#[derive(Debug, Default)]
pub(crate) struct ChipIdentity {
    /// The name of lm-sensors, which other chips can have too.
    pub(crate) name: String,
    /// The name of the driver.
    pub(crate) driver: String,
    /// The adapter name of lm-sensors.
    pub(crate) adapter: Option<String>,
    /// The real path of its device.
    pub(crate) device: Option<PathBuf>,
}

/// The attribute with a device's power status.
#[derive(Debug)]
pub(crate) struct PowerStatus(Attribute);

impl PowerStatus {
    /// The status of the device in this directory; `None` if the kernel does not manage its power.
    pub(crate) fn find(device: &Path, open_files: &Quota) -> Option<Self> {
        let path = device.join("power/runtime_status");
        path.is_file()
            .then(|| Self(Attribute::new(path, open_files)))
    }

    /// True if the device is in runtime suspend.
    pub(crate) fn is_suspended(&self) -> bool {
        self.0.is(SUSPENDED)
    }
}

/// A temperature that a scan found.
#[derive(Debug)]
pub(crate) struct FoundFeature {
    /// The label; unique in a chip.
    pub(crate) label: SmolStr,
    /// Values, in the order of lm-sensors.
    pub(crate) values: Vec<FoundValue>,
    /// Counts it against the limit of all devices.
    pub(crate) _permit: Permit,
}

/// A value that a scan found.
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

/// A reading of a chip.
#[derive(Debug)]
pub(crate) struct ChipReading {
    pub(crate) identity: Arc<ChipIdentity>,
    /// The features with a temperature.
    pub(crate) features: Vec<Feature>,
    /// The number of temperatures over the limits.
    pub(crate) omitted: u64,
    /// A device has been removed since the scan.
    pub(crate) is_device_gone: bool,
}

impl FoundChip {
    /// Reads every value, unless that would wake a suspended device.
    pub(crate) fn read(&self) -> ChipReading {
        let mut reading = ChipReading {
            identity: Arc::clone(&self.identity),
            features: Vec::with_capacity(self.features.len()),
            omitted: self.omitted,
            is_device_gone: false,
        };
        if self.power.as_ref().is_some_and(PowerStatus::is_suspended) {
            return reading;
        }
        for feature in &self.features {
            match feature.read() {
                Ok(feature) => reading.features.push(feature),
                Err(NoValue::DeviceGone) => reading.is_device_gone = true,
                Err(NoValue::Unknown) => {}
            }
        }
        reading
    }
}

impl FoundFeature {
    fn read(&self) -> Result<Feature, NoValue> {
        let mut values = Vec::with_capacity(self.values.len());
        for value in &self.values {
            match value.read() {
                // A fault invalidates the temperature: lm-sensors prints FAULT instead.
                Ok(number) if value.is("_fault") && number != 0.0 => return Err(NoValue::Unknown),
                Ok(number) => values.push((value.name.clone(), number)),
                // Without its input a feature says nothing; another value is left out alone.
                Err(no_value) if value.is("_input") => return Err(no_value),
                Err(_) => {}
            }
        }
        let feature = Feature {
            label: self.label.clone(),
            values,
        };
        feature.input().ok_or(NoValue::Unknown)?;
        Ok(feature)
    }
}

impl FoundValue {
    /// A value that is read in each reading.
    pub(crate) fn live(name: String, path: PathBuf, divisor: f64, open_files: &Quota) -> Self {
        let source = Source::Live(Attribute::new(path, open_files));
        Self {
            name: name.into(),
            source,
            divisor,
        }
    }

    /// A value that is read once, by the scan; `None` if it cannot be read.
    pub(crate) fn fixed(name: String, path: &Path, divisor: f64) -> Option<Self> {
        let source = Source::Fixed(sysfs::number(path)?);
        Some(Self {
            name: name.into(),
            source,
            divisor,
        })
    }

    pub(crate) fn read(&self) -> Result<f64, NoValue> {
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

/// Names that are in use. A repeated name gets `#2`, `#3` and so on.
#[derive(Debug, Default)]
pub(crate) struct UniqueNames(HashSet<String>);

impl UniqueNames {
    /// For the labels of a chip, which share a JSON object with its adapter.
    pub(crate) fn for_labels() -> Self {
        Self(HashSet::from([ADAPTER_KEY.to_owned()]))
    }

    /// With these names in use.
    pub(crate) fn with(names: HashSet<String>) -> Self {
        Self(names)
    }

    /// The name, or its first free variant.
    pub(crate) fn unique(&mut self, name: &str) -> String {
        let mut candidates =
            std::iter::once(name.to_owned()).chain((2..).map(|n| format!("{name}#{n}")));
        // There are infinitely many candidates, so one is free.
        candidates
            .find(|c| self.0.insert(c.clone()))
            .unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;

    #[test]
    fn repeated_names_get_numbers() {
        let mut names = UniqueNames::for_labels();
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
        let quota = Quota::new(8);
        let mut value = |(name, text): &(&str, &str)| {
            let path = directory.join(name);
            fs::write(&path, text).unwrap();
            FoundValue::live((*name).to_owned(), path, MILLI, &quota)
        };
        FoundFeature {
            label: "label".into(),
            values: files.iter().map(&mut value).collect(),
            _permit: quota.take().unwrap(),
        }
    }

    #[test]
    fn feature_needs_a_temperature() {
        let directory = tempfile::tempdir().unwrap();
        let good = feature(directory.path(), &[("t1_input", "1500"), ("t1_max", "x")]);
        assert_eq!(good.read().unwrap().values, [("t1_input".into(), 1.5)]);
        let bad = feature(directory.path(), &[("t2_input", "x"), ("t2_max", "9")]);
        assert_eq!(bad.read(), Err(NoValue::Unknown));
        let faulty = feature(directory.path(), &[("t3_input", "1"), ("t3_fault", "1")]);
        assert_eq!(faulty.read(), Err(NoValue::Unknown));
    }
}
