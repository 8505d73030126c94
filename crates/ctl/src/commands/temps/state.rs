//! Facts about single sensors that their values do not show: what does not answer, what was dropped
//! and what was omitted. One line for a node, or rows with everything.

use super::rows::{Row, Value};
use crate::ui::age::ago;
use crate::ui::escape::escape;
use crate::ui::width::width;
use pulse_sensors::document::{Answering, ChipState, DropReason, DroppedValue, SensorState};
use std::time::Duration;

/// The maximum number of chips that the line names.
const MAX_NAMES: usize = 8;

/// The line of a node, which fits into so many columns if names can be left out for that; `None` if
/// there is nothing to say.
pub(super) fn summary(state: &SensorState, columns: Option<usize>) -> Option<String> {
    let mut silent = Vec::new();
    let mut pending = 0;
    for chip in &state.chips {
        match chip.answering {
            Answering::Stale | Answering::Unreadable => silent.push(escape(&chip.chip)),
            Answering::Pending => pending += 1,
            // The row has its age.
            Answering::Slow => {}
        }
    }
    let omitted = state.omitted.iter();
    let omitted = omitted.fold(0, |sum, omitted| omitted.sensors.saturating_add(sum));
    let counts = [
        (pending, "chip not read yet", "chips not read yet"),
        (omitted, "sensor omitted", "sensors omitted"),
        (
            state.dropped.len() as u64,
            "value dropped",
            "values dropped",
        ),
    ];
    let counts = counts.into_iter().filter(|(count, ..)| *count > 0);
    let counts: Vec<String> = counts
        .map(|(count, one, many)| format!("{count} {}", if count == 1 { one } else { many }))
        .collect();
    if silent.is_empty() && counts.is_empty() {
        return None;
    }
    let line = |names: usize| {
        let silent = (!silent.is_empty()).then(|| not_answering(&silent, names));
        let parts = silent.into_iter().chain(counts.iter().cloned());
        let parts = parts.chain(["see --all".to_owned()]);
        parts.collect::<Vec<_>>().join("; ")
    };
    let fits = |line: &String| columns.is_none_or(|columns| width(line) <= columns);
    let mut lines = (0..=silent.len().min(MAX_NAMES)).rev().map(line);
    lines.find(fits).or_else(|| Some(line(0)))
}

/// The chips that do not answer, with so many of their names.
fn not_answering(silent: &[String], names: usize) -> String {
    let count = match silent.len() {
        1 => "1 chip does not answer".to_owned(),
        count => format!("{count} chips do not answer"),
    };
    let mut listed: Vec<&str> = silent.iter().take(names).map(String::as_str).collect();
    if listed.is_empty() {
        return count;
    }
    if listed.len() < silent.len() {
        listed.push("…");
    }
    format!("{count}: {}", listed.join(", "))
}

/// The age of a chip's values at the time of the reading, if they are not of that time.
pub(super) fn own_age(state: &SensorState, chip: &str) -> Option<Duration> {
    let chip = state.chips.iter().find(|known| known.chip == chip)?;
    chip.age_ms.map(Duration::from_millis)
}

/// The rows about a chip, or about a disk's device.
pub(super) fn rows_about(state: &SensorState, chip: &str) -> Vec<Row> {
    let states = state.chips.iter().filter(|known| known.chip == chip);
    let dropped = state.dropped.iter().filter(|known| known.chip == chip);
    let omitted = state.omitted.iter().filter(|known| known.chip == chip);
    let omitted = omitted.map(|omitted| {
        let sensors = if omitted.sensors == 1 {
            "sensor"
        } else {
            "sensors"
        };
        let text = format!("{} more {sensors}, omitted", omitted.sensors);
        Row::about(chip, Value::Note(text))
    });
    dropped
        .map(Row::dropped)
        .chain(states.map(|state| Row::about(chip, Value::Note(answering(state)))))
        .chain(omitted)
        .collect()
}

