//! Plausibility of temperatures.
//!
//! Drivers pass on the number of a chip that measures nothing: −128 or 127 °C from an open input,
//! 65261.85 °C from an NVMe limit that is not set (65535 K), −273.15 °C from a limit of zero. All
//! except 127 are outside the range of any sensor. 127 is plausible if it is within the sensor's
//! own limits.

use smol_str::SmolStr;
use std::ops::RangeInclusive;

/// The range of sensors in computers, in degrees Celsius.
const RANGE: RangeInclusive<f64> = -100.0..=250.0;

/// The reading of an eight-bit sensor with an open input, in degrees Celsius.
const OPEN_INPUT: f64 = 127.0;

/// Subfeatures of a temperature that are not in degrees.
const NOT_DEGREES: [&str; 5] = ["_alarm", "_fault", "_type", "_beep", "_enable"];

/// Upper limits of an input.
const UPPER_LIMITS: [&str; 3] = ["max", "crit", "emergency"];

/// Lower limits of an input.
const LOWER_LIMITS: [&str; 2] = ["min", "lcrit"];

/// True if a temperature in degrees Celsius is plausible.
pub(super) fn is_plausible(degrees: f64) -> bool {
    RANGE.contains(&degrees)
}

/// Drops implausible temperatures and returns their number.
pub(super) fn retain_plausible(values: &mut Vec<(SmolStr, f64)>) -> u64 {
    let before = values.len();
    values.retain(|(name, value)| !is_degrees(name) || is_plausible(*value));
    // The copy is made for this rare value only.
    if values.iter().any(|(_, value)| *value == OPEN_INPUT) {
        // Limits that are implausible themselves are gone by now.
        let limits = values.clone();
        values.retain(|(name, value)| match name.strip_suffix("input") {
            Some(sensor) if *value == OPEN_INPUT && is_degrees(name) => {
                is_within_limits(sensor, *value, &limits)
            }
            _ => true,
        });
    }
    (before - values.len()) as u64
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

#[cfg(test)]
mod tests {
    use super::*;

    /// The remaining subfeatures of a temperature, and the number dropped.
    fn judged(values: &[(&str, f64)]) -> (Vec<String>, u64) {
        let mut values = values
            .iter()
            .map(|(n, v)| (format!("temp1_{n}").into(), *v))
            .collect();
        let dropped = retain_plausible(&mut values);
        let names = values.into_iter().map(|(name, _)| name.into());
        (names.collect(), dropped)
    }

    #[test]
    fn values_out_of_range_are_dropped() {
        for value in [-128.0, -273.15, -100.1, 250.1, 65261.85, 1e300] {
            assert_eq!(judged(&[("input", value)]).1, 1, "{value}");
            assert_eq!(judged(&[("max", value)]).1, 1, "{value}");
        }
        for value in [-100.0, -0.0, 0.0, 45.0, 250.0] {
            assert_eq!(judged(&[("input", value)]).1, 0, "{value}");
        }
    }

    #[test]
    fn open_input_above_limits_is_dropped() {
        for limit in [
            ("max", 80.0),
            ("crit", 100.0),
            ("max", 127.0),
            ("min", 127.0),
        ] {
            let (left, dropped) = judged(&[("input", 127.0), limit]);
            assert_eq!(left, [format!("temp1_{}", limit.0)], "{limit:?}");
            assert_eq!(dropped, 1, "{limit:?}");
        }
    }

    #[test]
    fn plausible_127_degrees_stay() {
        assert_eq!(judged(&[("input", 127.0)]).1, 0);
        assert_eq!(
            judged(&[("input", 127.0), ("crit", 150.0), ("min", 0.0)]).1,
            0
        );
        // A limit that is not set is dropped alone.
        assert_eq!(
            judged(&[("input", 127.0), ("max", 65261.85)]).0,
            ["temp1_input"]
        );
        // A hysteresis is not a limit.
        assert_eq!(judged(&[("input", 127.0), ("max_hyst", 75.0)]).1, 0);
    }

    #[test]
    fn limits_of_other_sensors_are_ignored() {
        let mut values = vec![("temp1_input".into(), 127.0), ("temp10_max".into(), 80.0)];
        assert_eq!(retain_plausible(&mut values), 0);
    }

    #[test]
    fn only_temperatures_are_judged() {
        assert_eq!(judged(&[("type", 3435.0), ("alarm", 1.0)]).1, 0);
        let mut values = vec![("fan1_input".into(), 1200.0)];
        assert_eq!(retain_plausible(&mut values), 0);
    }
}
