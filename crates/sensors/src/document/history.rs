//! Removal of values that mean nothing.
//!
//! A value is judged in this order, and the first that applies decides:
//!
//! 1. It is no finite number: the reader has dropped it already.
//! 2. It is outside the range of sensors in computers: dropped. A limit, too.
//! 3. The chip reports a fault of the sensor (`temp*_fault`): dropped, as lm-sensors does.
//! 4. It is a sentinel of the driver's and the label's ([`sentinel`](super::sentinel)), and the
//!    sensor has shown nothing else yet: dropped.
//!
//! The fourth needs a history. A sensor that measures nothing shows its sentinel from the first
//! reading on. One that went from 80 over 95 to 127 °C measures a fire, also when it then stays at
//! 127. So a sensor that has once shown another value is a sensor, and everything that it shows is
//! kept. After a restart of the daemon the history is empty.

use super::component::Component;
use super::limits::MAX_FEATURES_IN_ALL;
use super::model::{Chip, Disk, Document, Feature};
use super::sentinel::{RANGE, SENTINELS, SMART, Sentinel};
use super::state::{DropReason, DroppedValue, SensorState};
use smol_str::SmolStr;
use std::collections::HashSet;
use std::hash::{DefaultHasher, Hash, Hasher};

/// Subfeatures of a temperature that are not in degrees.
const NOT_DEGREES: [&str; 5] = ["_alarm", "_fault", "_type", "_beep", "_enable"];

/// Upper limits of an input.
const UPPER_LIMITS: [&str; 3] = ["max", "crit", "emergency"];

/// Lower limits of an input.
const LOWER_LIMITS: [&str; 2] = ["min", "lcrit"];

/// The sensors of a node that have shown another value than their sentinel.
///
/// It has at most [`MAX_FEATURES_IN_ALL`] entries, only of sensors that have a sentinel. A node can
/// only exceed that by changing names; then its values are no longer dropped for their history.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct History {
    /// Hashes of chip, label and channel. A collision would keep one value that means nothing.
    shown: HashSet<u64>,
}

impl History {
    /// Drops the values of a document that mean nothing, and returns their number. Inputs among
    /// them are listed in its `state`. Names have to be those that the node has.
    pub fn drop_meaningless(&mut self, document: &mut Document) -> u64 {
        let Document {
            chips,
            disks,
            state,
            ..
        } = document;
        let of_chips: u64 = chips.iter_mut().map(|chip| self.judge(chip, state)).sum();
        let of_disks = disks.iter_mut().filter_map(|disk| self.judge_disk(disk));
        let mut count = 0;
        for dropped in of_disks {
            state.add_dropped(dropped);
            count += 1;
        }
        of_chips + count
    }

    fn judge(&mut self, chip: &mut Chip, state: &mut SensorState) -> u64 {
        let rows = rows(chip.driver(), chip.component());
        let mut dropped = 0;
        for feature in &mut chip.features {
            let before = feature.values.len();
            // Limits first: one that is out of range must not judge an input.
            feature.values.retain(|(name, value)| {
                !is_degrees(name) || name.ends_with("_input") || RANGE.contains(value)
            });
            while let Some((index, reason)) = self.find_meaningless(&chip.name, &rows, feature) {
                let (_, value) = feature.values.remove(index);
                state.add_dropped(DroppedValue {
                    chip: chip.name.clone(),
                    sensor: feature.label.clone(),
                    value,
                    reason,
                });
            }
            dropped += (before - feature.values.len()) as u64;
        }
        dropped
    }

    /// The first input of a feature that means nothing.
    fn find_meaningless(
        &mut self,
        chip: &str,
        rows: &[&Sentinel],
        feature: &Feature,
    ) -> Option<(usize, DropReason)> {
        let mut inputs = feature.values.iter().enumerate();
        inputs.find_map(|(index, (name, value))| {
            let sensor = name.strip_suffix("input").filter(|_| is_degrees(name))?;
            let fault = |(name, value): &(SmolStr, f64)| {
                *value != 0.0 && name.strip_prefix(sensor) == Some("fault")
            };
            let reason = if !RANGE.contains(value) {
                Some(DropReason::OutOfRange)
            } else if feature.values.iter().any(fault) {
                Some(DropReason::Fault)
            } else {
                self.judge_value(
                    [chip, &feature.label, name],
                    rows,
                    *value,
                    is_within_limits(sensor, *value, &feature.values),
                )
            };
            Some((index, reason?))
        })
    }

    /// Judges a value by the rows of its driver and by what its sensor has shown.
    fn judge_value(
        &mut self,
        [chip, label, name]: [&str; 3],
        rows: &[&Sentinel],
        value: f64,
        is_within_limits: bool,
    ) -> Option<DropReason> {
        let mut of_sensor = rows.iter().filter(|row| row.has_label(label)).peekable();
        of_sensor.peek()?;
        let sentinel = of_sensor.find(|row| row.has_value(value, is_within_limits));
        let key = key([chip, label, name]);
        let is_full = self.shown.len() >= MAX_FEATURES_IN_ALL;
        match sentinel {
            Some(row) => (!is_full && !self.shown.contains(&key)).then_some(row.reason),
            None => {
                if !is_full {
                    self.shown.insert(key);
                }
                None
            }
        }
    }

    fn judge_disk(&mut self, disk: &mut Disk) -> Option<DroppedValue> {
        let value = f64::from(disk.temperature?);
        // Devices are named anew at each boot; the serial number is the disk.
        let key = [&disk.device, &disk.serial, "temperature"];
        let reason = self.judge_value(key, &rows(SMART, Component::Disk), value, true)?;
        disk.temperature = None;
        Some(DroppedValue {
            chip: disk.device.clone(),
            sensor: SmolStr::new_static("temperature"),
            value,
            reason,
        })
    }
}

/// The rows of a driver.
fn rows(driver: &str, component: Component) -> Vec<&'static Sentinel> {
    SENTINELS
        .iter()
        .filter(|row| row.has_driver(driver, component))
        .collect()
}

fn key(parts: [&str; 3]) -> u64 {
    let mut hasher = DefaultHasher::new();
    parts.hash(&mut hasher);
    hasher.finish()
}

/// True if a value is strictly between the limits of its own sensor (`temp1_`).
fn is_within_limits(sensor: &str, value: f64, values: &[(SmolStr, f64)]) -> bool {
    values
        .iter()
        .all(|(name, limit)| match name.strip_prefix(sensor) {
            Some(kind) if UPPER_LIMITS.contains(&kind) => value < *limit,
            Some(kind) if LOWER_LIMITS.contains(&kind) => value > *limit,
            _ => true,
        })
}

fn is_degrees(name: &str) -> bool {
    name.starts_with("temp") && !NOT_DEGREES.iter().any(|suffix| name.ends_with(suffix))
}