fn answering(state: &ChipState) -> String {
    let age = state.age_ms.map(|age| ago(Duration::from_millis(age)));
    match (state.answering, age) {
        (Answering::Pending, _) => "not read yet".to_owned(),
        (Answering::Slow, _) => "answers slowly".to_owned(),
        (Answering::Stale | Answering::Unreadable, Some(age)) => {
            format!("does not answer, last value {age} old")
        }
        (Answering::Stale | Answering::Unreadable, None) => "does not answer".to_owned(),
    }
}

/// The reason for which a value was dropped.
pub(super) fn reason(reason: DropReason) -> &'static str {
    match reason {
        DropReason::OutOfRange => "out of range",
        DropReason::Fault => "sensor fault",
        DropReason::OpenInput => "open input",
        DropReason::NotSet => "never set",
        DropReason::PowerOn => "power-on",
        DropReason::ReadError => "read error",
    }
}

impl Row {
    fn about(chip: &str, value: Value) -> Self {
        Self {
            source: chip.strip_prefix("/dev/").unwrap_or(chip).to_owned(),
            value,
            ..Self::default()
        }
    }

    fn dropped(dropped: &DroppedValue) -> Self {
        Self {
            label: dropped.sensor.to_string(),
            ..Self::about(&dropped.chip, Value::Dropped(dropped.value, dropped.reason))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use pulse_sensors::document::Omitted;

    fn chip(name: &str, answering: Answering) -> ChipState {
        ChipState {
            chip: name.to_owned(),
            answering,
            age_ms: None,
        }
    }

    fn state() -> SensorState {
        SensorState {
            chips: vec![
                chip("nouveau-pci-0100", Answering::Unreadable),
                chip("w1_slave_temp-virtual-0", Answering::Slow),
                chip("drivetemp-scsi-0-0", Answering::Stale),
            ],
            ..SensorState::default()
        }
    }

    fn line(state: &SensorState, columns: usize) -> String {
        summary(state, Some(columns)).unwrap()
    }

    #[test]
    fn a_node_has_one_line() {
        let mut state = state();
        let full = "2 chips do not answer: nouveau-pci-0100, drivetemp-scsi-0-0; see --all";
        assert_eq!(line(&state, 80), full);
        assert_eq!(summary(&state, None).unwrap(), full);
        let one = "2 chips do not answer: nouveau-pci-0100, …; see --all";
        assert_eq!(line(&state, 60), one);
        assert_eq!(line(&state, 40), "2 chips do not answer; see --all");
        assert_eq!(line(&state, 4), "2 chips do not answer; see --all");
        state.chips.truncate(2);
        state.chips.push(chip("x", Answering::Pending));
        state.omitted.push(Omitted {
            chip: "coretemp-isa-0001".to_owned(),
            sensors: 65,
        });
        assert_eq!(
            line(&state, 120),
            "1 chip does not answer: nouveau-pci-0100; 1 chip not read yet; 65 sensors omitted; \
             see --all"
        );
    }

    #[test]
    fn omitted_sensors_are_counted() {
        for (sensors, text) in [
            (1, "1 more sensor, omitted"),
            (65, "65 more sensors, omitted"),
        ] {
            let omitted = vec![Omitted {
                chip: "coretemp-isa-0001".to_owned(),
                sensors,
            }];
            let state = SensorState {
                omitted,
                ..SensorState::default()
            };
            let rows = rows_about(&state, "coretemp-isa-0001");
            assert!(matches!(&rows[..], [Row { value: Value::Note(note), .. }] if note == text));
        }
    }

    #[test]
    fn nothing_to_say_is_no_line() {
        let mut state = SensorState::default();
        assert_eq!(summary(&state, None), None);
        state.chips.push(chip("x", Answering::Slow));
        assert_eq!(summary(&state, None), None);
    }

    #[test]
    fn names_are_escaped() {
        let mut state = SensorState::default();
        state.chips.push(chip("a\u{1b}[H", Answering::Stale));
        let line = summary(&state, None).unwrap();
        assert!(line.contains("a\\u{1b}[H"), "{line}");
    }
}
