//! A made-up load: the temperature of each sensor of a tree over time.
//!
//! A tree has the temperatures of an idle machine. The load raises those of the sensors in
//! [`DRIVERS`]: the processor's by much and at once, the disks' by little and later.

use pulse_simnode::tree;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// The response of a driver's sensors to load.
struct Driver {
    name: &'static str,
    /// Rise from idle to full load, in millidegrees.
    swing: f64,
    /// Resolution of the hardware, in millidegrees.
    step: f64,
    /// Delay after the load, in seconds.
    delay: f64,
}

const DRIVERS: [Driver; 6] = [
    Driver {
        name: "coretemp",
        swing: 36_000.0,
        step: 1_000.0,
        delay: 0.0,
    },
    Driver {
        name: "k10temp",
        swing: 30_000.0,
        step: 125.0,
        delay: 0.0,
    },
    Driver {
        name: "cpu-thermal",
        swing: 26_000.0,
        step: 550.0,
        delay: 0.0,
    },
    Driver {
        name: "nct6798",
        swing: 6_000.0,
        step: 500.0,
        delay: 3.0,
    },
    Driver {
        name: "nvme",
        swing: 14_000.0,
        step: 1_000.0,
        delay: 2.0,
    },
    Driver {
        name: "drivetemp",
        swing: 5_000.0,
        step: 1_000.0,
        delay: 6.0,
    },
];

/// Plausible idle temperatures, in millidegrees; other values are those of unconnected inputs.
const IDLE: std::ops::Range<f64> = 10_000.0..90_000.0;

/// A tree whose temperatures change.
pub(crate) struct WorkingTree {
    root: PathBuf,
    sensors: Vec<Sensor>,
    /// Offset in the cycle of load, in seconds.
    phase: f64,
}

struct Sensor {
    path: String,
    idle: f64,
    driver: &'static Driver,
}

impl WorkingTree {
    /// Finds the sensors of an unpacked tree.
    ///
    /// # Errors
    /// When the tree cannot be read.
    pub(crate) fn find(root: PathBuf, phase: f64) -> io::Result<Self> {
        let mut sensors = Vec::new();
        search(&root, &root, &mut sensors)?;
        Ok(Self {
            root,
            sensors,
            phase,
        })
    }

    /// Sets every sensor to its temperature at this time.
    ///
    /// # Errors
    /// When the tree cannot be written.
    pub(crate) fn set(&self, since_start: Duration) -> io::Result<()> {
        let now = since_start.as_secs_f64() + self.phase;
        self.sensors.iter().try_for_each(|sensor| {
            let Driver {
                swing, step, delay, ..
            } = sensor.driver;
            // Only the rise is rounded: the idle value stays what the tree says.
            let rise = (swing * load(now - delay) / step).round() * step;
            // In millidegrees, the kernel's unit.
            tree::set(
                &self.root,
                &sensor.path,
                &format!("{:.0}", sensor.idle + rise),
            )
        })
    }
}

/// A node's load, from 0 to 1: the sum of a slow and a fast sine wave.
fn load(seconds: f64) -> f64 {
    let wave = |period: f64| (seconds * std::f64::consts::TAU / period).sin();
    (0.5 + 0.4 * wave(40.0) + 0.12 * wave(9.0)).clamp(0.0, 1.0)
}

/// Searches directories and no symbolic links, which would lead to the same sensors.
fn search(root: &Path, directory: &Path, found: &mut Vec<Sensor>) -> io::Result<()> {
    // The driver of a chip is in `name`, that of a thermal zone in `type`.
    let text = |file: &str| fs::read_to_string(directory.join(file)).ok();
    let driver = text("name")
        .or_else(|| text("type"))
        .and_then(|name| DRIVERS.iter().find(|driver| driver.name == name.trim()));
    for entry in fs::read_dir(directory)? {
        let entry = entry?;
        let kind = entry.file_type()?;
        if kind.is_dir() {
            search(root, &entry.path(), found)?;
        } else if kind.is_file() {
            found.extend(driver.and_then(|driver| sensor(root, &entry.path(), driver)));
        }
    }
    Ok(())
}

fn sensor(root: &Path, path: &Path, driver: &'static Driver) -> Option<Sensor> {
    let file = path.file_name()?.to_str()?;
    // A thermal zone has one value, `temp`; a chip has `temp1_input` and so on.
    let is_input = file == "temp" || (file.starts_with("temp") && file.ends_with("_input"));
    let idle: f64 = fs::read_to_string(path).ok()?.trim().parse().ok()?;
    if !is_input || !IDLE.contains(&idle) {
        return None;
    }
    Some(Sensor {
        path: path.strip_prefix(root).ok()?.to_str()?.to_owned(),
        idle,
        driver,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_node_has_changing_sensors() {
        for (name, manifest) in tree::all() {
            let directory = tempfile::tempdir().unwrap();
            let root = directory.path().to_owned();
            tree::unpack(manifest, &root).unwrap();
            let working = WorkingTree::find(root.clone(), 0.0).unwrap();
            assert!(working.sensors.len() >= 2, "{name}");
            let seen = |seconds| {
                working.set(Duration::from_secs(seconds)).unwrap();
                let read = |sensor: &Sensor| fs::read_to_string(root.join(&sensor.path)).unwrap();
                working.sensors.iter().map(read).collect::<Vec<_>>()
            };
            let (early, late) = (seen(0), seen(10));
            let changed = early.iter().zip(&late).filter(|(a, b)| a != b).count();
            assert_eq!(changed, early.len(), "{name}");
            assert!(
                early.iter().all(|text| text.trim().parse::<i32>().is_ok()),
                "{early:?}"
            );
        }
    }

    #[test]
    fn load_covers_its_range() {
        let loads: Vec<f64> = (0..4000)
            .map(|tenth| load(f64::from(tenth) / 10.0))
            .collect();
        assert!(loads.iter().all(|load| (0.0..=1.0).contains(load)));
        assert!(loads.iter().any(|load| *load > 0.95));
        assert!(loads.iter().any(|load| *load < 0.05));
    }
}
