//! Temperatures compared to limits: the sensor's own, and usual ones where it has none.

use pulse_sensors::document::{Component, Feature};

/// No sensor has a limit above this, in °C: chips report such values for limits that are not
/// set.
const HIGHEST_LIMIT: f64 = 250.0;

/// The temperatures of a sensor that should not be reached, in °C.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(super) struct Limits {
    pub(super) max: Option<f64>,
    pub(super) critical: Option<f64>,
}

impl Limits {
    /// A sensor's own. Chips report 0, or a value that cannot be, for one that is not set.
    pub(super) fn of(feature: &Feature) -> Self {
        // By the end of the name: the number in "temp1_max" differs, and "temp1_crit_alarm" or
        // "temp1_max_hyst" are no limits.
        let limit = |suffix: &str| {
            let mut values = feature.values.iter();
            values
                .find(|(name, _)| name.ends_with(suffix))
                .map(|(_, value)| *value)
                .filter(|value| *value > 0.0 && *value <= HIGHEST_LIMIT)
        };
        Self {
            max: limit("_max"),
            critical: limit("_crit"),
        }
    }

    /// The lower of each.
    pub(super) fn stricter(self, other: Self) -> Self {
        let lower = |a: Option<f64>, b: Option<f64>| match (a, b) {
            (Some(a), Some(b)) => Some(a.min(b)),
            (a, b) => a.or(b),
        };
        Self {
            max: lower(self.max, other.max),
            critical: lower(self.critical, other.critical),
        }
    }
}

/// A temperature compared to its limits.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Heat {
    /// There are no limits.
    #[default]
    Unknown,
    Normal,
    /// At the maximum or above.
    Warm,
    /// At the critical limit or above.
    Critical,
}

impl Heat {
    /// Judges a temperature in °C.
    pub(super) fn judge(degrees: f64, own: Limits, component: Component) -> Self {
        // The usual limits, for sensors that have none of their own: `temps --help` names them.
        let (usual_max, usual_critical) = match component {
            Component::Processor => (Some(70.0), Some(85.0)),
            Component::Disk => (Some(50.0), Some(60.0)),
            Component::Other => (None, None),
        };
        // Not where they contradict the sensor's own: one that is critical at 65 °C is not warm
        // at 70 °C only.
        let below = |limit: &f64| own.critical.is_none_or(|critical| *limit < critical);
        let above = |limit: &f64| own.max.is_none_or(|max| *limit > max);
        let max = own.max.or(usual_max.filter(below));
        let critical = own.critical.or(usual_critical.filter(above));
        let reached = |limit: Option<f64>| limit.is_some_and(|limit| degrees >= limit);
        if reached(critical) {
            Self::Critical
        } else if reached(max) {
            Self::Warm
        } else if max.or(critical).is_some() {
            Self::Normal
        } else {
            Self::Unknown
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn limits(values: &[(&str, f64)]) -> Limits {
        let values = values.iter().map(|(n, v)| ((*n).into(), *v)).collect();
        Limits::of(&Feature {
            label: "".into(),
            values,
        })
    }

    fn judged(own: Limits, component: Component, degrees: &[f64]) -> Vec<Heat> {
        let judge = |degrees: &f64| Heat::judge(*degrees, own, component);
        degrees.iter().map(judge).collect()
    }

    use Heat::{Critical, Normal, Unknown, Warm};

    #[test]
    fn own_limits() {
        let own = limits(&[
            ("temp1_input", 50.0),
            ("temp1_max", 84.0),
            ("temp1_crit", 94.0),
        ]);
        let degrees = [69.9, 83.9, 84.0, 93.9, 94.0];
        let heat = [Normal, Normal, Warm, Warm, Critical];
        assert_eq!(judged(own, Component::Processor, &degrees), heat);
    }

    #[test]
    fn usual_limits_are_the_default() {
        let none = Limits::default();
        let heat = [Normal, Warm, Critical];
        assert_eq!(
            judged(none, Component::Processor, &[69.9, 70.0, 85.0]),
            heat
        );
        assert_eq!(judged(none, Component::Disk, &[49.0, 50.0, 60.0]), heat);
        assert_eq!(
            judged(none, Component::Other, &[20.0, 120.0]),
            [Unknown, Unknown]
        );
    }

    #[test]
    fn own_limits_override_usual_ones() {
        let only = |name| limits(&[name]);
        let hardy = only(("temp1_max", 100.0));
        assert_eq!(
            judged(hardy, Component::Processor, &[99.0, 130.0]),
            [Normal, Warm]
        );
        let tender = only(("temp1_crit", 65.0));
        assert_eq!(
            judged(tender, Component::Processor, &[64.0, 65.0]),
            [Normal, Critical]
        );
        let board = only(("temp1_crit", 110.0));
        assert_eq!(
            judged(board, Component::Processor, &[60.0, 75.0]),
            [Normal, Warm]
        );
    }

    #[test]
    fn unset_limits_are_none() {
        let unset = [("temp1_max", 0.0), ("temp1_crit", -273.15)];
        assert_eq!(limits(&unset), Limits::default());
        let absurd = [
            ("temp1_max", 65261.85),
            ("temp1_lcrit", 5.0),
            ("temp1_crit_alarm", 1.0),
        ];
        assert_eq!(limits(&absurd), Limits::default());
    }
}
